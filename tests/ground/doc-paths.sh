#!/usr/bin/env bash
# Every path that a document names in backquotes is there: a map that leads nowhere is worse than none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

missing=0
while IFS=: read -r document named; do
  named=${named//\`/}
  # Only plain paths, with braces and stars: what else stands there is left alone.
  [[ $named =~ ^[A-Za-z0-9_./{},*-]+$ ]] || continue
  paths=()
  eval "paths=($named)"
  for path in "${paths[@]}"; do
    if [[ ! -e $path ]]; then
      echo "lint: $document names $path, which is not there" >&2
      missing=1
    fi
  done
done < <(grep -oE '`(src|agent|registrar|tests|packaging|docs)/[^` ]*`' ./*.md docs/*.md docs/decisions/*.md 2>/dev/null | grep -v '/CHANGELOG.md:')
exit $missing
