# What an operator does on a host, and sees there. To be sourced.
# shellcheck shell=bash

# make_supplies: a disk for all guests, with the packages, an image, and a VM.
make_supplies() {
  local dir=$GUESTS/supplies
  mkdir -p "$dir"/{old,new}
  ln "$DEBS"/old/*.deb "$dir/old"
  ln "$DEBS"/new/*.deb "$dir/new"
  cp tests/ground/package/vm.xml "$dir"
  make_image "$dir/x.raw"
  truncate -s 1G "$GUESTS/supplies.raw"
  mke2fs -q -F -t ext4 -d "$dir" "$GUESTS/supplies.raw"
  rm -r "$dir"
}

# make_image FILE: its boot sector reads sector 4096, says on the serial line what is written there, and stops.
make_image() {
  local code='\x31\xc0\x8e\xd8'         # xor ax, ax; mov ds, ax
  code+='\xbe\x1e\x7c\xb4\x42\xcd\x13' # mov si, request; mov ah, 0x42; int 0x13
  code+='\xbe\x00\x7e'                 # mov si, 0x7e00
  code+='\xac\x84\xc0\x74\x06'         # next: lodsb; test al, al; jz stop
  code+='\xba\xf8\x03\xee\xeb\xf5'     # mov dx, 0x3f8; out dx, al; jmp next
  code+='\xf4\xeb\xfd\x90\x90'         # stop: hlt; jmp stop
  code+='\x10\x00\x01\x00\x00\x7e\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00' # request: 1 sector at 4096 to 0x7e00
  head -c 8000000 /dev/urandom >"$1"
  truncate -s 64M "$1"
  write_at 0 "$code" "$1"
  write_at 510 '\x55\xaa' "$1"
  write_at $((4096 * 512)) 'booted from the view\r\n\x00' "$1"
}

# write_at OFFSET BYTES FILE
write_at() {
  # shellcheck disable=SC2059 # they are escapes
  printf "$2" | dd of="$3" bs=1 seek="$1" conv=notrunc status=none
}

# apt VERB WHAT...: prints what apt says.
apt() {
  inside sh -c 'apt-get -y -q -o Dpkg::Options::=--force-unsafe-io "$@" 2>&1' apt "$@"
}

# packages old|new NAME...: their files in the guest.
packages() {
  local name
  for name in "${@:2}"; do inside sh -c "echo /mnt/$1/${name}_*.deb"; done
}

# States of both daemons, for a comparison.
states() { echo "$(property bootstash-agent ActiveState) $(property bootstash-registrar ActiveState)"; }

main_pids() { echo "$(property bootstash-agent MainPID) $(property bootstash-registrar MainPID)"; }

failed_units() { inside systemctl --failed --no-legend --plain | cut -d' ' -f1; }

# The image's file, where all hosts see it under one path.
share_image() { inside sh -ec 'mkdir -p /srv/images /var/lib/vms; cp --preserve=timestamps --sparse=always /mnt/x.raw /srv/images'; }

# A cache as another registrar would have made it: what a boot of it reads is within 4 MiB.
register_with_cache() {
  inside sh -ec 'cd /srv; qemu-img create -q -f qcow2 -F raw -b /srv/images/x.raw cache.qcow2
    qemu-io -C -f qcow2 -c "read 0 4M" cache.qcow2 >/dev/null'
  has 'registered' 'bs-000001' "$(inside bootstash register x /srv/images/x.raw --cache /srv/cache.qcow2)"
}

make_overlay() {
  wait_until_it_says bootstash-agent 'in step at bs-000001'
  has 'overlay' '/var/lib/vms/a.qcow2: a disk of 64 MiB' "$(inside bootstash overlay create x /var/lib/vms/a.qcow2)"
  wait_until_it_says bootstash-agent '1 view'
  has 'it chains onto the view' '/var/lib/bootstash/views/' "$(inside qemu-img info -U /var/lib/vms/a.qcow2)"
}

# Of libvirt's VM: its state, its process, and how often it has said that it booted.
vm_state() { inside virsh -q domstate vm1; }
vm_pid() { inside cat /run/libvirt/qemu/vm1.pid; }
vm_boots() { inside grep -c 'booted from the view' /var/log/libvirt/qemu/vm1-serial.log || true; }

# vm_has_booted WHEN COUNT
vm_has_booted() {
  eventually 90 sh -c "[ \$(grep -c 'booted from the view' /var/log/libvirt/qemu/vm1-serial.log) = $2 ]" ||
    die "$1: the VM booted $(vm_boots) times, expected $2"
  ok "$1: the VM says that it booted from the view"
}

# all_is_up_again WHEN UNIT...: agent, libvirt and those units, with a VM that has autostart.
all_is_up_again() {
  all_become_active 120 bootstash-agent libvirtd "${@:2}"
  ready_before bootstash-agent libvirtd
  vm_has_booted "started by itself after $1" 1
  is 'the VM' 'running' "$(vm_state)"
  wait_until_it_says bootstash-agent '1 view'
  has 'overlays' 'running' "$(inside bootstash overlays)"
}
