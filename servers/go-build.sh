# Sourced: builds programs of a folder's Go modules into the cache, at the versions that its go.mod pins.

shopt -s inherit_errexit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers

# pinned NAME MODULE: the version of a module in NAME/go.mod, without the v.
pinned() {
    sed -n "s|^.*$2 v\([^ ]*\).*|\1|p" "$1/go.mod" | head -n 1
}

# built NAME VERSION HINT PROGRAM=PACKAGE...: prints the folder that holds the programs. A second run costs nothing. `ldflags` is what the
# linker is told.
built() {
    local name=$1 version=$2 hint=$3 folder program
    shift 3
    folder=$cache/$name-$version
    if [ ! -d "$folder" ]; then
        echo "building $name $version ($hint)" >&2
        PATH="$(./go.sh):$PATH"
        mkdir -p "$cache"
        # Built beside its final place and renamed, so that two runs at once, or one that was stopped, do no harm.
        work=$(mktemp -d "$cache/.$name-XXXXXX")
        trap 'rm -rf "$work"' EXIT
        export CGO_ENABLED=0 GOFLAGS=-mod=readonly
        for program in "$@"; do
            (cd "$name" && go build -trimpath -buildvcs=false -ldflags "${ldflags:--s -w}" -o "$work/${program%%=*}" "${program#*=}")
        done
        chmod 755 "$work"
        mv -T "$work" "$folder" 2>/dev/null || [ -d "$folder" ]
        rm -rf "$work"
        trap - EXIT
    fi
    # The tests take the version that was asked for last.
    touch "$folder"
    echo "$folder"
}
