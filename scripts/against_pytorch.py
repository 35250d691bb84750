#!/usr/bin/env python3
"""Sets scnas beside the same work in PyTorch (pytorch_peer.py), one after the other in turn, and prints a Markdown table.

    cargo build --release
    python scripts/against_pytorch.py                   # all cases, three rounds
    python scripts/against_pytorch.py search-40 --rounds 5
    python scripts/against_pytorch.py --layout channels-first    # PyTorch as it lays out tensors by itself

Run it with a Python that has PyTorch. The program is target/release/scnas unless SCNAS names another. Both sides get the same sizes, the
same number of threads and, for predictions, the same architecture (random:0 of the paper's space); the search is the paper's (soft Dice,
transposed upsampling) at temperature 1. Seconds are medians over all repetitions of all rounds, memory is the most of any round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCNAS = os.environ.get("SCNAS", str(HERE.parent / "target" / "release" / "scnas"))

# Name: part, patch, width, repetitions in a round.
CASES = {
    "search-40": ("search", [40, 56, 40], 16, 7),
    "search-64": ("search", [64, 64, 64], 32, 4),
    "predict-64": ("predict", [64, 64, 64], 32, 7),
}


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed with code {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout)


def commands(part, patch, width, repetitions, threads, layout, genotype):
    """What measures one round: scnas, PyTorch."""
    size = ["--size", *map(str, patch)]
    common = ["--repetitions", str(repetitions), "--threads", str(threads)]
    scnas = [SCNAS, "bench", *size, "--preset", "paper", "--set", f"network.width={width}", "--set", "search.tau=[1, 1]"]
    scnas += ["--arch", genotype, "--only", part, *common, "--json", "--quiet"]
    peer = [sys.executable, str(HERE / "pytorch_peer.py"), part, *size, "--width", str(width), "--genotype", genotype, *common]
    peer += ["--layout", layout]
    return scnas, peer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--layout", choices=["channels-last", "channels-first"], default="channels-last", help="of PyTorch's tensors")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}: expected one of {', '.join(CASES)}")

    shown = run([SCNAS, "show", "random:0", "--preset", "paper", "--json"])
    with tempfile.TemporaryDirectory() as folder:
        genotype = str(Path(folder) / "genotype.json")
        Path(genotype).write_text(json.dumps(shown["genotype"]), encoding="utf-8")
        print("| | patch | width | scnas s | PyTorch s | ratio | scnas MiB | PyTorch MiB | ratio |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in args.cases or CASES:
            part, patch, width, repetitions = CASES[name]
            both = commands(part, patch, width, repetitions, args.threads, args.layout, genotype)
            reports = [[run(command) for command in both] for _ in range(args.rounds)]
            seconds = [statistics.median(s for report in side for s in report[part]["seconds"]) for side in zip(*reports)]
            cells = [part, "×".join(map(str, patch)), str(width), *(f"{s:.3f}" for s in seconds), f"{seconds[1] / seconds[0]:.1f}×"]
            memory = [max(report.get("peak_memory_mib", 0) for report in side) for side in zip(*reports)]
            # Only Linux tells scnas its peak.
            if memory[0]:
                cells += [*(f"{m:.0f}" for m in memory), f"{memory[1] / memory[0]:.1f}×"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
