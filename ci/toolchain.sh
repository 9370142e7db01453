# shellcheck shell=bash
# Sourced by ./demo, ./test, ./bench: says in one line what is missing, and how to get it.
if ! command -v cargo >/dev/null; then
    echo "${0##*/}: strongroom is built with Rust 1.95, which is not here: get it from https://rustup.rs, then run this again" >&2
    exit 1
fi
if ! command -v cc >/dev/null; then
    echo "${0##*/}: Rust needs a C compiler and linker, which are not here: apt-get install gcc libc6-dev, then run this again" >&2
    exit 1
fi
