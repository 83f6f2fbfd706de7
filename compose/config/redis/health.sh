#!/bin/bash
# Healthy: answers, has loaded its data, and as a replica follows its master.
set -euo pipefail
state=$({ cat /config/monitor.auth; echo "INFO replication"; } |
  timeout 4 redis-cli --tls --cacert /config/tls/ca.crt -h 127.0.0.1 -p 6379 | tr -d '\r')
grep --quiet --line-regexp -e 'role:master' -e 'master_link_status:up' <<<"$state" || {
  echo "$state" | head -5
  exit 1
}
