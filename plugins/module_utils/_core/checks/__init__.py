"""Probes of hosts, components and services, and what their answers mean."""
