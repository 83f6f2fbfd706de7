#!/bin/bash
# Patroni asks before it promotes a member (pre_promote). On a full disk PostgreSQL starts, is promoted, and ends with its
# first write, over and over, while its Patroni keeps the leader's key.
set -u
probe=/var/lib/postgresql/can-write
trap 'rm -f "$probe"' EXIT
# The least that a leader must be able to add: a segment of WAL.
said=$(LC_ALL=C timeout 5 fallocate --posix --length 16M "$probe" 2>&1) && exit
# A disk that is merely slow is PostgreSQL's own affair: everybody's may be.
grep --quiet --extended-regexp 'No space left|File too large|quota exceeded' <<< "$said" || exit 0
echo "this member cannot lead: $said" >&2
# Before Patroni ends: the container takes this script along, and the probe would keep what room there is.
rm -f "$probe"
# As long as it can be asked how far it is, nobody who is behind it takes its place: by what no standby had confirmed, and
# so nobody was promised. Patroni ends, and the engine starts it again.
kill -TERM "$PPID"
exit 1
