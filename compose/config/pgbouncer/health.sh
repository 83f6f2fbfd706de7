#!/bin/bash
# A request for TLS is answered "S" before any login, so the check needs no password.
set -euo pipefail
exec 3<>/dev/tcp/127.0.0.1/6432
printf '\x00\x00\x00\x08\x04\xd2\x16\x2f' >&3
IFS= read -r -N 1 -t 4 answer <&3
[[ $answer == S ]]
