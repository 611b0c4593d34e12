#!/usr/bin/env bash
# A real Prometheus reads a real registrar and two agents by TLS, as packaging/monitoring/prometheus.yml says. Each
# expression of the board and of the alert rules is parsed by promtool, names metrics that are served, and is answered;
# what is served is as promtool wants it, and the documents tell of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

BIN=${CARGO_TARGET_DIR:-target}/debug
DIR=$(mktemp -d)
STARTED=()

say() { printf 'monitoring: %s\n' "$*"; }
die() {
  say "$*" >&2
  exit 1
}

end() {
  local process
  for process in "${STARTED[@]}"; do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "$DIR"
}
trap end EXIT

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local left=$1 what=$2
  until "${@:3}" 2>/dev/null; do
    ((left-- > 0)) || die "$what: it took too long"
    sleep 1
  done
}

# The fleet ends when its standard input does.
start_fleet() {
  mkfifo "$DIR/hold"
  "$BIN/fleet" <"$DIR/hold" >"$DIR/fleet.json" 2>"$DIR/fleet.log" &
  STARTED+=($!)
  exec 8>"$DIR/hold"
  wait_for 300 'the fleet' test -s "$DIR/fleet.json"
}

fleet() { python3 -c 'import json,sys; print(eval("fleet" + sys.argv[2], {"fleet": json.load(open(sys.argv[1]))}))' "$DIR/fleet.json" "$1"; }

# As an operator does it.
join_as_monitor() {
  local socket token
  socket=$(fleet '["socket"]')
  token=$("$BIN/bootstash" --registrar-socket "$socket" monitor invite prometheus 2>/dev/null | awk '{ print $NF }')
  "$BIN/bootstash" --registrar-socket "$DIR/none" --identity "$DIR/identity" join "https://$(fleet '["registrar"]')" "$token"
}

# The example with the addresses and files of this test, and nothing else changed.
configure() {
  sed -e "s|storage:7430|$(fleet '["registrar"]')|" \
    -e "s|compute-1:7431|$(fleet '["agents"][0]')|; s|compute-2:7431|$(fleet '["agents"][1]')|" \
    -e "s|/etc/prometheus/bootstash/|$DIR/identity/|; s|30s|2s|" packaging/monitoring/prometheus.yml >"$DIR/prometheus.yml"
  cp packaging/monitoring/alerts.yml "$DIR/"
  promtool check config "$DIR/prometheus.yml"
}

start_prometheus() {
  PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  prometheus --config.file="$DIR/prometheus.yml" --storage.tsdb.path="$DIR/data" \
    --web.listen-address="127.0.0.1:$PORT" 2>"$DIR/prometheus.log" &
  STARTED+=($!)
  wait_for 60 'Prometheus' curl -sf "http://127.0.0.1:$PORT/-/ready" -o /dev/null
}

# scrape ADDRESS ACCEPT FILE: as the monitor; prints the media type. A certificate names its role, not an address.
scrape() {
  curl -sf --cacert "$DIR/identity/ca.pem" --cert "$DIR/identity/identity.pem" --key "$DIR/identity/identity.pem" \
    --connect-to "bootstash.internal:443:$1" -H "Accept: $2" -o "$3" -w '%{content_type}' https://bootstash.internal/metrics
}

# check_formats NAME ADDRESS
check_formats() {
  local type
  type=$(scrape "$2" 'application/openmetrics-text;version=1.0.0' "$DIR/$1.open")
  [[ $type == application/openmetrics-text* && $(tail -n 1 "$DIR/$1.open") == '# EOF' ]] || die "$1: no OpenMetrics: $type"
  type=$(scrape "$2" '*/*' "$DIR/$1.plain")
  [[ $type == 'text/plain; version=0.0.4'* ]] || die "$1: no 0.0.4: $type"
  promtool check metrics <"$DIR/$1.plain" || die "$1: promtool complains"
}

check_metrics() {
  check_formats registrar "$(fleet '["registrar"]')"
  check_formats agent "$(fleet '["agents"][0]')"
  python3 tests/ground/monitoring/check_docs.py "$DIR"/{registrar,agent}.plain
}

main() {
  start_fleet
  join_as_monitor
  check_metrics
  configure
  start_prometheus
  python3 tests/ground/monitoring/check_board.py packaging/monitoring/{board.json,alerts.yml} "http://127.0.0.1:$PORT"
}

main
