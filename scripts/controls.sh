#!/usr/bin/env bash
# The controls of docs/RESULTS.md on one fold: random and human-designed networks with the recipe of the found one, for as many epochs as its
# search and training have together; the found one trained from scratch; and the relaxations with half of the search and a third of the training.
# Goes on where it was stopped; several processes at once share the runs, as one that somebody works on is left out.
#   RAYON_NUM_THREADS=1 scripts/controls.sh DATA/Task04_Hippocampus RUN_OF_A_SEARCH FOLD_OF_THAT_RUN [folder for the runs]
set -euo pipefail
data=${1:?give the folder of a task}
found=${2:?give the run folder of a search on it}
fold=${3:?give the fold that the search held out}
runs=${4:-runs/controls}
scnas=${SCNAS:-target/release/scnas}

run() { "$scnas" "$1" "$data" --preset default --fold "$fold" --set train.validate_every=10 "${@:2}" || echo "${*: -1}: not complete" >&2; }

for network in random:0 random:1 random:2 u-resnet u-resnet-half; do
  run train --arch "$network" --set train.epochs=60 --out "$runs/${network/:/-}"
done
run train --arch "$found" --set train.epochs=60 --out "$runs/retrain"
for relaxation in scnas full proxyless; do
  run search --set search.epochs=10 --set train.epochs=12 --set "search.relaxation=$relaxation" --out "$runs/relaxation-$relaxation"
done
"$scnas" compare "$found" "$runs"/{random-0,random-1,random-2,u-resnet,u-resnet-half,retrain}
"$scnas" compare "$runs"/relaxation-{scnas,full,proxyless}
