#!/usr/bin/env bash
# Holds the tree of dependencies to deny.toml, with a cargo-deny of our own that is compiled once (some minutes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

DENY=$(tests/ground/cargo-tool.sh cargo-deny 0.20.2)
# What deny.toml allows and nothing needs is a mistake, too.
STRICT=(-D unmatched-skip -D unnecessary-skip -D unused-wrapper -D license-exception-not-encountered)

say() { printf 'deny: %s\n' "$*"; }

# The database of known vulnerabilities cannot be had everywhere; an old one would be taken for good.
advisories() {
  if timeout 120 "$DENY" --log-level off fetch db; then
    "$DENY" check advisories
  elif [[ -n ${BOOTSTASH_NOTHING_SKIPPED:-} ]]; then
    say 'the database of advisories cannot be fetched' >&2
    return 1
  else
    say 'advisories LEFT OUT: their database cannot be fetched from here'
  fi
}

"$DENY" check "${STRICT[@]}" licenses bans sources
advisories
