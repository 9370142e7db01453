#!/usr/bin/env bash
# Builds kube-apiserver, kubectl and kube-controller-manager into the cache, at the version that servers/kubernetes/go.mod pins.
# Prints the folder that holds the three programs.
set -euo pipefail

cd "$(dirname "$0")"
. ./go-build.sh

version=$(pinned kubernetes k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"$version"
# Or the server calls itself v0.0.0, and kubectl says what it thinks of that.
ldflags="-s -w"
for value in "gitVersion=v$version" "gitMajor=$major" "gitMinor=$minor"; do
    ldflags+=" -X k8s.io/component-base/version.$value"
done
programs=()
for program in kube-apiserver kubectl kube-controller-manager; do
    programs+=("$program=k8s.io/kubernetes/cmd/$program")
done
built kubernetes "$version" "eight minutes" "${programs[@]}"
