//! The channels of volumes one after the other, in one launch.

use cubecl::prelude::*;

use super::{Buffer, UNITS, cubes, item, row};

/// The channels of `parts`, each with its number of channels, for `batch` entries of `voxels` each.
pub fn concat(parts: &[(Buffer, usize)], batch: usize, voxels: usize) -> Buffer {
    let channels: usize = parts.iter().map(|(_, channels)| channels).sum();
    let out = parts[0].0.empty(batch * channels * voxels);
    // SAFETY: every channel of the result is one of a part, and the kernel stays within it.
    unsafe {
        concat_kernel::launch_unchecked(
            out.client(),
            cubes(voxels, UNITS, batch * channels),
            CubeDim::new_1d(UNITS),
            parts.iter().map(|(part, _)| part.arg()).collect(),
            parts.iter().map(|&(_, channels)| channels).collect(),
            out.arg(),
            channels,
            voxels,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn concat_kernel(
    parts: Sequence<&'static [f32]>,
    sizes: Sequence<usize>,
    out: &mut [f32],
    channels: usize,
    voxels: usize,
) {
    let place = item();
    if place >= voxels {
        terminate!();
    }
    let (entry, channel) = (row() / channels, row() % channels);
    let mut first = 0usize;
    #[unroll]
    for i in 0..parts.len() {
        let size = sizes[i];
        if channel >= first && channel < first + size {
            out[row() * voxels + place] =
                parts[i][(entry * size + channel - first) * voxels + place];
        }
        first += size;
    }
}
