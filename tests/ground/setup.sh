#!/usr/bin/env bash
# Installs what `make demo` and `make test` need and this machine lacks, and any further packages named as
# arguments: each with a command of its own name, or as PACKAGE:PROBE.
#
# With nothing to do it makes one dpkg query and says nothing: every make target may call it.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
PATH=$PATH:/usr/sbin:/sbin # Debian leaves these out for ordinary users

FURTHER=("$@")
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LOG=$ROOT/target/log/setup.log
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# made by bootstash for the time of an installation'

say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# Debian package, and a command or file which shows that the thing is here by other means.
wanted() {
  cat <<'LIST'
qemu-system-x86   qemu-system-x86_64
qemu-utils        qemu-img
ovmf              /usr/share/OVMF/OVMF_CODE_4M.fd
mmdebstrap        mmdebstrap
nftables          nft
iproute2          ip
util-linux        unshare
mount             losetup
e2fsprogs         mke2fs
dosfstools        mkfs.vfat
fdisk             sfdisk
grub-common       grub-mkimage
grub-efi-amd64-bin /usr/lib/grub/x86_64-efi/moddep.lst
mtools            mcopy
grub-pc-bin       /usr/lib/grub/i386-pc/boot.img
gcc               cc
xz-utils          xz
libelf1           /usr/lib/x86_64-linux-gnu/libelf.so.1
libc6-dev         /usr/include/stdio.h
pkg-config        pkg-config
python3           python3
python3-pip       pip3
curl              curl
systemd           systemd-analyze
LIST
  # Without OpenZFS in the kernel, zfs-fuse gives a real ZFS without any kernel module.
  if [[ -e /dev/zfs ]]; then
    echo 'zfsutils-linux zfs'
  else
    echo 'zfs-fuse zfs-fuse'
  fi
  local package
  for package in "${FURTHER[@]}"; do echo "${package%%:*} ${package#*:}"; done
}

# Prints the packages that are missing. A package which dpkg knows must be wholly installed: a
# command of it alone can be the half of an installation that was killed.
missing() {
  local -A status=()
  local -a packages
  local package probe state
  mapfile -t packages < <(wanted | cut -d' ' -f1)
  while read -r package state; do
    status[$package]=$state
  done < <(dpkg_states "${packages[@]}")
  while read -r package probe; do
    case ${status[$package]:-unknown} in
      installed) ;;
      unknown | not-installed | config-files) present "$probe" || echo "$package" ;;
      *) echo "$package" ;;
    esac
  done < <(wanted)
}

# dpkg_states PACKAGE...: a line "package state" for each that dpkg has heard of.
dpkg_states() { dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true; }

dpkg_state() { dpkg_states "$1" | cut -d' ' -f2; }

present() {
  if [[ $1 == /* ]]; then [[ -e $1 ]]; else command -v "$1" >/dev/null; fi
}

# Runs a command with its output in the log; on failure shows the end of the log. Waits up to ten
# minutes for another package manager: a new cloud machine upgrades itself at first.
logged() {
  local try
  for try in {1..120}; do
    printf '\n$ %s   (try %s)\n' "$*" "$try" >>"$LOG"
    "$@" >>"$LOG" 2>&1 </dev/null && return
    tail -n 5 "$LOG" | grep -qE 'Could not get lock|frontend lock|is locked by' || break
    if ((try == 1)); then say 'waiting for another package manager to finish'; fi
    sleep 5
  done
  tail -n 30 "$LOG" >&2
  die "failed: $*   (all of it: $LOG)"
}

apt_install() {
  # --no-remove: rather fail with apt's text than take something away from this machine.
  logged apt-get -q -y --no-remove --no-install-recommends -o DPkg::Lock::Timeout=600 \
    -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold install "$@"
}

# Packages must not start daemons on this machine: the lab runs its own, in namespaces.
forbid_service_starts() {
  if [[ -e $POLICY ]] && ! grep -qsF "$POLICY_MARK" "$POLICY"; then return; fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
  chmod 755 "$POLICY"
  trap 'rm -f "$POLICY"' EXIT
}

# keep_off SERVICE: it would otherwise start at the machine's next boot. zfs-fuse then has the page cache that
# shows stale data; uftp takes files from whoever sends some; prometheus listens on all addresses.
keep_off() {
  if [[ -d /run/systemd/system ]]; then logged systemctl disable "$1.service"; fi
  if [[ -e /etc/init.d/$1 ]] && command -v update-rc.d >/dev/null; then
    logged update-rc.d "$1" disable
  fi
}

# OpenZFS and zfs-fuse cannot be installed together; whoever has the first meant to use it.
refuse_half_of_openzfs() {
  [[ ! -e /dev/zfs && $(dpkg_state zfsutils-linux) == installed ]] || return 0
  modprobe zfs 2>/dev/null && [[ -e /dev/zfs ]] && return 0
  die "zfsutils-linux is installed but its kernel module does not load, so there is no ZFS here.
Either make 'modprobe zfs' work (package zfs-dkms and the kernel's headers), or, to test with zfs-fuse:
    apt-get remove zfsutils-linux"
}

installed_version() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || true; }

# Suite which offers this very version of a package; nothing if none does.
suite_offering() {
  apt-cache madison "$1" | awk -F' *[|] *' -v want="$2" '
    { gsub(/ /, "", $2) } $2 == want { split($3, at, " "); sub("/.*", "", at[2]); print at[2]; exit }'
}

# Adds the backports suite from the mirror this machine already uses. Its packages have a low
# priority: apt takes none of them unasked.
enable_backports() {
  local codename mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # shellcheck disable=SC2016 # apt fills these in
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(LABEL)' 'Created-By: Packages' |
    awk -v suite="$codename" '$2 == suite && $3 == "Debian" { print $1; exit }')
  [[ -n $codename && -n $mirror ]] || return 0
  {
    echo "# Added by bootstash (tests/ground/setup.sh): QEMU to match the qemu-utils of this machine."
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$mirror" "$codename"
    if [[ -e $keyring ]]; then echo "Signed-By: $keyring"; fi
  } >/etc/apt/sources.list.d/bootstash-backports.sources
  say "adding the suite $codename-backports (/etc/apt/sources.list.d/bootstash-backports.sources)"
  logged apt-get -q update
}

# Where one of the two QEMU packages is here, the other must come in the same version, from whichever
# suite has it: the distribution's own may be years older and refuse to stand beside it.
install_qemu_matching() {
  local package=$1 have=$2 version suite
  version=$(installed_version "$have")
  suite=$(suite_offering "$package" "$version")
  if [[ -z $suite && $version == *~bpo* ]]; then
    enable_backports
    suite=$(suite_offering "$package" "$version")
  fi
  if [[ -n $suite ]]; then
    apt_install -t "$suite" "$package=$version"
  elif [[ $version == *~bpo* ]]; then
    say "backports have moved on from $have $version: upgrading it together with $package"
    # shellcheck source=/dev/null
    apt_install -t "$(. /etc/os-release && echo "$VERSION_CODENAME")-backports" "$package" "$have"
  else
    apt_install "$package"
  fi
}

install_all() {
  local -a packages=("$@") rest=()
  local package
  logged apt-get -q update
  logged dpkg --configure -a # an earlier installation may have been killed
  for package in "${packages[@]}"; do
    case $package in
      qemu-system-x86)
        if [[ -n $(installed_version qemu-utils) ]]; then
          install_qemu_matching qemu-system-x86 qemu-utils
          continue
        fi
        ;;
      qemu-utils)
        if [[ -n $(installed_version qemu-system-x86) ]]; then
          install_qemu_matching qemu-utils qemu-system-x86
          continue
        fi
        ;;
    esac
    rest+=("$package")
  done
  if ((${#rest[@]})); then apt_install "${rest[@]}"; fi
}

main() {
  local -a packages
  mapfile -t packages < <(missing)
  ((${#packages[@]})) || exit 0
  command -v apt-get >/dev/null ||
    die "this machine has no apt-get; install by hand what these Debian packages hold: ${packages[*]}"
  if ((EUID)); then
    die "missing: ${packages[*]}
Run this as root, which installs them:
    sudo make setup"
  fi
  mkdir -p "$(dirname "$LOG")"
  exec 9>/run/lock/bootstash-setup.lock
  flock 9
  refuse_half_of_openzfs
  mapfile -t packages < <(missing) # another setup may have done it while we waited
  ((${#packages[@]})) || exit 0
  say "installing ${packages[*]}"
  local start=$SECONDS
  forbid_service_starts
  install_all "${packages[@]}"
  local service
  for service in zfs-fuse uftp prometheus; do
    if [[ " ${packages[*]} " == *" $service "* ]]; then keep_off "$service"; fi
  done
  mapfile -t packages < <(missing)
  ((${#packages[@]} == 0)) || die "still missing after the installation: ${packages[*]} (see $LOG)"
  say "done in $((SECONDS - start)) s"
}

main "$@"
