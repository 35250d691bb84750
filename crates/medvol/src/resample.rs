//! Resampling along the axes of a grid.
//!
//! The old and the new grid share their centre, so that resampling commutes with flips and going
//! back uses the same formula. Upsampling is linear interpolation between voxel centres; beyond the
//! outermost centre the edge voxel goes on. Downsampling by a factor `r` averages that linear
//! interpolation over a window of `√(r² − 1)` input voxels: none at `r = 1`, where it begins, and
//! in general the blur (second moment) of averaging over the output voxel's footprint, so that
//! nothing is skipped. Either way the weights of an output voxel sum to 1, and a linear ramp stays
//! the same ramp away from the edges.
//!
//! A [`Resampling`] computes any block of the output alone, to the same bits as the whole: every
//! sum has its order from the taps.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, Zip, s};
use rayon::prelude::*;

/// Spacings closer than this (relative) are the same: such an axis is not resampled.
const SAME_SPACING: f64 = 1e-3;

/// Fewest output voxels that are worth a task of their own.
const VOXELS_PER_TASK: usize = 1 << 14;

/// The input voxels that one output voxel is a weighted sum of: `first`, `first + 1`, …
#[derive(Debug)]
pub(crate) struct Taps {
    /// The first input voxel.
    pub first: usize,
    /// Of the first, the second, …
    pub weights: Vec<f32>,
}

impl Taps {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

/// Whether two spacings count as the same.
fn same(from: f64, to: f64) -> bool {
    (to / from).ln().abs() <= SAME_SPACING
}

/// Number of voxels with spacing `to` that cover `size` voxels with spacing `from` best; at least
/// 1.
pub(crate) fn resampled_size(size: usize, from: f64, to: f64) -> usize {
    if same(from, to) {
        return size;
    }
    // A float beyond usize's range saturates.
    ((size as f64 * from / to).round() as usize).max(1)
}

/// A volume `[depth, height, width]` with spacing `from`, resampled to `shape` with spacing `to`
/// (both in mm, same axis order). Axes whose size and spacing already agree are left as they are.
pub fn resample(
    volume: ArrayView3<f32>,
    from: [f64; 3],
    to: [f64; 3],
    shape: [usize; 3],
) -> Array3<f32> {
    let size: [usize; 3] = volume.dim().into();
    if size.contains(&0) || shape.contains(&0) {
        return Array3::zeros(shape);
    }
    Resampling::new(size, from, shape, to).block(&whole(shape), |all| cut(volume, all))
}

/// All of a grid, as a block.
pub(crate) fn whole(shape: [usize; 3]) -> Block {
    shape.map(|size| 0..size)
}

/// A block of a volume, in standard layout.
pub(crate) fn cut(volume: ArrayView3<f32>, [k, j, i]: Block) -> Array3<f32> {
    volume.slice_move(s![k, j, i]).as_standard_layout().into_owned()
}

/// Voxels of a grid along depth, height and width.
pub(crate) type Block = [Range<usize>; 3];

/// The way from one grid to another that covers the same space.
#[derive(Debug)]
pub(crate) struct Resampling {
    /// What each output voxel along an axis is made of; `None` along an axis that is not
    /// resampled.
    taps: [Option<Vec<Taps>>; 3],
    /// Output voxels along each axis.
    shape: [usize; 3],
}

impl Resampling {
    /// From a grid of `size` voxels with spacing `from` to one of `shape` with spacing `to` (mm),
    /// none of them empty.
    pub fn new(size: [usize; 3], from: [f64; 3], shape: [usize; 3], to: [f64; 3]) -> Self {
        let axis = |axis: usize| {
            let unchanged = size[axis] == shape[axis] && same(from[axis], to[axis]);
            (!unchanged).then(|| taps(size[axis], shape[axis], to[axis] / from[axis]))
        };
        Self { taps: [0, 1, 2].map(axis), shape }
    }

    /// From a grid of `shape` to itself.
    pub fn none(shape: [usize; 3]) -> Self {
        Self { taps: [None, None, None], shape }
    }

    /// Shape of the output.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The input voxels along an axis that some output voxels, at least one, are made of.
    pub fn needs(&self, axis: usize, output: &Range<usize>) -> Range<usize> {
        match &self.taps[axis] {
            // Neither end of the taps ever goes back along the axis.
            Some(taps) => taps[output.start].first..taps[output.end - 1].end(),
            None => output.clone(),
        }
    }

    /// A block of the output. `input` gives a block of the input in standard layout.
    pub fn block(&self, block: &Block, input: impl FnOnce(Block) -> Array3<f32>) -> Array3<f32> {
        let needed = [0, 1, 2].map(|axis| self.needs(axis, &block[axis]));
        let starts = [0, 1, 2].map(|axis| needed[axis].start);
        let mut current = input(needed);
        for axis in 0..3 {
            if let Some(taps) = &self.taps[axis] {
                current = along_axis(&current, axis, &taps[block[axis].clone()], starts[axis]);
            }
        }
        current
    }

    /// Most bytes that [`Self::block`] holds at once for a block of this size, its input and output
    /// included.
    pub fn bytes(&self, block: &Block) -> u64 {
        let mut sizes = [0, 1, 2].map(|axis| self.needs(axis, &block[axis]).len() as u64);
        let voxels = |sizes: [u64; 3]| sizes.iter().product::<u64>();
        let mut most = voxels(sizes);
        for axis in (0..3).filter(|&axis| self.taps[axis].is_some()) {
            let before = voxels(sizes);
            sizes[axis] = block[axis].len() as u64;
            most = most.max(before + voxels(sizes));
        }
        4 * most
    }
}

/// Weights for `new_size` voxels that are `ratio` old voxels apart, centred on `size` old voxels.
fn taps(size: usize, new_size: usize, ratio: f64) -> Vec<Taps> {
    let window = (ratio * ratio - 1.0).max(0.0).sqrt();
    let reach = window / 2.0 + 1.0;
    let last = (size - 1) as f64;
    let inside = |place: f64| place.clamp(0.0, last) as usize;
    (0..new_size)
        .map(|index| {
            let centre = (index as f64 - (new_size - 1) as f64 / 2.0) * ratio + last / 2.0;
            let (first, end) =
                (inside((centre - reach).floor() + 1.0), inside((centre + reach).ceil() - 1.0));
            let weights: Vec<f64> = (first..=end)
                .map(|voxel| averaged_triangle(voxel as f64 - centre, window))
                .collect();
            let sum: f64 = weights.iter().sum();
            if sum == 0.0 {
                // More than one voxel outside: the edge voxel goes on.
                return Taps { first: inside(centre), weights: vec![1.0] };
            }
            // Beyond the edge nothing is counted: what is inside shares the whole weight.
            Taps { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
        })
        .collect()
}

/// The weight of linear interpolation at distance `x`, averaged over a window centred there.
fn averaged_triangle(x: f64, window: f64) -> f64 {
    if window < 1e-6 {
        return (1.0 - x.abs()).max(0.0);
    }
    let integral = |x: f64| {
        let x = x.clamp(-1.0, 1.0);
        x - x * x.abs() / 2.0
    };
    (integral(x + window / 2.0) - integral(x - window / 2.0)) / window
}

/// The volume with every row along `axis` replaced by the weighted sums that `taps` says; they
/// count from `start` before its first voxel.
pub(crate) fn along_axis(
    volume: &Array3<f32>,
    axis: usize,
    taps: &[Taps],
    start: usize,
) -> Array3<f32> {
    let mut shape = volume.raw_dim();
    let size = shape[axis];
    shape[axis] = taps.len();
    // Voxels of one row `[.., index, ..]` behind the axis lie side by side.
    let inner: usize = (axis + 1..3).map(|behind| shape[behind]).product();
    let input = volume.as_standard_layout();
    let input = input.as_slice().unwrap_or(&[]);
    let mut output = Array3::zeros(shape);
    let Some(rows) = output.as_slice_mut() else {
        return output;
    };
    rows.par_chunks_mut(inner).with_min_len(VOXELS_PER_TASK.div_ceil(inner)).enumerate().for_each(
        |(row, out)| {
            let (outer, index) = (row / taps.len(), row % taps.len());
            let Taps { first, weights } = &taps[index];
            for (tap, &weight) in weights.iter().enumerate() {
                let from = (outer * size + first + tap - start) * inner;
                for (sum, value) in out.iter_mut().zip(&input[from..from + inner]) {
                    *sum += weight * value;
                }
            }
        },
    );
    output
}

/// Of some classes the one with the highest score for each voxel, scores being computed one class
/// at a time so that only the best are held. The earlier class wins a tie.
pub(crate) fn best_class(
    classes: impl IntoIterator<Item = u8>,
    shape: [usize; 3],
    mut score: impl FnMut(u8) -> Array3<f32>,
) -> Array3<u8> {
    let mut best_score = Array3::from_elem(shape, f32::NEG_INFINITY);
    let mut best = Array3::zeros(shape);
    for class in classes {
        Zip::from(&mut best).and(&mut best_score).and(&score(class)).for_each(
            |best, best_score, &score| {
                if score > *best_score {
                    *best_score = score;
                    *best = class;
                }
            },
        );
    }
    best
}

/// Class indices resampled in a label-safe way: each class's indicator is resampled as an image,
/// and the largest wins.
pub fn resample_classes(
    classes: ArrayView3<u8>,
    from: [f64; 3],
    to: [f64; 3],
    shape: [usize; 3],
) -> Array3<u8> {
    if (0..3).all(|axis| classes.shape()[axis] == shape[axis] && same(from[axis], to[axis])) {
        return classes.as_standard_layout().into_owned();
    }
    let mut present = [false; 256];
    for &class in classes {
        present[usize::from(class)] = true;
    }
    best_class((0..=u8::MAX).filter(|&class| present[usize::from(class)]), shape, |class| {
        resample(classes.mapv(|c| f32::from(u8::from(c == class))).view(), from, to, shape)
    })
}
