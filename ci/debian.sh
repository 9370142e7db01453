#!/usr/bin/env bash
# Unpacks Debian packages into the cache and prints one folder for each: `ci/debian.sh age restic`.
#
# With --sid before them, those of Debian's unstable suite. The dependencies of a package are not fetched: this is
# for programs that need only what every Debian has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../servers"
. ./debian.sh

if [ "$1" = --sid ]; then
    shift
    sid
fi
for package in "$@"; do
    unpacked "$package" usr "$package"
done
