#!/usr/bin/env bash
# The five-fold table of docs/RESULTS.md: the found network beside random ones and the human-designed controls, each with the same recipe; what
# other weights and other relaxations give. Every fold resumes where it was stopped; run it in several processes at once (one thread each is
# the most work done by two cores) and they share the folds.
#   RAYON_NUM_THREADS=1 scripts/cross_validation.sh DATA/Task04_Hippocampus [folder for the runs]
set -euo pipefail
data=${1:?give the folder of a task}
runs=${2:-runs/cross-validation}
scnas=${SCNAS:-target/release/scnas}

"$scnas" cross-validate "$data" --out "$runs/found"
"$scnas" cross-validate "$data" --out "$runs/u-resnet-half" --arch u-resnet-half
"$scnas" cross-validate "$data" --out "$runs/u-resnet" --arch u-resnet
for seed in 0 1 2; do
  "$scnas" cross-validate "$data" --out "$runs/random-$seed" --arch "random:$seed"
done
for then in inherit retrain; do
  "$scnas" cross-validate "$data" --out "$runs/$then" --set search.then=$then
done
for relaxation in full proxyless; do
  "$scnas" cross-validate "$data" --out "$runs/$relaxation" --set search.relaxation=$relaxation
done
"$scnas" compare "$runs"/*
