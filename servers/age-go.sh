#!/usr/bin/env bash
# Builds the real age (Go), its plugin for post-quantum recipients, and a hardware token in software into the cache, at the version
# that servers/age-go/go.mod pins. Prints the folder that holds the programs. A second run costs nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's|.*filippo\.io/age v\([0-9.]*\).*|\1|p' "$here/age-go/go.mod")
# The token is ours: when it changes, it is built again.
token=$(cksum <"$here/age-go/token/main.go" | cut -d' ' -f1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers
folder=$cache/age-go-$version-$token

if [ -x "$folder/age" ] && [ -x "$folder/age-plugin-token" ]; then
    echo "age $version is in the cache" >&2
    echo "$folder"
    exit 0
fi

PATH="$("$here/go.sh"):$PATH"
mkdir -p "$cache"
# Built beside its final place and renamed, so that two runs at once, or one that was stopped, do no harm.
work=$(mktemp -d "$cache/.age-go-XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "building age $version (some seconds)" >&2
cd "$here/age-go"
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
build() { go build -trimpath -ldflags '-s -w' -o "$work/$1" "$2"; }
build age filippo.io/age/cmd/age
build age-keygen filippo.io/age/cmd/age-keygen
build age-plugin-pq filippo.io/age/extra/age-plugin-pq
build age-plugin-token ./token
chmod 755 "$work"
mv -T "$work" "$folder" 2>/dev/null || [ -x "$folder/age-plugin-token" ]
echo "$folder"
