#!/usr/bin/env bash
# Builds our second reader and writer of etcd-backup's objects (servers/etcd-backup-peer/main.go) into the cache. Prints the folder that holds
# it.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

# What we wrote ourselves has no version but its bytes.
own=$(sha256sum etcd-backup-peer/main.go etcd-backup-peer/go.mod | sha256sum | cut -c 1-12)
built etcd-backup-peer "$(pinned etcd-backup-peer github.com/minio/minio-go/v7)-$own" "some seconds" etcd-backup-peer=.
