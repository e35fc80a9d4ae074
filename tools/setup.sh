#!/bin/sh
# setup.sh PURPOSE - finds out which of the compilers and libraries that building and testing need are missing, and installs
# just those. Silent and quick when everything is there. CC is looked for as the Makefile has it.
set -eu

missing=
need() { missing="$missing $1"; }

cc=${CC:-gcc}
case $cc in
*clang*)
    command -v "${cc%% *}" >/dev/null || need clang
    # shellcheck disable=SC2086
    echo 'int main(void) { return 0; }' | $cc -fopenmp -x c - -o /dev/null 2>/dev/null || need libomp-dev
    ;;
*) command -v "${cc%% *}" >/dev/null || need gcc ;;
esac
command -v make >/dev/null || need make
command -v xz >/dev/null || need xz-utils
command -v pkg-config >/dev/null || need pkg-config
[ -e /usr/include/stdlib.h ] || need libc6-dev
[ -e /usr/include/xxhash.h ] || need libxxhash-dev
for row in sleef:libsleef-dev hwloc:libhwloc-dev lapack:liblapack-dev cmocka:libcmocka-dev libpcre2-8:libpcre2-dev libpng:libpng-dev libedit:libedit-dev; do
    pkg-config --exists "${row%%:*}" 2>/dev/null || need "${row#*:}"
done

# shellcheck disable=SC2086
[ -z "$missing" ] || exec "$(dirname "$0")/apt-install.sh" "$1" $missing
