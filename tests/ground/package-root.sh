#!/usr/bin/env bash
# Makes the disk of the guest in which `make test-package` installs our packages: a Debian 12 with systemd, libvirt,
# AppArmor, and OpenZFS in its kernel. Nothing is installed on this machine.
#
# It lands in ${XDG_CACHE_HOME:-~/.cache}/bootstash/package-guest: root.raw (ext4), ramdisk, ssh_key. The kernel and the
# modules of OpenZFS are those of openzfs.sh. All that our packages depend on is in it, so that they install without a
# network. A changed recipe or kernel makes it anew; with nothing to do this is a matter of milliseconds.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
PATH=$PATH:/usr/sbin:/sbin # Debian leaves these out for ordinary users

SELF=$(readlink -f "${BASH_SOURCE[0]}")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/package-guest
OPENZFS=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/openzfs
WORK=$CACHE/.work.$$ # of this run alone
ROOT=$WORK/root
LOG=$CACHE/root.log
SUITE=bookworm
PACKAGES=(initramfs-tools zstd systemd-sysv udev dbus libpam-systemd openssh-server curl iproute2 kmod procps e2fsprogs apparmor
  qemu-utils qemu-system-x86 libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu ovmf)
# Drivers that no guest of QEMU has a use for: three quarters of the kernel.
NO_DRIVERS=(gpu media iio infiniband hid scsi net/wireless net/ethernet)

say() { printf 'package-guest: %s\n' "$*"; }

key() { sha256sum "$SELF" "$OPENZFS/versions" | sha256sum | cut -d' ' -f1; }

version_of() { sed -n "s/^$1 //p" "$OPENZFS/versions"; }

mirror() {
  local found
  # shellcheck disable=SC2016 # apt fills these in
  found=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "Debian" && !/security/ && !seen++ { print $1 }')
  echo "${found:-http://deb.debian.org/debian}"
}

# The release of the kernel that the modules of OpenZFS were compiled for.
kernel_release() { modinfo -F vermagic "$MODULES/zfs.ko" | cut -d' ' -f1; }

# What is left out of the packages, as options of mmdebstrap.
exclusions() {
  printf -- '--dpkgopt=path-exclude=%s\n' '/usr/share/man/*' '/usr/share/locale/*/*' '/usr/share/doc/*' '/lib/modules/*/kernel/sound/*'
  printf -- '--dpkgopt=path-exclude=/lib/modules/*/kernel/drivers/%s/*\n' "${NO_DRIVERS[@]}"
  printf -- '--dpkgopt=path-include=%s\n' '/usr/share/man/*/bootstash*' '/usr/share/doc/*/copyright'
}

# A ramdisk of what finds the disk, and no more.
ramdisk_hook() {
  cat <<'HOOK'
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\n' >"$1/etc/initramfs-tools/conf.d/package-guest"
printf '%s\n' virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"
HOOK
}

bootstrap() {
  local from include excluded
  from=$(mirror)
  include=$(IFS=,; echo "linux-image-$KERNEL=$(version_of linux),${PACKAGES[*]}")
  mapfile -t excluded < <(exclusions)
  # zfsutils-linux from backports alone: all else is to be as on a machine that was only just installed.
  mmdebstrap --mode=root --format=directory --variant=minbase --include="$include" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    "${excluded[@]}" --essential-hook="$(ramdisk_hook)" \
    --customize-hook="chroot \"\$1\" apt-get -y -q -t $SUITE-backports install zfsutils-linux=$(version_of zfs)" \
    "$SUITE" "$ROOT" - <<<"deb $from $SUITE main contrib
deb $from $SUITE-backports main contrib"
}

# The modules, as if zfs-dkms had built them for this kernel.
add_openzfs() {
  install -D -m 644 -t "$ROOT/lib/modules/$KERNEL/updates/dkms" "$MODULES"/*.ko
  depmod -b "$ROOT" "$KERNEL"
  chroot "$ROOT" update-initramfs -u -k "$KERNEL"
}

add_access() {
  ssh-keygen -q -t ed25519 -N '' -f "$WORK/ssh_key"
  install -D -m 600 "$WORK/ssh_key.pub" "$ROOT/root/.ssh/authorized_keys"
  printf 'UsePAM no\nUseDNS no\n' >"$ROOT/etc/ssh/sshd_config.d/test.conf"
  printf '[Match]\nName=eth0\n[Network]\nDHCP=yes\n' >"$ROOT/etc/systemd/network/access.network"
  chroot "$ROOT" systemctl -q enable systemd-networkd
}

# No work of its own in the background, and a journal that outlives a boot.
quieten() {
  chroot "$ROOT" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer logrotate.timer systemd-pstore.service
  install -d "$ROOT/etc/systemd/journald.conf.d" "$ROOT/var/log/journal"
  printf '[Journal]\nStorage=persistent\nForwardToSyslog=no\n' >"$ROOT/etc/systemd/journald.conf.d/test.conf"
  # A guest without a system does not answer when it is asked to shut down.
  printf 'ON_BOOT=ignore\nON_SHUTDOWN=shutdown\nSHUTDOWN_TIMEOUT=2\n' >"$ROOT/etc/default/libvirt-guests"
  : >"$ROOT/etc/machine-id"
  echo '/dev/vda / ext4 defaults 0 1' >"$ROOT/etc/fstab"
  echo guest >"$ROOT/etc/hostname"
  rm -rf "$ROOT"/var/lib/apt/lists/* "$ROOT"/var/cache/apt/archives/*.deb
}

write_disk() {
  cp "$ROOT/boot/initrd.img-$KERNEL" "$WORK/ramdisk"
  truncate -s 8G "$WORK/root.raw"
  mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=1 -d "$ROOT" "$WORK/root.raw"
}

explain() {
  tail -n 20 "$LOG" >&2
  rm -rf "$WORK"
  say "failed; if the mirror no longer has linux $(version_of linux): make clean-images, and again" >&2
}

[[ -e $CACHE/root.raw && $(cat "$CACHE/key" 2>/dev/null) == "$(key)" ]] && exit 0
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"
flock 9
[[ -e $CACHE/root.raw && $(cat "$CACHE/key" 2>/dev/null) == "$(key)" ]] && exit 0 # another run made it
MODULES=$OPENZFS/modules-$(version_of linux)-$(version_of zfs | tr '~+' __)
KERNEL=$(kernel_release)
rm -rf "$CACHE"/.work.* "$CACHE/key" # of runs that were killed
mkdir -p "$WORK"
: >"$LOG"
say "making a Debian with OpenZFS $(version_of zfs) and libvirt, once (log: $LOG)"
start=$SECONDS
trap explain EXIT
for step in bootstrap add_openzfs add_access quieten write_disk; do "$step" >>"$LOG" 2>&1 </dev/null; done
trap - EXIT
mv "$WORK"/{root.raw,ramdisk,ssh_key} "$CACHE/"
rm -rf "$WORK"
key >"$CACHE/key"
say "made it in $((SECONDS - start)) s"
