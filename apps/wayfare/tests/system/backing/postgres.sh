#!/bin/sh
# PostgreSQL, and two transaction-pooling PgBouncers over TLS: 5432 for writes, 5433 whose sessions are read-only.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
install -d -o postgres -m 0755 /run/wayfare
install -d -o postgres -m 0700 /var/lib/postgresql/data
cat > /run/wayfare/users.txt <<END
"wayfare" "wayfare-test-password"
END
for port in 5432 5433; do
  connect_query=""
  [ "$port" = 5432 ] || connect_query="connect_query='SET default_transaction_read_only = on'"
  cat > "/run/wayfare/$port.ini" <<END
[databases]
wayfare = host=127.0.0.1 port=6000 user=wayfare $connect_query
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = $port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /run/wayfare/users.txt
pool_mode = transaction
max_prepared_statements = 0
server_reset_query =
default_pool_size = 10
max_client_conn = 500
client_tls_sslmode = require
client_tls_cert_file = /tls/tls.crt
client_tls_key_file = /tls/tls.key
END
done
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
if [ ! -e /var/lib/postgresql/data/PG_VERSION ]; then
  as_postgres "$bin/initdb" -D /var/lib/postgresql/data --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
fi
# A restarted container was killed, so these name processes of its former life.
rm -f /var/lib/postgresql/data/postmaster.pid /run/wayfare/.s.*
as_postgres "$bin/pg_ctl" -D /var/lib/postgresql/data -w start \
  -o "-p 6000 -c listen_addresses=127.0.0.1 -c unix_socket_directories=/run/wayfare -c fsync=off" -l /var/lib/postgresql/log >/dev/null
if ! as_postgres psql -h /run/wayfare -p 6000 -d wayfare -c 'SELECT 1' >/dev/null 2>&1; then
  as_postgres psql -q -h /run/wayfare -p 6000 -c "CREATE ROLE wayfare LOGIN" -c "CREATE DATABASE wayfare OWNER wayfare"
fi
as_postgres pgbouncer -q /run/wayfare/5433.ini &
exec setpriv --reuid postgres --regid postgres --clear-groups pgbouncer -q /run/wayfare/5432.ini
