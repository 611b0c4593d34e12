# shellcheck shell=bash
# Measures ways to send a delta of a volume like that of the boot caches: what goes over the wire, how
# long both ends take, and what the receiver then stores.

ROUNDS=3

# programs BYTES SKIP: what machines boot from, less its order; not random and not text.
programs() {
  find /usr/bin /usr/sbin /usr/lib/x86_64-linux-gnu -type f -size +64k -print0 2>/dev/null | sort -z |
    xargs -0 cat 2>/dev/null | { head -c "$2" >/dev/null && head -c "$1"; } || true
}

# best COMMANDS: the shortest of some rounds, in seconds.
best() {
  local round from shortest=999999999 took
  for ((round = 0; round < ROUNDS; round++)); do
    if [[ -n ${2:-} ]]; then eval "$2"; fi
    from=$(date +%s%N)
    bash -o pipefail -c "$1" >/dev/null
    took=$((($(date +%s%N) - from) / 1000000))
    if ((took < shortest)); then shortest=$took; fi
  done
  printf '%d.%d' $((shortest / 1000)) $((shortest % 1000 / 100))
}

MiB() { awk -v bytes="$1" 'BEGIN { printf "%.2f", bytes / 1048576 }'; }

# new_receiver COMPRESSION: an empty pool beside the source's, with the first snapshot received into it.
new_receiver() {
  zpool destroy -f cramped 2>/dev/null || true
  make_pool cramped 512M
  zfs create -o mountpoint=none -o dedup=on -o recordsize=64K -o "compression=$1" cramped/p
  receive first cramped/p/r
}

stored() {
  zpool sync cramped 2>/dev/null || sleep 6
  zfs get -Hp -o value referenced,compressratio cramped/p/r | paste -s -d' '
  zpool list -H -o allocated,dedup cramped | tr '\t' ' '
}

# way NAME SEND PACK UNPACK
way() {
  local name=$1 send=$2 pack=$3 unpack=$4 bytes packing receiving
  bash -o pipefail -c "$send | $pack" >"$STREAMS/delta"
  bytes=$(stat -c %s "$STREAMS/delta")
  packing=$(best "$send | $pack")
  receiving=$(best "$unpack <$STREAMS/delta | zfs receive -u cramped/p/r" "new_receiver $COMPRESSION")
  printf '%-28s %10s MiB   %5s s to send   %5s s to receive   receiver: %s\n' "$name" "$(MiB "$bytes")" \
    "$packing" "$receiving" "$(stored | paste -s -d' ')"
}

figures() {
  local head=24 new=36 # MiB; of the second file 12 MiB are known
  COMPRESSION=gzip-6
  if is openzfs; then COMPRESSION=zstd; fi
  mkdir -p "$STREAMS"
  make_pool tank 512M
  zfs create -o dedup=on -o recordsize=64K -o "compression=$COMPRESSION" -o mountpoint=/mnt/v tank/v
  programs $((head << 20)) 0 >/mnt/v/first
  zfs snapshot tank/v@1
  programs $((new << 20)) $((12 << 20)) >/mnt/v/second
  zfs snapshot tank/v@2
  zpool sync tank 2>/dev/null || sleep 6
  zfs send tank/v@1 >"$STREAMS/first"
  printf '\n== %s: figures: %s MiB, then %s MiB of which 12 are known; dedup=on compression=%s recordsize=64K\n' \
    "$KIND" $head $new $COMPRESSION
  try 'zfs get -Hp -o property,value compressratio,referenced tank/v; zpool list -H -o allocated,dedup tank'
  echo 'receiver: referenced, compressratio; allocated by the pool, deduplication'
  way 'send' 'zfs send -i @1 tank/v@2' cat cat
  way 'send | zstd -3' 'zfs send -i @1 tank/v@2' 'zstd -q -3' 'zstd -q -d'
  if is zfs-fuse; then return; fi
  way 'send -c -L | zstd -3' 'zfs send -c -L -i @1 tank/v@2' 'zstd -q -3' 'zstd -q -d'
  way 'send -c -L' 'zfs send -c -L -i @1 tank/v@2' cat cat
  echo 'The same into a parent with compression=off:'
  COMPRESSION=off
  way 'send | zstd -3' 'zfs send -i @1 tank/v@2' 'zstd -q -3' 'zstd -q -d'
  way 'send -c -L' 'zfs send -c -L -i @1 tank/v@2' cat cat
}
