# from: debian12
# The same system on a disk that only UEFI boots: a GPT with an EFI system partition, and no boot code.
# shellcheck shell=bash

readonly ESP_START=2048 ESP_SIZE=131072

make_image() {
  local out=$2 uuid bytes
  bytes=$(stat -c %s "$CACHE/debian12.raw")
  uuid=$(uuid_of debian12) # what its own files name
  partition_for_uefi "$out" "$bytes" "$uuid"
  dd if="$CACHE/debian12.raw" of="$out" bs=1M skip=$((ROOT_START / 2048)) seek=$((ROOT_START / 2048)) \
    conv=notrunc,sparse status=none count=$((bytes / 1048576 - ROOT_START / 2048 - 1))
  put_esp "$out" "$uuid"
}

partition_for_uefi() {
  truncate -s "$2" "$1"
  sfdisk -q "$1" <<TABLE
label: gpt
label-id: $3
15 : start=$ESP_START, size=$ESP_SIZE, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
1 : start=$ROOT_START, size=$(($2 / 512 - ROOT_START - 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
TABLE
}

# put_esp FILE UUID: GRUB where firmware looks for a loader, reading /boot/grub of the file system UUID. All that GRUB
# needs is in its one file.
put_esp() {
  local work
  work=$(scratch)
  # shellcheck disable=SC2016 # $root is GRUB's variable
  printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$2" >"$work/cfg"
  grub-mkimage -O x86_64-efi -d /usr/lib/grub/x86_64-efi -p /boot/grub -c "$work/cfg" -o "$work/BOOTX64.EFI" \
    part_gpt ext2 search search_fs_uuid normal linux serial terminal
  truncate -s $((ESP_SIZE * 512)) "$work/esp"
  mkfs.vfat -n ESP -i "${2:0:8}" "$work/esp"
  MTOOLS_SKIP_CHECK=1 mmd -i "$work/esp" ::/EFI ::/EFI/BOOT
  MTOOLS_SKIP_CHECK=1 mcopy -i "$work/esp" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
  dd if="$work/esp" of="$1" bs=512 seek="$ESP_START" conv=notrunc,sparse status=none
  rm -rf "$work"
}
