#!/usr/bin/env bash
# Makes the three Debian packages: deb.sh [OUT]   (default: target/deb)
#
# PROFILE is stage.sh's; COMPRESSION goes to dpkg-deb (-Znone for a trial).
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=$(realpath -m "${1:-target/deb}")
# shellcheck source-path=SCRIPTDIR source=version.sh
source packaging/version.sh
export COMPRESSION=${COMPRESSION:-}
TREE=$OUT/tree/bootstash-$VERSION
DEBIAN=$TREE/debian

changelog() {
  printf 'bootstash (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$VERSION" \
    "$(sed -n 's/^Maintainer: //p' packaging/debian/control)" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")"
}

# What debhelper finds by its name.
add_debian() {
  mkdir -p "$DEBIAN/source"
  cp packaging/debian/* "$DEBIAN"
  mv "$DEBIAN/source_format" "$DEBIAN/source/format"
  cp "$TREE"/systemd/bootstash-{agent,registrar}.service "$TREE/systemd/bootstash.sysusers" "$DEBIAN"
  cp "$TREE/systemd/bootstash-gc.service" "$DEBIAN/bootstash.bootstash-gc.service"
  cp "$TREE/systemd/bootstash-gc.timer" "$DEBIAN/bootstash.bootstash-gc.timer"
  changelog >"$DEBIAN/changelog"
}

# Which package has which page and completion: what is not there must not be named.
list_pages() {
  local file
  while read -r file; do
    case $file in
      man/*agent*.[58]) echo "$file" >>"$DEBIAN/bootstash-agent.manpages" ;;
      man/*registrar*.[58]) echo "$file" >>"$DEBIAN/bootstash-registrar.manpages" ;;
      man/*) echo "$file" >>"$DEBIAN/bootstash.manpages" ;;
      */bash/*) echo "$file usr/share/bash-completion/completions" >>"$DEBIAN/bootstash.install" ;;
      */zsh/*) echo "$file usr/share/zsh/vendor-completions" >>"$DEBIAN/bootstash.install" ;;
      */fish/*) echo "$file usr/share/fish/vendor_completions.d" >>"$DEBIAN/bootstash.install" ;;
    esac
  done < <(cd "$TREE" && find man completions -type f | sort)
}

rm -rf "$OUT"
packaging/stage.sh "$TREE"
add_debian
list_pages
(cd "$TREE" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$OUT/dpkg-buildpackage.log" 2>&1) || {
  tail -n 30 "$OUT/dpkg-buildpackage.log" >&2
  exit 1
}
mv "$OUT"/tree/*.{deb,buildinfo,changes} "$OUT"
for deb in "$OUT"/*.deb; do printf 'deb: %s, %d KiB\n' "$deb" $(($(stat -c %s "$deb") / 1024)); done
