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
OLD=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml) NEW=99.0.0
# shellcheck source-path=SCRIPTDIR source=units/container.sh
source tests/ground/units/container.sh
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

# The packages of the workspace's version, and the same as if they were of the next.
make_packages() {
  local old=$TARGET/units-debs/old new=$TARGET/units-debs/new deb tree
  PROFILE=dev COMPRESSION=-Znone packaging/deb.sh "$old" >/dev/null
  rm -rf "$new"
  mkdir -p "$new"
  for deb in "$old"/*.deb; do
    tree=$new/tree
    dpkg-deb --raw-extract "$deb" "$tree"
    sed -Ei "/^(Version|Depends):/s/$OLD/$NEW/" "$tree/DEBIAN/control"
    dpkg-deb -Znone --build "$tree" "$new/${deb##*/}" >/dev/null
    rm -r "$tree"
  done
}

make_packages
for suite in "$@"; do run_suite "$suite"; done
