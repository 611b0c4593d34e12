# from: debian12
# uses: parts/chroot
# A database server: what it reads at start depends on its own files, which it also writes.
# shellcheck shell=bash

make_image() { derive debian12 "$2" postgresql; }
