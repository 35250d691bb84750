"""The package against the command that it installs, and against numpy."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import scnas

TINY = {
    "network.width": 4,
    "data.patch": [16, 16, 16],
    "data.folds": 3,
    "train.epochs": 2,
    "train.patches": 1,
    "train.weights": {"lr": 0.003, "betas": [0.9, 0.999], "weight_decay": 0.0},
}


def command(*words, **options):
    """The command that stands beside this Python, or that SCNAS_COMMAND names."""
    program = os.environ.get("SCNAS_COMMAND", Path(sys.executable).with_name("scnas"))
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, **options)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Six labelled cases and a test image: an ellipsoid in noise, on an oblique grid."""
    root = tmp_path_factory.mktemp("task")
    random = np.random.default_rng(1)
    affine = np.diag([2.0, 2.0, 2.5, 1.0])
    affine[:3, 3] = [-20.0, 5.0, 3.0]
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (20, 22, 18)], indexing="ij"))
    cases = []
    for name in ["a", "b", "c", "d", "e", "f"]:
        centre = np.array([10, 11, 9]) + random.uniform(-2, 2, 3)
        inside = (((grid - centre[:, None, None, None]) / 5) ** 2).sum(0) < 1
        image = random.normal(0, 1, inside.shape) + 4 * inside
        for folder in ["imagesTr", "labelsTr", "imagesTs"]:
            (root / folder).mkdir(exist_ok=True)
        scnas.write(root / f"imagesTr/{name}.nii.gz", image.astype("float32"), affine)
        scnas.write(root / f"labelsTr/{name}.nii.gz", inside, affine)
        cases.append({"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"})
    scnas.write(root / "imagesTs/g.nii.gz", image.astype("float32"), affine)
    description = {
        "name": "made up",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "organ"},
        "training": cases,
        "test": ["imagesTs/g.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture(scope="session")
def run(data, tmp_path_factory):
    """A finished training, and the lines its callback heard."""
    folder, lines = tmp_path_factory.mktemp("runs") / "run", []
    result = scnas.train(data, folder, "conv3", settings=TINY, callback=lines.append)
    return folder, result, lines


def test_what_is_written_is_read_back(tmp_path):
    affine = np.array([[0, -1.5, 0, 4], [0.8, 0, 0, -2], [0, 0, 3, 1], [0, 0, 0, 1]])
    image = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype("float32")
    labels = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    for array, is_labels in [(image, False), (image[0], False), (labels, True)]:
        for ending in ["nii.gz", "nrrd", "mha"]:
            path = tmp_path / f"volume.{ending}"
            scnas.write(path, array, affine)
            again, place = scnas.read(path, labels=is_labels)
            assert again.dtype == ("uint16" if is_labels else "float32")
            np.testing.assert_array_equal(again, array)
            np.testing.assert_allclose(place, affine, atol=1e-5)


@pytest.mark.parametrize(
    ("array", "affine", "words"),
    [
        (np.zeros((4, 4)), np.eye(4), "shape"),
        (np.zeros((4, 4, 4)), np.eye(3), "affine"),
        (np.zeros((4, 4, 4)), np.zeros((4, 4)), "singular"),
        (np.full((4, 4, 4), np.nan), np.eye(4), "voxel"),
        (np.full((4, 4, 4), 1e300), np.eye(4), "voxel"),
        (np.full((4, 4, 4), -1), np.eye(4), "labels"),
        (np.full((4, 4, 4), 70000), np.eye(4), "labels"),
    ],
)
def test_arrays_that_are_no_volumes_are_refused(tmp_path, array, affine, words):
    path = tmp_path / "volume.nii.gz"
    with pytest.raises(ValueError, match=words):
        scnas.write(path, array, affine)
    assert not path.exists()


def test_a_prediction_of_an_array_is_the_commands_to_the_bit(data, run, tmp_path):
    folder, _, _ = run
    image = data / "imagesTs/g.nii.gz"
    done = command("predict", image, "--model", folder, "--out", tmp_path, "--probabilities")
    assert done.returncode == 0, done.stderr
    model = scnas.Model.load(folder)
    assert model.labels == {0: "background", 1: "organ"} and model.channels == ["MRI"]
    array, affine = scnas.read(image)
    expected, _ = scnas.read(tmp_path / "g.nii.gz", labels=True)
    for layout in [array, np.ascontiguousarray(array), array.astype("float64"), array[None]]:
        np.testing.assert_array_equal(model.predict(layout, affine), expected)
    (file,) = [path for path in tmp_path.rglob("*.nii.gz") if path.name != "g.nii.gz"]
    probabilities = model.predict(array, affine, probabilities=True)
    np.testing.assert_array_equal(probabilities, scnas.read(file)[0])
    with pytest.raises(scnas.ScnasError, match="channels"):
        model.predict(np.stack([array, array]), affine)
    with pytest.warns(UserWarning, match="array"):
        model.predict(np.zeros_like(array), affine)


def test_a_run_gives_its_result_and_a_callback_every_epoch(data, run, tmp_path):
    folder, result, lines = run
    assert result == json.loads((folder / "result.json").read_text())
    written = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines == written and [line["epoch"] for line in lines] == [0, 1]
    # Stopped after its first epoch, the same call goes on and ends with the same model.
    with pytest.raises(scnas.Stopped):
        scnas.train(data, tmp_path / "run", "conv3", settings=TINY, callback=lambda line: False)
    scnas.train(data, tmp_path / "run", "conv3", settings=TINY)
    model = "model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (folder / model).read_bytes()


def test_what_a_callback_raises_is_raised(data, tmp_path):
    with pytest.raises(ZeroDivisionError):
        scnas.train(data, tmp_path / "run", "conv3", settings=TINY, callback=lambda line: 1 / 0)


def test_scores_and_findings_are_those_of_the_command(data):
    labels = data / "labelsTr"
    scores = scnas.evaluate(labels, labels)
    assert scores["mean_foreground"]["mean"] == 1.0
    done = command("evaluate", labels, labels, "--json")
    assert json.loads(done.stdout)["cases"] == scores["cases"]
    done = command("check", data, "--json")
    assert json.loads(done.stdout)["findings"] == scnas.check(data)["findings"]


def test_errors_are_exceptions_in_the_commands_words(data, tmp_path):
    for call, words in [
        (lambda: scnas.Model.load(tmp_path / "nothing"), "nothing"),
        (lambda: scnas.read(tmp_path / "nothing.nii.gz"), "nothing.nii.gz"),
        (lambda: scnas.train(data, tmp_path / "run", "no-such"), "no-such"),
        (lambda: scnas.search(data, tmp_path / "run", settings={"train.epoch": 1}), "`epoch`"),
    ]:
        with pytest.raises(scnas.ScnasError, match=words):
            call()


def test_other_threads_go_on_and_ctrl_c_stops_the_work(data, tmp_path):
    # What is started in the background by a script ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ticks, over = [], threading.Event()

    def tick():
        while not over.wait(0.01):
            ticks.append(time.monotonic())

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    press = threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    long = {**TINY, "train.epochs": 100000, "train.validate_every": 0}
    with pytest.raises(KeyboardInterrupt):
        scnas.train(data, tmp_path / "run", "conv3", settings=long)
    over.set()
    clock.join()
    assert max(b - a for a, b in zip(ticks, ticks[1:])) < 1.0


def test_the_command_is_the_programs():
    done = command("--version")
    assert done.returncode == 0 and scnas.__version__ in done.stdout
    assert command("no-such-verb").returncode == 2
    assert command("check", "/no/such/folder").returncode == 1


def test_warnings_that_are_errors_end_the_work(run):
    folder, _, _ = run
    model = scnas.Model.load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            model.predict(np.zeros((20, 20, 20)), np.eye(4))
