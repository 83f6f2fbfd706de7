#!/bin/bash
# Start Redis in the role it has in the fleet now. A former master that came back as one would take writes for
# some seconds that are thrown away once Sentinel corrects it.
set -euo pipefail
umask 077
# shellcheck source=/dev/null
. /config/settings

# Only an instance without data can be at its very first start, when the sentinels may be later than Redis.
# With data, guessing could make an outdated copy the master and erase the newer ones.
if master=$(/config/current-master.sh 10); then
  echo "The sentinels name $master as master"
elif [[ -e /var/lib/redis/appendonlydir ]]; then
  echo "No sentinel answers and Redis holds data: not starting without knowing the master. Start the sentinels" >&2
  exit 1
else
  master=${MEMBERS%% *}
  echo "First start: $master is the master"
fi

# Sentinel has Redis rewrite its configuration: it gets a copy that may be written and that no restart survives.
{
  echo "include /config/redis.conf"
  [[ $master == "$ADDRESS" ]] || echo "replicaof $master 6379"
} >/run/redis/redis.conf
exec redis-server /run/redis/redis.conf
