#!/bin/bash
# A sentinel that cannot gather a majority protects nobody.
set -euo pipefail
# shellcheck source=/dev/null
. /config/settings
{ cat /config/sentinel.auth; echo "SENTINEL CKQUORUM $NAME"; } |
  timeout 4 redis-cli --tls --cacert /config/tls/ca.crt -h 127.0.0.1 -p 26379 | tee /dev/stderr | grep --quiet '^OK [0-9]'
