# Debian 12 as a small server: systemd, ssh, guest agent, the kernel for clouds.
# shellcheck shell=bash

readonly SIZE_MIB=3072
PACKAGES=(linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv systemd-timesyncd udev dbus libpam-systemd
  openssh-server qemu-guest-agent iproute2 iputils-ping e2fsprogs sudo ca-certificates curl procps less
  vim-tiny nano bash-completion rsyslog cron logrotate)

make_image() {
  local out=$2 root uuid
  root=$(scratch)
  uuid=$(uuid_of "$1")
  bootstrap "$root"
  configure "$root" "$uuid"
  partition "$out" "$SIZE_MIB" "$uuid"
  mke2fs -q -F -t ext4 -b 4096 -U "$uuid" -L root -E "offset=$((ROOT_START * 512)),hash_seed=$uuid" \
    -d "$root" "$out" "$(root_blocks "$SIZE_MIB")"
  install_grub "$out" "$uuid"
  rm -rf "$root"
}

# Sources from the Debian mirrors this machine uses; none on another system: mmdebstrap knows its own.
sources() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null | sort -u | awk '
    $2 == "Debian" && NF == 2 && !main++ { print "deb " $1 " bookworm main" }
    $2 == "Debian-Security" && !security++ { print "deb " $1 " bookworm-security main" }'
}

bootstrap() {
  local include from
  include=$(IFS=,; echo "${PACKAGES[*]}")
  from=$(sources)
  mmdebstrap --verbose --mode=root --format=directory --variant=minbase --include="$include" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --essential-hook="$(declare -f initramfs_options); initramfs_options \"\$1\"" \
    bookworm "$1" ${from:+-} <<<"$from"
}

# What a virtual machine's disk needs, not every driver: the initial file system is read,
# unpacked and searched by an emulated processor.
initramfs_options() {
  mkdir -p "$1/etc/initramfs-tools/conf.d"
  echo 'MODULES=list' >"$1/etc/initramfs-tools/conf.d/bootstash"
  printf 'COMPRESS=zstd\nCOMPRESSLEVEL=3\n' >>"$1/etc/initramfs-tools/conf.d/bootstash"
  printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ext4 >"$1/etc/initramfs-tools/modules"
}

configure() {
  local root=$1 uuid=$2 kernel
  chroot "$root" passwd -q -d root
  echo debian12 >"$root/etc/hostname"
  : >"$root/etc/machine-id"
  echo "UUID=$uuid / ext4 defaults,discard 0 1" >"$root/etc/fstab"
  printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/20-dhcp.network"
  chroot "$root" systemctl -q enable systemd-networkd serial-getty@ttyS0
  # Only waits, for a network that the tests' guests do not have.
  chroot "$root" systemctl -q mask systemd-networkd-wait-online
  kernel=$(cd "$root/boot" && ls vmlinuz-*)
  grub_files "$root" "$uuid" 'Debian 12' "/boot/$kernel" "/boot/initrd.img-${kernel#vmlinuz-}" \
    'ro console=ttyS0,115200'
}
