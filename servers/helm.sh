#!/usr/bin/env bash
# Builds helm into the cache, at the version that servers/helm/go.mod pins. Prints the folder that holds it.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

built helm "$(pinned helm helm.sh/helm/v4)" "two minutes" helm=helm.sh/helm/v4/cmd/helm
