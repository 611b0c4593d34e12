#!/usr/bin/env bash
# Makes a Debian with systemd as its init, in which `make test-units` runs the packages: systemd-root.sh SUITE
#
# It lands in ${XDG_CACHE_HOME:-~/.cache}/bootstash/systemd/SUITE, with all that our packages depend on, so that they
# install without a network. A changed recipe makes it anew; with nothing to do this is a matter of milliseconds.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
PATH=$PATH:/usr/sbin:/sbin # Debian leaves these out for ordinary users

SUITE=$1
SELF=$(readlink -f "${BASH_SOURCE[0]}")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/systemd
WORK=$CACHE/.work.$$ # of this run alone
# zfs-fuse gives a real ZFS without a kernel module. man-db would index pages for a minute.
PACKAGES=(systemd-sysv dbus zfs-fuse qemu-utils qemu-system-x86 iproute2 procps util-linux)

say() { printf 'systemd: %s\n' "$*"; }

key() { sha256sum "$SELF" | cut -d' ' -f1; }

# Sources from the Debian mirrors this machine uses; none on another system: mmdebstrap knows its own.
sources() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null | sort -u |
    awk -v suite="$SUITE" '$2 == "Debian" && NF == 2 && !main++ { print "deb " $1 " " suite " main" }'
}

bootstrap() {
  local include from
  include=$(IFS=,; echo "${PACKAGES[*]}")
  from=$(sources)
  mmdebstrap --mode=root --format=directory --variant=minbase --include="$include" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-include=/usr/share/man/*/bootstash*' \
    "$SUITE" "$1" ${from:+-} <<<"$from"
}

# What a container has no use for, or may not do. zfs-fuse's own script ends where it may not protect itself from
# running out of memory.
configure() {
  : >"$1/etc/machine-id"
  cat >"$1/etc/systemd/system/zfs-fuse.service" <<'UNIT'
[Service]
ExecStart=/usr/sbin/zfs-fuse --no-daemon
ExecStartPost=/bin/sh -c 'until zpool list >/dev/null 2>&1; do sleep 0.2; done'
[Install]
WantedBy=multi-user.target
UNIT
  chroot "$1" systemctl -q enable zfs-fuse.service
  chroot "$1" systemctl -q mask systemd-udevd systemd-resolved systemd-networkd-wait-online getty.target \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service
  mkdir -p "$1/etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=persistent\nForwardToSyslog=no\n' >"$1/etc/systemd/journald.conf.d/test.conf"
  rm -rf "$1"/var/lib/apt/lists/*
}

[[ -d $CACHE/$SUITE && $(cat "$CACHE/$SUITE.key" 2>/dev/null) == "$(key)" ]] && exit 0
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"
flock 9
rm -rf "$CACHE"/.work.* "$CACHE/$SUITE.key" # of runs that were killed
say "making a $SUITE with systemd (log: $CACHE/$SUITE.log)"
start=$SECONDS
if ! { bootstrap "$WORK" && configure "$WORK"; } >"$CACHE/$SUITE.log" 2>&1 </dev/null; then
  tail -n 20 "$CACHE/$SUITE.log" >&2
  rm -rf "$WORK"
  exit 1
fi
rm -rf "${CACHE:?}/$SUITE"
mv "$WORK" "$CACHE/$SUITE"
key >"$CACHE/$SUITE.key"
say "made $SUITE in $((SECONDS - start)) s"
