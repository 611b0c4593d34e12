#!/usr/bin/env bash
# Writes packaging/monitoring/board.json with the Grafana Foundation SDK, in a Python environment of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# For Grafana 10.1 and later, which read the boards of earlier versions.
SDK='grafana-foundation-sdk==1769699998!10.1.0'
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/bootstash/board

if ! "$TOOLS/bin/python" -c 'import grafana_foundation_sdk' 2>/dev/null; then
  echo "board: installing $SDK into $TOOLS"
  python3 -m venv --clear "$TOOLS"
  "$TOOLS/bin/pip" install --quiet --disable-pip-version-check "$SDK"
fi
PYTHONDONTWRITEBYTECODE=1 "$TOOLS/bin/python" packaging/monitoring/board.py packaging/monitoring/board.json
echo 'board: written packaging/monitoring/board.json'
