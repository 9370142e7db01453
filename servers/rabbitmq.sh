#!/usr/bin/env bash
# Unpacks Debian's RabbitMQ and Erlang into the cache: no root, and no service is started.
# Prints the folder that holds rabbitmq-server and rabbitmqctl. A second run costs nothing.
set -euo pipefail

cd "$(dirname "$0")"
. ./debian.sh

# shellcheck disable=SC2046 # one word for each package
folder=$(unpacked rabbitmq usr/lib/rabbitmq/bin/rabbitmq-server $(with_dependencies rabbitmq-server))
# Debian's Erlang knows its place, which is not where it lies now.
erl=$folder/usr/lib/erlang/bin/erl
if grep -q 'ROOTDIR=/usr/lib/erlang$' "$erl"; then
    sed -i "s|ROOTDIR=/usr/lib/erlang$|ROOTDIR='$folder/usr/lib/erlang'|" "$erl"
fi
echo "$folder/usr/lib/rabbitmq/bin"
