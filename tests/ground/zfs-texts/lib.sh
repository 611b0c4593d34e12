# shellcheck shell=bash
# What the parts share: they run as root beside a ZFS that is theirs alone, with a file system in memory
# on /mnt, and may use the pool names `tank` and `cramped`. KIND is zfs-fuse or openzfs.

POOLS=/mnt/pools     # the pools' files
STREAMS=/mnt/streams # what was sent
S1=bs-000001-20261121T101530Z
S2=bs-000002-20261121T101530Z
S3=bs-000003-20261121T101530Z

say() { printf 'zfs-texts: %s: %s\n' "$KIND" "$*"; }
die() {
  printf 'zfs-texts: %s: %s\n' "$KIND" "$*" >&2
  exit 1
}
is() { [[ $KIND == "$1" ]]; }

# make_pool NAME SIZE: a pool in a sparse file, mounted nowhere.
make_pool() {
  mkdir -p "$POOLS"
  truncate -s "$2" "$POOLS/$1"
  zpool create -f -m none "$1" "$POOLS/$1" 2>/dev/null
}

noise() { openssl enc -aes-128-ctr -K "$(printf '%032x' "$1")" -iv 0 -in /dev/zero 2>/dev/null | head -c "$2" || true; }

# again_while_busy COMMAND...: zfs-fuse unmounts a while after its command ended.
again_while_busy() {
  local try
  for try in {1..50}; do
    "$@" 2>/dev/null && return
    sleep 0.1
  done
  die "still busy after $try tries: $*"
}

# gone NAME...: destroys file systems with all that is in them.
gone() {
  local name
  for name in "$@"; do
    if zfs list "$name" >/dev/null 2>&1; then again_while_busy zfs destroy -r "$name"; fi
  done
}

# receive STREAM INTO [FLAG...]: through a pipe, as zfs-fuse goes on with a file whatever happens.
receive() { give "$1" | zfs receive -u "${@:3}" "$2"; }

# A receiver that refuses closes the pipe early.
give() { cat "$STREAMS/$1" 2>/dev/null || true; }

# copy NAME: a new file system that has the first snapshot.
copy() {
  gone "$1"
  receive full1 "$1"
}

# The source, tank/b/v, has three snapshots; each adds a file of 4 MiB, the third one of 40 MiB.
make_source() {
  make_pool tank 1G
  zfs create -o mountpoint=none tank/b
  zfs create -o atime=off -o mountpoint=/mnt/v tank/b/v
  noise 1 4194304 >/mnt/v/one
  zfs snapshot "tank/b/v@$S1"
  noise 2 4194304 >/mnt/v/two
  zfs snapshot "tank/b/v@$S2"
  noise 3 41943040 >/mnt/v/three
  zfs snapshot "tank/b/v@$S3"
  mkdir -p "$STREAMS"
  zfs send "tank/b/v@$S1" >"$STREAMS/full1"
  zfs send "tank/b/v@$S3" >"$STREAMS/full3"
  zfs send -i "@$S1" "tank/b/v@$S2" >"$STREAMS/first-second"
  zfs send -i "@$S2" "tank/b/v@$S3" >"$STREAMS/second-third"
  zfs send -i "@$S1" "tank/b/v@$S3" >"$STREAMS/first-third"
}

# damage STREAM AS OFFSET: a copy with the lowest bit of one byte the other way round.
damage() {
  local byte
  cp "$STREAMS/$1" "$STREAMS/$2"
  byte=$(od -An -tu1 -j "$3" -N 1 "$STREAMS/$1")
  # shellcheck disable=SC2059 # the format is the byte
  printf "\\x$(printf %02x $((byte ^ 1)))" |
    dd of="$STREAMS/$2" bs=1 seek="$3" conv=notrunc status=none
}
