#!/usr/bin/env bash
# Compiles a program of crates.io once (some minutes), and prints where it is: cargo-tool.sh NAME VERSION
#
# Elsewhere than in target: it is no part of bootstash, and not to be compiled again after `make clean`.
set -euo pipefail
NAME=$1 VERSION=$2
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/tools
PROGRAM=$TOOLS/bin/$NAME

installed() { [[ $("$PROGRAM" --version 2>/dev/null) == "$NAME $VERSION" ]]; }

install() {
  local start=$SECONDS
  printf 'cargo-tool: compiling %s %s into %s\n' "$NAME" "$VERSION" "$TOOLS" >&2
  CARGO_TARGET_DIR=$TOOLS/target cargo install --quiet --locked --version "$VERSION" --root "$TOOLS" "$NAME" >&2
  rm -rf "$TOOLS/target"
  printf 'cargo-tool: done in %d s\n' $((SECONDS - start)) >&2
}

installed || install
printf '%s\n' "$PROGRAM"
