#!/bin/sh
# setup-arm.sh DIR - what `make check-arm` needs on Debian: cross compiler and qemu, installed as packages of the system, and
# the arm64 libraries, unpacked under DIR. The system's list of architectures stays as it is: for the libraries apt works on a
# state directory of its own inside DIR, without root. Does nothing when everything is there.
set -eu

dir=${1:?usage: setup-arm.sh DIR}
arm_packages="libcmocka0 libcmocka-dev libsleef3 libsleef-dev libhwloc15 libhwloc-dev libudev1 libpcre2-8-0 libpcre2-dev
    liblapack3 liblapack-dev libblas3 libgfortran5 libxxhash-dev"
fail() { echo "make check-arm: $*" >&2; exit 1; }

missing=
command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing gcc-aarch64-linux-gnu"
[ -e /usr/aarch64-linux-gnu/lib/crt1.o ] || missing="$missing libc6-dev-arm64-cross"
command -v qemu-aarch64 >/dev/null || missing="$missing qemu-user"
# shellcheck disable=SC2086
[ -z "$missing" ] || "$(dirname "$0")/apt-install.sh" "make check-arm" $missing

[ "$(cat "$dir/complete" 2>/dev/null)" != "$arm_packages" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    fail "needs apt-get and dpkg to fetch (arm64) $arm_packages"
fi
rm -rf "$dir"
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/deb"
dir=$(cd "$dir" && pwd)
: >"$dir/apt/status"
arm_apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)" \
        -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" -o Dir::Cache="$dir/apt/cache" "$@"
}

echo "make check-arm: fetching arm64 libraries"
# An update that fails for some third-party source is no harm: the download shows what matters.
arm_apt update >"$dir/log" 2>&1 </dev/null || true
# shellcheck disable=SC2086
(cd "$dir/deb" && arm_apt download $arm_packages) >>"$dir/log" 2>&1 </dev/null || {
    tail -n 20 "$dir/log" >&2
    fail "could not fetch (arm64) $arm_packages"
}
for deb in "$dir"/deb/*.deb; do
    dpkg -x "$deb" "$dir"
done
rm -rf "$dir/deb" "$dir/apt"
echo "$arm_packages" >"$dir/complete"
