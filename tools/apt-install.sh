#!/bin/sh
# apt-install.sh PURPOSE PACKAGE... - installs Debian packages, as root or through a sudo that asks no password. Where neither
# is possible, or there is no apt-get, prints the command to run and fails. PURPOSE names who needs them, as in "make test".
set -eu

purpose=$1
shift
command="apt-get update && apt-get install --no-install-recommends $*"
fail() { echo "$purpose: $*" >&2; exit 1; }

command -v apt-get >/dev/null || fail "needs these Debian packages or their like: $*"
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    fail "first run as root: $command"
fi

echo "$purpose: installing $*"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# An update that fails for some third-party source is no harm: the installation shows what matters.
$as_root apt-get -q -o DPkg::Lock::Timeout=120 update >"$log" 2>&1 </dev/null || true
# shellcheck disable=SC2086
$as_root apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" >>"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    fail "failed: $command"
}
