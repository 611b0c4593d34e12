#!/usr/bin/env bash
# Between crates, arrows only go down. Cargo refuses a circle; this refuses what would make none, and says along
# which way the arrow goes. Why the walls stand where they do: docs/decisions/0009-one-crate-an-idea.md
set -euo pipefail
export CARGO_TERM_COLOR=never
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# A crate, the kinds of dependencies that count, and what they must not lead to, near or far: a crate, or a crate's
# feature, written CRATE/FEATURE.
walls() {
  cat <<'LIST'
bootstash-disk       normal,build      bootstash-net bootstash-daemon bootstash
bootstash-zfs        normal,build      bootstash-net bootstash-daemon bootstash
bootstash-delta      normal,build      bootstash-net bootstash-daemon bootstash
bootstash-multicast  normal,build      bootstash-net bootstash-daemon bootstash
bootstash-agent      normal,build,dev  bootstash-registrar comfy-table indicatif
bootstash-agent      normal,build      bootstash-net/ca
bootstash-registrar  normal,build,dev  bootstash-agent
LIST
}

# Features that are off by default count, too: who switches one on must find the same walls.
tree() { cargo tree --quiet --all-features "$@"; }

# reached KINDS WHERE...: the names of all crates that are reached from there, and of their features as CRATE/FEATURE.
reached() {
  tree --edges "$1" "${@:2}" --prefix none --format '{p}|{f}' | awk -F'|' '
    { sub(/ .*/, "", $1); sub(/ .*/, "", $2); print $1; n = split($2, on, ","); while (n) print $1 "/" on[n--] }' | sort -u
}

# has NAME LIST: whether the name is a line of the list.
has() { grep -qxF -- "$1" <<<"$2"; }

complain() {
  printf 'lint: crate walls: %s\n' "$*" >&2
  bad=1
}

bad=0
all=$(reached normal,build,dev --workspace)
while read -r crate kinds forbidden; do
  if ! has "$crate" "$all"; then
    complain "there is no $crate any more, which $0 is to watch"
    continue
  fi
  below=$(reached "$kinds" --package "$crate")
  for other in $forbidden; do
    if ! has "$other" "$all"; then
      complain "nothing here is called $other any more, which $crate is to stay away from: change $0"
    elif has "$other" "$below"; then
      complain "$crate must not depend on $other, and does (below, each crate is used by those under it):"
      tree --edges "$kinds" --package "$crate" --invert "${other%/*}" >&2
    fi
  done
done < <(walls)
exit "$bad"
