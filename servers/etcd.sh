#!/usr/bin/env bash
# Builds etcd, etcdctl and etcdutl into the cache, at the version that servers/etcd/go.mod pins.
# Prints the folder that holds the three programs. A second run costs nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's|.*go\.etcd\.io/etcd/server/v3 v\([0-9.]*\).*|\1|p' "$here/etcd/go.mod")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers
folder=$cache/etcd-$version

if [ -x "$folder/etcd" ] && [ -x "$folder/etcdctl" ] && [ -x "$folder/etcdutl" ]; then
    echo "etcd $version is in the cache" >&2
    echo "$folder"
    exit 0
fi

PATH="$("$here/go.sh"):$PATH"
mkdir -p "$cache"
# Built beside its final place and renamed, so that two runs at once, or one that was stopped, do no harm.
work=$(mktemp -d "$cache/.etcd-XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "building etcd $version (about a minute)" >&2
cd "$here/etcd"
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
go build -trimpath -ldflags '-s -w' -o "$work/etcd" go.etcd.io/etcd/server/v3
go build -trimpath -ldflags '-s -w' -o "$work/etcdctl" go.etcd.io/etcd/etcdctl/v3
go build -trimpath -ldflags '-s -w' -o "$work/etcdutl" go.etcd.io/etcd/etcdutl/v3
chmod 755 "$work"
mv -T "$work" "$folder" 2>/dev/null || [ -x "$folder/etcdutl" ]
echo "$folder"
