"""Judges networks that `scnas export` wrote by onnx's checker, onnxruntime and OpenVINO.

    python judge_onnx.py NET.onnx...                                # needs onnx, onnxruntime and openvino
    python judge_onnx.py NET.onnx --model MODEL [--repetitions 15] [--threads 2]

Beside each file lies the folder test_data_set_0 that `scnas export --sample` wrote. Logits must be those of scnas to 1e-4. Prints a Markdown
table of the largest differences, and exits with 1 where one is larger.

With --model, which is what NET.onnx was exported from, also prints the seconds that a window takes with each program, in turn: medians over three
rounds of --repetitions. The program is target/release/scnas unless SCNAS names another.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino

TOLERANCE = 1e-4
ROUNDS = 3
SCNAS = os.environ.get("SCNAS", str(Path(__file__).resolve().parent.parent / "target" / "release" / "scnas"))


def sample(file):
    """The window and its logits."""
    tensors = (onnx.load_tensor(str(file.parent / "test_data_set_0" / f"{part}_0.pb")) for part in ("input", "output"))
    return [onnx.numpy_helper.to_array(tensor) for tensor in tensors]


def runtimes(file, threads):
    """What makes logits of a window, by the name of the program."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(str(file), "CPU", hints)
    return {
        "onnxruntime": lambda x: session.run(None, {"image": x})[0],
        "OpenVINO": lambda x: compiled([x])[0],
    }


def differences(file, threads):
    """The largest logit and, by program, the largest difference; also in a batch of two, where that is free."""
    model = onnx.load(str(file))
    onnx.checker.check_model(model, full_check=True)
    window, logits = sample(file)
    batches = [(window, logits)]
    if model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        batches.append((np.concatenate([np.zeros_like(window) + 0.5 * window[..., ::-1], window]), logits))
    found = {}
    for name, run in runtimes(file, threads).items():
        found[name] = max(float(np.abs(run(x)[-1:] - y).max()) for x, y in batches)
    return float(np.abs(logits).max()), found


def seconds_here(run, window, repetitions):
    run(window)
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run(window)
        found.append(time.perf_counter() - start)
    return found


def seconds_of_scnas(model, window, outputs, repetitions, threads):
    """Those of `scnas bench` for the same architecture and window."""

    def said(*arguments):
        return json.loads(subprocess.run([SCNAS, *arguments, "--json", "--quiet"], stdout=subprocess.PIPE, check=True).stdout)

    width = said("show", model)["size"]["width"]
    _, channels, *patch = window.shape
    size = ["--size", *map(str, patch), "--channels", str(channels), "--classes", str(outputs), "--set", f"network.width={width}"]
    counts = ["--repetitions", str(repetitions), "--threads", str(threads)]
    return said("bench", *size, "--arch", model, "--only", "predict", *counts)["predict"]["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="NET.onnx")
    parser.add_argument("--model", help="also measure seconds, beside those of this model")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.model and len(args.files) > 1:
        parser.error("--model goes with one file")

    print("| network | largest logit | onnxruntime | OpenVINO |\n|---|---|---|---|")
    wrong = False
    for file in args.files:
        largest, found = differences(file, args.threads)
        wrong |= not all(difference <= TOLERANCE for difference in found.values())
        print(f"| {file.parent.name} | {largest:.2f} | " + " | ".join(f"{found[name]:.1e}" for name in found) + " |", flush=True)
    if wrong:
        sys.exit(f"expected differences of {TOLERANCE} at most")

    if args.model:
        window, logits = sample(args.files[0])
        programs = runtimes(args.files[0], args.threads)
        found = {name: [] for name in (*programs, "scnas")}
        for _ in range(ROUNDS):
            for name, run in programs.items():
                found[name] += seconds_here(run, window, args.repetitions)
            found["scnas"] += seconds_of_scnas(args.model, window, logits.shape[1], args.repetitions, args.threads)
        medians = {name: statistics.median(seconds) for name, seconds in found.items()}
        print("\n| program | seconds | beside scnas |\n|---|---|---|")
        for name, median in medians.items():
            print(f"| {name} | {median:.4f} | {median / medians['scnas']:.2f}× |")


main()
