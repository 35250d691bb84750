//! Where each voxel of a patch comes from: flips, rotation, scaling and elastic deformation
//! composed, and one interpolation.

use std::ops::Range;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::interpolate::Grid;
use super::{Augmentation, Patch};
use crate::part::Part;

/// A smooth deformation: a cubic B-spline through random displacements on a coarse grid (Rueckert
/// et al. 1999).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elastic {
    /// No point moves further than this along an axis; most move about a fifth of it.
    pub displacement_mm: f64,
    /// Distance of the grid's points.
    pub spacing_mm: f64,
    /// Of the displacements.
    pub seed: u64,
}

/// Mirrors volumes `[.., depth, height, width]` of `shape`, flattened, along the chosen axes.
pub fn flip<T>(values: &mut [T], [depth, height, width]: [usize; 3], axes: [bool; 3]) {
    if values.is_empty() {
        return;
    }
    if axes[2] {
        values.chunks_exact_mut(width).for_each(<[T]>::reverse);
    }
    for (axis, count, run) in [(1, height, width), (0, depth, height * width)] {
        if !axes[axis] {
            continue;
        }
        for volume in values.chunks_exact_mut(count * run) {
            let (front, back) = volume.split_at_mut(count / 2 * run);
            front
                .chunks_exact_mut(run)
                .zip(back.rchunks_exact_mut(run))
                .for_each(|(a, b)| a.swap_with_slice(b));
        }
    }
}

impl Augmentation {
    /// The patch, every voxel of it interpolated.
    pub(super) fn resample(&self, part: &Part, corner: [isize; 3], patch: [usize; 3]) -> Patch {
        let [channels, held @ ..]: [usize; 4] = part.image.dim().into();
        let source = Grid::new(part.shape, part.start, held);
        let map = Map::new(self, part.spacing_mm, part.shape, corner, patch);
        let voxels = patch.iter().product::<usize>();
        let image = part.image.as_standard_layout();
        let image = image.as_slice().unwrap_or(&[]);
        let classes = part.classes.as_ref().map(|classes| classes.as_standard_layout());
        let classes = classes.as_ref().map(|classes| classes.as_slice().unwrap_or(&[]));

        let mut cut = Patch {
            image: vec![0.0; channels * voxels],
            classes: classes.map(|_| vec![0; voxels]),
        };
        let mut bent = map.bend.as_ref().map(Bend::rows);
        for (row, start) in (0..voxels).step_by(patch[2].max(1)).enumerate() {
            let (z, y) = (row / patch[1], row % patch[1]);
            if let Some(bent) = &mut bent {
                bent.go_to(z, y);
            }
            for x in 0..patch[2] {
                let place = source.place(map.source([z, y, x], bent.as_ref()));
                for channel in 0..channels {
                    cut.image[channel * voxels + start + x] =
                        place.value(&image[channel * source.len()..][..source.len()]);
                }
                if let (Some(out), Some(classes)) = (&mut cut.classes, classes) {
                    out[start + x] = place.class(classes);
                }
            }
        }
        cut
    }

    /// The box of a case that the voxels of a patch are interpolated from.
    pub(super) fn sources(
        &self,
        shape: [usize; 3],
        spacing_mm: [f64; 3],
        corner: [isize; 3],
        patch: [usize; 3],
    ) -> [Range<usize>; 3] {
        let places = Map::new(self, spacing_mm, shape, corner, patch).places(patch);
        [0, 1, 2].map(|axis| {
            let [low, high] = places[axis];
            // The voxels on either side of a place, and one more for what is lost in rounding. A
            // float beyond usize's range saturates.
            let inside = |index: f64| (index.max(0.0) as usize).min(shape[axis]);
            inside(low.floor() - 1.0)..inside(high.floor() + 3.0)
        })
    }
}

/// From a voxel of the patch to a place in the case, both in voxels.
struct Map {
    /// Centre of the patch, in the patch and in the case.
    from: [f32; 3],
    to: [f32; 3],
    matrix: [[f32; 3]; 3],
    bend: Option<Bend>,
}

impl Map {
    /// Nothing leaves a slice: along axes on which the case, of this shape, has one voxel, nothing
    /// but flips is done.
    fn new(
        augmentation: &Augmentation,
        spacing: [f64; 3],
        shape: [usize; 3],
        corner: [isize; 3],
        patch: [usize; 3],
    ) -> Self {
        let flat = shape.map(|size| size == 1);
        let from = patch.map(|size| (size as f64 - 1.0) / 2.0);
        let to = [0, 1, 2].map(|axis| corner[axis] as f64 + from[axis]);
        let turn = rotation([0, 1, 2].map(|axis| {
            let leaves = flat[(axis + 1) % 3] || flat[(axis + 2) % 3];
            if leaves { 0.0 } else { augmentation.rotation[axis] }
        }));
        // A voxel's offset is mirrored, taken to mm, turned, shrunk by the magnification, and taken
        // back.
        let matrix = [0, 1, 2].map(|row| {
            let scale = if flat[row] { 1.0 } else { augmentation.scale };
            [0, 1, 2].map(|column| {
                let sign = if augmentation.flip[column] { -1.0 } else { 1.0 };
                (sign * turn[row][column] * (spacing[column] / spacing[row]) / scale) as f32
            })
        });
        let bend = augmentation.elastic.map(|elastic| Bend::new(elastic, spacing, flat, patch));
        Self { from: from.map(|v| v as f32), to: to.map(|v| v as f32), matrix, bend }
    }

    /// The least and the greatest coordinate along each axis, in voxels, of the places in the case
    /// that the voxels of the patch come from; or somewhat beyond.
    fn places(&self, patch: [usize; 3]) -> [[f64; 2]; 3] {
        let moved = self.bend.as_ref().map_or([[0.0; 2]; 3], Bend::extremes);
        let offsets = [0, 1, 2].map(|axis| {
            let first = -f64::from(self.from[axis]);
            let last = first + patch[axis].saturating_sub(1) as f64;
            [first + moved[axis][0], last + moved[axis][1]]
        });
        [0, 1, 2].map(|row| {
            let terms = [0, 1, 2].map(|axis| {
                let ends = offsets[axis].map(|offset| f64::from(self.matrix[row][axis]) * offset);
                [ends[0].min(ends[1]), ends[0].max(ends[1])]
            });
            [0, 1].map(|end| f64::from(self.to[row]) + terms.iter().map(|t| t[end]).sum::<f64>())
        })
    }

    fn source(&self, voxel: [usize; 3], bent: Option<&BentRow>) -> [f32; 3] {
        let moved = bent.map_or([0.0; 3], |bent| bent.displacement(voxel[2]));
        let offset: [f32; 3] =
            std::array::from_fn(|axis| voxel[axis] as f32 - self.from[axis] + moved[axis]);
        std::array::from_fn(|row| {
            let [a, b, c] = self.matrix[row];
            self.to[row] + (a * offset[0] + b * offset[1] + c * offset[2])
        })
    }
}

/// The rotation by these angles about the depth, height and width axis, one after the other.
fn rotation(degrees: [f64; 3]) -> [[f64; 3]; 3] {
    let mut matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (axis, angle) in degrees.into_iter().enumerate() {
        let (sine, cosine) = angle.to_radians().sin_cos();
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        let (u, v) = (matrix[a], matrix[b]);
        matrix[a] = [0, 1, 2].map(|column| cosine * u[column] + sine * v[column]);
        matrix[b] = [0, 1, 2].map(|column| cosine * v[column] - sine * u[column]);
    }
    matrix
}

/// Displacements of control points, and how the patch's voxels lie among them.
struct Bend {
    /// `[depth, height, width]` of control points.
    points: [usize; 3],
    /// Of each control point along (depth, height, width), in voxels.
    displacements: Vec<[f32; 3]>,
    /// Per axis and voxel: the first of four control points, and their weights.
    taps: [Vec<(usize, [f32; 4])>; 3],
}

impl Bend {
    fn new(elastic: Elastic, spacing: [f64; 3], flat: [bool; 3], patch: [usize; 3]) -> Self {
        let taps = [0, 1, 2].map(|axis| {
            let taps = (0..patch[axis])
                .map(|voxel| spline(voxel as f64 * spacing[axis] / elastic.spacing_mm));
            taps.collect::<Vec<_>>()
        });
        let points = [0, 1, 2].map(|axis| taps[axis].last().map_or(0, |(first, _)| first + 4));
        let mut rng = ChaCha8Rng::seed_from_u64(elastic.seed);
        let displacements = (0..points.iter().product())
            .map(|_| {
                [0, 1, 2].map(|axis| {
                    let drawn = 2.0 * rng.random::<f64>() - 1.0;
                    let mm = if flat[axis] { 0.0 } else { elastic.displacement_mm };
                    (mm / spacing[axis] * drawn) as f32
                })
            })
            .collect();
        Self { points, displacements, taps }
    }

    /// The least and the greatest displacement along each axis: those between the control points are
    /// means of theirs.
    fn extremes(&self) -> [[f64; 2]; 3] {
        [0, 1, 2].map(|axis| {
            let moved = self.displacements.iter().map(|moved| f64::from(moved[axis]));
            moved.fold([0.0_f64; 2], |[low, high], moved| [low.min(moved), high.max(moved)])
        })
    }

    fn rows(&self) -> BentRow<'_> {
        BentRow { bend: self, slice: None, plane: Vec::new(), line: Vec::new() }
    }
}

/// The uniform cubic B-spline at `place`: the first of four control points and their weights, which
/// sum to 1.
fn spline(place: f64) -> (usize, [f32; 4]) {
    let (first, t) = (place.floor(), place - place.floor());
    let weights = [
        (1.0 - t).powi(3) / 6.0,
        (3.0 * t.powi(3) - 6.0 * t.powi(2) + 4.0) / 6.0,
        (-3.0 * t.powi(3) + 3.0 * t.powi(2) + 3.0 * t + 1.0) / 6.0,
        t.powi(3) / 6.0,
    ];
    (first as usize, weights.map(|w| w as f32))
}

/// Displacements along one row of the patch: the tensor product summed over depth, then height, and
/// width last.
struct BentRow<'a> {
    bend: &'a Bend,
    slice: Option<usize>,
    plane: Vec<[f32; 3]>,
    line: Vec<[f32; 3]>,
}

impl BentRow<'_> {
    fn go_to(&mut self, z: usize, y: usize) {
        let Bend { points: [_, height, width], displacements, taps } = self.bend;
        if self.slice != Some(z) {
            self.slice = Some(z);
            self.plane = weigh(displacements, &taps[0][z], height * width);
        }
        self.line = weigh(&self.plane, &taps[1][y], *width);
    }

    fn displacement(&self, x: usize) -> [f32; 3] {
        let (first, weights) = self.bend.taps[2][x];
        std::array::from_fn(|axis| {
            (0..4).map(|tap| weights[tap] * self.line[first + tap][axis]).sum()
        })
    }
}

/// Four neighbouring runs of `len` vectors, weighted and summed.
fn weigh(vectors: &[[f32; 3]], (first, weights): &(usize, [f32; 4]), len: usize) -> Vec<[f32; 3]> {
    let run = |tap: usize| &vectors[(first + tap) * len..][..len];
    let runs = [run(0), run(1), run(2), run(3)];
    (0..len)
        .map(|i| {
            std::array::from_fn(|axis| (0..4).map(|tap| weights[tap] * runs[tap][i][axis]).sum())
        })
        .collect()
}
