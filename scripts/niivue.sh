#!/usr/bin/env bash
# Makes the viewer that `scnas view` serves from the npm package of NiiVue: its UMD file without what only Zarr files need, compressed.
#
#   scripts/niivue.sh
#
# Needs npm, python3 and gzip. Another version: change VERSION and SHA256, and look at the licences of what it bundles
# (crates/scnas/src/report/view/niivue/LICENCES.txt).
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.69.0
SHA256=47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af
OUT=$PWD/crates/scnas/src/report/view/niivue/niivue.umd.js.gz

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
npm pack --silent "@niivue/niivue@$VERSION"
tar xzf "niivue-niivue-$VERSION.tgz" package/dist/niivue.umd.js
cd package/dist
echo "$SHA256  niivue.umd.js" | sha256sum --check --quiet

# Three decompressors of Zarr, WebAssembly as text, are more than half of the file. scnas serves NIfTI.
python3 - <<'PYTHON'
import re

with open("niivue.umd.js", encoding="utf-8") as file:
    text = file.read()
text, count = re.subn(r'(?<=\w\(")AGFzbQ[A-Za-z0-9+/=]{1000,}(?="\))', "", text)
assert count == 3, f"expected 3 WebAssembly modules, found {count}"
with open("niivue.umd.js", "w", encoding="utf-8") as file:
    file.write(text)
PYTHON
gzip -9 --no-name --stdout niivue.umd.js > "$OUT"
ls -l "$OUT"
