#!/usr/bin/env bash
# Does a network found on one task serve another? The second task is made of the first: every third slice, two channels, one class. The folds are
# the same, so the architecture was found without the held-out cases. Goes on where it stopped.
#   scripts/transfer.sh DATA/Task04_Hippocampus RUN_OF_A_SEARCH FOLD_OF_THAT_RUN [folder for the task and the runs]
set -euo pipefail
data=${1:?give the folder of a task}
found=${2:?give the run folder of a search on it}
fold=${3:?give the fold that the search held out}
runs=${4:-runs/transfer}
scnas=${SCNAS:-target/release/scnas}
second=$runs/second-task

[ -e "$second/dataset.json" ] || cargo run --quiet --release --example thick_slices -- "$data" "$second"
again() { "$scnas" "$1" "$second" --preset default --fold "$fold" "${@:2}"; }
again train --arch "$found" --out "$runs/transferred"
again search --out "$runs/searched"
again train --arch random:0 --out "$runs/random-0"
again train --arch random:1 --out "$runs/random-1"
again train --arch u-resnet-half --out "$runs/u-resnet-half"
"$scnas" compare "$runs"/{transferred,searched,random-0,random-1,u-resnet-half}
