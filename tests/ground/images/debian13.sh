# uses: debian12
# Debian 13 as a small server: what debian12 is, of the next release.
# shellcheck shell=bash

eval "$(declare -f sources bootstrap configure | sed 's/bookworm/trixie/g; s/debian12/debian13/; s/Debian 12/Debian 13/')"
