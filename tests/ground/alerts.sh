#!/usr/bin/env bash
# Tries the alert rules against series of our own, with promtool of Debian's Prometheus, which is not installed: a
# Prometheus would run on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/tools
PROMTOOL=$TOOLS/prometheus/usr/bin/promtool

fetch() {
  local work
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  (cd "$work" && apt-get download -q -o APT::Sandbox::User=root prometheus >/dev/null)
  mkdir -p "$TOOLS/prometheus"
  dpkg-deb -x "$work"/prometheus_*.deb "$TOOLS/prometheus"
}

[[ -x $PROMTOOL ]] || fetch
cd packaging/monitoring
"$PROMTOOL" check rules alerts.yml
"$PROMTOOL" test rules alerts.test.yml
# Each rule has a test, and operations.md says what to do.
for alert in $(sed -n 's/^ *- alert: //p' alerts.yml); do
  grep -q "alertname: $alert$" alerts.test.yml || { echo "alerts: $alert is not tried" >&2; exit 1; }
  grep -q "\`$alert\`" ../../docs/operations.md || { echo "alerts: docs/operations.md does not tell of $alert" >&2; exit 1; }
done
