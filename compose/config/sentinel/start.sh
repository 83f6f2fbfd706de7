#!/bin/bash
# Sentinel keeps what it learns in its own configuration file. A release brings the settings, the volume the
# memory: who is master, at which epoch, who the others are. Both are joined here at every start.
set -euo pipefail
umask 077
# shellcheck source=/dev/null
. /config/settings

state=/var/lib/sentinel/sentinel.conf
remembered=""
[[ ! -e $state ]] || remembered=$(awk -v name="$NAME" \
  '$1 == "sentinel" && $2 == "monitor" && $3 == name { print $4 }' "$state")

# A host that is no longer a member must not be watched.
case " $MEMBERS " in
  *" $remembered "*) master=$remembered ;;
  *) master=${MEMBERS%% *} ;;
esac

{
  sed "s/@MASTER@/$master/" /config/sentinel.conf
  if [[ $remembered && $master == "$remembered" ]]; then
    awk -v name="$NAME" -v members=" $MEMBERS " '
      $1 != "sentinel" { next }
      $2 == "myid" || $2 == "current-epoch" { print }
      ($2 == "config-epoch" || $2 == "leader-epoch") && $3 == name { print }
      ($2 == "known-replica" || $2 == "known-sentinel") && $3 == name && index(members, " " $4 " ") { print }
    ' "$state"
  fi
} >"$state.new"
mv "$state.new" "$state"
exec redis-server "$state" --sentinel
