#!/bin/sh
# mtail does not remove the socket that an earlier run has left, and could not listen again.
set -eu
rm -f /run/edge-log/requests.sock
exec mtail --logs=unixgram:///run/edge-log/requests.sock --progs=/config --address=0.0.0.0 --port="$1" \
  --emit_prog_label=false --http_debugging_endpoint=false --http_info_endpoint=false --logtostderr
