#!/usr/bin/env bash
# Unpacks Debian's etcd-server and etcd-client into the cache: no root, and no service is started.
# Prints the folder that holds etcd and etcdctl. A second run costs nothing.
set -euo pipefail

cd "$(dirname "$0")"
. ./debian.sh

folder=$(unpacked etcd-debian usr/bin/etcd etcd-server etcd-client)
echo "$folder/usr/bin"
