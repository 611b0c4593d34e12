# shellcheck shell=bash
# Stands for OpenNebula's tm_common.sh, and scripts_common.sh which that reads: the functions that a transfer driver calls,
# with what they promise to it. Logs go to standard error, as oned reads them; what runs on a host comes by standard input.
export PATH=/bin:/sbin:/usr/bin:$PATH
SSH=${SSH:-ssh}
SCRIPT_NAME=$(basename -- "$0")

log() { echo "INFO: $SCRIPT_NAME: $1" >&2; }
log_error() { echo "ERROR: $SCRIPT_NAME: $1" >&2; }
error_message() { echo "$1" >&2; }
arg_host() { echo "${1%%:*}"; }
arg_path() { echo "${1#*:}" | sed -E 's:/+:/:g; s:/$::'; }
is_yes() { [[ $1 =~ ^(yes|YES|true|TRUE)$ ]]; }

# on_host HOST SCRIPT...
on_host() { $SSH "$1" bash -s <<<"set -e; ${*:2}" || exit; }
ssh_make_path() { on_host "$1" "mkdir -p '$2'"; }
enable_local_monitoring() { on_host "$1" "echo '$3' >'$(dirname "$2")/.monitor'"; }
disable_local_monitoring() { on_host "$1" "rm -f '$(dirname "$2")/.monitor'"; }
