"""Judges the event files of a run by TensorBoard's own reader.

    python judge_events.py RUN        # needs tensorboard

Every number of RUN/log.jsonl that has a tag must be in RUN/tensorboard, at its epoch, to six digits. Says what is wrong and exits with 1, or
how many were right.
"""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "loss": "loss",
    "mean_dice": "dice",
    "learning_rate": "learning_rate",
    "seconds": "seconds",
    "alpha_loss": "alpha_loss",
    "tau": "tau",
    "entropy": "entropy",
    "zero": "zero",
    "identity": "identity",
    "pool": "pool",
}

run = Path(sys.argv[1])
events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
events.Reload()
lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
classes = [label["name"] for label in json.loads((run / "plan.json").read_text())["labels"][1:]]

expected = {}
for line in lines:
    values = {tag: line.get(key) for key, tag in TAGS.items()}
    values |= {f"dice/{name}": dice for name, dice in zip(classes, line["dice"] or [])}
    for tag, value in values.items():
        if value is not None:
            expected.setdefault(f"{line['phase']}/{tag}", []).append((line["epoch"], value))

if set(expected) != set(events.Tags()["scalars"]):
    sys.exit(f"expected the tags {sorted(expected)}, found {sorted(events.Tags()['scalars'])}")
for tag, values in expected.items():
    found = [(event.step, event.value) for event in events.Scalars(tag)]
    close = all(a == b and abs(x - y) <= 1e-6 * max(1.0, abs(y)) for (a, x), (b, y) in zip(found, values))
    if len(found) != len(values) or not close:
        sys.exit(f"{tag}: expected {values}, found {found}")
print(sum(map(len, expected.values())), "values")
