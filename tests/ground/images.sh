#!/usr/bin/env bash
# Makes the guest images of the demo and the tests: images.sh [NAME...]   (default: those of the demo and `make test-e2e`)
#
# Each is one recipe, images/NAME.sh, and lands in ${XDG_CACHE_HOME:-~/.cache}/bootstash/images/NAME.raw,
# beside NAME.key: a digest of everything it was made from. A changed recipe makes its image anew;
# with nothing to do this is a matter of milliseconds.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
PATH=$PATH:/usr/sbin:/sbin # Debian leaves these out for ordinary users

SELF=$(readlink -f "${BASH_SOURCE[0]}")
RECIPES=${SELF%.sh}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/images
WORK=$CACHE/.work.$$ # of this run alone: another may be waiting for its turn
DEFAULT=(debian12 debian12-nginx debian12-cloud alpine alpine-uefi) # one derived from another comes after it
# Further ones, of `make test-images`.
FURTHER=(debian13 debian12-btrfs debian12-postgresql debian12-uefi)

say() { printf 'images: %s\n' "$*"; }
die() {
  printf 'images: %s\n' "$*" >&2
  exit 1
}

# used_by NAME: files with functions that a recipe names in lines `# uses: NAME`.
used_by() { sed -n "s|^# uses: \\(.*\\)|$RECIPES/\\1.sh|p" "$RECIPES/$1.sh"; }

# What an image is made from. A recipe names the image it starts from in a line `# from: NAME`.
key() {
  local from
  local -a used
  from=$(sed -n 's/^# from: //p' "$RECIPES/$1.sh")
  mapfile -t used < <(used_by "$1")
  {
    cat "$RECIPES/lib.sh" "${used[@]}" "$RECIPES/$1.sh"
    if [[ -n $from ]]; then key "$from"; fi
  } | sha256sum | cut -d' ' -f1
}

current() { [[ -e $CACHE/$1.raw && $(cat "$CACHE/$1.key" 2>/dev/null) == "$(key "$1")" ]]; }

outdated() {
  local name
  for name in "$@"; do
    [[ -e $RECIPES/$name.sh && $name != lib ]] || die "no image called '$name'; there are: ${DEFAULT[*]} ${FURTHER[*]}"
    current "$name" || echo "$name"
  done
}

# One image: built under another name, so that NAME.raw is always whole.
build() {
  local name=$1 start=$SECONDS log=$CACHE/$1.log out=$WORK/$1.raw
  say "making $name (log: $log)"
  # A process of its own: in a subshell tested by `if`, bash would go on after a failed command.
  if ! "$SELF" --recipe "$WORK" "$name" "$out" >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    die "making $name failed (all of it: $log)"
  fi
  rm -f "$CACHE/$name.key"
  mv "$out" "$CACHE/$name.raw"
  key "$name" >"$CACHE/$name.key"
  say "made $name in $((SECONDS - start)) s, $(du -m "$CACHE/$name.raw" | cut -f1) MiB on disk"
}

# Builds within namespaces that end when this script does, however it does, kill -9 included: then the
# kernel takes away every process, mount and loop device of the build.
in_namespaces() {
  setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child \
    --mount-proc -- "$SELF" --in-namespaces "$WORK" "$@" &
  # In the background, as bash lets a signal wait for a foreground command to end.
  trap 'kill -KILL $! 2>/dev/null || true; wait; rm -rf "$WORK"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  wait $!
}

build_all() {
  local name
  exec 9>"$CACHE/.lock"
  if ! flock -n 9; then
    say "waiting for another run that makes images"
    flock 9
  fi
  rm -rf "$CACHE"/.work.* # of runs that were killed
  mkdir -p "$WORK/tmp"
  # A root file system of 400 MB is made and thrown away: in memory where there is plenty of it.
  if (($(awk '/^MemAvailable/ {print $2}' /proc/meminfo) > 4 * 1024 * 1024)); then
    mount -t tmpfs -o size=3g,mode=755 tmpfs "$WORK/tmp"
  fi
  for name in $(outdated "$@"); do build "$name"; done
}

run_recipe() {
  # shellcheck source-path=SCRIPTDIR source=images/lib.sh
  source "$RECIPES/lib.sh"
  local used
  for used in $(used_by "$1"); do
    # shellcheck source=/dev/null
    source "$used"
  done
  # shellcheck source=/dev/null
  source "$RECIPES/$1.sh"
  make_image "$@"
}

main() {
  local todo
  case ${1:-} in
    --in-namespaces)
      WORK=$2
      build_all "${@:3}"
      exit
      ;;
    --recipe)
      WORK=$2
      run_recipe "${@:3}"
      exit
      ;;
    '') set -- "${DEFAULT[@]}" ;;
    --further) set -- "${DEFAULT[@]}" "${FURTHER[@]}" ;;
  esac
  todo=$(outdated "$@")
  [[ -n $todo ]] || return 0
  ((EUID == 0)) || die "root is needed to make images (mounts, chroot):
    sudo make images      missing or out of date: ${todo//$'\n'/ }"
  mkdir -p "$CACHE"
  in_namespaces "$@"
}

main "$@"
