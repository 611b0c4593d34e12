# from: debian12
# A cloud's image: the same disk with cloud-init, which waits for the network as it does there.
# shellcheck shell=bash

make_image() {
  local out=$2 root
  root=$(scratch)
  cp --sparse=always "$CACHE/debian12.raw" "$out"
  mount -o "loop,offset=$((ROOT_START * 512)),discard" "$out" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/var/lib/apt/lists"
  mount -t tmpfs tmpfs "$root/var/cache/apt"
  # Only seen from in here, so there is nothing to put back.
  touch "$root/etc/resolv.conf"
  mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  chroot "$root" apt-get -q update
  chroot "$root" apt-get -q -y install --no-install-recommends cloud-init
  # As in the images that Debian makes for clouds.
  chroot "$root" apt-get -q -y purge qemu-guest-agent
  chroot "$root" systemctl -q unmask systemd-networkd-wait-online
  rm "$root/usr/sbin/policy-rc.d"
  umount -R "$root"
  rmdir "$root"
}
