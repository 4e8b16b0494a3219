#!/bin/sh
# As the official image: the first start makes a cluster with POSTGRES_USER as its superuser, and POSTGRES_DB.
set -eu
: "${POSTGRES_PASSWORD:?has to be set}"
user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    secret=$(mktemp)
    printf %s "$POSTGRES_PASSWORD" > "$secret"
    initdb --username="$user" --pwfile="$secret" --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8
    rm "$secret"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl --wait --options="-c listen_addresses=''" start
    createdb --username="$user" "${POSTGRES_DB:-$user}"
    pg_ctl --wait stop
fi
exec "$@" -c listen_addresses='*'
