#!/bin/sh
# Writes .env with random passwords for docker-compose.yml; never over one that is there.
#
#     deployments/compose/write-env.sh [FILE]
set -eu
file=${1:-.env}
umask 077
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# noclobber: created by us, or not at all.
set -C
{
    echo "POSTGRES_PASSWORD=$(random)"
    echo "REDIS_PASSWORD=$(random)"
    echo "PREFECT_AUTH=admin:$(random)"
} > "$file"
echo "$file is written. Prefect's UI asks for PREFECT_AUTH: name and password with the colon between them."
