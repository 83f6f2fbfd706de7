#!/bin/bash
# usage: current-master.sh SECONDS
# Print the address of Redis's master as the sentinels know it; fail when none of them answers in that time.
# Each failover raises the configuration epoch. A sentinel that has lost its memory answers with the master of the
# first start at epoch 0, so the highest epoch wins, as soon as most sentinels have answered, and none of them is at a
# failover: a master that came back meanwhile as one would take writes that the next one does not have.
set -euo pipefail
# shellcheck source=/dev/null
. /config/settings
read -r -a sentinels <<<"$MEMBERS"
count=$(wc -w <<<"$MEMBERS")

# A sentinel that does not answer is no failure: the others are asked, and counted.
ask() {
  # The address in the first answer is of the old master until all replicas follow the new one; in the second, until it
  # is promoted.
  { cat /config/sentinel.auth; printf '%s\n' "SENTINEL MASTER $NAME" "SENTINEL GET-MASTER-ADDR-BY-NAME $NAME"; } |
    timeout 2 redis-cli --tls --cacert /config/tls/ca.crt -h "$1" -p 26379 2>/dev/null |
    awk '$0 == "flags" { getline flags } $0 == "config-epoch" { getline epoch } { address = last; last = $0 }
      END { if (epoch != "" && address ~ /[.:]/) print epoch, address, flags }' || true
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
  ((answered * 2 > count)) && [[ $answers != *failover_in_progress* ]] && break
  ((SECONDS >= $1)) && break
  sleep 1  # before they are asked again
done
[[ $answers ]] || exit 1
sort --numeric-sort --reverse <<<"$answers" | awk 'NR == 1 { print $2 }'
