#!/usr/bin/env bash
# Prints the folder of a command `strace`: the installed one's, or Debian's unpacked into the cache, for which nobody needs to be root.
set -euo pipefail

if found=$(command -v strace); then
    dirname "$found"
    exit 0
fi

cd "$(dirname "${BASH_SOURCE[0]}")/../servers"
. ./debian.sh

folder=$(unpacked strace usr/bin/strace strace libunwind8)
wrapper=$folder/strace
if [ ! -x "$wrapper" ]; then
    work=$(mktemp "$folder/.strace-XXXXXX")
    cat > "$work" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu*)
export LD_LIBRARY_PATH
# Not for what it starts.
exec "$here/usr/bin/strace" -E LD_LIBRARY_PATH "$@"
WRAPPER
    chmod 755 "$work"
    mv "$work" "$wrapper"
fi
echo "$folder"
