#!/usr/bin/env bash
# Builds and lints scnas with MPI and holds trainings and searches on several ranks to what docs/guide/ranks.md says, on a data set made up, all ranks on this machine.
#   apt-get install libopenmpi-dev openmpi-bin libclang-dev
#   scripts/mpi.sh [FOLDER]        the folder must be new; without one it is a temporary one
# A table at the end; ends with 1 where something does not hold. SCNAS names a program that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in mpicc mpirun python3; do
  command -v "$program" > /dev/null || { echo "$program: not found; expected libopenmpi-dev, openmpi-bin and python3" >&2; exit 1; }
done
scnas=${SCNAS:-}
if [ -z "$scnas" ]; then
  cargo build --release --locked --workspace --bin scnas --features scnas-cli/mpi
  # What the feature adds is linted nowhere else.
  cargo clippy --release --workspace --all-targets --locked --features scnas-cli/mpi -- -D warnings
  scnas=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/scnas
fi
work=${1:-$(mktemp -d)}
mkdir -p "$work"
[ $# -gt 0 ] || trap 'rm -rf "$work"' EXIT

# The demo's data appear when they are complete; the demo itself is not needed.
"$scnas" demo --out "$work/demo" --threads 1 > "$work/demo.txt" 2>&1 & demo=$!
until [ -d "$work/demo/data" ] || ! kill -0 $demo 2> /dev/null; do sleep 0.2; done
kill -9 $demo; wait $demo 2> /dev/null || true
data=$work/demo/data

small=(--threads 1 --set network.width=4 --set 'data.patch=[16, 16, 16]' --set 'data.spacing=[2.5, 2.5, 2.5]' --set data.folds=3 --set train.patches=1)
ranks() { # N, then a command of scnas
  local n=$1; shift
  if [ "$n" = 1 ]; then "$scnas" "$@"; else mpirun --oversubscribe --allow-run-as-root --bind-to none -n "$n" "$scnas" "$@"; fi
}
train() { # N, batch of a rank, epochs, folder, more
  ranks "$1" train "$data" --arch chain "${small[@]}" --set train.batch="$2" --set train.epochs="$3" --out "$work/$4" "${@:5}" > "$work/$4.txt" 2>&1
}
search() { # N, batch of a rank, folder, more
  local n=$1 batch=$2 out=$3; shift 3
  ranks "$n" search "$data" --strategy bi-level "${small[@]}" --set search.batch="$batch" --set train.batch="$batch" --set search.epochs=3 --set search.warmup_epochs=1 --set train.epochs=1 \
    "$@" --out "$work/$out" > "$work/$out.txt" 2>&1
}
failed=0
row() { printf '%-62s %s\n' "$1" "$2" >> "$work/table.txt"; }
holds() { # what, whether, with what
  if [ "$2" = 0 ]; then row "$1" "yes${3:+ ($3)}"; else row "$1" "NO${3:+ ($3)}"; failed=1; fi
}
same() { cmp -s "$work/$1/model.safetensors" "$work/$2/model.safetensors"; echo $?; }
apart() { # the largest difference between the losses of two runs, in so many epochs if not in all
  python3 - "$work/$1/log.jsonl" "$work/$2/log.jsonl" "${3:-1000}" << 'PYTHON'
import json, sys
lines = [[json.loads(line) for line in open(path)][:int(sys.argv[3])] for path in sys.argv[1:3]]
assert len(lines[0]) == len(lines[1]) > 0
both = [(a[key], b[key]) for a, b in zip(*lines) for key in ("loss", "alpha_loss") if a.get(key) is not None]
print(f"{max(abs(a - b) for a, b in both):.1e}")
PYTHON
}
within() { python3 -c "import sys; sys.exit(not float('$1') <= float('$2'))"; echo $?; }

train 1 4 3 one
train 2 2 3 two
train 4 1 3 four
train 4 1 3 four-again
train 1 4 3 control --set network.recompute=true
for run in two four; do
  d=$(apart one $run); holds "training, 1 rank of batch 4 and $run ranks: losses within 1e-3" "$(within "$d" 1e-3)" "$d"
done
row "the same, 1 rank with network.recompute, which rounds differently" "$(apart one control)"
holds "training on 4 ranks twice: the same bits" "$(same four four-again)"

for kind in alpha decide; do
  more=(); [ $kind = decide ] && more=(--set 'search.decide={ patches = 2, settle = 0.33 }')
  search 1 4 "$kind-one" "${more[@]}"
  search 4 1 "$kind-four" "${more[@]}"
  search 4 1 "$kind-again" "${more[@]}"
  # Two epochs, in the second of which all is decided: where hardly anything was seen, rounding decides an edge now and then.
  d=$(apart "$kind-one" "$kind-four" 2); holds "search ($kind), 1 rank of batch 4 and 4 ranks: losses within 1e-3" "$(within "$d" 1e-3)" "$d"
  row "  lines in which the two architectures differ" "$(diff <(python3 -m json.tool "$work/$kind-one/genotype.json") <(python3 -m json.tool "$work/$kind-four/genotype.json") | grep -c '^>' || true)"
  holds "search ($kind) on 4 ranks twice: the same bits" "$(same "$kind-four" "$kind-again")"
done

# A rank that dies, and one that is asked to stop.
train 4 1 8 whole
epochs() { cat "$work/$1/log.jsonl" 2> /dev/null | wc -l; }
train 4 1 8 killed & shell=$!
until [ "$(epochs killed)" -ge 3 ] || ! kill -0 $shell 2> /dev/null; do sleep 0.05; done
rank=$(pgrep -P "$(pgrep -P $shell -x mpirun)" -x scnas | tail -1)
start=$(date +%s.%N); kill -9 "$rank"
code=0; wait $shell || code=$?
took=$(python3 -c "import time; print(f'{time.time() - $start:.1f}')")
left=0; pgrep -f "^$scnas train .*$work/killed" > /dev/null && left=1
holds "kill -9 of a rank ends all within 30 s" "$(($(within "$took" 30) + (code == 0) + left))" "$took s, after $(epochs killed) epochs"
train 4 1 8 killed
holds "the same command goes on, to the same bits" "$(same whole killed)"

(exec mpirun --oversubscribe --allow-run-as-root --bind-to none -n 4 "$scnas" train "$data" --arch chain "${small[@]}" --set train.batch=1 --set train.epochs=8 \
  --out "$work/stopped" > "$work/stopped.txt" 2>&1) & mpirun=$!
until [ "$(epochs stopped)" -ge 3 ] || ! kill -0 $mpirun 2> /dev/null; do sleep 0.05; done
kill -USR1 $mpirun
code=0; wait $mpirun || code=$?
holds "SIGUSR1 to mpirun: all stop and the first saves" "$((code != 75))" "exit code $code, after $(epochs stopped) epochs"
ranks 2 train "$data" --arch chain "${small[@]}" --set train.batch=2 --set train.epochs=8 --out "$work/stopped" > "$work/stopped.txt" 2>&1
d=$(apart whole stopped); holds "2 ranks of batch 2 go on where 4 of batch 1 stopped: within 1e-3" "$(within "$d" 1e-3)" "$d"

code=0; start=$(date +%s.%N)
mpirun --oversubscribe --allow-run-as-root --bind-to none -n 1 "$scnas" train "$data" --arch chain "${small[@]}" --out "$work/error" : \
  -n 1 "$scnas" train "$work/nothing" --arch chain "${small[@]}" --out "$work/error" > "$work/error.txt" 2>&1 || code=$?
took=$(python3 -c "import time; print(f'{time.time() - $start:.1f}')")
grep -q "on rank 1" "$work/error.txt" && said=0 || said=1
holds "an error on one rank ends all within 30 s and is said" "$(($(within "$took" 30) + (code == 0) + said))" "$took s"

for n in 1 3; do ranks $n predict "$data" --threads 1 --model "$work/one" --out "$work/labels-$n" > "$work/predict-$n.txt" 2>&1; done
holds "prediction on 3 ranks: the label maps of 1" "$(diff -rq "$work/labels-1" "$work/labels-3" > /dev/null; echo $?)" "$(ls "$work/labels-3" | wc -l) images"

echo; cat "$work/table.txt"
echo "seconds of an epoch on 1, 2 and 4 ranks:" $(for run in one two four; do python3 -c "import json; print(round(min(json.loads(line)['seconds'] for line in open('$work/$run/log.jsonl')), 2))"; done)
exit $failed
