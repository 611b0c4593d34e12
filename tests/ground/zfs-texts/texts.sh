# shellcheck shell=bash
# Provokes what ZFS can complain of, each time once, and keeps what it says on stderr.

LIMIT=60

# record NAME COMMAND...: the command must fail; what it says becomes OUT/KIND-NAME.txt.
record() {
  local name=$1 file=$OUT/$KIND-$1.txt
  shift
  if timeout "$LIMIT" "$@" >/dev/null 2>"$file"; then die "$name did not fail: $*"; fi
  [[ -s $file ]] || die "$name said nothing: $*"
  # Resume tokens hold GUIDs, and the order of what `destroy` lists is that of a hash.
  sed -E -e 's/1-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+/TOKEN/' "$file" >"$file.raw"
  awk '/^use .* following datasets:$/ { print; while ((getline line) > 0) print line | "sort"; next } 1' \
    "$file.raw" >"$file"
  rm "$file.raw"
}

# refused NAME STREAM INTO [FLAG...]: a receive to record.
refused() { give "$2" | record "receive-$1" zfs receive -u "${@:4}" "$3"; }

# half_received STREAM INTO: begins a receive and leaves it waiting for the rest; sets FEEDER and RECEIVER.
half_received() {
  mkfifo "$STREAMS/pipe"
  zfs receive -u "$2" <"$STREAMS/pipe" 2>"$STREAMS/said" &
  RECEIVER=$!
  { head -c 2000000 "$STREAMS/$1" && exec sleep 1000; } >"$STREAMS/pipe" &
  FEEDER=$!
  sleep 2 # until it is under way: there is nothing to wait for
}

# ended_receive: ends what half_received began.
ended_receive() {
  kill "$FEEDER" && wait "$FEEDER" "$RECEIVER" || true
  rm -f "$STREAMS/pipe"
}

reading() {
  record get-missing zfs get -Hp -o value guid tank/b/nope
  record get-missing-snapshot zfs get -Hp -o value guid tank/b/v@nope
  record get-no-pool zfs get -Hp -o value guid nope/b
  record no-pool zpool list -H -o name nope
}

making() {
  truncate -s 32M "$POOLS/small"
  record pool-too-small zpool create small "$POOLS/small"
  record create-exists zfs create tank/b/v
  record create-no-parent zfs create tank/nope/v
  record create-no-pool zfs create nope/v
  zfs snapshot tank/b/v@other
  record snapshot-exists zfs snapshot tank/b/v@other
  record snapshot-missing zfs snapshot tank/b/nope@other
  record clone-missing zfs clone tank/b/v@nope tank/b/d
  record clone-no-parent zfs clone tank/b/v@other tank/nope/d
  record clone-exists zfs clone tank/b/v@other tank/b/v
  zfs hold keep tank/b/v@other
  record hold-twice zfs hold keep tank/b/v@other
  record hold-missing zfs hold keep tank/b/v@nope
  record destroy-held zfs destroy tank/b/v@other
  zfs release keep tank/b/v@other
  record release-missing zfs release keep tank/b/v@other
}

mounting() {
  zfs clone -o mountpoint=/mnt/c tank/b/v@other tank/b/c
  record mount-mounted zfs mount tank/b/c
  exec 7</mnt/c/one
  record unmount-busy zfs unmount tank/b/c
  record destroy-open zfs destroy tank/b/c
  exec 7<&-
  again_while_busy zfs unmount tank/b/c
  record unmount-unmounted zfs unmount tank/b/c
  record mount-missing zfs mount tank/b/nope
}

destroying() {
  record destroy-children zfs destroy tank/b
  record destroy-clones zfs destroy tank/b/v@other
  record destroy-r-clones zfs destroy -r tank/b/v
  record destroy-missing zfs destroy tank/b/nope
  record destroy-missing-snapshot zfs destroy tank/b/v@nope
  if is zfs-fuse; then destroy_unmounting; else destroy_open_snapshot; fi
  gone tank/b/c
}

# It is busy for a moment after it was in use, and that moment can be missed.
destroy_unmounting() {
  local try
  zfs destroy tank/b/c
  for try in {1..50}; do
    zfs clone -o mountpoint=/mnt/c tank/b/v@other tank/b/c
    cat /mnt/c/two >/dev/null
    again_while_busy zfs unmount tank/b/c
    zfs destroy tank/b/c 2>"$OUT/$KIND-destroy-busy.txt" || return 0
  done
  die "after $try tries zfs-fuse was never busy unmounting"
}

destroy_open_snapshot() {
  zfs mount tank/b/c
  zfs snapshot tank/b/c@open
  exec 7</mnt/c/.zfs/snapshot/open/one
  record destroy-busy zfs destroy tank/b/c@open
  exec 7<&-
}

sending() {
  record send-missing zfs send tank/b/v@nope
  record send-missing-base zfs send -i @nope "tank/b/v@$S1"
  record send-wrong-order zfs send -i "@$S2" "tank/b/v@$S1"
}

# What does not fit where it shall go.
receiving_elsewhere() {
  copy tank/b/r
  refused exists full1 tank/b/r
  refused exists-with-snapshots full1 tank/b/r -F
  refused wrong-base second-third tank/b/r
  refused no-destination second-third tank/b/nope
  refused no-parent full1 tank/nope/r
  refused no-parent-increment second-third tank/nope/r
  refused no-pool full1 nope/r
  zfs set mountpoint=/mnt/r tank/b/r
  zfs mount tank/b/r 2>/dev/null || true # zfs-fuse has just done it
  echo foreign >/mnt/r/foreign
  refused modified first-second tank/b/r
  copy tank/b/r
  half_received first-third tank/b/r
  refused busy first-second tank/b/r
  ended_receive
  gone tank/b/n
  half_received full3 tank/b/n
  refused busy-full full1 tank/b/n
  ended_receive
  gone tank/b/n
}

# Streams that are not whole.
receiving_damaged() {
  local size
  size=$(stat -c %s "$STREAMS/first-second")
  head -c $((size / 2)) "$STREAMS/first-second" >"$STREAMS/half"
  head -c 2000000 "$STREAMS/full1" >"$STREAMS/half-full"
  head -c 312 "$STREAMS/first-second" >"$STREAMS/begin" # the first record, and nothing more
  head -c 100 "$STREAMS/first-second" >"$STREAMS/stub"
  : >"$STREAMS/nothing"
  noise 9 4096 >"$STREAMS/noise"
  damage first-second flipped $((size / 2))
  damage full1 flipped-full 2000000
  damage first-second bad-magic 8
  copy tank/b/r
  refused truncated half tank/b/r
  refused truncated-full half-full tank/b/n
  refused truncated-begin begin tank/b/r
  refused truncated-stub stub tank/b/r
  refused empty nothing tank/b/r
  refused corrupt flipped tank/b/r
  refused corrupt-full flipped-full tank/b/n
  refused bad-magic bad-magic tank/b/r
  refused garbage noise tank/b/r
}

receiving_too_much() {
  make_pool cramped 64M
  receive full1 cramped/r
  refused no-space first-third cramped/r
  refused no-space-full full3 cramped/n
  zpool destroy -f cramped
  zfs create -o quota=20M tank/b/q
  refused quota full3 tank/b/q/r
  receive full1 tank/b/q/r
  refused quota-increment first-third tank/b/q/r
  gone tank/b/q
  copy tank/b/r
  zfs set quota=20M tank/b/r
  refused quota-own first-third tank/b/r
  if is openzfs; then return; fi # which receives more than a refquota allows (see facts)
  copy tank/b/r
  zfs set refquota=20M tank/b/r
  refused refquota first-third tank/b/r
}

# The state of a receive that broke off and can be taken up again.
resuming() {
  local token
  copy tank/b/r
  refused saved half tank/b/r -s
  refused partial-state first-second tank/b/r
  refused partial-state-s first-second tank/b/r -s
  refused partial-state-full full1 tank/b/r
  zfs receive -A tank/b/r
  record abort-nothing zfs receive -A tank/b/r
  record abort-missing zfs receive -A tank/b/nope
  refused saved-full half-full tank/b/n -s
  refused partial-state-new full1 tank/b/n
  record send-bad-token zfs send -t 1-bad
  token=$(zfs get -Hp -o value receive_resume_token tank/b/n)
  record send-damaged-token zfs send -t "1-1${token#1-}" # another checksum
  # Any snapshot of the pool with the same GUID would do.
  gone tank/b/r
  zfs destroy "tank/b/v@$S1"
  record send-token-source-gone zfs send -t "$token"
  zfs receive -A tank/b/n
}

daemon_dies() {
  copy tank/b/r
  half_received first-third tank/b/r
  kill -KILL "$DAEMON"
  wait "$DAEMON" 2>/dev/null || true
  kill "$FEEDER"
  wait "$RECEIVER" || true
  cp "$STREAMS/said" "$OUT/$KIND-receive-daemon-died.txt"
  rm -f /run/zfs/zfs_socket
  record no-daemon zfs list tank
  record no-daemon-pool zpool list tank
}

texts() {
  make_source
  reading
  making
  mounting
  destroying
  sending
  receiving_elsewhere
  receiving_damaged
  receiving_too_much
  if is openzfs; then resuming; else daemon_dies; fi
}
