#!/usr/bin/env bash
# Builds kube-apiserver, kubectl and kube-controller-manager into the cache, at the version that servers/kubernetes/go.mod
# pins. Prints the folder that holds the three programs. A second run costs nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n "s|^[[:space:]]*k8s\.io/kubernetes v\([0-9.]*\).*|\1|p" "$here/kubernetes/go.mod")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-servers
folder=$cache/kubernetes-$version
programs=(kube-apiserver kubectl kube-controller-manager)

mkdir -p "$cache"
# One at a time: it is the longest of our builds, and the second finds what the first has made.
exec 9>"$cache/.kubernetes.lock"
flock 9
if [ -x "$folder/kube-controller-manager" ]; then
    echo "Kubernetes $version is in the cache" >&2
    echo "$folder"
    exit 0
fi

PATH="$("$here/go.sh"):$PATH"
# Built beside its final place and renamed, so that a run that was stopped does no harm.
work=$(mktemp -d "$cache/.kubernetes-XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "building Kubernetes $version (eight minutes)" >&2
cd "$here/kubernetes"
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
IFS=. read -r major minor _ <<<"$version"
# Or the server calls itself v0.0.0, and kubectl says what it thinks of that.
flags="-s -w"
for value in "gitVersion=v$version" "gitMajor=$major" "gitMinor=$minor"; do
    flags+=" -X k8s.io/component-base/version.$value"
done
for program in "${programs[@]}"; do
    go build -trimpath -ldflags "$flags" -o "$work/$program" "k8s.io/kubernetes/cmd/$program"
done
chmod 755 "$work"
mv -T "$work" "$folder"
trap - EXIT
echo "$folder"
