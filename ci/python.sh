#!/usr/bin/env bash
# Prints a python3 that has the packages of docs/recovery/requirements.txt; builds it into the cache when it is missing.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/cache.sh"
requirements="$here/../docs/recovery/requirements.txt"

if ! command -v python3 >/dev/null; then
    echo "python.sh: the recovery script is tested with python3: install it (apt-get install python3)" >&2
    exit 1
fi

# A bare Debian has python3 without pip: then pip comes out of its package.
build() {
    local folder="$1" wheel
    if python3 -m venv "$folder" >/dev/null 2>&1; then
        "$folder/bin/python" -m pip install -q -r "$requirements" >&2
    else
        python3 -m venv --clear --without-pip "$folder" >&2
        wheel="$(echo "$("$here/debian.sh" python3-pip-whl)"/usr/share/python-wheels/pip-*.whl)"
        "$folder/bin/python" "$wheel/pip" install -q -r "$requirements" >&2
    fi
}

key="$( (python3 --version; cat "$requirements") | sha256sum | cut -c1-12)"
install_once "$tools/python-$key" build
echo "$tools/python-$key/bin/python"
