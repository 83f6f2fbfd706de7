#!/bin/bash
# Patroni appends a connection string; the local socket needs none.
exec psql --no-psqlrc --quiet --tuples-only --dbname postgres --file /config/roles.sql
