//! The grids of a network's levels: which axes are halved on the way to each, and along which
//! kernels reach beyond their own voxel.

use serde::{Deserialize, Serialize};

use crate::space::topology::DEPTH;

/// How often axes are halved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strides {
    /// All axes at every level (paper).
    #[default]
    Isotropic,
    /// Each axis as [`Grid::by_axis`] says.
    ByAxis,
}

/// The grids of all levels. Axes are `[depth, height, width]`. Level 0 is the patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct Grid {
    strides: [[usize; 3]; DEPTH],
    kernels: [[usize; 3]; DEPTH + 1],
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    /// From each level to the next: 1 or 2 along each axis.
    strides: [[usize; 3]; DEPTH],
    /// Extent of a 3³ kernel at each level: 1 or 3 along each axis.
    kernels: [[usize; 3]; DEPTH + 1],
}

/// Voxels of an axis that are always enough after it is halved.
const ENOUGH: usize = 8;

impl Grid {
    /// Every axis is halved at every level, and kernels are cubes.
    pub const ISOTROPIC: Self = Self { strides: [[2; 3]; DEPTH], kernels: [[3; 3]; DEPTH + 1] };

    /// The grids of a network for a patch in voxels with a spacing in mm, both of level 0.
    ///
    /// At every level an axis is *long* if it keeps 8 voxels when it is halved, or if it is at least
    /// half as long as the longest axis; and *fine* if its spacing there is less than twice that of
    /// the finest long axis, or was so at a level before. Axes that are long and fine are halved.
    /// Kernels have an extent of 3 along axes that are fine, and of 1 along the others. (The rule of
    /// nnU-Net, Isensee et al. 2021, but that a patch which is small in all its axes is halved in all
    /// of them, and that an axis which was too short for a while does not make the others coarse.)
    pub fn by_axis(patch: [usize; 3], spacing: [f64; 3]) -> Self {
        let (mut extents, mut spacing) = (patch, spacing);
        let (mut strides, mut kernels) = ([[1; 3]; DEPTH], [[1; 3]; DEPTH + 1]);
        let mut fine = [false; 3];
        for level in 0..=DEPTH {
            let longest = extents.into_iter().max().unwrap_or(0);
            let is_long = |axis: usize| extents[axis] / 2 >= ENOUGH || 2 * extents[axis] >= longest;
            let long = (0..3).filter(|&axis| is_long(axis));
            let finest = long.map(|axis| spacing[axis]).fold(f64::INFINITY, f64::min);
            fine = [0, 1, 2].map(|axis| fine[axis] || spacing[axis] < 2.0 * finest);
            kernels[level] = fine.map(|fine| if fine { 3 } else { 1 });
            if level < DEPTH {
                strides[level] = [0, 1, 2].map(|a| if is_long(a) && fine[a] { 2 } else { 1 });
                for axis in 0..3 {
                    extents[axis] = extents[axis].div_ceil(strides[level][axis]);
                    spacing[axis] *= strides[level][axis] as f64;
                }
            }
        }
        Self { strides, kernels }
    }

    /// Whether it is [`Self::ISOTROPIC`].
    pub fn is_isotropic(&self) -> bool {
        *self == Self::ISOTROPIC
    }

    /// From the level above to `level`, which is not the patch's: 1 or 2 along each axis.
    pub fn stride(&self, level: usize) -> [usize; 3] {
        self.strides[level - 1]
    }

    /// What is left at `level` of a kernel for voxels that are cubes.
    pub fn kernel(&self, level: usize, cube: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| cube[axis].min(self.kernels[level][axis]))
    }

    /// Voxels of the patch along each axis in one of `level`.
    pub fn factor(&self, level: usize) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.strides[..level].iter().map(|stride| stride[axis]).product())
    }

    /// What the extents of a patch must be multiples of.
    pub fn step(&self) -> [usize; 3] {
        self.factor(DEPTH)
    }

    /// Whether the extents of a patch are multiples of [`Self::step`].
    pub fn divides(&self, patch: [usize; 3]) -> bool {
        patch.iter().zip(self.step()).all(|(extent, step)| extent.is_multiple_of(step))
    }

    /// The extents of a patch at `level`.
    pub fn extents(&self, patch: [usize; 3], level: usize) -> [usize; 3] {
        let factor = self.factor(level);
        [0, 1, 2].map(|axis| patch[axis].div_ceil(factor[axis]))
    }

    /// The extents of a patch at every level, with those of kernels.
    pub fn text(&self, patch: [usize; 3]) -> String {
        let by = |[d, h, w]: [usize; 3]| format!("{d}×{h}×{w}");
        let level = |level| {
            format!("{} (kernel {})", by(self.extents(patch, level)), by(self.kernels[level]))
        };
        (0..=DEPTH).map(level).collect::<Vec<_>>().join(", ")
    }
}

impl Default for Grid {
    fn default() -> Self {
        Self::ISOTROPIC
    }
}

impl From<Grid> for Encoded {
    fn from(Grid { strides, kernels }: Grid) -> Self {
        Self { strides, kernels }
    }
}

impl TryFrom<Encoded> for Grid {
    type Error = String;

    fn try_from(Encoded { strides, kernels }: Encoded) -> Result<Self, String> {
        if !strides.iter().flatten().all(|n| [1, 2].contains(n)) {
            return Err(format!("expected strides of 1 or 2, found {strides:?}"));
        }
        if !kernels.iter().flatten().all(|n| [1, 3].contains(n)) {
            return Err(format!("expected kernels of 1 or 3, found {kernels:?}"));
        }
        Ok(Self { strides, kernels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strides(patch: [usize; 3], spacing: [f64; 3]) -> [[usize; 3]; DEPTH] {
        Grid::by_axis(patch, spacing).strides
    }

    #[test]
    fn patches_with_alike_axes_and_spacings_are_halved_along_all_of_them() {
        for patch in [[40, 56, 40], [64; 3], [128; 3], [32, 40, 48], [16; 3], [8; 3], [40, 64, 40]]
        {
            for spacing in [[1.0; 3], [1.5, 1.0, 1.0], [0.9, 0.5, 0.5]] {
                assert!(Grid::by_axis(patch, spacing).is_isotropic(), "{patch:?} {spacing:?}");
            }
        }
    }

    #[test]
    fn few_slices_are_not_halved_to_two() {
        // As fine as the other axes, but short: 32 voxels are halved to 8 and no further.
        assert_eq!(strides([32, 128, 128], [2.5, 1.5, 1.5]), [[2; 3], [2; 3], [1, 2, 2]]);
        // Coarse: halved once the others are as coarse.
        assert_eq!(strides([16, 256, 256], [3.0, 0.6, 0.6]), [[1, 2, 2], [1, 2, 2], [2; 3]]);
        assert_eq!(strides([16, 160, 160], [6.0, 0.5, 0.5]), [[1, 2, 2]; 3]);
        // Along any axis.
        assert_eq!(strides([256, 16, 256], [0.6, 3.0, 0.6]), [[2, 1, 2], [2, 1, 2], [2; 3]]);
        // Too short at first, in the way of nobody later.
        assert_eq!(strides([8, 24, 24], [0.9, 1.0, 1.0]), [[1, 2, 2], [2; 3], [2; 3]]);
        for slices in 8..=24 {
            let grid = Grid::by_axis([slices, 192, 192], [1.0; 3]);
            assert!(grid.extents([slices, 192, 192], DEPTH)[0] >= 8, "{slices}");
        }
    }

    #[test]
    fn kernels_are_flat_while_an_axis_is_coarse_and_stay_cubes_afterwards() {
        let grid = Grid::by_axis([16, 256, 256], [3.0, 0.6, 0.6]);
        assert_eq!(grid.kernels, [[1, 3, 3], [1, 3, 3], [3; 3], [3; 3]]);
        assert_eq!(grid.kernel(0, [3, 3, 1]), [1, 3, 1]);
        // The short axis ends finer than the others, which do not become coarse by that.
        assert_eq!(Grid::by_axis([8, 192, 192], [1.0; 3]).kernels, [[3; 3]; 4]);
    }

    #[test]
    fn axes_are_halved_only_where_kernels_reach_beyond_a_voxel_and_in_every_level_one_is() {
        let sizes = [1, 2, 5, 8, 12, 20, 24, 33, 48, 64, 128, 320];
        for d in sizes {
            for h in sizes {
                for mm in [0.2, 0.7, 1.0, 1.99, 2.0, 4.0, 9.0] {
                    let grid = Grid::by_axis([d, h, 64], [mm, 1.0, 0.8]);
                    for level in 1..=DEPTH {
                        let (stride, kernel) = (grid.stride(level), grid.kernels[level - 1]);
                        assert!(stride.contains(&2));
                        assert!((0..3).all(|axis| stride[axis] == 1 || kernel[axis] == 3));
                    }
                }
            }
        }
    }

    #[test]
    fn grids_are_read_back_and_impossible_ones_refused() {
        let grid = Grid::by_axis([16, 256, 256], [3.0, 0.6, 0.6]);
        let text = serde_json::to_string(&grid).unwrap();
        assert_eq!(serde_json::from_str::<Grid>(&text).unwrap(), grid);
        for bad in [text.replacen('2', "3", 1), text.replacen("[1,3", "[2,3", 1)] {
            assert!(serde_json::from_str::<Grid>(&bad).is_err(), "{bad}");
        }
        assert!(grid.divides([16, 256, 256]) && grid.divides([18, 8, 8]));
        assert!(!grid.divides([17, 256, 256]) && !grid.divides([16, 252, 256]));
    }
}
