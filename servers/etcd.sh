#!/usr/bin/env bash
# Builds etcd, etcdctl and etcdutl into the cache, at the version that servers/etcd/go.mod pins.
# Prints the folder that holds the three programs. A second run costs nothing.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

built etcd "$(pinned etcd go.etcd.io/etcd/server/v3)" "about a minute" \
    etcd=go.etcd.io/etcd/server/v3 etcdctl=go.etcd.io/etcd/etcdctl/v3 etcdutl=go.etcd.io/etcd/etcdutl/v3
