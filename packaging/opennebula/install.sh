#!/usr/bin/env bash
# Puts the transfer driver `bootstash` beside OpenNebula's own, on the front-end: install.sh [DRIVER]
#
# DRIVER is the one whose scripts do all but clone: `local` (OpenNebula 7), `ssh` (before that), or `qcow2` or `shared`
# where the system datastore is shared; by default local if there is one, else ssh. Again after each upgrade of OpenNebula, for
# scripts that are new.
set -euo pipefail
SELF=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REMOTES=${ONE_LOCATION:+$ONE_LOCATION/var/remotes}
DRIVERS=${REMOTES:-/var/lib/one/remotes}/tm

die() {
  printf 'install: %s\n' "$*" >&2
  exit 1
}

base=${1:-}
if [[ -z $base ]]; then
  for base in local ssh; do if [[ -e $DRIVERS/$base/clone ]]; then break; fi; done
fi
[[ -x $DRIVERS/$base/clone ]] || die "there is no driver $base in $DRIVERS; run this on the front-end of OpenNebula"

target=$DRIVERS/bootstash
mkdir -p "$target"
find "$target" -type l -delete
install -m 755 "$SELF/clone" "$target/clone"
ln -s "../$base/clone" "$target/clone.base"
for script in "$DRIVERS/$base"/*; do
  name=${script##*/}
  if [[ $name != clone ]]; then ln -s "../$base/$name" "$target/$name"; fi
done
if ((EUID == 0)); then chown -hR --reference="$DRIVERS/$base" "$target"; fi
printf 'install: %s is there; all but clone is that of %s. Now see oned.conf beside this script.\n' "$target" "$base"
