"""Judges images and label maps that a test has written, by the programs that know their formats.

    python judge_images.py FOLDER        # needs SimpleITK, nibabel, pynrrd and numpy

`FOLDER/written.json` lists `{"file", "shape", "affine", "voxels", "like"}`: shape (channels, depth, height, width), affine in RAS mm,
voxels in that order, and the image whose place (spacing, origin, directions) a label map must have in the eyes of each program, or null.
`segments` gives the names and values that a `.seg.nrrd` must list. Says what is wrong and exits with 1, or how much was right.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
judged = 0


def itk(path):
    """Voxels (channels, depth, height, width), affine in RAS."""
    image = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayFromImage(image)
    dimension = image.GetDimension()
    space = min(dimension, 3)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dimension, -1)[:space, :space]
    affine[:space, :space] = direction * np.array(image.GetSpacing()[:space])
    affine[:space, 3] = image.GetOrigin()[:space]
    if image.GetNumberOfComponentsPerPixel() > 1:
        voxels = np.moveaxis(voxels, -1, 0)
    elif dimension < 4:
        voxels = voxels[None]
    return (voxels[:, None] if voxels.ndim == 3 else voxels), LPS @ affine


def nibabel(path):
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).T
    return (voxels if voxels.ndim == 4 else voxels[None]), image.affine


def pynrrd(path):
    voxels, header = nrrd.read(str(path), index_order="C")
    directions = np.array([row for row in np.array(header["space directions"], float) if not np.isnan(row).any()])
    affine = np.eye(4)
    affine[:3, :3] = directions.T
    affine[:3, 3] = header["space origin"]
    return (voxels if voxels.ndim == 4 else voxels[None]), LPS @ affine


def judges(name):
    """Who knows a format."""
    if name.endswith((".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz")):
        return [nibabel, itk]
    if name.endswith(("nrrd", ".nhdr")):
        return [pynrrd, itk]
    return [itk]


def readable(judge, path):
    try:
        return judge(path)
    except Exception as error:
        return error


def same(found, wanted, what):
    assert np.allclose(found, wanted, rtol=1e-5, atol=1e-4), f"{what}: {found} instead of {wanted}"


def check(folder, entry):
    global judged
    path = folder / entry["file"]
    wanted = np.array(entry["voxels"], float).reshape(entry["shape"])
    told = False
    for judge in judges(path.name):
        like = readable(judge, entry["like"]) if entry["like"] else None
        if isinstance(like, Exception):
            # A program that cannot read the image cannot compare its mask.
            continue
        if like is None and judge is itk and entry["file"].startswith(("nifti2", "two")):
            continue
        voxels, affine = judge(path)
        same(voxels.astype(float), wanted, f"voxels of {path.name} by {judge.__name__}")
        same(affine, like[1] if like else np.array(entry["affine"]), f"affine of {path.name} by {judge.__name__}")
        judged += 1
        told = True
    assert told or entry.get("alone"), f"nobody has judged {path.name}"
    if "segments" in entry:
        header = nrrd.read_header(str(path))
        listed = {}
        while f"Segment{len(listed)}_Name" in header:
            n = len(listed)
            assert header[f"Segment{n}_Layer"] == "0"
            listed[header[f"Segment{n}_Name"]] = int(header[f"Segment{n}_LabelValue"])
        assert listed == entry["segments"], f"segments of {path.name}: {listed}"


def main():
    folder = Path(sys.argv[1])
    wrong = 0
    for entry in json.loads((folder / "written.json").read_text()):
        try:
            check(folder, entry)
        except Exception as error:
            wrong += 1
            print(f"{entry['file']}: {error}")
    print(f"{judged} readings right, {wrong} files wrong")
    sys.exit(1 if wrong else 0)


main()
