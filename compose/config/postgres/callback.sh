#!/bin/bash
# Patroni calls: callback.sh ACTION ROLE CLUSTER, on every member, after a start, a reload and a change of role.
# The primary brings roles, databases and cluster-wide settings to what this release declares: Patroni itself
# reads those at bootstrap only.
set -euo pipefail

fingerprint() { openssl x509 -noout -fingerprint -sha256 2>/dev/null; }

# Patroni 4.0 overlooks a new certificate of its own API when its settings change in the same moment; it finds it
# the next time. An API with an expired certificate would take the member out of every router.
if [[ $1 == on_reload ]] &&
  served=$(timeout 5 openssl s_client -connect localhost:8008 </dev/null 2>/dev/null | fingerprint) &&
  [[ $served != "$(fingerprint </config/tls/tls.crt)" ]]; then
  kill -HUP 1
fi

[[ $2 == primary ]] || exit 0

# A promotion is announced a moment before it is complete.
for _ in {1..30}; do
  [[ $(psql --no-psqlrc --tuples-only --no-align --command 'SELECT pg_is_in_recovery()') == f ]] && break
  sleep 1
done
/config/roles.sh
curl --config /config/api.curl --request PATCH --data @/config/dynamic.json https://localhost:8008/config
