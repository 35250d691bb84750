"""Predicts the label map of an image with a network that `scnas export` wrote. Needs numpy, scipy, nibabel and onnxruntime.

    python predict_onnx.py NET.onnx LABELS.nii.gz IMAGE.nii.gz...      # of several files each is a channel
"""

import itertools, json, sys
import nibabel, numpy as np, onnxruntime
from scipy import ndimage, special

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
recipe = json.loads(session.get_modelmeta().custom_metadata_map["scnas"])


def resample(volume, spacing, new_spacing, shape):
    """Linear interpolation on a grid of the same centre; going coarser, averaged over a window that blurs as a voxel does."""
    for axis, (size, new) in enumerate(zip(volume.shape, shape)):
        ratio = new_spacing[axis] / spacing[axis]
        if size != new or abs(np.log(ratio)) > 1e-3:
            centre = (np.arange(new) - (new - 1) / 2) * ratio + (size - 1) / 2
            x = np.arange(size) - (centre if ratio > 1 else np.clip(centre, 0, size - 1))[:, None]
            half = np.sqrt(max(ratio**2 - 1, 0)) / 2
            below, above = (np.clip(x + side, -1, 1) for side in (-half, half))
            averages = above - above * abs(above) / 2 - below + below * abs(below) / 2
            weights = averages / (2 * half) if ratio > 1 else np.maximum(1 - abs(x), 0)
            weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
            volume = np.moveaxis(np.tensordot(weights, volume, (1, axis)), 0, axis)
    return volume


def normalise(channel, v):
    scheme, s, v = channel["scheme"], channel.get("statistics"), v.astype(float)
    low, high, shift, unit = v.min(), v.max(), 0, 255 if scheme == "rgb" else 1
    if scheme == "ct" and s:
        low, high, shift, unit = s["low"], s["high"], s["mean"], s["deviation"]
    elif scheme in ("z-score", "rescale"):
        shift, unit = (v.mean(), v.std()) if scheme == "z-score" else (low, high - low)
    constant = unit <= (1e-6 * max(abs(low), abs(high)) if scheme in ("z-score", "ct") else 0)
    return (0 * v if constant else (np.clip(v, low, high) - shift) / unit).astype(np.float32)


def probabilities(window, axes):
    """Of the outputs in a window [channels, depth, height, width], seen mirrored along these axes."""
    logits = session.run(None, {"image": np.ascontiguousarray(np.flip(window, axes))[None]})[0][0]
    return np.flip(special.expit(logits) if recipe["regions"] else special.softmax(logits, axis=0), axes)


canonical = [nibabel.as_closest_canonical(nibabel.load(name)) for name in sys.argv[3:]]
image = np.concatenate([c.get_fdata(dtype=np.float32).reshape(*c.shape[:3], -1).T for c in canonical])
spacing, grid_spacing = nibabel.affines.voxel_sizes(canonical[0].affine)[::-1], recipe["spacing_mm"]
nothing = [-np.inf if channel["nothing"] is None else channel["nothing"] for channel in recipe["channels"]]
there = ((image != 0) & (image > np.reshape(nothing, (-1, 1, 1, 1)))).any(0)
crop = (ndimage.find_objects(there.astype(int)) or [tuple(map(slice, there.shape))])[0]
cropped = image[(slice(None), *crop)]
sizes = zip(cropped.shape[1:], spacing, grid_spacing, there.shape)
shape = [n if whole == 1 or abs(np.log(b / a)) <= 1e-3 else max(int(n * a / b + 0.5), 1) for n, a, b, whole in sizes]
grid = [normalise(c, resample(v, spacing, grid_spacing, shape)) for c, v in zip(recipe["channels"], cropped)]
window, outputs = recipe["window"], session.get_outputs()[0].shape[1]
grid = np.pad(grid, [(0, 0)] + [(0, max(w - n, 0)) for w, n in zip(window, shape)])
steps = [int(np.ceil(max(n - w, 0) / max(w * (1 - recipe["overlap"]), 1))) for n, w in zip(shape, window)]
starts = [[i * (n - w) // s for i in range(s + 1)] if s else [0] for n, w, s in zip(shape, window, steps)]
distances = [(np.arange(w) - (w - 1) / 2) / (w / 8) * (recipe["blend"] == "gaussian") for w in window]
weight = np.einsum("i,j,k->ijk", *(np.exp(-0.5 * d**2).astype(np.float32) for d in distances))
sums, total = np.zeros((outputs, *grid.shape[1:]), np.float32), np.zeros(grid.shape[1:], np.float32)
for corner in itertools.product(*starts):
    at = (slice(None), *(slice(start, start + w) for start, w in zip(corner, window)))
    sums[at] += weight * np.mean([probabilities(grid[at], axes) for axes in recipe["mirrorings"]], axis=0)
    total[at[1:]] += weight
means = [resample(mean[tuple(map(slice, shape))], grid_spacing, spacing, cropped.shape[1:]) for mean in sums / total]
classes = np.argmax(means, 0) * (not recipe["regions"])
for region, mean in zip(recipe["regions"] or [], means):
    classes[mean > recipe["threshold"]] = region["written"]
labels = np.pad(classes, [(box.start, n - box.stop) for box, n in zip(crop, there.shape)])
for kept in recipe["largest_component"]:
    parts, _ = ndimage.label(np.isin(labels, kept["classes"]))
    elsewhere = (parts > 0) & (parts != 1 + np.bincount(parts[parts > 0], minlength=2)[1:].argmax())
    labels[elsewhere] = np.searchsorted(kept["classes"], labels[elsewhere]).choose(kept["become_classes"])
labels = np.array([label["value"] for label in recipe["labels"]], np.uint16)[labels]
original, space = nibabel.load(sys.argv[3]), nibabel.orientations
turn = space.ornt_transform(space.io_orientation(canonical[0].affine), space.io_orientation(original.affine))
nibabel.save(nibabel.Nifti1Image(space.apply_orientation(labels.T, turn), original.affine), sys.argv[2])
