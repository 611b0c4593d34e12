#!/usr/bin/env bash
# Makes the three RPM packages, and looks at them in a root where nothing else is: rpm.sh [OUT]   (default: target/rpm)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=$(realpath -m "${1:-target/rpm}")
# shellcheck source-path=SCRIPTDIR source=version.sh
source packaging/version.sh

build() {
  rm -rf "$OUT"
  packaging/stage.sh "$OUT/tree"
  rpmbuild -bb --quiet --define "bootstash_version $VERSION" --define "tree $OUT/tree" --define "_topdir $OUT/build" \
    --define "_rpmdir $OUT" --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' packaging/bootstash.spec
  rm -rf "$OUT/build"
}

# Installs them without their scripts, as there is no systemd, and removes them: what belongs to them comes and goes.
try_in_a_clean_root() {
  local root left package
  root=$(mktemp -d)
  trap 'rm -rf "$root"' RETURN
  rpm --root "$root" --initdb
  rpm --root "$root" --install --nodeps --noscripts "$OUT"/*.rpm
  for package in bootstash bootstash-agent bootstash-registrar; do
    rpm --root "$root" --verify --nodeps --noscripts "$package"
    "$root/usr/bin/$package" --version
  done
  echo '# mine' >>"$root/etc/bootstash/agent.toml"
  rpm --root "$root" --erase --nodeps --noscripts bootstash bootstash-agent bootstash-registrar
  left=$(find "$root" -type f ! -path '*/rpm/*' ! -path '*/.rpmdb/*' -printf '%P ')
  [[ $left == 'etc/bootstash/agent.toml.rpmsave ' ]] || {
    echo "rpm: removing them left: $left" >&2
    return 1
  }
}

build
try_in_a_clean_root
for rpm in "$OUT"/*.rpm; do printf 'rpm: %s, %d KiB\n' "$rpm" $(($(stat -c %s "$rpm") / 1024)); done
