//! Sliding-window inference over a volume of any size: windows in a fixed order, their scores
//! summed up only as long as a window to come may touch them, and handed out where they are
//! finished, on the grid they are wanted on.
//!
//! Windows go along the width, then the height, then the depth. When a line of windows along the
//! width is done, a beam of voxels behind it is finished: resampled to the output grid it is a
//! *block*. What stays in memory is the overlap with the next layer of windows and one beam. Where
//! that is still too much, the width is done in several *strips*, one after the other: windows
//! across a border between two strips are then scored twice. Every voxel's sums have the same terms
//! in the same order, so the result is the same to the last bit for any number of strips.

use std::ops::Range;

use ndarray::{Array3, Zip};

use crate::geometry::Geometry;
use crate::resample::{Resampling, best_class};
use crate::stitch::{Blend, Rows, spread};
use crate::target::{Region, Target};

/// Where the windows of a volume lie and what becomes of their scores.
#[derive(Debug)]
pub struct Sliding {
    classes: usize,
    shape: [usize; 3],
    patch: [usize; 3],
    blend: Blend,
    /// Window corners along each axis.
    starts: [Vec<usize>; 3],
    /// From the windows' grid to the output's.
    output: Resampling,
    /// Output voxels along each axis that are finished with each window start.
    bands: [Vec<Range<usize>>; 3],
}

/// Finished voxels.
#[derive(Debug)]
pub struct Finished<'a> {
    /// Where they are on the output grid.
    pub block: [Range<usize>; 3],
    rows: &'a Rows,
    output: &'a Resampling,
}

impl Finished<'_> {
    /// Scores of a class, `[depth, height, width]` of the block.
    pub fn scores(&self, class: usize) -> Array3<f32> {
        self.output.block(&self.block, |needed| self.rows.means(class, needed))
    }

    /// The class of each voxel of the block: the one with the highest score, the lower class in a
    /// tie; or that of the last region that has a probability above the
    /// [threshold](Region::THRESHOLD). `each` sees the scores of every output.
    pub fn classes(
        &self,
        target: &Target,
        mut each: impl FnMut(usize, &Array3<f32>),
    ) -> Array3<u8> {
        let shape = [0, 1, 2].map(|axis| self.block[axis].len());
        if let Target::Regions(regions) = target {
            let mut classes = Array3::zeros(shape);
            for (output, region) in regions.iter().enumerate() {
                let scores = self.scores(output);
                each(output, &scores);
                Zip::from(&mut classes).and(&scores).for_each(|class, &score| {
                    if score > Region::THRESHOLD {
                        *class = region.written;
                    }
                });
            }
            return classes;
        }
        best_class((0..=u8::MAX).take(self.rows.classes()), shape, |class| {
            let scores = self.scores(class.into());
            each(class.into(), &scores);
            scores
        })
    }
}

/// A part of the output's width, and what it takes.
struct Strip {
    output: Range<usize>,
    /// Columns of the windows' grid that it is made of.
    columns: Range<usize>,
    /// Corners of the windows that touch these.
    starts: Vec<usize>,
}

impl Sliding {
    /// Windows of size `patch` over a grid of `shape`, both `[depth, height, width]` in voxels,
    /// placed by [`windows`](crate::stitch::windows). Scores are wanted on that grid.
    pub fn new(
        classes: usize,
        shape: [usize; 3],
        patch: [usize; 3],
        overlap: f64,
        blend: Blend,
    ) -> Self {
        Self::onto(Resampling::none(shape), classes, shape, patch, overlap, blend)
    }

    /// Windows over an image's preprocessed grid. Scores are wanted on the image's own voxels, as
    /// far as they lie in the crop.
    pub fn restoring(
        geometry: &Geometry,
        classes: usize,
        patch: [usize; 3],
        overlap: f64,
        blend: Blend,
    ) -> Self {
        Self::onto(geometry.way_back(), classes, geometry.grid_shape(), patch, overlap, blend)
    }

    fn onto(
        output: Resampling,
        classes: usize,
        shape: [usize; 3],
        patch: [usize; 3],
        overlap: f64,
        blend: Blend,
    ) -> Self {
        let starts = [0, 1, 2].map(|axis| spread(shape[axis], patch[axis], overlap));
        let bands = [0, 1, 2].map(|axis| bands(&output, axis, &starts[axis]));
        Self { classes, shape, patch, blend, starts, output, bands }
    }

    /// Windows to score if the width is done in so many strips.
    pub fn windows(&self, strips: usize) -> usize {
        self.starts[0].len()
            * self.starts[1].len()
            * self.strips(strips).iter().map(|strip| strip.starts.len()).sum::<usize>()
    }

    /// The largest number of strips, which takes the least memory.
    pub fn most_strips(&self) -> usize {
        self.starts[2].len()
    }

    /// Most bytes that are held at once with so many strips, without the window under way.
    pub fn bytes(&self, strips: usize) -> u64 {
        let strips = self.strips(strips);
        let columns = strips.iter().map(|strip| strip.columns.len()).max().unwrap_or(0);
        let longest = |bands: &[Range<usize>]| {
            bands.iter().max_by_key(|band| band.len()).cloned().unwrap_or(0..0)
        };
        let widest = strips
            .into_iter()
            .map(|strip| strip.output)
            .max_by_key(|output| output.len())
            .unwrap_or(0..0);
        let block = [longest(&self.bands[0]), longest(&self.bands[1]), widest];
        // Besides what resampling takes, the best class and its score (`best_class`).
        let picking = 5 * block.iter().map(|range| range.len() as u64).product::<u64>();
        let index = (self.shape[0] * self.shape[1] * size_of::<Option<Box<[f32]>>>()) as u64;
        index
            + self.most_rows() as u64 * Rows::row_bytes(self.classes, columns)
            + self.output.bytes(&block)
            + picking
    }

    /// Scores every window with `score` (corner to scores `[classes, patch depth, patch height,
    /// patch width]`, flattened) and hands every voxel of the output grid to `finished` once.
    /// The first window is at `[0; 3]`, whatever the number of strips.
    ///
    /// # Errors
    /// What `score` fails with.
    pub fn run<E>(
        &self,
        strips: usize,
        mut score: impl FnMut([usize; 3]) -> Result<Vec<f32>, E>,
        mut finished: impl FnMut(&Finished),
    ) -> Result<(), E> {
        let [depths, heights, _] = &self.starts;
        for strip in self.strips(strips) {
            let mut rows =
                Rows::new(self.classes, self.shape, strip.columns, self.patch, self.blend);
            for (layer, &z) in depths.iter().enumerate() {
                for (line, &y) in heights.iter().enumerate() {
                    for &x in &strip.starts {
                        rows.add([z, y, x], &score([z, y, x])?);
                    }
                    let block = [
                        self.bands[0][layer].clone(),
                        self.bands[1][line].clone(),
                        strip.output.clone(),
                    ];
                    if block.iter().all(|range| !range.is_empty()) {
                        finished(&Finished { block, rows: &rows, output: &self.output });
                    }
                    rows.drop(0..self.kept_from(0, layer + 1), 0..self.kept_from(1, line + 1));
                }
            }
        }
        Ok(())
    }

    /// The width, divided as evenly as the windows allow.
    fn strips(&self, count: usize) -> Vec<Strip> {
        let bands = &self.bands[2];
        let count = count.clamp(1, bands.len());
        let outputs = (0..count).map(|n| {
            bands[n * bands.len() / count].start..bands[(n + 1) * bands.len() / count - 1].end
        });
        let strip = |output: Range<usize>| {
            let columns = self.output.needs(2, &output);
            let touches =
                |start: usize| start < columns.end && start + self.patch[2] > columns.start;
            let starts = self.starts[2].iter().copied().filter(|&start| touches(start)).collect();
            Strip { output, columns, starts }
        };
        outputs.filter(|output| !output.is_empty()).map(strip).collect()
    }

    /// The first voxel of the windows' grid along an axis that windows from number `start` on, or
    /// what is finished with them, still need.
    fn kept_from(&self, axis: usize, start: usize) -> usize {
        let Some(&corner) = self.starts[axis].get(start) else { return self.shape[axis] };
        let first = self.bands[axis][start].start;
        if first == self.output.shape()[axis] {
            corner
        } else {
            self.output.needs(axis, &(first..first + 1)).start.min(corner)
        }
    }

    /// Most rows that are held at once.
    fn most_rows(&self) -> usize {
        let end = |axis: usize, start: usize| {
            (self.starts[axis][start] + self.patch[axis]).min(self.shape[axis])
        };
        let mut most = 0;
        for layer in 0..self.starts[0].len() {
            let (kept, next, end_z) =
                (self.kept_from(0, layer), self.kept_from(0, layer + 1), end(0, layer));
            let before =
                layer.checked_sub(1).map_or(0, |before| end(0, before)).saturating_sub(kept);
            for line in 0..self.starts[1].len() {
                let (done, end_y) = (self.kept_from(1, line), end(1, line));
                let rows = done * end_z.saturating_sub(next)
                    + (end_y - done) * (end_z - kept)
                    + (self.shape[1] - end_y) * before;
                most = most.max(rows);
            }
        }
        most
    }
}

/// The output voxels that are finished with each window start along an axis: those made of voxels
/// before the next start.
fn bands(output: &Resampling, axis: usize, starts: &[usize]) -> Vec<Range<usize>> {
    let size = output.shape()[axis];
    let mut first = 0;
    let band = |number: usize| {
        let end = match starts.get(number + 1) {
            Some(&next) => (first..size)
                .find(|&voxel| output.needs(axis, &(voxel..voxel + 1)).end > next)
                .unwrap_or(size),
            None => size,
        };
        std::mem::replace(&mut first, end)..end
    };
    (0..starts.len()).map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_rows_are_held_than_foretold(
            shape in prop::array::uniform3(1_usize..30),
            patch in prop::array::uniform3(1_usize..12),
            overlap in 0.0..0.9,
            strips in 1_usize..5,
        ) {
            let sliding = Sliding::new(1, shape, patch, overlap, Blend::Uniform);
            let (mut most, mut windows) = (0, 0);
            let ones = vec![1.0; patch.iter().product()];
            let score = |_| {
                windows += 1;
                Ok::<_, ()>(ones.clone())
            };
            sliding.run(strips, score, |finished| most = most.max(finished.rows.held())).unwrap();
            prop_assert_eq!(most, sliding.most_rows());
            prop_assert_eq!(windows, sliding.windows(strips));
        }
    }

    #[test]
    fn what_is_held_is_the_overlap_and_a_line_of_windows_and_strips_divide_it() {
        let sliding = Sliding::new(20, [600, 512, 512], [64; 3], 0.25, Blend::Gaussian);
        // Neighbouring windows are 44 or 45 voxels apart: they share up to 20.
        assert!(sliding.most_rows() <= 20 * 512 + 64 * 64, "{}", sliding.most_rows());
        assert_eq!((sliding.most_strips(), sliding.windows(1)), (11, 13 * 11 * 11));
        assert!(
            sliding.bytes(4) < sliding.bytes(1) / 3,
            "{} {}",
            sliding.bytes(4),
            sliding.bytes(1)
        );
        assert_eq!(sliding.windows(4), 13 * 11 * 14);
    }
}
