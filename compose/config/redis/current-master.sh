#!/bin/bash
# usage: current-master.sh SECONDS
# Print the address of Redis's master as the sentinels know it; fail when none of them answers in that time.
# Each failover raises the configuration epoch. A sentinel that has lost its memory answers with the master of the
# first start at epoch 0, so the highest epoch wins, as soon as most sentinels have answered.
set -euo pipefail
# shellcheck source=/dev/null
. /config/settings
read -r -a sentinels <<<"$MEMBERS"
count=$(wc -w <<<"$MEMBERS")

# A sentinel that does not answer is no failure: the others are asked, and counted.
ask() {
  { cat /config/sentinel.auth; echo "SENTINEL MASTER $NAME"; } |
    timeout 2 redis-cli --tls --cacert /config/tls/ca.crt -h "$1" -p 26379 2>/dev/null |
    awk '$0 == "ip" { getline ip } $0 == "config-epoch" { getline epoch } END { if (ip) print epoch, ip }' || true
}

ask_all() {
  for sentinel in "${sentinels[@]}"; do ask "$sentinel" & done
  wait
}

answers=""
while true; do
  answers=$(ask_all)
  # Zero, too, is a number; grep fails with it.
  answered=$(grep --count . <<<"$answers" || true)
  ((answered * 2 > count)) && break
  ((SECONDS >= $1)) && break
  sleep 1  # before they are asked again
done
[[ $answers ]] || exit 1
sort --numeric-sort --reverse <<<"$answers" | awk 'NR == 1 { print $2 }'
