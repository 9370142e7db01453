#!/usr/bin/env bash
# Builds MinIO, a second opinion on S3, into the cache, at the version that servers/minio/go.mod pins. It is under the AGPL: it serves
# tests, and nothing of it is ever shipped. Prints the folder that holds it.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

built minio "$(pinned minio github.com/minio/minio)" "about four minutes" minio=github.com/minio/minio
