#!/bin/sh
# Redis over TLS only.
exec redis-server --port 0 --tls-port 6379 --tls-cert-file /tls/tls.crt --tls-key-file /tls/tls.key \
  --tls-ca-cert-file /tls/ca.crt --tls-auth-clients no --requirepass wayfare-test-password --save "" --dir /tmp
