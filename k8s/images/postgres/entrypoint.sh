#!/bin/sh
# Makes the database on the first start, then becomes the program that it is given (postgres).
# Reads POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA, as the official image does.
set -eu
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

# Made beside its place and moved there whole: a pod killed in between starts anew.
if [ "${1-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD is not set. Give the password of the database.}"
    new=$PGDATA.new
    rm -rf "$new"
    secret=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" >"$secret"
    initdb -D "$new" -U "$user" --pwfile="$secret" --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8
    rm -f "$secret"
    echo "host all all all scram-sha-256" >>"$new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s";\n' "$database" | postgres --single -j -D "$new" postgres >/dev/null
    fi
    rmdir "$PGDATA" 2>/dev/null || true
    mv "$new" "$PGDATA"
fi
unset POSTGRES_PASSWORD
case ${1-} in
postgres) shift && exec postgres -c listen_addresses='*' "$@" ;;
*) exec "$@" ;;
esac
