# from: debian12
# uses: parts/chroot
# The same system with its root on btrfs, where even the sum of a block is somewhere else than the block.
# shellcheck shell=bash

readonly SIZE_MIB=3072

make_image() {
  local name=$1 out=$2 copy root uuid kernel
  uuid=$(uuid_of "$name")
  copy=$(scratch) root=$(scratch)
  cp --sparse=always "$CACHE/debian12.raw" "$copy/ext4"
  open_root "$copy/ext4" "$root"
  echo btrfs >>"$root/etc/initramfs-tools/modules"
  install_into "$root" btrfs-progs
  chroot "$root" update-initramfs -u
  echo "$name" >"$root/etc/hostname"
  echo "UUID=$uuid / btrfs defaults,discard=async 0 0" >"$root/etc/fstab"
  kernel=$(cd "$root/boot" && ls vmlinuz-*)
  grub_files "$root" "$uuid" 'Debian 12 on btrfs' "/boot/$kernel" "/boot/initrd.img-${kernel#vmlinuz-}" \
    'ro console=ttyS0,115200'
  umount -R "$root/proc" "$root/dev" "$root/var/lib/apt/lists" "$root/var/cache/apt" "$root/etc/resolv.conf"
  make_disk "$out" "$uuid" "$root" "$copy/btrfs"
  umount "$root"
  rm -r "$root" "$copy"
}

# make_disk FILE UUID DIR SCRATCH: a disk with the files of DIR.
make_disk() {
  partition "$1" "$SIZE_MIB" "$2"
  truncate -s $(($(root_blocks "$SIZE_MIB") * 4096)) "$4"
  mkfs.btrfs -q -U "$2" -L root --rootdir "$3" "$4"
  dd if="$4" of="$1" bs=1M seek=$((ROOT_START / 2048)) conv=notrunc,sparse status=none
  install_grub "$1" "$2"
}

# The core that install_grub makes finds its modules on the root file system, so that it must know that.
grub-mkimage() { command grub-mkimage "$@" btrfs; }
