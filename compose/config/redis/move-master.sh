#!/bin/bash
# usage: move-master.sh, in the container of the master; says who is the master then
# Let another member be the master, and lose no write that was acknowledged. SENTINEL FAILOVER alone promotes a replica
# while the old master takes writes that are thrown away (https://github.com/redis/redis/issues/6062). FAILOVER has
# writers wait, but Sentinel takes a master that steps down by itself for one that is lost, and fails over again
# (https://github.com/redis/redis/issues/13118). So writers wait here while Sentinel does its work: some three seconds.
set -euo pipefail
# shellcheck source=/dev/null
. /config/settings

# Seconds. A replica that follows has everything in an instant; and Sentinel's own word to a master is a write to it:
# after five seconds of silence (down-after-milliseconds) the others would take this one for lost.
CAUGHT_UP=3
# Sentinel gives each of two steps 15 s (failover-timeout) before it gives a failover up.
DECIDED=32
# What a new master that has no replica yet is waited for: else it would refuse the writes that come.
FOLLOWED=3
# Milliseconds, more than all of these, and what an answer takes, together. The pause ends by itself, should this program
# be killed, but not before: a write that is taken here after the promotion is lost.
PAUSE=60000

fail() {
  echo "$1" >&2
  exit 1
}

# usage: ask FILE ADDRESS PORT COMMAND... The file's first line proves who asks: a password is no argument.
ask() {
  { cat "/config/$1"; printf '%s\n' "${@:4}"; } |
    timeout 3 redis-cli --tls --cacert /config/tls/ca.crt -h "$2" -p "$3" | tr -d '\r' | tail -n +2
}

redis() { ask admin.auth "$1" 6379 "${@:2}"; }
sentinel() { ask sentinel.auth "$ADDRESS" 26379 "$@"; }
field() { awk -F: -v name="$1" '$1 == name { print $2 }'; }

named() { sentinel "SENTINEL GET-MASTER-ADDR-BY-NAME $NAME" | sed -n 1p; }

# Whom Sentinel could promote: every replica that it does not take for lost.
candidates() {
  sentinel "SENTINEL REPLICAS $NAME" |
    awk '$0 == "ip" { getline ip } $0 == "flags" { getline flags; if (flags !~ /down|disconnected/) print ip }'
}

# usage: all_have OFFSET. Whether every candidate follows this master, and has what it wrote up to there.
all_have() {
  local told offset
  for lacking in $replicas; do
    told=$(redis "$lacking" "INFO replication") || return 1
    [[ $(field master_host <<<"$told") == "$ADDRESS" && $(field master_link_status <<<"$told") == up ]] || return 1
    offset=$(field slave_repl_offset <<<"$told")
    ((${offset:-0} >= $1)) || return 1
  done
}

unpause() { redis 127.0.0.1 "CLIENT UNPAUSE" >/dev/null; }

# Print the address of the promoted replica, or nothing once Sentinel has given up; fail where it does neither.
promoted() {
  local told found limit=$((SECONDS + DECIDED))
  while ((SECONDS < limit)); do
    # The flags first: a failover that is over by then has changed the address that comes after them.
    if told=$(sentinel "SENTINEL MASTER $NAME" "SENTINEL GET-MASTER-ADDR-BY-NAME $NAME"); then
      found=$(tail -n 2 <<<"$told" | sed -n 1p)
      if [[ $found != "$ADDRESS" && " $MEMBERS " == *" $found "* ]]; then
        echo "$found"
        return
      fi
      [[ $told == *failover_in_progress* ]] || return 0
    fi
    sleep 0.2  # between two looks
  done
  return 1
}

takes_writes() {
  local told
  told=$(redis "$1" "INFO replication") || return 1
  # The second is told where a master without a replica refuses writes.
  [[ $(field role <<<"$told") == master && $(field min_slaves_good_slaves <<<"$told") != 0 ]]
}

exec 9>/run/redis/move-master.lock
flock --nonblock 9 || fail "the master is being moved already"
told=$(redis 127.0.0.1 "INFO replication") || fail "Redis does not answer"
[[ $(field role <<<"$told") == master ]] || fail "this member is no master: run this in the container of the one that is"
master=$(named) || fail "the sentinel of this host does not answer"
[[ $master == "$ADDRESS" ]] || fail "the sentinel of this host takes ${master:-nobody} for the master"
replicas=$(candidates) || fail "the sentinel of this host does not answer"
[[ $replicas ]] || fail "there is no replica that could be promoted"
lacking=""
# Before anybody has to wait for it.
all_have 0 || fail "replica $lacking does not follow: bring it back first; the master stays"

trap unpause EXIT
told=$(redis 127.0.0.1 "CLIENT PAUSE $PAUSE WRITE" "INFO replication") || fail "Redis does not answer; the master stays"
offset=$(field master_repl_offset <<<"$told")
[[ $offset ]] || fail "Redis does not let its writers wait: ${told%%$'\n'*}; the master stays"
limit=$((SECONDS + CAUGHT_UP))
until all_have "$offset"; do
  ((SECONDS < limit)) || fail "replica $lacking has not caught up in $CAUGHT_UP s; the master stays"
  sleep 0.1  # between two looks
done

# From here on Sentinel decides, and nobody else ends the pause.
trap - EXIT
answer=$(sentinel "SENTINEL FAILOVER $NAME") || answer="no answer"
new=$(promoted) || fail "Sentinel promotes nobody, and does not give up: writers wait for up to $((PAUSE / 1000)) s"
if [[ ! $new ]]; then
  unpause
  fail "Sentinel promotes nobody: ${answer%%$'\n'*}; the master stays"
fi

limit=$((SECONDS + FOLLOWED))
until takes_writes "$new" || ((SECONDS >= limit)); do
  sleep 0.1  # between two looks
done
sleep 1  # within which every router asks it who it is: none sends those who are sent away now back here

# All at once: nobody who waited can write here any more. What they asked for was not done, and they connect again.
redis 127.0.0.1 MULTI "REPLICAOF $new 6379" "CLIENT KILL TYPE normal" "CLIENT KILL TYPE pubsub" \
  "CLIENT UNPAUSE" EXEC >/dev/null || fail "$new is the master; this one does not answer, and is told by Sentinel"
told=$(redis 127.0.0.1 "INFO replication") || fail "$new is the master; this one does not answer"
[[ $(field master_host <<<"$told") == "$new" ]] || fail "$new is the master, and this one does not follow it yet"
echo "$new is the master"
