# Sourced: unpacks Debian packages into the cache with `dpkg -x`, for which nobody needs to be root.

# Or a failure inside $(...) would go unnoticed.
shopt -s inherit_errexit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers
apt_options=(-o APT::Sandbox::User=root)

# unpacked NAME FILE PACKAGE...: prints the folder of the unpacked packages, keyed by the version of the first one.
# FILE is one that must be there afterwards.
unpacked() {
    local name=$1 file=$2 version folder work
    shift 2
    mkdir -p "$cache"
    # One at a time: apt does not share its lists, and the second finds what the first has made.
    exec 9>"$cache/.debian.lock"
    flock 9
    know "$@"
    version=$(candidate "$1")
    folder=$cache/$name-${version//[^A-Za-z0-9.+~-]/_}
    if [ ! -e "$folder/$file" ]; then
        echo "unpacking Debian's $* $version into the cache" >&2
        # Beside its final place and renamed: a run that was stopped does no harm.
        work=$(mktemp -d "$cache/.$name-XXXXXX")
        trap 'rm -rf "$work"' EXIT
        (cd "$work" && apt-get "${apt_options[@]}" -qq download "$@" >&2)
        for package in "$work"/*.deb; do
            dpkg -x "$package" "$work/root"
        done
        mv -T "$work/root" "$folder"
        rm -rf "$work"
        trap - EXIT
    fi
    echo "$folder"
}

candidate() {
    apt-cache "${apt_options[@]}" policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -vx '(none)'
}

# Sees to it that apt knows the packages: from the machine's lists, or, where those are missing, from lists of our own,
# because only root may renew the machine's.
know() {
    local package
    for package in "$@"; do
        candidate "$package" >/dev/null && continue
        if [ ${#apt_options[@]} = 2 ]; then
            own_lists
            candidate "$package" >/dev/null && continue
        fi
        echo "Debian's package lists have no $package" >&2
        return 1
    done
}

own_lists() {
    apt_options+=(-o "Dir::State::lists=$cache/apt-lists" -o "Dir::Cache=$cache/apt-cache")
    mkdir -p "$cache/apt-lists/partial" "$cache/apt-cache/archives/partial"
    echo "apt has no package lists: fetching them into the cache" >&2
    # The machine's apt hooks may complain that we are not root; that matters only if there are no lists afterwards.
    apt-get "${apt_options[@]}" -qq update >"$cache/apt-lists.log" 2>&1 || cat "$cache/apt-lists.log" >&2
}

# From here on packages are those of Debian's unstable suite. Its lists are our own, and fetched again after a day.
sid() {
    local folder=$cache/sid lists
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    cat > "$folder/sid.sources" <<'SOURCES'
Types: deb
URIs: http://deb.debian.org/debian
Suites: sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    apt_options+=(-o "Dir::Etc::sourcelist=$folder/sid.sources" -o "Dir::Etc::sourceparts=-"
        -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
    lists=$(find "$folder/lists" -maxdepth 1 -name '*Packages*' -mmin -1440)
    if [ -z "$lists" ]; then
        echo "fetching the package lists of Debian's unstable suite into the cache" >&2
        apt-get "${apt_options[@]}" -qq update >&2
    fi
}

# with_dependencies PACKAGE...: prints them, and what of theirs this machine has not installed.
with_dependencies() {
    know "$@"
    printf '%s\n' "$@"
    apt-get "${apt_options[@]}" -s --no-install-recommends install "$@" 2>/dev/null |
        awk '$1 == "Inst" { print $2 }' | grep -vxF "$(printf '%s\n' "$@")" || true
}
