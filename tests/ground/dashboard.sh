#!/usr/bin/env bash
# Looks at the dashboard with a real Chromium; pictures go to the directory that is given, else to target/dashboard.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# Debian's own Python has Debian's selenium, whatever stands first in the search path.
PYTHONDONTWRITEBYTECODE=1 timeout 600 /usr/bin/python3 tests/ground/dashboard/look.py \
  "${CARGO_TARGET_DIR:-target}/debug/bootstash" "${1:-target/dashboard}"
