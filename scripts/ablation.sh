#!/usr/bin/env bash
# What each part of the training recipe gives: one architecture trained from scratch for a few epochs, with one setting changed at a time, on one
# fold. Every line resumes where it was stopped; several processes at once share the lines, as a line somebody works on is left out.
#   RAYON_NUM_THREADS=1 scripts/ablation.sh DATA/Task04_Hippocampus RUN_OR_GENOTYPE [folder for the runs] [epochs] [fold]
set -euo pipefail
data=${1:?give the folder of a task}
arch=${2:?give an architecture, such as the run folder of a search}
runs=${3:-runs/ablation}
epochs=${4:-12}
fold=${5:-0}
scnas=${SCNAS:-target/release/scnas}

line() {
  local name=$1
  shift
  "$scnas" train "$data" --preset default --arch "$arch" --fold "$fold" --set "train.epochs=$epochs" --out "$runs/$name" "${@/#/--set=}" || echo "$name: not complete" >&2
}

line as-it-is
line no-augmentation train.augment=false
line elastic 'augment.elastic={ probability = 0.2, displacement_mm = [0.0, 6.0], spacing_mm = 16.0 }'
line no-average train.ema=0
line not-mirrored predict.flips=false
line deep-supervision train.deep_supervision=true
line drop-path train.drop_path=0.1
line dice-only train.loss=dice
line foreground-0 data.foreground=0
line foreground-1 data.foreground=1
line batch-2 train.batch=2
line warm-up train.warmup_epochs=2
line poly train.schedule=poly
line no-weight-decay 'train.weights={ lr = 0.003, betas = [0.9, 0.999], weight_decay = 0.0 }'
line learning-rate-0.001 'train.weights={ lr = 0.001, betas = [0.9, 0.999], weight_decay = 0.01 }'
"$scnas" compare "$runs/as-it-is" $(ls -d "$runs"/* | grep -v '/as-it-is$')
