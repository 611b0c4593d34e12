# Guests with systemd, OpenZFS and libvirt, emulated, on the disk of package-root.sh. To be sourced; needs a network
# namespace of its own, with `lo` up.
#
# Promises: a guest reaches another by a cable, if both are given one, and nothing else; its disk is a layer over the
# cached one, which stays as it is. All have the same disk of supplies. $GUEST is the one that is spoken to.
# shellcheck shell=bash

PACKAGE_GUEST=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/package-guest
KERNEL=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/openzfs/guest/vmlinux
GUEST=''

# guest_start NAME NUMBER [CABLE]: starts it, with a disk for a pool, and speaks to it from now on. CABLE is a netdev of QEMU.
guest_start() {
  local number=$2 cable=${3:-} dir=$GUESTS/$1
  GUEST=$1
  mkdir -p "$dir"
  guest_access "$dir" $((2200 + number))
  qemu-img create -q -f qcow2 -F raw -b "$PACKAGE_GUEST/root.raw" "$dir/root.qcow2"
  truncate -s 4G "$dir/pool.raw"
  # Entered by PVH, and without what slows an emulated processor down.
  qemu-system-x86_64 -name "$GUEST" -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max -smp "$CPUS" -m 2048 \
    -nodefaults -display none -kernel "$KERNEL" -initrd "$PACKAGE_GUEST/ramdisk" \
    -append 'root=/dev/vda rw console=ttyS0 mitigations=off panic=-1 quiet net.ifnames=0' \
    -drive "file=$dir/root.qcow2,if=virtio,format=qcow2,cache=unsafe" \
    -drive "file=$dir/pool.raw,if=virtio,format=raw,cache=unsafe" \
    -drive "file=$GUESTS/supplies.raw,if=virtio,format=raw,readonly=on" \
    -nic "user,restrict=on,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$((2200 + number))-:22" \
    ${cable:+-netdev "$cable,id=cable" -device "virtio-net-pci,netdev=cable,mac=52:54:00:77:00:0$number"} \
    -device virtio-rng-pci -serial "file:$dir/console" -monitor "unix:$dir/monitor,server,nowait" \
    >"$dir/qemu.log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
}

# guest_access DIR PORT: how ssh gets there.
guest_access() {
  cat >"$1/ssh_config" <<CONFIG
Host *
  HostName 127.0.0.1
  Port $2
  User root
  IdentityFile $PACKAGE_GUEST/ssh_key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ConnectTimeout 10
  ControlPath $SOCKETS/%n
CONFIG
}

guest_ssh() { ssh -n -F "$GUESTS/$GUEST/ssh_config" "$@"; }

# inside COMMAND...: runs it in the guest, for at most five minutes.
inside() {
  timeout 300 ssh -n -F "$GUESTS/$GUEST/ssh_config" "$GUEST" \
    "env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive $(printf '%q ' "$@")"
}

boot_id() { timeout 15 ssh -n -F "$GUESTS/$GUEST/ssh_config" "$GUEST" cat /proc/sys/kernel/random/boot_id 2>/dev/null; }

# guest_wait [BOOT]: until it answers, and is not in that boot any more.
guest_wait() {
  local old=${1:-none} deadline=$((SECONDS + 240)) now
  until now=$(boot_id) && [[ $now != "$old" ]]; do
    kill -0 "$(cat "$GUESTS/$GUEST/pid")" 2>/dev/null || die "QEMU ended: $(cat "$GUESTS/$GUEST/qemu.log")"
    ((SECONDS < deadline)) || die "guest $GUEST does not answer after 240 s; its console: $(tail -n 5 "$GUESTS/$GUEST/console")"
    sleep 1
  done
  # All further commands go through one connection.
  guest_ssh -M -N -f "$GUEST" >/dev/null 2>&1
}

# guest_leave: forgets the connection, before the guest goes down.
guest_leave() { guest_ssh -O exit "$GUEST" 2>/dev/null || true; }

# guest_monitor COMMAND: tells QEMU.
guest_monitor() {
  python3 -c 'import socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.connect(sys.argv[1])
monitor.recv(4096)
monitor.sendall(sys.argv[2].encode() + b"\n")
monitor.recv(4096)' "$GUESTS/$GUEST/monitor" "$1"
}

# guest_reboot COMMAND...: has it go down by that, and waits for its next boot.
guest_reboot() {
  local before
  before=$(boot_id)
  "$@" || true # it takes the connection with it
  guest_leave
  guest_wait "$before"
  inside mount -r /dev/vdc /mnt
}

power_fails() { guest_monitor system_reset; }

guest_stop() {
  guest_leave
  kill "$(cat "$GUESTS/$GUEST/pid")"
  wait "$(cat "$GUESTS/$GUEST/pid")" || true
  rm -rf "${GUESTS:?}/$GUEST"
}
