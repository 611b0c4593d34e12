#!/usr/bin/env bash
# Our Debian packages as an operator uses them, in fresh guests with systemd, OpenZFS in the kernel, and libvirt:
# test-package.sh [ROAD...]
#
# The road `one` has registrar and agent on one host, from installation to purge; `two` has them on two hosts. Each line
# that begins with "ok" is something that was looked at; the first that is otherwise ends it, with the step's name and
# what the journals said. PROFILE=release takes the packages of `make deb`, which compile for ten minutes.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")/package
DEBS=$TARGET/debs GUESTS=$TARGET/guests NEW=0.2.0
# shellcheck source-path=SCRIPTDIR source=units/asserts.sh
source tests/ground/units/asserts.sh
# shellcheck source-path=SCRIPTDIR source=package/guest.sh
source tests/ground/package/guest.sh
# shellcheck source-path=SCRIPTDIR source=package/operator.sh
source tests/ground/package/operator.sh
# shellcheck source-path=SCRIPTDIR source=package/one.sh
source tests/ground/package/one.sh
# shellcheck source-path=SCRIPTDIR source=package/two.sh
source tests/ground/package/two.sh

# What the journals say, where a step failed.
explain() {
  printf 'package: FAILED in step: %s\n' "${STEP//_/ }" >&2
  local dir
  for dir in "$GUESTS"/*/; do
    GUEST=$(basename "$dir")
    printf 'package: the journal of guest %s says at last:\n' "$GUEST" >&2
    timeout 60 ssh -n -F "$dir/ssh_config" "$GUEST" journalctl --no-pager -n 40 >&2 || tail -n 20 "$dir/console" >&2
  done
}

run_road() {
  local -n steps=ROAD_${1^^}
  local start
  for STEP in "${steps[@]}"; do
    start=$SECONDS
    "$STEP"
    printf 'package: %s, %d s: %s (%d s)\n' "$1" "$SECONDS" "${STEP//_/ }" $((SECONDS - start))
  done
}

in_guests() {
  ip link set lo up
  rm -rf "$GUESTS"
  mkdir -p "$GUESTS"
  make_supplies
  SOCKETS=$(mktemp -d) # short paths
  trap 'explain; rm -rf "$SOCKETS"' EXIT
  local road
  for road in "$@"; do run_road "$road"; done
  trap - EXIT
  rm -rf "$SOCKETS" "$GUESTS"
  printf 'package: passed in %d s\n' "$SECONDS"
}

if [[ ${1:-} == --in-guests ]]; then
  in_guests "${@:2}"
  exit
fi
(($#)) || set -- one two
tests/ground/package-root.sh
tests/ground/two-versions.sh "$DEBS" "$NEW"
# No network to the outside, and nothing that outlives this: not QEMU either.
exec unshare --net --pid --fork --kill-child --mount-proc "$PWD/tests/ground/test-package.sh" --in-guests "$@"
