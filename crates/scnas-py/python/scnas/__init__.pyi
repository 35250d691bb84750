"""Find and train a segmentation network for your own 3-D medical images.

Arrays are ``[x, y, z]``, or ``[channels, x, y, z]``, as nibabel has them; affines are 4×4 and map
voxels to millimetres in RAS+. Work is done in all cores while other threads of Python go on. Ctrl-C
stops it; a run saves first, and the same call goes on with it. What only deserves a look is a
warning of ``warnings``; what is wrong raises :class:`ScnasError`, in the command's words.
"""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

_Path = str | PathLike[str]

class ScnasError(Exception):
    """What went wrong, and what to do about it."""

class Stopped(ScnasError):
    """A run was stopped by its callback; the same call goes on with it."""

@final
class Model:
    """One trained network, or several whose mean is predicted."""

    @staticmethod
    def load(*paths: _Path, device: str = "cpu") -> Model:
        """Reads model.safetensors files, run folders, or folders of cross-validations."""
    @property
    def labels(self) -> dict[int, str]:
        """The names of the values in a prediction."""
    @property
    def channels(self) -> list[str]:
        """The channels that an image must have, in this order."""
    @property
    def spacing(self) -> list[float]:
        """Of the grid that the network works on, in mm along x, y, z."""
    @property
    def card(self) -> dict[str, Any]:
        """Architecture, plan and settings of prediction, as the model's file holds them."""
    def predict(
        self,
        array: ArrayLike,
        affine: ArrayLike,
        *,
        probabilities: bool = False,
        overlap: float | None = None,
        flips: bool | None = None,
    ) -> NDArray[Any]:
        """Labels ``uint16 [x, y, z]`` of an image, on its own grid.

        With ``probabilities``, those of all classes, ``float32 [classes, x, y, z]``. ``overlap`` of
        windows and ``flips`` (test-time augmentation) are the model's own unless they are given.
        """

def read(path: _Path, *, labels: bool = False) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Reads an image as ``float32``, or with ``labels`` a label map as ``uint16``, and its affine.

    NIfTI, NRRD, MetaImage, or a DICOM file or folder.
    """

def write(path: _Path, array: ArrayLike, affine: ArrayLike, *, like: _Path | None = None) -> None:
    """Writes an array in the format of the path's ending.

    Whole numbers and booleans become a label map, other numbers an image. What the header of the
    file ``like`` says of space is carried over word by word.
    """

def check(
    data: _Path,
    *,
    splits: _Path | None = None,
    geometry: str | None = None,
    fix: _Path | None = None,
) -> dict[str, Any]:
    """Everything that is wrong with a data set; a corrected copy in the folder ``fix``."""

def evaluate(
    predictions: _Path,
    references: _Path | None = None,
    *,
    data: _Path | None = None,
    geometry: str | None = None,
    tolerance: float = 1.0,
) -> dict[str, Any]:
    """Scores of label maps against reference maps, or the labels of ``data``, matched by name.

    ``tolerance`` is that of surface Dice, in mm.
    """

def search(
    data: _Path,
    out: _Path,
    *,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
) -> dict[str, Any]:
    """Searches a network, trains it and scores it on the held-out fold; returns result.json.

    ``settings`` are those of ``scnas config``, such as ``{"data.fold": 1, "train.epochs": 20}``.
    ``callback`` is called after every epoch with its line of log.jsonl, from another thread; if it
    returns ``False``, the run saves and raises :class:`Stopped`.
    """

def train(
    data: _Path,
    out: _Path,
    arch: str,
    *,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    distill: list[_Path] = ...,
    device: str = "cpu",
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
) -> dict[str, Any]:
    """Trains an architecture, such as ``"u-resnet-half"`` or a run folder; otherwise as search."""

def main() -> int:
    """Runs the command of ``sys.argv`` and returns its exit code."""
