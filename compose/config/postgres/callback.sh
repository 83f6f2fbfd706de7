#!/bin/bash
# Patroni calls: callback.sh ACTION ROLE CLUSTER, on every member, after a start, a reload and a change of role.
# The primary brings roles, databases and cluster-wide settings to what this release declares: Patroni itself
# reads those at bootstrap only.
set -euo pipefail

[[ $2 == primary ]] || exit 0

# A promotion is announced a moment before it is complete.
for _ in {1..30}; do
  [[ $(psql --no-psqlrc --tuples-only --no-align --command 'SELECT pg_is_in_recovery()') == f ]] && break
  sleep 1
done
/config/roles.sh
curl --config /config/api.curl --request PATCH --data @/config/dynamic.json https://localhost:8008/config
