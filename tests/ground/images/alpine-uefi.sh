# from: alpine
# The same Alpine as a machine with UEFI alone has it: a GPT with an EFI system partition, and nothing that a BIOS
# could run.
# shellcheck shell=bash

readonly ESP_START=8192 ESP_SIZE=32768 # between GRUB's own partition, which goes, and the root partition

make_image() {
  local out=$2 uuid root_size work
  work=$(scratch)
  cp --sparse=always "$CACHE/alpine.raw" "$out"
  uuid=$(blkid -p -O $((ROOT_START * 512)) -o value -s UUID "$out")
  root_size=$(($(stat -c %s "$out") / 512 - ROOT_START - 2048))
  dd if=/dev/zero of="$out" bs=512 count="$ESP_START" conv=notrunc status=none
  sfdisk -q "$out" <<TABLE
label: gpt
label-id: $uuid
15 : start=$ESP_START, size=$ESP_SIZE, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
1 : start=$ROOT_START, size=$root_size, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
TABLE
  esp_with_grub "$work" "$uuid"
  dd if="$work/esp" of="$out" bs=512 seek="$ESP_START" conv=notrunc,sparse status=none
  rm -rf "$work"
}

# esp_with_grub DIR UUID: a FAT file system DIR/esp with GRUB where firmware looks for a loader, reading /boot/grub of the
# file system UUID. All that GRUB needs is in its one file.
esp_with_grub() {
  # shellcheck disable=SC2016 # $root is GRUB's variable
  printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$2" >"$1/cfg"
  grub-mkimage -O x86_64-efi -d /usr/lib/grub/x86_64-efi -p /boot/grub -c "$1/cfg" -o "$1/BOOTX64.EFI" \
    part_gpt ext2 search search_fs_uuid normal linux serial terminal
  truncate -s $((ESP_SIZE * 512)) "$1/esp"
  mkfs.vfat -n ESP -i "${2:0:8}" "$1/esp"
  MTOOLS_SKIP_CHECK=1 mmd -i "$1/esp" ::/EFI ::/EFI/BOOT
  MTOOLS_SKIP_CHECK=1 mcopy -i "$1/esp" "$1/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
}
