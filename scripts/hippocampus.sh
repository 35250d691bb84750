#!/usr/bin/env bash
# One fold of five held out (docs/records/2026-11-24-zen4-one-fold): the found network, a random one for as many epochs, and the three
# ways to give the found architecture its weights. Every step resumes where it was stopped.
#   scripts/hippocampus.sh DATA/Task04_Hippocampus [folder for the runs]
set -euo pipefail
data=${1:?give the folder of Task04_Hippocampus}
runs=${2:-runs/hippocampus}
scnas=${SCNAS:-target/release/scnas}

"$scnas" search "$data" --out "$runs/found"
"$scnas" train "$data" --arch random:0 --set train.epochs=60 --out "$runs/random-0"
"$scnas" train "$data" --from "$runs/found" --init inherit --out "$runs/inherit"
"$scnas" train "$data" --from "$runs/found" --init scratch --out "$runs/retrain"
"$scnas" compare "$runs/found" "$runs/inherit" "$runs/retrain" "$runs/random-0"
