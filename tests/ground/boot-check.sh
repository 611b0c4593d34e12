#!/usr/bin/env bash
# Boots an image as it is made, without the rest of bootstash, to its login prompt: boot-check.sh NAME
# Prints wall and CPU seconds; exits non-zero with the end of its console if
# it does not get there. For whoever changes a recipe.
set -euo pipefail
export LC_ALL=C

NAME=${1:?usage: boot-check.sh NAME}
IMAGE=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/images/$NAME.raw
LIMIT=${LIMIT:-240}
WORK=$(mktemp -d)
trap 'kill "$vm" 2>/dev/null || true; rm -rf "$WORK"' EXIT

# -snapshot: the guest's writes go to a file which is deleted at once.
TMPDIR=$WORK qemu-system-x86_64 -accel tcg -m 512 -nodefaults -display none -snapshot \
  -drive "file=$IMAGE,format=raw,if=virtio" -serial "file:$WORK/console" &
vm=$!

cpu_seconds() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%.1f", ($14 + $15) / hz }' "/proc/$vm/stat"; }

SECONDS=0
while ! tail -c 40 "$WORK/console" 2>/dev/null | grep -q 'login: *$'; do
  if ((SECONDS > LIMIT)) || ! kill -0 "$vm" 2>/dev/null; then
    tail -n 30 "$WORK/console" >&2
    echo "boot-check: $NAME did not reach a login prompt within $LIMIT s" >&2
    exit 1
  fi
  sleep 0.2
done
printf '%s: login prompt after %s s, %s s of CPU\n' "$NAME" "$SECONDS" "$(cpu_seconds)"
if [[ -n ${CONSOLE:-} ]]; then cp "$WORK/console" "$CONSOLE"; fi
