# from: debian12
# What a user makes of the vendor's image: the same disk, with a web server installed into it.
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
  chroot "$root" apt-get -q -y install --no-install-recommends nginx-light php-fpm
  rm "$root/usr/sbin/policy-rc.d"
  echo "$1" >"$root/etc/hostname"
  umount -R "$root"
  rmdir "$root"
}
