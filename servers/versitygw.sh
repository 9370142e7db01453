#!/usr/bin/env bash
# Builds versitygw, an S3 server in front of a folder, into the cache, at the version that servers/versitygw/go.mod pins.
# Prints the folder that holds it.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

built versitygw "$(pinned versitygw github.com/versity/versitygw)" "about a minute and a half" \
    versitygw=github.com/versity/versitygw/cmd/versitygw
