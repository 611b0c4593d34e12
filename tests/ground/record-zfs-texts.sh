#!/usr/bin/env bash
# Asks a real ZFS, of both kinds, what this project has written down of it:
#
#   record-zfs-texts.sh texts      provokes every complaint and records it anew, in src/zfs/src/command/fixtures
#   record-zfs-texts.sh facts      shows the behaviour that docs/zfs.md speaks of, command by command
#   record-zfs-texts.sh figures    measures the sizes and times in docs/zfs.md
#
# A second argument, zfs-fuse or openzfs, leaves the other kind out; a third names a fact. zfs-fuse runs in namespaces of its
# own; OpenZFS in a guest (`make openzfs`). Nothing of this machine's own is touched, its ZFS included.
set -eEuo pipefail
export LC_ALL=C TZ=UTC
PATH=/usr/sbin:/sbin:$PATH # Debian leaves these out for ordinary users

SELF=$(readlink -f "${BASH_SOURCE[0]}")
ROOT=$(cd "$(dirname "$SELF")/../.." && pwd)
PARTS=$ROOT/tests/ground/zfs-texts
FIXTURES=$ROOT/src/zfs/src/command/fixtures
GUEST=${CARGO_TARGET_DIR:-$ROOT/target}/debug/openzfs-guest
LAYER=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/openzfs/guest/layer/usr
KIND=host

# shellcheck source-path=SCRIPTDIR source=zfs-texts/lib.sh
source "$PARTS/lib.sh"
# shellcheck source-path=SCRIPTDIR source=zfs-texts/texts.sh
source "$PARTS/texts.sh"
# shellcheck source-path=SCRIPTDIR source=zfs-texts/facts.sh
source "$PARTS/facts.sh"
# shellcheck source-path=SCRIPTDIR source=zfs-texts/figures.sh
source "$PARTS/figures.sh"

# On the host, in namespaces that end with this script: a zfs-fuse as tests and lab start theirs.
beside_zfs_fuse() {
  mount -t tmpfs -o size=4g tmpfs /mnt
  mkdir -p /mnt/daemon/{run,lib,lock} /run/zfs /var/lib/zfs /run/lock/zfs
  mount --bind /mnt/daemon/run /run/zfs
  mount --bind /mnt/daemon/lib /var/lib/zfs
  mount --bind /mnt/daemon/lock /run/lock/zfs
  start_zfs_fuse -a 0 -e 0 --disable-page-cache
}

# start_zfs_fuse FLAG...: sets DAEMON.
start_zfs_fuse() {
  zfs-fuse --no-daemon --no-kstat-mount "$@" >/mnt/daemon/log 2>&1 &
  DAEMON=$!
  local try
  for try in {1..100}; do
    # The socket is there a moment before the daemon answers on it.
    if zpool list >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  die "zfs-fuse did not come up in $((try / 10)) s: $(cat /mnt/daemon/log)"
}

# Where OpenZFS's commands find no module: this machine, if it has none.
without_module() {
  local program
  KIND=openzfs
  for program in zfs zpool; do
    export LD_LIBRARY_PATH=$LAYER/lib/x86_64-linux-gnu
    record "no-module-$program" "$LAYER/sbin/$program" list
    unset LD_LIBRARY_PATH
  done
}

# on_host WHAT OUT: in the background, as bash lets a signal wait for a foreground command to end.
on_host() {
  [[ ! -e /dev/zfs ]] || die "this machine has ZFS in its kernel, beside which zfs-fuse is not installed"
  setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    -- "$SELF" --inside zfs-fuse "$@" </dev/null &
  trap 'kill -KILL $! 2>/dev/null || true; rm -rf "$WORK"' EXIT
  wait $!
}

# in_guest WHAT OUT: this script lies in the guest where it lies here.
in_guest() {
  [[ -x $GUEST ]] || die "there is no $GUEST; run: cargo build -p bootstash-tests --bin openzfs-guest"
  mkdir -p "$WORK/guest/share/out"
  "$GUEST" run "$WORK/guest" "$SELF" --inside openzfs "$1" /share/out "${@:3}" | sed -u 's/^openzfs| //'
  cp "$WORK/guest/share/out/"* "$2/" 2>/dev/null || true
}

inside() {
  KIND=$1
  OUT=$3
  ONLY=${4:-}
  trap 'printf "zfs-texts: %s: line %s: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR
  if is zfs-fuse; then beside_zfs_fuse; else mount -t tmpfs -o size=1600m tmpfs /mnt; fi
  "$2"
  # What is left of it dies with the namespace or the guest, and nobody waits for a pool to export.
  exit 0
}

main() {
  local what=${1:-} kinds=${2:-zfs-fuse openzfs} kind
  case $what in
    --inside) inside "${@:2}" ;;
    texts | facts | figures) ;;
    *) die "usage: $(basename "$SELF") texts|facts|figures [zfs-fuse|openzfs]" ;;
  esac
  ((EUID == 0)) || die 'this needs root: it makes namespaces, mounts and ZFS pools'
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  mkdir "$WORK/out"
  for kind in $kinds; do
    case $kind in
      zfs-fuse) on_host "$what" "$WORK/out" "${@:3}" ;;
      openzfs) in_guest "$what" "$WORK/out" "${@:3}" ;;
      *) die "there is no kind of ZFS called $kind" ;;
    esac
  done
  [[ $what == texts ]] || return 0
  OUT=$WORK/out
  if [[ $kinds == *openzfs* && ! -e /dev/zfs ]]; then without_module; fi
  for kind in $kinds; do rm -f "$FIXTURES/$kind-"*.txt; done
  cp "$WORK/out/"*.txt "$FIXTURES/"
  KIND=host say "recorded $(find "$WORK/out" -name '*.txt' | wc -l) texts in ${FIXTURES#"$ROOT"/}"
}

main "$@"
