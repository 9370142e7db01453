# shellcheck shell=bash
# Where downloaded and built tools are kept between runs. Sourced by the scripts beside it.
tools="${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-tools"
mkdir -p "$tools"

# install_once FOLDER COMMAND...: runs COMMAND with one more argument, an empty folder to fill, and makes it FOLDER when that
# succeeded. FOLDER is there whole or not at all, also when two scripts run at once or one is killed.
install_once() {
    local folder="$1" half
    shift
    [ -d "$folder" ] && return 0
    half="$(mktemp -d "$tools/half.XXXXXX")"
    if ! "$@" "$half"; then
        rm -rf "$half"
        return 1
    fi
    chmod 755 "$half"
    mv -T "$half" "$folder" 2>/dev/null || rm -rf "$half" # another run was faster
    [ -d "$folder" ]
}
