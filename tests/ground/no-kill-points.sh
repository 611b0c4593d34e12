#!/usr/bin/env bash
# A release must not hold the points at which tests kill daemons: nothing of them is left where debug
# assertions are off, and no profile that is released turns those on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
rustc --edition 2024 --crate-type rlib -C opt-level=3 -C debug-assertions=off --emit "obj=$dir/release.o" \
  src/base/src/kill_point.rs
# A function that asked would name the variable (and need the crate nix, which is not given here).
if grep -q BOOTSTASH_KILL_AT "$dir/release.o"; then
  echo 'lint: a release build would ask the environment where to die' >&2
  exit 1
fi
if grep -n '^[[:space:]]*debug-assertions' Cargo.toml .cargo/config.toml 2>/dev/null; then
  echo 'lint: kill points follow debug assertions, which no profile may set by hand' >&2
  exit 1
fi
