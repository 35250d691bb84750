#!/usr/bin/env bash
# The five-fold table of docs/RESULTS.md: the found network beside random ones and the human-designed controls, each with the same recipe; what
# other weights and other relaxations give. What needs no search is trained for as many epochs as search and training have together. Every fold
# resumes where it was stopped; run it in several processes at once (one thread each is the most work done by two cores) and they share the folds.
#   RAYON_NUM_THREADS=1 scripts/cross_validation.sh DATA/Task04_Hippocampus [folder for the runs]
set -euo pipefail
data=${1:?give the folder of a task}
runs=${2:-runs/cross-validation}
scnas=${SCNAS:-target/release/scnas}

"$scnas" cross-validate "$data" --out "$runs/found"
for network in u-resnet-half u-resnet random:0 random:1 random:2; do
  "$scnas" cross-validate "$data" --out "$runs/${network/:/-}" --arch "$network" --set train.epochs=60
done
for then in inherit retrain; do
  "$scnas" cross-validate "$data" --out "$runs/$then" --set search.then=$then
done
for relaxation in full proxyless; do
  "$scnas" cross-validate "$data" --out "$runs/$relaxation" --set search.relaxation=$relaxation
done
"$scnas" compare "$runs"/*
