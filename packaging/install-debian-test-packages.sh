#!/bin/sh
# Installs the Debian packages that the tests need and this machine lacks; says so where it may not.
set -eu
list="$(dirname "$0")/debian-test-packages.txt"
missing=""
for package in $(cat "$list"); do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then run=""; elif command -v sudo >/dev/null; then run=sudo; else
    echo "The tests need these Debian packages:$missing"
    echo "Install them as root: apt-get install$missing"
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null
