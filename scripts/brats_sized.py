"""Makes a data set of the size of BraTS from noise, in the layout of the Medical Segmentation Decathlon.

    python3 scripts/brats_sized.py FOLDER [CASES]

Each case has four channels of 240 x 240 x 155 voxels of 1 mm, noise everywhere, so that nothing is
cropped away, and three classes in nested balls, brighter than what surrounds them. Needs numpy.
"""

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy

SHAPE = (240, 240, 155)
CHANNELS = ["FLAIR", "T1w", "t1gd", "T2w"]
CLASSES = ["edema", "non-enhancing", "enhancing"]
RADII = [40.0, 25.0, 12.0]


def write(path, voxels, code, bits):
    """Writes voxels whose first axis is the fastest, as a compressed NIfTI-1 file."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    dim = [voxels.ndim, *voxels.shape] + [1] * (7 - voxels.ndim)
    struct.pack_into("<8h", header, 40, *dim)
    struct.pack_into("<2h", header, 70, code, bits)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    struct.pack_into("<B", header, 123, 2)  # millimetres
    struct.pack_into("<2h", header, 252, 0, 1)  # sform
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *[float(row == column) for column in range(4)])
    header[344:348] = b"n+1\0"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(bytes(header))
        file.write(voxels.tobytes(order="F"))


def case(number):
    """Image and label map of a case."""
    random = numpy.random.default_rng(number)
    centre = [size / 2 + random.uniform(-0.15, 0.15) * size for size in SHAPE]
    axes = numpy.ogrid[tuple(slice(size) for size in SHAPE)]
    distance = numpy.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(axes, centre)))
    labels = sum((distance < radius).astype(numpy.uint8) for radius in RADII)
    image = random.integers(1, 64, SHAPE + (len(CHANNELS),), dtype=numpy.int16)
    for channel in range(len(CHANNELS)):
        image[..., channel] += (12 + 4 * channel) * labels.astype(numpy.int16)
    return image, labels


def main():
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 484
    for name in ["imagesTr", "labelsTr"]:
        (folder / name).mkdir(parents=True)
    training = []
    for number in range(1, count + 1):
        name = f"noise_{number:03}.nii.gz"
        image, labels = case(number)
        write(folder / "imagesTr" / name, image, 4, 16)
        write(folder / "labelsTr" / name, labels, 2, 8)
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    description = {
        "name": "Noise",
        "tensorImageSize": "4D",
        "modality": {str(number): name for number, name in enumerate(CHANNELS)},
        "labels": {str(number): name for number, name in enumerate(["background"] + CLASSES)},
        "numTraining": count,
        "numTest": 0,
        "training": training,
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=1))


if __name__ == "__main__":
    main()
