#!/usr/bin/env bash
# What the mean of several models gives: predicts the held-out cases of a fold with each set of models, and compares the scores case by case. All
# models must have been trained without these cases.
#   scripts/ensemble.sh DATA/Task04_Hippocampus FOLDER RUN RUN [RUN…]    the first run alone, then with each further one
set -euo pipefail
data=${1:?give the folder of a task}
out=${2:?give a folder for predictions and scores}
scnas=${SCNAS:-target/release/scnas}
shift 2

mkdir -p "$out"
held_out=()
for prediction in "$1"/predictions/*.nii.gz; do
  held_out+=("$data/imagesTr/$(basename "$prediction")")
done
models=() scores=()
for run in "$@"; do
  models+=(--model "$run")
  name=mean-of-$((${#models[@]} / 2))
  "$scnas" predict "${held_out[@]}" "${models[@]}" --out "$out/$name"
  "$scnas" evaluate "$out/$name" --data "$data" --csv "$out/$name.csv"
  scores+=("$out/$name.csv")
done
"$scnas" compare "${scores[@]}"
