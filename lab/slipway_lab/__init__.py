"""The lab: Debian hosts with systemd as containers on one Docker engine, reached like virtual machines."""
