#!/usr/bin/env bash
# Holds the tree of dependencies to deny.toml, with a cargo-deny of our own that is compiled once (some minutes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

VERSION=0.20.2
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/tools
# What deny.toml allows and nothing needs is a mistake, too.
STRICT=(-D unmatched-skip -D unnecessary-skip -D unused-wrapper -D license-exception-not-encountered)

say() { printf 'deny: %s\n' "$*"; }

installed() { [[ $("$TOOLS/bin/cargo-deny" --version 2>/dev/null) == "cargo-deny $VERSION" ]]; }

# Elsewhere than in target: it is no part of bootstash, and not to be compiled again after `make clean`.
install() {
  local start=$SECONDS
  say "compiling cargo-deny $VERSION into $TOOLS"
  CARGO_TARGET_DIR=$TOOLS/target cargo install --quiet --locked --version "$VERSION" --root "$TOOLS" cargo-deny
  rm -rf "$TOOLS/target"
  say "done in $((SECONDS - start)) s"
}

deny() { "$TOOLS/bin/cargo-deny" "$@"; }

# The database of known vulnerabilities cannot be had everywhere; an old one would be taken for good.
advisories() {
  if timeout 120 "$TOOLS/bin/cargo-deny" --log-level off fetch db; then
    deny check advisories
  elif [[ -n ${BOOTSTASH_NOTHING_SKIPPED:-} ]]; then
    say 'the database of advisories cannot be fetched' >&2
    return 1
  else
    say 'advisories LEFT OUT: their database cannot be fetched from here'
  fi
}

installed || install
deny check "${STRICT[@]}" licenses bans sources
advisories
