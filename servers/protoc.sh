#!/usr/bin/env bash
# Prints a command that works as PROTOC, which the build of etcd-client asks for: the installed one, or Debian's
# protobuf-compiler unpacked into the cache, for which nobody needs to be root.
set -euo pipefail

if found=$(command -v protoc); then
    echo "$found"
    exit 0
fi

cd "$(dirname "$0")"
. ./debian.sh

mkdir -p "$cache"
know protobuf-compiler
libprotoc=$(apt-cache "${apt_options[@]}" depends protobuf-compiler | sed -n 's/^ *Depends: \(libprotoc[0-9].*\)/\1/p')
# libprotobuf-dev holds the types that every .proto file may import (google/protobuf/*.proto).
folder=$(unpacked protoc usr/bin/protoc protobuf-compiler "$libprotoc" "libprotobuf${libprotoc#libprotoc}" libprotobuf-dev)

wrapper=$folder/protoc
if [ ! -x "$wrapper" ]; then
    work=$(mktemp "$folder/.protoc-XXXXXX")
    cat > "$work" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu*)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$here/usr/bin/protoc" "$@" -I "$here/usr/include"
WRAPPER
    chmod 755 "$work"
    mv "$work" "$wrapper"
fi
echo "$wrapper"
