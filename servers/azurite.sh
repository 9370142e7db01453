#!/usr/bin/env bash
# Installs Azurite, Microsoft's emulator of Azure Blob Storage, into the cache, at the versions of servers/azurite/package-lock.json.
# Prints the folder that holds azurite-blob. A second run costs nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers
version=$(sed -n 's/.*"azurite": "\([0-9.]*\)".*/\1/p' "$here/azurite/package.json")
folder=$cache/azurite-$version

if [ ! -d "$folder" ]; then
    node=$("$here/node.sh")
    PATH="$node:$PATH"
    echo "installing azurite $version (about half a minute)" >&2
    mkdir -p "$cache"
    # Beside its final place and renamed: a run that was stopped does no harm.
    work=$(mktemp -d "$cache/.azurite-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$here/azurite/package.json" "$here/azurite/package-lock.json" "$work"
    (cd "$work" && npm ci --silent --no-audit --no-fund --ignore-scripts >&2)
    cat > "$work/azurite-blob" <<WRAPPER
#!/bin/sh
exec "\$(command -v node || echo "$node/node")" "\$(dirname "\$0")/node_modules/azurite/dist/src/blob/main.js" "\$@"
WRAPPER
    chmod 755 "$work" "$work/azurite-blob"
    mv -T "$work" "$folder" 2>/dev/null || [ -d "$folder" ]
fi
echo "$folder"
