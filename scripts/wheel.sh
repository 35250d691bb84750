#!/usr/bin/env bash
# Builds the Python wheel and tests it in a fresh virtual environment, which needs python3 with venv.
# Usage: scripts/wheel.sh [FOLDER]      default: target/wheel
set -euo pipefail
cd "$(dirname "$0")/.."
folder="${1:-target/wheel}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"

python3 -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet 'maturin>=1.9,<2'
rm -f "$folder"/*.whl
"$folder/build/bin/maturin" build --release --locked --manifest-path crates/scnas-py/Cargo.toml --out "$folder"

rm -rf "$folder/fresh"
python3 -m venv "$folder/fresh"
"$folder/fresh/bin/pip" install --quiet pytest "$folder"/*.whl
"$folder/fresh/bin/python" -m pytest --quiet -p no:cacheprovider crates/scnas-py/tests
ls -l "$folder"/*.whl
