#!/usr/bin/env bash
# Unpacks Debian's PostgreSQL into the cache, with what it needs and this machine has not: no root, and no service is started.
# Prints the folder that holds postgres, initdb, psql, pg_dump. A second run costs nothing.
set -euo pipefail

cd "$(dirname "$0")"
. ./debian.sh

know postgresql
version=$(apt-cache "${apt_options[@]}" depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p')
# shellcheck disable=SC2046 # one word for each package
folder=$(unpacked postgresql "usr/lib/postgresql/$version/bin/postgres" $(with_dependencies "postgresql-$version" "postgresql-client-$version"))
# By a name without a version, where tests look.
[ -e "$folder/usr/lib/postgresql/bin" ] || ln -sn "$version/bin" "$folder/usr/lib/postgresql/bin"
echo "$folder/usr/lib/postgresql/bin"
