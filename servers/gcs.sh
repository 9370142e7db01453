#!/usr/bin/env bash
# Builds our fake of Google Cloud Storage (servers/gcs/main.go) into the cache. Prints the folder that holds it.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

# What we wrote ourselves has no version but its bytes.
own=$(sha256sum gcs/main.go gcs/go.mod | sha256sum | cut -c 1-12)
built gcs "$(pinned gcs github.com/fsouza/fake-gcs-server)-$own" "about a minute" gcs=.
