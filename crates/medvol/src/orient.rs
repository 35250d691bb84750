//! Canonical orientation: the axis permutation and flips that bring a grid closest to RAS+, without
//! touching a voxel's value.
//!
//! An oblique grid stays oblique: the rotation that remains is left in the affine.

use ndarray::{ArrayBase, ArrayView4, Axis, Ix3, RawData};

use crate::affine::{Affine, norm};

/// How a grid's axes map to the canonical ones (depth to the head, height to the front, width to
/// the right).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    /// For each canonical array axis (depth, height, width) the array axis it comes from.
    source: [usize; 3],
    /// Whether that axis runs the other way.
    flip: [bool; 3],
}

/// All permutations of three axes, the identity first, so that it wins a tie.
const PERMUTATIONS: [[usize; 3]; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Orientation {
    /// The orientation whose axes have the largest sum of cosines to the axes of space.
    pub fn of(affine: &Affine) -> Self {
        // cosine[canonical array axis][array axis]; array axis `a` is matrix column `2 - a`, and so
        // for rows.
        let cosine = [0, 1, 2].map(|canonical| {
            [0, 1, 2].map(|axis| {
                let step = affine.column(2 - axis);
                step[2 - canonical] / norm(step)
            })
        });
        let closeness = |p: &[usize; 3]| (0..3).map(|a| cosine[a][p[a]].abs()).sum::<f64>();
        let source = PERMUTATIONS.iter().fold(PERMUTATIONS[0], |best, candidate| {
            // Rounding must not decide a tie (a turn by 45°).
            if closeness(candidate) > closeness(&best) + 1e-9 { *candidate } else { best }
        });
        let flip = [0, 1, 2].map(|a| cosine[a][source[a]] < 0.0);
        Self { source, flip }
    }

    /// Where the axes i, j and k point, such as `RAS` (canonical) or `LPS`.
    pub fn code(&self) -> String {
        let names = [['S', 'I'], ['A', 'P'], ['R', 'L']];
        let mut code = [' '; 3];
        for axis in 0..3 {
            code[2 - self.source[axis]] = names[axis][usize::from(self.flip[axis])];
        }
        code.iter().collect()
    }

    /// Values given per array axis (such as a shape or a spacing), reordered to the canonical axes.
    pub fn canonical_axes<T: Copy>(&self, per_axis: [T; 3]) -> [T; 3] {
        self.source.map(|axis| per_axis[axis])
    }

    /// A volume `[depth, height, width]` in canonical orientation; its voxels stay where they are
    /// in memory.
    pub fn canonical<S: RawData>(&self, volume: ArrayBase<S, Ix3>) -> ArrayBase<S, Ix3> {
        let mut turned = volume.permuted_axes(self.source);
        for axis in 0..3 {
            if self.flip[axis] {
                turned.invert_axis(Axis(axis));
            }
        }
        turned
    }

    /// An image `[channels, depth, height, width]` in canonical orientation; a view, nothing is
    /// copied.
    pub fn canonical_channels<'a, T>(&self, image: ArrayView4<'a, T>) -> ArrayView4<'a, T> {
        let [a, b, c] = self.source;
        let mut view = image.permuted_axes([0, a + 1, b + 1, c + 1]);
        for axis in 0..3 {
            if self.flip[axis] {
                view.invert_axis(Axis(axis + 1));
            }
        }
        view
    }

    /// The affine of the canonical grid, for a grid of `shape` (depth, height, width) with
    /// `affine`.
    pub fn canonical_affine(&self, affine: &Affine, shape: [usize; 3]) -> Affine {
        // From canonical voxel to original voxel.
        let mut to_original = [[0.0; 4]; 4];
        to_original[3][3] = 1.0;
        for axis in 0..3 {
            let source = self.source[axis];
            let (row, column) = (2 - source, 2 - axis);
            if self.flip[axis] {
                to_original[row][column] = -1.0;
                to_original[row][3] = shape[source].saturating_sub(1) as f64;
            } else {
                to_original[row][column] = 1.0;
            }
        }
        affine.compose(&Affine(to_original))
    }
}

/// Spacing in mm along (depth, height, width) once the grid is in canonical orientation.
pub fn canonical_spacing(affine: &Affine) -> [f64; 3] {
    Orientation::of(affine).canonical_axes(affine.spacing())
}

/// The median, axis by axis, of spacings in canonical orientation; `None` of none.
pub fn median_spacing(spacings: impl IntoIterator<Item = [f64; 3]>) -> Option<[f64; 3]> {
    let spacings: Vec<[f64; 3]> = spacings.into_iter().collect();
    if spacings.is_empty() {
        return None;
    }
    let middle = spacings.len() / 2;
    Some([0, 1, 2].map(|axis| {
        let mut sorted: Vec<f64> = spacings.iter().map(|spacing| spacing[axis]).collect();
        sorted.sort_by(f64::total_cmp);
        if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        }
    }))
}
