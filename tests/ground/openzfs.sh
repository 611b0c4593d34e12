#!/usr/bin/env bash
# Makes the guest in which the tests meet OpenZFS: a Debian kernel with the modules of OpenZFS from
# backports, on a machine which can load no module itself. Nothing is installed on this machine.
#
# It lands in ${XDG_CACHE_HOME:-~/.cache}/bootstash/openzfs: guest/ (kernel, initial ramdisk, and the
# layer that lies over this machine's own root in the guest), dev/ (what the feature `libzetta` links
# against), versions. The compiled modules are kept by kernel and ZFS version; a changed recipe packs
# them anew, which is a matter of seconds; with nothing to do it is one of milliseconds.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
PATH=$PATH:/usr/sbin:/sbin # Debian leaves these out for ordinary users

SELF=$(readlink -f "${BASH_SOURCE[0]}")
RECIPE=${SELF%.sh}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/openzfs
APT=$CACHE/apt
WORK=$CACHE/.work.$$ # of this run alone: another may be waiting for its turn
LOG=$CACHE/openzfs.log
SUITE=bookworm
# What the guest needs before it sees this machine's files. The generic kernel: the cloud one has no 9p.
DRIVERS=(virtio_pci virtio_blk virtio_net virtio_console virtio-rng 9pnet_virtio 9p overlay)
USERLAND=(zfsutils-linux libzfs6linux libzpool6linux libnvpair3linux libuutil3linux libzfsbootenv1linux)

say() { printf 'openzfs: %s\n' "$*"; }
die() {
  printf 'openzfs: %s\n' "$*" >&2
  exit 1
}

recipe_key() { cat "$SELF" "$RECIPE"/* | sha256sum | cut -d' ' -f1; }

current() { [[ -e $CACHE/guest/vmlinux && $(cat "$CACHE/key" 2>/dev/null) == "$(recipe_key)" ]]; }

# Runs a step with its output in the log; on failure shows the end of that.
logged() {
  printf '\n$ %s\n' "$*" >>"$LOG"
  "$@" >>"$LOG" 2>&1 </dev/null && return
  tail -n 20 "$LOG" >&2
  die "failed: $*   (all of it: $LOG)"
}

# An apt of its own, which knows Debian's contrib and backports and nothing of what is installed here.
apt() {
  local program=$1
  shift
  "$program" -q -o APT::Architecture=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Dir::State="$APT" -o Dir::State::status="$APT/status" -o Dir::Cache="$APT" \
    -o Dir::Etc::sourcelist="$APT/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null "$@"
}

mirror() {
  local found
  # shellcheck disable=SC2016 # apt fills these in
  found=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "Debian" && !/security/ && !seen++ { print $1 }')
  echo "${found:-http://deb.debian.org/debian}"
}

update_apt() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=''
  if [[ -e $keyring ]]; then signed="[signed-by=$keyring] "; fi
  mkdir -p "$APT/lists/partial" "$APT/archives/partial"
  : >"$APT/status"
  printf 'deb %s%s %s main contrib\n' "$signed" "$(mirror)" "$SUITE" "$signed" "$(mirror)" "$SUITE-backports" \
    >"$APT/sources.list"
  logged apt apt-get update
}

# The package that another one depends on, by the beginning of its name.
dependency() { apt apt-cache depends "$1" | sed -n "s/.*Depends: \($2.*\)/\1/p" | sed -n 1p; }

# No `exit`: apt-cache must not meet a closed pipe.
version_in() { apt apt-cache madison "$1" | awk -v suite="$2/" 'index($0, suite) && !seen++ { print $3 }'; }

# Sets KERNEL (its release, 6.1.0-N-amd64), KERNEL_VERSION, ZFS_VERSION (of the packages).
find_versions() {
  KERNEL=$(dependency linux-image-amd64 linux-image-)
  KERNEL=${KERNEL#linux-image-}
  [[ -n $KERNEL ]] || die "the mirror $(mirror) has no linux-image-amd64"
  KERNEL_VERSION=$(version_in "linux-image-$KERNEL" "$SUITE")
  ZFS_VERSION=$(version_in zfs-dkms "$SUITE-backports")
  [[ -n $ZFS_VERSION ]] || die "the mirror $(mirror) has no zfs-dkms in $SUITE-backports"
  MODULES=$CACHE/modules-$KERNEL_VERSION-${ZFS_VERSION//[~+]/_}
}

# fetch DIR PACKAGE[=VERSION]...: unpacks packages into a folder.
fetch() {
  local into=$1 debs=$WORK/debs deb
  shift
  mkdir -p "$into" "$debs"
  cd "$debs"
  logged apt apt-get download "$@"
  for deb in *.deb; do logged dpkg-deb -x "$deb" "$into"; done
  rm -rf "$debs"
  cd "$CACHE"
}

fetch_kernel() {
  fetch "$WORK/sys" "linux-image-$KERNEL=$KERNEL_VERSION" busybox-static
}

fetch_userland() {
  fetch "$WORK/zfs" "${USERLAND[@]/%/=$ZFS_VERSION}" "libzfslinux-dev=$ZFS_VERSION"
}

# The modules, built as DKMS would, but for the debug information: that takes time to write and to load.
build_modules() {
  [[ -e $MODULES/zfs.ko ]] && return
  local headers=linux-headers-$KERNEL sys=$WORK/sys source common start=$SECONDS
  common=$(dependency "$headers" linux-headers-)
  say "compiling the modules of OpenZFS $ZFS_VERSION for Linux $KERNEL_VERSION, once (log: $LOG)"
  fetch "$sys" "$headers=$KERNEL_VERSION" "$common=$KERNEL_VERSION" "$(dependency "$headers" linux-kbuild-)" \
    "$(dependency "$headers" linux-compiler-)" "zfs-dkms=$ZFS_VERSION"
  sed -i "s#/usr/src/#$sys/usr/src/#" "$sys/usr/src/$headers/Makefile"
  source=$(echo "$sys"/usr/src/zfs-*)
  cd "$source"
  logged ./configure --disable-dependency-tracking --with-config=kernel \
    --with-linux="$sys/usr/src/$common" --with-linux-obj="$sys/usr/src/$headers"
  logged make -j"$(nproc)" KCFLAGS=-g0 CC_FLAGS_FTRACE=
  mkdir -p "$MODULES"
  strip -g -o "$MODULES/spl.ko" module/spl.ko
  strip -g -o "$MODULES/.zfs.ko" module/zfs.ko
  mv "$MODULES/.zfs.ko" "$MODULES/zfs.ko"
  cd "$CACHE"
  say "compiled them in $((SECONDS - start)) s"
}

# The kernel as a plain ELF: QEMU enters that by PVH, and no guest spends 4 s on unpacking it.
unpack_kernel() {
  local packed=$WORK/sys/boot/vmlinuz-$KERNEL at
  at=$(grep -aobUP '\xfd7zXZ\x00' "$packed" | sed -n 1p | cut -d: -f1)
  [[ -n $at ]] || die "no xz stream in the kernel of $KERNEL_VERSION"
  # What follows the stream is of no interest, and xz says so with a failure.
  tail -c +$((at + 1)) "$packed" | xz -dc --single-stream >"$1" 2>>"$LOG" || true
  [[ $(head -c 4 "$1") == $'\x7fELF' ]] || die "cannot unpack the kernel of $KERNEL_VERSION"
}

# The names of drivers and all they need, in an order in which they load.
driver_files() {
  local root=$WORK/sys/lib/modules/$KERNEL busybox=$WORK/sys/bin/busybox
  "$busybox" depmod -b "$WORK/sys" "$KERNEL" 2>>"$LOG"
  awk -F: -v wanted="${DRIVERS[*]}" '
    function name(path) { sub(/.*\//, "", path); sub(/\.ko$/, "", path); gsub(/-/, "_", path); return path }
    function load(path,   need, count, i) {
      if (path in loaded) return
      loaded[path] = 1
      count = split(needs[path], need, " ")
      for (i = count; i > 0; i--) load(need[i])
      print path
    }
    { needs[$1] = $2; at[name($1)] = $1 }
    END {
      count = split(wanted, list, " ")
      for (i = 1; i <= count; i++) { gsub(/-/, "_", list[i]); if (list[i] in at) load(at[list[i]]) }
    }' "$root/modules.dep" | sed "s#^#$root/#"
}

pack_ramdisk() {
  local ramdisk=$WORK/ramdisk file
  mkdir -p "$ramdisk/bin" "$ramdisk/modules"
  cp "$WORK/sys/bin/busybox" "$ramdisk/bin/"
  install -m 755 "$RECIPE/init" "$ramdisk/init"
  driver_files >"$WORK/drivers"
  while read -r file; do
    cp "$file" "$ramdisk/modules/"
    basename "$file"
  done <"$WORK/drivers" >"$ramdisk/modules/order"
  (cd "$ramdisk" && find . | "$WORK/sys/bin/busybox" cpio -o -H newc 2>>"$LOG" | gzip -1) >"$1"
}

# What lies over this machine's root in the guest: OpenZFS's commands, libraries and modules. It has no
# /lib and no /sbin of its own, so that this machine's links to those under /usr show through.
pack_layer() {
  local layer=$1 from=$WORK/zfs
  mkdir -p "$layer/usr/sbin" "$layer/usr/lib/x86_64-linux-gnu" "$layer/usr/lib/bootstash-guest"
  cp -a "$from"/lib/x86_64-linux-gnu/*.so.* "$layer/usr/lib/x86_64-linux-gnu/"
  cp -a "$from"/sbin/* "$from"/usr/sbin/* "$layer/usr/sbin/" 2>>"$LOG" || true
  [[ -x $layer/usr/sbin/zfs && -x $layer/usr/sbin/zpool ]] || die "zfsutils-linux holds no commands (see $LOG)"
  cp "$MODULES"/*.ko "$layer/usr/lib/bootstash-guest/"
}

# What a program that uses libzfs_core is linked against.
pack_dev() {
  mkdir -p "$1/lib" "$1/include"
  cp -a "$WORK"/zfs/usr/include/* "$1/include/"
  cp -a "$WORK"/zfs/lib/x86_64-linux-gnu/*.so.* "$1/lib/"
  local library
  for library in zfs zfs_core nvpair; do
    (cd "$1/lib" && ln -sf "$(find . -name "lib$library.so.*" -type l | sed -n 1p)" "lib$library.so")
  done
}

make_guest() {
  local start=$SECONDS
  exec 9>"$CACHE/.lock"
  if ! flock -n 9; then
    say "waiting for another run that makes the guest"
    flock 9
  fi
  if current; then return; fi
  rm -rf "$CACHE"/.work.* # of runs that were killed
  mkdir -p "$WORK"
  : >"$LOG"
  update_apt
  find_versions
  fetch_kernel
  fetch_userland
  build_modules
  mkdir -p "$WORK/guest"
  unpack_kernel "$WORK/guest/vmlinux"
  pack_ramdisk "$WORK/guest/ramdisk"
  pack_layer "$WORK/guest/layer"
  pack_dev "$WORK/dev"
  rm -rf "$CACHE/key" "$CACHE/guest" "${CACHE:?}/dev"
  mv "$WORK/guest" "$WORK/dev" "$CACHE/"
  printf 'linux %s\nzfs %s\n' "$KERNEL_VERSION" "$ZFS_VERSION" >"$CACHE/versions"
  recipe_key >"$CACHE/key"
  say "made the guest in $((SECONDS - start)) s (Linux $KERNEL_VERSION, OpenZFS $ZFS_VERSION)"
}

main() {
  if current; then return; fi
  mkdir -p "$CACHE"
  trap 'rm -rf "$WORK"' EXIT
  make_guest
}

main "$@"
