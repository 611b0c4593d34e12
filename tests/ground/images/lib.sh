# What the image recipes share. Sourced by images.sh, never run.
# shellcheck shell=bash

# Where the parts of a disk lie, in sectors of 512 bytes, as on Debian's cloud images.
readonly CORE_START=2048 CORE_SIZE=6144 ROOT_START=262144
readonly GRUB=/usr/lib/grub/i386-pc

# A scratch directory, in memory where images.sh found enough of it.
scratch() {
  local dir
  dir=$(mktemp -d "$WORK/tmp/XXXXXX")
  chmod 755 "$dir" # it becomes a guest's root directory
  echo "$dir"
}

# Stable across builds, so that images of one recipe differ as little as can be.
uuid_of() { sha256sum <<<"bootstash $1" | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/'; }

# partition FILE MIB UUID: an empty disk with a BIOS boot partition (14) and a root partition (1).
# Every size is given: sfdisk's own rounding can make a partition smaller than its file system.
partition() {
  local disk=$1 sectors=$(($2 * 2048))
  truncate -s "$2M" "$disk"
  sfdisk -q "$disk" <<TABLE
label: gpt
label-id: $3
14 : start=$CORE_START, size=$CORE_SIZE, type=21686148-6449-6E6F-744E-656564454649
1 : start=$ROOT_START, size=$((sectors - ROOT_START - 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
TABLE
}

# root_blocks MIB: blocks of 4 KiB in the root partition of a disk of this size.
root_blocks() { echo $((($1 * 2048 - ROOT_START - 2048) / 8)); }

# install_grub FILE UUID: GRUB in the MBR and the BIOS boot partition, reading /boot/grub of the
# file system UUID. Written by hand since grub-install wants the disk as a device of this machine.
install_grub() {
  local disk=$1 work
  work=$(scratch)
  # shellcheck disable=SC2016 # $root is GRUB's variable
  printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$2" >"$work/cfg"
  grub-mkimage -O i386-pc -d "$GRUB" -p /boot/grub -c "$work/cfg" -o "$work/core" \
    biosdisk part_gpt ext2 search search_fs_uuid normal
  dd if="$GRUB/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
  dd if="$work/core" of="$disk" bs=512 seek="$CORE_START" conv=notrunc status=none
  put_u64 "$disk" $((0x5c)) "$CORE_START"                                   # boot.img: where the core begins
  put_u64 "$disk" $((CORE_START * 512 + 0x1f4)) $((CORE_START + 1)) # its first sector: where the rest is
}

# put_u64 FILE OFFSET NUMBER: little-endian, in place.
put_u64() {
  local hex bytes='' i
  printf -v hex %016x "$3"
  for ((i = 14; i >= 0; i -= 2)); do bytes+="\\x${hex:i:2}"; done
  printf '%b' "$bytes" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# grub_files DIR UUID TITLE LINUX INITRD CMDLINE: what GRUB reads below DIR/boot/grub.
grub_files() {
  mkdir -p "$1/boot/grub/i386-pc"
  cp "$GRUB"/*.mod "$GRUB"/*.lst "$1/boot/grub/i386-pc/"
  cat >"$1/boot/grub/grub.cfg" <<CFG
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
search --no-floppy --fs-uuid --set=root $2
menuentry '$3' {
  linux $4 root=UUID=$2 $6
  initrd $5
}
CFG
}
