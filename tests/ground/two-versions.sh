#!/usr/bin/env bash
# Makes our Debian packages twice: two-versions.sh OUT VERSION
#
# OUT/old has those of the workspace's version, OUT/new the same programs as if they were of VERSION. They are of what
# the tests compiled, in seconds; PROFILE=release is what `make deb` makes.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
OUT=$(realpath -m "$1")
NEW=$2
# shellcheck source-path=SCRIPTDIR source=../../packaging/version.sh
source packaging/version.sh

# as_new DEB
as_new() {
  local tree=$OUT/new/tree
  dpkg-deb --raw-extract "$1" "$tree"
  sed -Ei "/^(Version|Depends):/s/${VERSION//./\\.}/$NEW/" "$tree/DEBIAN/control"
  dpkg-deb -Znone --build "$tree" "$OUT/new/${1##*/}" >/dev/null
  rm -r "$tree"
}

PROFILE=${PROFILE:-dev} COMPRESSION=-Znone packaging/deb.sh "$OUT/old" >/dev/null
rm -rf "$OUT/new"
mkdir -p "$OUT/new"
for deb in "$OUT"/old/*.deb; do as_new "$deb"; done
