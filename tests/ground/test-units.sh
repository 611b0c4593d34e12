#!/usr/bin/env bash
# Our packages under a real systemd, in a container without any virtualisation: test-units.sh SUITE...
#
# bookworm has systemd 252, trixie 257. ZFS is zfs-fuse; what takes OpenZFS and libvirt is in test-package.sh. Each line
# that begins with "ok" is something that was looked at; the first that is otherwise ends it.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
CONTAINERS=$TARGET/units
SYSTEMD=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/systemd
NEW=99.0.0
# shellcheck source-path=SCRIPTDIR source=units/container.sh
source tests/ground/units/container.sh
# shellcheck source-path=SCRIPTDIR source=units/asserts.sh
source tests/ground/units/asserts.sh
# shellcheck source-path=SCRIPTDIR source=units/checks.sh
source tests/ground/units/checks.sh

run_suite() {
  local start=$SECONDS
  SUITE=$1
  tests/ground/systemd-root.sh "$SUITE"
  rm -rf "${CONTAINERS:?}/$SUITE"
  mkdir -p "$CONTAINERS/$SUITE"
  trap 'explain; container_kill' EXIT
  container_start "$SUITE" "$SYSTEMD/$SUITE"
  printf 'units: %s, up in %d s\n' "$(inside systemctl --version | head -n 1)" $((SECONDS - start))
  local check
  for check in "${CHECKS[@]}"; do "$check"; done
  trap - EXIT
  container_kill
  rm -rf "${CONTAINERS:?}/$SUITE"
  printf 'units: %s passed in %d s\n' "$SUITE" $((SECONDS - start))
}

# What the journal says, where a check failed.
explain() {
  printf 'units: failed; the journal says at last:\n' >&2
  inside journalctl --no-pager -n 40 >&2 || true
}

tests/ground/two-versions.sh "$TARGET/units-debs" "$NEW"
for suite in "$@"; do run_suite "$suite"; done
