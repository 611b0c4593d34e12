#!/usr/bin/env bash
# Compiles the three programs and puts all that packages have in one directory: stage.sh DIR
#
# What makes two builds of one commit differ is taken out: paths are remapped, times are the commit's, and what is
# compiled lies in a directory of its own, so that other flags do not mix in. PROFILE=dev takes what the tests compiled, in seconds.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TREE=$(realpath -m "$1")
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
PROGRAMS=(bootstash bootstash-agent bootstash-registrar)

# Sets BIN, where the programs lie.
compile() {
  if [[ ${PROFILE:-release} == dev ]]; then
    cargo build --quiet --workspace "${PROGRAMS[@]/#/--bin=}"
    BIN=$TARGET/debug
    return
  fi
  local registry=${CARGO_HOME:-$HOME/.cargo}
  RUSTFLAGS="--remap-path-prefix=$registry=/cargo --remap-path-prefix=$PWD=/bootstash ${RUSTFLAGS:-}" \
    CARGO_TARGET_DIR=$TARGET/packages cargo build --quiet --release --locked "${PROGRAMS[@]/#/--package=}"
  BIN=$TARGET/packages/release
}

# The programs write them themselves.
add_pages() {
  local file kind
  make man FROM="$BIN"
  install -m 644 target/man/*.[1-8] "$TREE/man"
  while read -r file; do
    case ${file##*/} in
      *.fish) kind=fish ;;
      _*) kind=zsh ;;
      *) kind=bash ;;
    esac
    # bash looks for a file called as the command is.
    install -m 644 "$file" "$TREE/completions/$kind/$(basename "$file" .bash)"
  done < <(find target/completions -type f | sort)
}

compile
rm -rf "$TREE"
mkdir -p "$TREE"/{bin,etc,docs,monitoring,man,completions/{bash,zsh,fish},systemd,libvirt,opennebula}
install -m 755 "${PROGRAMS[@]/#/$BIN/}" "$TREE/bin"
install -m 644 packaging/{agent,registrar}.toml "$TREE/etc"
install -m 644 README.md docs/*.md "$TREE/docs"
install -m 644 CHANGELOG.md LICENSE "$TREE"
install -m 644 packaging/bootstash*.{service,timer} packaging/bootstash.sysusers "$TREE/systemd"
# As libvirt finds it in hooks/qemu.d.
install -m 755 packaging/libvirt-hook "$TREE/libvirt/50-bootstash"
find packaging/monitoring -maxdepth 1 -type f ! -name '*.test.yml' -exec install -m 644 -t "$TREE/monitoring" {} +
install -m 644 packaging/opennebula/*.conf "$TREE/opennebula"
install -m 755 packaging/opennebula/{clone,install.sh} "$TREE/opennebula"
add_pages
