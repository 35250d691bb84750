#!/usr/bin/env python3
"""Judges a DICOM segmentation written by scnas with pydicom and highdicom. Run by a test of medvol:

    SCNAS_JUDGE_PYTHON=python3 cargo test --release -p medvol --test suite dicom:: -- --ignored

The arguments are the series (a folder or a file), the segmentation, and a JSON file with what it should hold: `shape` (depth, height,
width), `labels` (all voxels, width fastest), `names` (pairs of label value and name) and `affine` (RAS+, from (i, j, k)). Needs pydicom, highdicom
and numpy.
"""

import json
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom

# Attributes of type 1, which must be there and must not be empty.
REQUIRED = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality SeriesNumber InstanceNumber Manufacturer
ManufacturerModelName DeviceSerialNumber SoftwareVersions ContentDate ContentTime ContentLabel FrameOfReferenceUID ImageType
SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation LossyImageCompression
SegmentationType SegmentSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence NumberOfFrames
DimensionOrganizationSequence DimensionIndexSequence ReferencedSeriesSequence PixelData""".split()
OF_THE_PATIENT = "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyDate StudyID".split()


def check(condition, what):
    if not condition:
        sys.exit(f"judge_dicom: {what}")


def slices_of(series):
    files = sorted(series.iterdir()) if series.is_dir() else [series]
    return {d.SOPInstanceUID: d for d in map(pydicom.dcmread, files)}


def position_of(image, source):
    """The place of the frame that a source image item refers to."""
    if "PerFrameFunctionalGroupsSequence" not in image:
        return image.ImagePositionPatient
    frame = image.PerFrameFunctionalGroupsSequence[int(source.ReferencedFrameNumber) - 1]
    return frame.PlanePositionSequence[0].ImagePositionPatient


def main(series, path, expected):
    expected = json.loads(expected.read_text())
    labels = np.array(expected["labels"], dtype=np.uint16).reshape(expected["shape"])
    names = dict(expected["names"])
    images = slices_of(series)
    first = next(iter(images.values()))

    d = pydicom.dcmread(path)
    for keyword in REQUIRED:
        check(keyword in d and d[keyword].value not in (None, ""), f"{keyword} is missing or empty")
    for keyword in OF_THE_PATIENT:
        check(d[keyword].value == first[keyword].value, f"{keyword} is {d[keyword].value}, not {first[keyword].value}")
    check(d.SeriesInstanceUID != first.SeriesInstanceUID, "it is in the series of the image")
    frames = d.PerFrameFunctionalGroupsSequence
    check(len(frames) == d.NumberOfFrames, "frames and functional groups differ in number")
    referenced = {item.ReferencedSOPInstanceUID for item in d.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    check(referenced == set(images), "it does not refer to all instances of the series")
    for frame in frames:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        place = position_of(images[source.ReferencedSOPInstanceUID], source)
        here = frame.PlanePositionSequence[0].ImagePositionPatient
        check(np.allclose(np.array(here, float), np.array(place, float), atol=1e-6), f"a frame at {here} refers to an image at {place}")

    # By pydicom alone, frame by frame: bits, segments and places.
    segments = {int(s.SegmentNumber): str(s.SegmentLabel) for s in d.SegmentSequence}
    values = dict(zip(segments, names))
    check(list(segments.values()) == list(names.values()), f"segments are {segments}, not {names}")
    ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    to_voxel = np.linalg.inv(ras @ np.array(expected["affine"]))
    found = np.zeros_like(labels)
    pixels = d.pixel_array.reshape(-1, d.Rows, d.Columns)
    for bits, frame in zip(pixels, frames):
        place = np.array([*map(float, frame.PlanePositionSequence[0].ImagePositionPatient), 1.0])
        plane = int(round((to_voxel @ place)[2]))
        found[plane][bits == 1] = values[int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]
    check(np.array_equal(found, labels), "pydicom finds other labels")

    # By highdicom, as one volume.
    seg = highdicom.seg.segread(path)
    volume = seg.get_volume(combine_segments=True, relabel=False)
    affine = ras @ volume.affine[:, [2, 1, 0, 3]]
    array = volume.array
    if np.dot(affine[:3, 2], np.array(expected["affine"])[:3, 2]) < 0:
        affine[:, 3] += affine[:, 2] * (len(array) - 1)
        affine[:, 2] *= -1
        array = array[::-1]
    check(array.shape == labels.shape, f"highdicom finds shape {array.shape}")
    check(np.allclose(affine, expected["affine"], atol=1e-4), f"highdicom finds it at {affine}")
    by_number = np.zeros(max(segments) + 1, np.uint16)
    for number, value in values.items():
        by_number[number] = value
    check(np.array_equal(by_number[array], labels), "highdicom finds other labels")
    check(len(seg.get_source_image_uids()) >= 1, "highdicom finds no source images")


main(*map(Path, sys.argv[1:4]))
