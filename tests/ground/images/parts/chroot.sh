# What recipes share that install packages into an image which another recipe made.
# shellcheck shell=bash

# open_root FILE DIR: mounts the root file system of a disk on DIR, with what an installation into it needs. All of it
# is seen from this recipe alone; `umount -R DIR` takes it away.
open_root() {
  local root=$2
  mount -o "loop,offset=$((ROOT_START * 512)),discard" "$1" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/var/lib/apt/lists"
  mount -t tmpfs tmpfs "$root/var/cache/apt"
  touch "$root/etc/resolv.conf"
  mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
}

# install_into DIR PACKAGE...: none of their services starts.
install_into() {
  local root=$1 policy=$1/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  chroot "$root" apt-get -q update
  chroot "$root" apt-get -q -y install --no-install-recommends "${@:2}"
  rm "$policy"
}

# derive IMAGE FILE PACKAGE...: a disk like that of another recipe, with these packages and a name of its own.
derive() {
  local root
  root=$(scratch)
  cp --sparse=always "$CACHE/$1.raw" "$2"
  open_root "$2" "$root"
  install_into "$root" "${@:3}"
  echo "${2##*/}" | sed 's/\.raw$//' >"$root/etc/hostname"
  umount -R "$root"
  rmdir "$root"
}
