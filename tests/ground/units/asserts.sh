# How a check says what it saw. To be sourced, by what defines `inside COMMAND...`: runs it where our packages are.
# shellcheck shell=bash

ok() { printf '  ok  %s\n' "$*"; }
die() {
  printf '  FAILED  %s\n' "$*" >&2
  exit 1
}

# is WHAT EXPECTED GIVEN
is() { if [[ $2 == "$3" ]]; then ok "$1: $3"; else die "$1: $3, expected $2"; fi; }

# has WHAT PART TEXT
has() { if [[ $3 == *"$2"* ]]; then ok "$1: $2"; else die "$1: $3, expected to have: $2"; fi; }

# eventually SECONDS COMMAND...: until it succeeds.
eventually() {
  local left=$1
  shift
  until inside "$@" >/dev/null 2>&1; do
    ((left-- > 0)) || return 1
    sleep 1
  done
}

# property UNIT NAME
property() { inside systemctl show -P "$2" "$1"; }

# says UNIT TEXT: whether its status line has this.
says() { [[ $(property "$1" StatusText) == *"$2"* ]]; }

wait_until_it_says() {
  local try
  for try in {1..60}; do
    says "$1" "$2" && return
    sleep 1
  done
  die "$1 does not say \"$2\" after $try s, but: $(property "$1" StatusText)"
}
