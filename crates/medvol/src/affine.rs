//! The map from voxels to space. Spacing and orientation are always derived from it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Below this determinant of the normalised axes a matrix counts as singular.
const SINGULAR: f64 = 1e-6;

/// Spacings outside of these (mm) are mixed-up units, most likely.
pub(crate) const PLAUSIBLE_MM: RangeInclusive<f64> = 0.02..=20.0;

/// A 4×4 matrix, row by row, that maps the voxel `(i, j, k, 1)` (width, height, depth) to
/// millimetres in RAS+ (x to the patient's right, y to the front, z to the head). The last row is
/// `0 0 0 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine(pub [[f64; 4]; 4]);

impl Affine {
    /// Voxels of 1 mm along the axes of space, the first one at the origin.
    pub const IDENTITY: Self = Self([
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);

    /// A grid in canonical orientation with the given spacing in mm (depth, height, width), its
    /// first voxel at the origin.
    pub fn from_spacing(spacing_mm: [f64; 3]) -> Self {
        let mut matrix = Self::IDENTITY.0;
        for axis in 0..3 {
            matrix[axis][axis] = spacing_mm[2 - axis];
        }
        Self(matrix)
    }

    /// Distance between neighbouring voxels in mm along (depth, height, width).
    pub fn spacing(&self) -> [f64; 3] {
        [2, 1, 0].map(|column| norm(self.column(column)))
    }

    /// The place in mm of the voxel `[i, j, k]` (which may lie between voxels).
    pub fn apply(&self, ijk: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|row| {
            let m = &self.0[row];
            m[0] * ijk[0] + m[1] * ijk[1] + m[2] * ijk[2] + m[3]
        })
    }

    /// First `inner`, then `self`.
    pub fn compose(&self, inner: &Self) -> Self {
        let mut product = [[0.0; 4]; 4];
        for (row, out) in product.iter_mut().enumerate() {
            for (column, value) in out.iter_mut().enumerate() {
                *value = (0..4).map(|n| self.0[row][n] * inner.0[n][column]).sum();
            }
        }
        Self(product)
    }

    /// The map from mm to voxels, or `None` where the matrix is singular.
    pub fn inverse(&self) -> Option<Self> {
        if !self.is_invertible() {
            return None;
        }
        let (a, b, c) = (self.column(0), self.column(1), self.column(2));
        let determinant = dot(a, cross(b, c));
        let rows = [cross(b, c), cross(c, a), cross(a, b)].map(|row| row.map(|v| v / determinant));
        let origin = self.column(3);
        let mut inverse = Self::IDENTITY.0;
        for (out, row) in inverse.iter_mut().zip(rows) {
            out[..3].copy_from_slice(&row);
            out[3] = -dot(row, origin);
        }
        Some(Self(inverse))
    }

    /// Whether all entries are finite, the last row is `0 0 0 1` and the three axes span space.
    pub fn is_invertible(&self) -> bool {
        let finite = self.0.iter().flatten().all(|v| v.is_finite());
        if !finite || self.0[3] != [0.0, 0.0, 0.0, 1.0] {
            return false;
        }
        let [a, b, c] = [0, 1, 2].map(|column| {
            let axis = self.column(column);
            let length = norm(axis);
            axis.map(|v| v / length)
        });
        // NaN (an axis of length zero) compares false.
        dot(a, cross(b, c)).abs() > SINGULAR
    }

    /// The largest distance in mm between the places that two affines give to one voxel of a grid
    /// of `shape` (depth, height, width). It is reached at a corner.
    pub fn max_displacement(&self, other: &Self, shape: [usize; 3]) -> f64 {
        let last = shape.map(|n| n.saturating_sub(1) as f64);
        let mut largest = 0.0_f64;
        for corner in 0..8 {
            let pick =
                |bit: usize, axis: usize| if corner >> bit & 1 == 1 { last[axis] } else { 0.0 };
            let ijk = [pick(0, 2), pick(1, 1), pick(2, 0)];
            let (p, q) = (self.apply(ijk), other.apply(ijk));
            largest = largest.max(norm([p[0] - q[0], p[1] - q[1], p[2] - q[2]]));
        }
        largest
    }

    /// Whether two affines place every voxel of a grid of `shape` (depth, height, width) within
    /// `tolerance_mm`.
    pub fn approx_eq(&self, other: &Self, shape: [usize; 3], tolerance_mm: f64) -> bool {
        self.max_displacement(other, shape) <= tolerance_mm
    }

    /// The first three entries of a column: the step in mm along one voxel axis (0 = i, 1 = j, 2 =
    /// k), or the origin (3).
    pub fn column(&self, column: usize) -> [f64; 3] {
        [0, 1, 2].map(|row| self.0[row][column])
    }
}

pub(crate) fn norm(v: [f64; 3]) -> f64 {
    dot(v, v).sqrt()
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
