#!/usr/bin/env bash
# Makes the three Debian packages in target/deb, from the release profile: deb.sh [OUT]
#
# Two builds of one commit are identical: paths are remapped, times are the commit's, and what is compiled lies in a
# directory of its own, so that other flags do not mix in.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD OUT=${1:-$PWD/target/deb}
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
TREE=$OUT/tree/bootstash-$VERSION

compile() {
  local registry=${CARGO_HOME:-$HOME/.cargo}
  RUSTFLAGS="--remap-path-prefix=$registry=/cargo --remap-path-prefix=$ROOT=/bootstash ${RUSTFLAGS:-}" \
    CARGO_TARGET_DIR=$OUT/target cargo build --quiet --release --locked \
    --package bootstash --package bootstash-agent --package bootstash-registrar --package bootstash-pages
}

changelog() {
  printf 'bootstash (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$VERSION" \
    "$(sed -n 's/^Maintainer: //p' packaging/debian/control)" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")"
}

# All that debhelper takes, in one directory: it is told by debian/*.install what goes where.
assemble() {
  rm -rf "$OUT/tree"
  mkdir -p "$TREE"/{bin,etc,docs,monitoring,debian/source}
  install -m 755 "$OUT"/target/release/bootstash{,-agent,-registrar} "$TREE/bin"
  "$OUT/target/release/pages" "$TREE"
  install -m 644 packaging/{agent,registrar}.toml "$TREE/etc"
  install -m 644 README.md CHANGELOG.md docs/*.md "$TREE/docs"
  install -m 644 packaging/monitoring/* "$TREE/monitoring"
  cp packaging/debian/* "$TREE/debian"
  mv "$TREE/debian/source_format" "$TREE/debian/source/format"
  install -m 644 packaging/bootstash-agent.service "$TREE/debian"
  install -m 644 packaging/bootstash-registrar.service "$TREE/debian"
  local gc
  for gc in service timer; do
    install -m 644 "packaging/bootstash-gc.$gc" "$TREE/debian/bootstash.bootstash-gc.$gc"
  done
  install -m 644 packaging/bootstash.sysusers "$TREE/debian"
  changelog >"$TREE/debian/changelog"
}

compile
assemble
(cd "$TREE" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$OUT/dpkg-buildpackage.log" 2>&1) || {
  tail -n 30 "$OUT/dpkg-buildpackage.log" >&2
  exit 1
}
rm -f "$OUT"/*.deb
mv "$OUT"/tree/*.deb "$OUT"
for deb in "$OUT"/*.deb; do printf 'deb: %s, %d KiB\n' "$deb" $(($(stat -c %s "$deb") / 1024)); done
