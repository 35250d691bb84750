#!/usr/bin/env bash
# Measures scnas on a GPU in one go: what the card is, how fast each operation is beside a copy, and
# what an iteration of the search, a training step and a prediction take at three sizes, with their
# launches. Prints a table; everything else goes into a folder.
#   scripts/gpu.sh [DEVICE] [FOLDER]      by default gpu, gpu-rates
# The build takes some minutes more and is not counted; it needs nothing but Rust and the driver.
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-gpu}
out=${2:-gpu-rates}
feature=${device%%:*}
mkdir -p "$out"

echo "building with --features $feature" >&2
# One command: two would compile Burn twice, for other features.
cargo build --release --workspace --bin scnas --example rates \
    --features "scnas-cli/$feature,volops/$feature" 2>"$out/build.log"
scnas=target/release/scnas

"$scnas" devices | tee "$out/devices.txt"
if ! timeout 90 target/release/examples/rates "$device" >"$out/rates.txt"; then
    echo "rates: not done in 90 s, or failed" >>"$out/rates.txt"
fi
cat "$out/rates.txt"

# Patch, width, channels of the image; repetitions that fit into the time.
sizes=("40 56 40|16|1|20" "64 64 64|32|1|20" "128 128 128|32|4|5")
printf '\n%-22s%-10s%12s%12s%12s%14s\n' size part 'median s' 'minimum s' launches 'GB to move'
for size in "${sizes[@]}"; do
    IFS='|' read -r patch width channels repetitions <<<"$size"
    for part in search train predict; do
        log="$out/${patch// /x}-$part"
        # shellcheck disable=SC2086
        if timeout 22 "$scnas" --device "$device" --json bench --size $patch --channels "$channels" \
            --set "network.width=$width" --only "$part" --repetitions "$repetitions" \
            >"$log.json" 2>"$log.log"; then
            python3 - "$log.json" "$part" "$patch, width $width" <<'PYTHON'
import json, sys
path, part, size = sys.argv[1:]
timing = json.load(open(path))[part]
launches = timing.get("launches") or {"all": 0, "bytes": 0}
print(f"{size:22}{part:10}{timing['median_s']:12.4f}{timing['min_s']:12.4f}"
      f"{launches['all']:12.0f}{launches['bytes'] / 1e9:14.2f}")
PYTHON
        else
            printf '%-22s%-10s%12s\n' "$patch, width $width" "$part" "none in 22 s"
        fi
    done
done
