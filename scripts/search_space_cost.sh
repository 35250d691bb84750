#!/usr/bin/env bash
# What a search step costs with 4, 8 and 16 candidate operations an edge, as a Markdown table: nothing more with sampled pairs (scnas),
# in proportion with all of them (full, as in DARTS).
#   scripts/search_space_cost.sh [rounds]      default 5; the sizes take turns within a round
# The candidates are separable 3³ convolutions with dilation 1 to 4, one, two or four of each under different names: a sampled operation
# costs the same on average however many there are, so only their number differs. Temperature 1. SCNAS names the program, PATCH ("40 56 40")
# and WIDTH (16) the network.
set -euo pipefail
rounds=${1:-5}
scnas=${SCNAS:-$(dirname "$0")/../target/release/scnas}
patch=${PATCH:-40 56 40}
width=${WIDTH:-16}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

operations() { # number of candidates
    local list="" i
    for ((i = 0; i < $1; i++)); do
        list+="{ name = \"dil$((i % 4 + 1))-$((i / 4))\", kind = \"depthwise\", kernel = [3, 3, 3], dilation = $((i % 4 + 1)) }, "
    done
    echo "[${list%, }]"
}

measure() { # relaxation, number of candidates, repetitions: adds to the results
    # shellcheck disable=SC2086 # the patch is three words
    "$scnas" bench --size $patch --only search --repetitions "$3" --json --quiet --set network.width="$width" \
        --set search.tau='[1, 1]' --set search.relaxation="$1" --set network.operations="$(operations "$2")" >"$results/report"
    sed -n '/"seconds"/,/]/p' "$results/report" | grep -oE '[0-9]+\.[0-9e-]+' >>"$results/$1-$2"
    sed -nE 's/.*"peak_memory_mib": ([0-9]+).*/\1/p' "$results/report" >>"$results/$1-$2-memory"
}

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

echo "| relaxation | candidates | median s | against 4 | repetitions | peak MiB |"
echo "|---|---|---|---|---|---|"
for relaxation in scnas full; do
    # A step of full takes many times as long and always runs the same operations.
    repetitions=$([ $relaxation = scnas ] && echo 6 || echo 2)
    for ((round = 0; round < rounds; round++)); do
        for n in 4 8 16; do
            measure $relaxation $n "$repetitions"
        done
    done
    base=$(median "$results/$relaxation-4")
    for n in 4 8 16; do
        seconds=$(median "$results/$relaxation-$n")
        memory=$([ -s "$results/$relaxation-$n-memory" ] && sort -n "$results/$relaxation-$n-memory" | tail -1 || echo –)
        awk -v r=$relaxation -v n=$n -v s="$seconds" -v b="$base" -v c="$(wc -l <"$results/$relaxation-$n")" -v m="$memory" \
            'BEGIN { printf "| %s | %d | %.4f | %+.1f %% | %d | %s |\n", r, n, s, 100 * (s / b - 1), c, m }'
    done
done
