#!/usr/bin/env bash
# Writes for each program the list of what it is made of (SPDX 2.3, JSON): sbom.sh [OUT]   (default: target/sbom)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
OUT=${1:-target/sbom}
SBOM=$(tests/ground/cargo-tool.sh cargo-sbom 0.10.0)

mkdir -p "$OUT"
for program in bootstash bootstash-agent bootstash-registrar; do
  file=$OUT/$program.spdx.json
  "$SBOM" --cargo-package "$program" --output-format spdx_json_2_3 >"$file.new"
  # A list that lacks what every program of ours stands on is none.
  for crate in tokio rustls serde bootstash-base; do
    grep -q "\"name\": *\"$crate\"" "$file.new" || { echo "sbom: $file does not name $crate" >&2; exit 1; }
  done
  mv "$file.new" "$file"
  printf 'sbom: %s, %d packages\n' "$file" "$(grep -c '"SPDXID": *"SPDXRef-Package' "$file")"
done
