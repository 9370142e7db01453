#!/usr/bin/env bash
# Unpacks Debian packages into the cache and prints one folder for each: `ci/debian.sh age restic`.
#
# Nothing is installed and no service is started; root is not needed. The dependencies of a package are not fetched, so this is for
# programs that need only what every Debian has.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/cache.sh"

release="$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")"
# Lists of our own: the machine's may be missing or old, and only root may renew them.
apt=(apt-get -q -o "Dir::State::lists=$tools/apt-lists" -o "Dir::Cache=$tools/apt-cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1)

download() {
    mkdir -p "$tools/apt-lists/partial" "$tools/apt-cache/archives/partial"
    "${apt[@]}" download "$1" 2>/dev/null || { "${apt[@]}" update >/dev/null && "${apt[@]}" download "$1"; }
}

unpack() {
    local package="$1" folder="$2"
    (cd "$folder" && download "$package" >&2 && dpkg -x ./*.deb . && rm ./*.deb)
}

for package in "$@"; do
    folder="$tools/debian-$release-$package"
    if ! install_once "$folder" unpack "$package"; then
        echo "debian.sh: could not fetch the Debian package $package; is the network reachable?" >&2
        exit 1
    fi
    echo "$folder"
done
