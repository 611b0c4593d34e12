# shellcheck shell=bash
# Shows the behaviour that docs/zfs.md speaks of: a heading for each fact, then commands and what they
# said. Reading is left to people, as what counts is often a size or a file's content.

FACTS_BOTH=(options resent duplicate elsewhere later_snapshot inherited atime names snapshot_folder)
FACTS_FUSE=(orphan stale_caches wedge daemon_killed)
FACTS_OPEN=(compressed guids stale_reads refquota resume token_guid ddt ddt_quota whole_disk)

# try COMMANDS: shows them, what they say, and their exit status.
try() {
  local status=0
  printf '$ %s\n' "$1"
  # Not in a test, where `set -e` would be off.
  timeout 120 bash -c "set -o pipefail; $1" 2>&1 | sed 's/^/    /' || status=$?
  if ((status)); then printf '    -> exit status %s\n' "$status"; fi
}

snapshots_of() { try "zfs list -H -o name -t snapshot -r $1"; }

# Which words of the command line are known.
fact_options() {
  local option words
  try 'zpool get version tank; zfs get version tank'
  for option in 'zfs list -p' 'zfs list -j' "zfs send -c tank/b/v@$S1" "zfs send -L tank/b/v@$S1" \
    "zfs send -e tank/b/v@$S1" "zfs send -D tank/b/v@$S1" "zfs send -nvP tank/b/v@$S1" \
    "zfs bookmark tank/b/v@$S1 tank/b/v#m" "zfs holds tank/b/v@$S1" 'zfs version'; do
    if words=$($option 2>&1 >/dev/null); then words=known; fi
    printf '    %-52s %s\n' "$option" "$(grep -m 1 . <<<"$words" || echo 'fails, and says nothing')"
  done
  if give half | zfs receive -s tank/b/n >/dev/null 2>"$STREAMS/said"; then :; fi
  printf '    %-52s %s\n' 'zfs receive -s' "$(head -n 1 "$STREAMS/said")"
  gone tank/b/n
  for option in lz4 zstd gzip-6; do
    words=$(zfs create -o mountpoint=none -o "compression=$option" tank/b/n 2>&1) || true
    printf '    %-52s %s\n' "compression=$option" "${words:-reads back as $(zfs get -H -o value compression tank/b/n)}"
    gone tank/b/n
  done
  for words in written logicalused receive_resume_token clones; do
    printf '    %-52s %s\n' "property $words" "$(zfs get -Hp -o value "$words" tank/b/v 2>&1 | head -n 1 || true)"
  done
}

# 14 of 16 MiB are known to the pool, and to the receiver.
fact_resent() {
  zfs create -o dedup=on -o recordsize=64K -o mountpoint=/mnt/d tank/d
  noise 4 16777216 >/mnt/d/a
  try 'zfs snapshot tank/d@1'
  { head -c 14680064 /mnt/d/a && noise 5 2097152; } >/mnt/d/b
  try 'zfs snapshot tank/d@2; zpool list -H -o dedup tank'
  try 'zfs send -i @1 tank/d@2 | wc -c'
  try 'zfs send -D -i @1 tank/d@2 | wc -c'
  if is openzfs; then try 'zfs send -c -L -e -i @1 tank/d@2 | wc -c'; fi
  gone tank/d
}

fact_duplicate() {
  copy tank/b/r
  try "zfs receive -u tank/b/r <$STREAMS/first-second"
  try "zfs receive -u tank/b/r <$STREAMS/first-second"
  snapshots_of tank/b/r
}

# An increment for a file system that is not there, while others have its base as their newest.
fact_elsewhere() {
  copy tank/b/r
  zfs create tank/else
  copy tank/else/where
  try "zfs receive -u tank/b/nope <$STREAMS/first-second"
  try "zfs receive -u cramped/nope <$STREAMS/first-second"
  snapshots_of tank/b/r
  snapshots_of tank/else
  gone tank/else
}

# The base is there, but not the newest.
fact_later_snapshot() {
  copy tank/b/r
  try 'zfs snapshot tank/b/r@local'
  try "zfs receive -u tank/b/r <$STREAMS/first-second"
  snapshots_of tank/b/r
}

fact_inherited() {
  local compression=gzip-6
  if is openzfs; then compression=zstd; fi
  zfs create -o mountpoint=none -o dedup=on -o compression=$compression -o recordsize=32K -o readonly=on \
    -o com.example:mark=1 tank/p
  receive full1 tank/p/r
  try 'zfs get -H -o property,value,source dedup,compression,recordsize,readonly,com.example:mark tank/p/r'
  gone tank/p
}

# Does reading alone modify a file system?
fact_atime() {
  copy tank/b/r
  zfs set atime=on tank/b/r
  zfs set mountpoint=/mnt/r tank/b/r
  zfs mount tank/b/r 2>/dev/null || true
  try 'cat /mnt/r/one >/dev/null; zpool sync tank 2>/dev/null || sleep 6'
  try "zfs receive -u tank/b/r <$STREAMS/first-second"
}

fact_names() {
  local name long
  long=$(printf 'x%.0s' {1..300})
  for name in a:b_c-d.e 'a b' a+b a%b "${long:0:240}" "$long"; do
    printf '%.40s (%s characters): ' "$name" "${#name}"
    if zfs snapshot "tank/b/v@$name" 2>"$STREAMS/said"; then
      echo taken
      zfs destroy "tank/b/v@$name"
    else
      sed 's/^\(.\{150\}\).*/\1…/' "$STREAMS/said"
    fi
  done
}

fact_snapshot_folder() { try "ls /mnt/v/.zfs/snapshot/$S1; ls -A /mnt/v"; }

# The command dies; the file it was given is read on.
fact_orphan() {
  copy tank/b/r
  try "zfs receive -u tank/b/r <$STREAMS/first-third & sleep 0.1; kill -KILL \$!; wait \$!"
  snapshots_of tank/b/r
  try 'sleep 5'
  snapshots_of tank/b/r
  copy tank/b/r
  half_received first-third tank/b/r
  kill -KILL "$RECEIVER"
  ended_receive
  try ': the same through a pipe whose other end closes; sleep 5'
  snapshots_of tank/b/r
}

restart_zfs_fuse() {
  kill -KILL "$DAEMON"
  wait "$DAEMON" 2>/dev/null || true
  umount -l /mnt/v /mnt/r 2>/dev/null || true
  rm -f /run/zfs/zfs_socket
  start_zfs_fuse "$@"
}

# With the time-outs of /etc/zfs/zfsrc and the page cache, against those of the lab.
fact_stale_caches() {
  zfs create -o mountpoint=/mnt/s -o atime=off tank/s
  noise 1 65536 >/mnt/s/changed
  noise 1 65536 >/mnt/s/grown
  noise 1 65536 >/mnt/s/replaced
  zfs snapshot tank/s@1
  noise 2 65536 | dd of=/mnt/s/changed conv=notrunc status=none
  noise 2 65536 >>/mnt/s/grown
  noise 2 65536 >/mnt/s/new
  mv /mnt/s/new /mnt/s/replaced
  zfs snapshot tank/s@2
  zfs send tank/s@1 >"$STREAMS/s1"
  zfs send -i @1 tank/s@2 >"$STREAMS/s2"
  try 'cd /mnt/s && md5sum *'
  stale_caches_with -a 3600 -e 3600
  stale_caches_with -a 0 -e 0 --disable-page-cache
  gone tank/s
}

stale_caches_with() {
  restart_zfs_fuse "$@"
  gone tank/b/r
  receive s1 tank/b/r
  zfs set mountpoint=/mnt/r tank/b/r
  zfs set readonly=on tank/b/r
  zfs mount tank/b/r 2>/dev/null || true
  md5sum /mnt/r/* >/dev/null
  receive s2 tank/b/r
  printf 'zfs-fuse %s, after the increment:\n' "$*"
  try 'cd /mnt/r; stat -c "%n %s" grown; md5sum changed grown replaced'
}

# A rollback beside a receive that nobody waits for.
fact_wedge() {
  local status=0
  gone tank/b/r # which may be mounted there
  # Slow, so that it is still going on.
  zfs create -o mountpoint=none -o dedup=on -o compression=gzip-9 tank/slow
  copy tank/slow/r
  zfs set mountpoint=/mnt/r tank/slow/r
  zfs mount tank/slow/r 2>/dev/null || true
  zfs receive -u tank/slow/r <"$STREAMS/first-third" 2>/dev/null &
  sleep 0.3
  kill -KILL $!
  wait $! 2>/dev/null || true
  setsid timeout -k 1 20 zfs rollback "tank/slow/r@$S1" || status=$?
  echo "zfs rollback ended with $status (124: not within 20 s)"
  status=0
  setsid timeout -k 1 10 ls /mnt/r >/dev/null || status=$?
  echo "ls ended with $status"
  if ((status)); then restart_zfs_fuse -a 0 -e 0 --disable-page-cache; fi
  try 'zpool list -H -o name,health'
  snapshots_of tank/slow/r
}

fact_daemon_killed() {
  copy tank/b/r
  half_received first-third tank/b/r
  restart_zfs_fuse -a 0 -e 0 --disable-page-cache
  kill "$FEEDER" || true
  rm -f "$STREAMS/pipe"
  try 'zpool list -H -o name,health; zfs get -H -o value mounted tank/b/v'
  snapshots_of tank/b/r
  try "zfs receive -u tank/b/r <$STREAMS/first-third"
}

fact_compressed() {
  local recordsize
  for recordsize in 64K 1M; do
    zfs create -o compression=zstd -o recordsize=$recordsize -o mountpoint=/mnt/l tank/l
    noise 8 4194304 | od -An -tx1 >/mnt/l/f # compresses; and not to so little that it fits into its pointer
    try "zfs snapshot tank/l@1; zfs get -H -o value recordsize tank/l"
    try 'zfs send tank/l@1 | wc -c; zfs send -L tank/l@1 | wc -c; zfs send -c tank/l@1 | wc -c; zfs send -c -L tank/l@1 | wc -c'
    gone tank/l
  done
}

fact_guids() {
  for _ in {1..64}; do
    zfs snapshot tank/b/v@guid
    if [[ $(zfs get -Hp -o value guid tank/b/v@guid) == 1[0-9]??????????????????* ]]; then break; fi
    zfs destroy tank/b/v@guid
  done
  try 'zfs get -Hp -o value guid tank/b/v@guid'
  try "zfs get -j -p guid tank/b/v@guid | grep -o '\"value\":[^,]*'"
  try "zfs get -j --json-int guid tank/b/v@guid | grep -o '\"value\":[^,]*'"
  zfs destroy tank/b/v@guid
}

# A mounted file system read while an increment lands in it.
fact_stale_reads() {
  zfs create -o mountpoint=/mnt/s -o atime=off tank/s
  noise 1 2097152 >/mnt/s/kept
  noise 1 2097152 >/mnt/s/deleted
  noise 1 2097152 >/mnt/s/changed
  zfs snapshot tank/s@1
  rm /mnt/s/deleted
  noise 2 2097152 | dd of=/mnt/s/changed conv=notrunc status=none
  zfs snapshot tank/s@2
  zfs send tank/s@1 >"$STREAMS/s1"
  zfs send -i @1 tank/s@2 >"$STREAMS/s2"
  gone tank/b/r
  receive s1 tank/b/r
  zfs set mountpoint=/mnt/r tank/b/r
  zfs set readonly=on tank/b/r
  zfs mount tank/b/r 2>/dev/null || true
  zfs clone -o readonly=on -o mountpoint=/mnt/view tank/b/r@1 tank/b/view
  /usr/bin/python3 - "$STREAMS/s2" <<'PY'
import mmap, os, subprocess, sys

def show(what, ask):
    try:
        print(f"    {what:<42} {ask()}")
    except OSError as error:
        print(f"    {what:<42} {error.strerror}")

old = open("/mnt/view/changed", "rb").read()
new = open("/mnt/s/changed", "rb").read()
which = lambda data: "old" if data == old else "new" if data == new else "neither"
path = lambda name="changed": which(open(f"/mnt/r/{name}", "rb").read())
kept, deleted = (os.open(f"/mnt/r/{name}", os.O_RDONLY) for name in ("kept", "deleted"))
changed = open("/mnt/r/changed", "rb")
mapped = mmap.mmap(changed.fileno(), 0, prot=mmap.PROT_READ)
mapped[:]
view = os.open("/mnt/view/deleted", os.O_RDONLY)
subprocess.run(["zfs", "receive", "-u", "tank/b/r"], stdin=open(sys.argv[1]), check=True)
show("kept, open", lambda: which(os.pread(kept, len(old), 0)))
show("deleted, open", lambda: which(os.pread(deleted, len(old), 0)))
show("deleted, by path", lambda: path("deleted"))
show("changed, mapped", lambda: which(mapped[:]))
show("changed, by path", path)
mapped.close()
changed.close()
show("changed, by path, after unmapping", path)
open("/proc/sys/vm/drop_caches", "w").write("1")
show("changed, by path, after drop_caches", path)
show("deleted, open in the view", lambda: which(os.pread(view, len(old), 0)))
PY
  gone tank/b/view tank/b/r tank/s
}

fact_refquota() {
  copy tank/b/r
  try 'zfs set refquota=20M tank/b/r'
  try "zfs receive -u tank/b/r <$STREAMS/first-third; zfs get -H -o property,value refquota,referenced tank/b/r"
}

fact_resume() {
  gone tank/b/r tank/b/n
  make_pool cramped 256M
  head -c 20000000 "$STREAMS/full3" >"$STREAMS/part"
  try "zfs receive -s -u cramped/n <$STREAMS/part 2>&1 | head -n 2"
  try 'zfs list -H -o name,used,mounted cramped/n; zfs list -H -t snapshot -r cramped/n'
  try "stat -c %s $STREAMS/full3; zfs send -t \$(zfs get -Hp -o value receive_resume_token cramped/n) | wc -c"
  try 'zfs send -t $(zfs get -Hp -o value receive_resume_token cramped/n) | zfs receive -s -u cramped/n'
  snapshots_of cramped
  gone cramped/n
  half_received_resumably full3 cramped/n
  try ': a receive -s killed by SIGKILL; zfs get -Hp -o value receive_resume_token cramped/n | cut -c1-2'
  try 'zfs receive -A cramped/n; zfs list cramped/n'
  try ": the snapshot gone, a copy of it in the same pool"
  copy tank/b/r
  head -c 2000000 "$STREAMS/full1" >"$STREAMS/part"
  try "zfs receive -s -u cramped/n <$STREAMS/part 2>/dev/null; zfs rename tank/b/v@$S1 tank/b/v@renamed; zfs send -nvP -t \$(zfs get -Hp -o value receive_resume_token cramped/n)"
  try "zfs rename tank/b/v@renamed tank/b/v@$S1"
  zpool destroy -f cramped
  make_pool cramped 64M
  try "zfs receive -s -u cramped/n <$STREAMS/full3; zfs list cramped/n"
  zpool destroy -f cramped
  gone tank/b/r
}

# A token says a name and a GUID, and has a checksum, which is no secret. What decides?
fact_token_guid() {
  gone tank/b/n
  give half | zfs receive -s -u tank/b/n 2>/dev/null || true
  zfs create -o mountpoint=/mnt/p tank/private
  noise 5 4194304 >/mnt/p/secret
  zfs snapshot tank/private@secret
  cat >"$STREAMS/forge.py" <<'PY'
import struct, sys, zlib

version, _, size, packed = sys.argv[1].split("-")
guid = int(sys.argv[2])
words = bytearray(zlib.decompress(bytes.fromhex(packed)))
at = words.index(b"toguid")
struct.pack_into("<Q", words, at + 8, guid) # after the name, which is padded
packed = zlib.compress(bytes(words), 6)
checksum = sum(struct.unpack_from(f"<{len(packed) // 4}I", packed))
print(f"{version}-{checksum:x}-{size}-{packed.hex()}")
PY
  try "zfs send -nvP -t \$(/usr/bin/python3 $STREAMS/forge.py \$(zfs get -Hp -o value receive_resume_token tank/b/n) \$(zfs get -Hp -o value guid tank/private@secret))"
  zfs receive -A tank/b/n
  gone tank/private
}

half_received_resumably() {
  mkfifo "$STREAMS/pipe"
  zfs receive -s -u "$2" <"$STREAMS/pipe" 2>/dev/null &
  RECEIVER=$!
  { head -c 20000000 "$STREAMS/$1" && exec sleep 1000; } >"$STREAMS/pipe" &
  FEEDER=$!
  sleep 3
  kill -KILL "$RECEIVER"
  ended_receive
}

fact_ddt() {
  zfs create -o dedup=on -o recordsize=64K -o mountpoint=/mnt/d tank/d
  noise 4 33554432 >/mnt/d/a
  cp /mnt/d/a /mnt/d/b
  try 'zpool sync tank; zpool get -Hp -o property,value dedupratio,dedup_table_size,dedup_table_quota,feature@fast_dedup tank'
  try 'zpool status -D tank | grep DDT'
  try 'zpool prefetch -t ddt tank'
  noise 6 33554432 >/mnt/d/c
  try 'zpool sync tank; zpool status -D tank | grep -E "DDT|Total"'
  # An entry's age is that of the whole table here; so `-p` and `-d` may differ in what they find.
  try 'zpool ddtprune -p 50 tank; zpool sync tank; sleep 12; zpool sync tank; zpool status -D tank | grep -E "DDT|Total"'
  try 'zpool ddtprune -d 0 tank; sleep 2; zpool ddtprune -p 100 tank; zpool sync tank; sleep 12; zpool sync tank; zpool status -D tank | grep -E "DDT|Total"'
  gone tank/d
}

# What a table at its quota means for new data.
fact_ddt_quota() {
  zfs create -o dedup=on -o recordsize=64K -o mountpoint=/mnt/d tank/d
  noise 4 8388608 >/mnt/d/a
  try 'zpool sync tank; zpool get -Hp -o value dedup_table_size tank; zpool set dedup_table_quota=16K tank'
  noise 7 8388608 >/mnt/d/b
  cp /mnt/d/b /mnt/d/c
  cp /mnt/d/a /mnt/d/d
  try 'zpool sync tank; zpool get -Hp -o property,value dedup_table_size,dedupratio tank; zpool status -D tank | grep -E "DDT|Total"'
  try 'zpool set dedup_table_quota=auto tank'
  gone tank/d
}

# The guest has no udevd, as a machine in early boot or a container has none.
fact_whole_disk() {
  try 'time zpool create -f whole /dev/vda'
  try 'echo "," | sfdisk -q --wipe always /dev/vda; sleep 1; time zpool create -f whole /dev/vda1; zpool destroy whole'
}

facts() {
  local fact
  make_source
  head -c 2000000 "$STREAMS/full1" >"$STREAMS/half"
  if is openzfs; then FACTS_BOTH+=("${FACTS_OPEN[@]}"); else FACTS_BOTH+=("${FACTS_FUSE[@]}"); fi
  for fact in ${ONLY:-"${FACTS_BOTH[@]}"}; do
    printf '\n== %s: %s\n' "$KIND" "$fact"
    "fact_$fact"
  done
}
