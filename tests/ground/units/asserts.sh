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

# all_become_active SECONDS UNIT...: asked one by one, as systemctl is content with one of several.
all_become_active() {
  local unit
  for unit in "${@:2}"; do
    eventually "$1" systemctl is-active -q "$unit" || die "$unit is $(property "$unit" ActiveState) after $1 s"
  done
}

# ready_before UNIT OTHER: whether it was active before the other one's process began, in this boot.
ready_before() {
  local ready began
  ready=$(property "$1" ActiveEnterTimestampMonotonic)
  began=$(property "$2" ExecMainStartTimestampMonotonic)
  ((0 < ready && ready <= began)) || die "$1 was ready at $ready us, $2 began at $began us"
  ok "$1 was ready $((ready / 1000)) ms, $2 began $((began / 1000)) ms after the kernel"
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
