//! How a grid is cut into bricks, so that reading a patch reads little more than the patch.

use std::ops::Range;

/// Voxels along each side of a brick; those at the far ends of the grid are smaller. A patch of 64³
/// touches bricks of twice its volume. Smaller ones would save reading and cost more reads.
pub const SIDE: usize = 16;

/// A grid `[depth, height, width]` cut into bricks, one behind the other: along the width, then the
/// height, then the depth.
#[derive(Clone, Copy, Debug)]
pub struct Bricks {
    shape: [usize; 3],
}

/// A brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brick {
    /// Bricks before it.
    pub index: usize,
    /// Voxels of the bricks before it.
    pub before: usize,
    /// Where it lies in the grid.
    pub place: [Range<usize>; 3],
}

impl Brick {
    /// Voxels along each axis.
    pub fn size(&self) -> [usize; 3] {
        self.place.each_ref().map(|range| range.len())
    }

    /// Its voxels.
    pub fn voxels(&self) -> usize {
        self.size().iter().product()
    }
}

impl Bricks {
    /// Of a grid of this shape.
    pub fn of(shape: [usize; 3]) -> Self {
        Self { shape }
    }

    /// Number of bricks.
    pub fn count(self) -> usize {
        self.along_axes().iter().product()
    }

    fn along_axes(self) -> [usize; 3] {
        self.shape.map(|size| size.div_ceil(SIDE))
    }

    fn at(self, at: [usize; 3]) -> Brick {
        let ([_, rows, columns], [_, height, width]) = (self.along_axes(), self.shape);
        let place = [0, 1, 2].map(|axis| {
            let start = at[axis] * SIDE;
            start..(start + SIDE).min(self.shape[axis])
        });
        let [z, y, x] = &place;
        let before = z.start * height * width + z.len() * (y.start * width + y.len() * x.start);
        Brick { index: (at[0] * rows + at[1]) * columns + at[2], before, place }
    }

    /// All of them, in order, row by row along the width.
    pub fn rows(self) -> impl Iterator<Item = Vec<Brick>> {
        self.rows_of(&self.shape.map(|size| 0..size))
    }

    /// Those that hold voxels of a box, which is not empty, in rows along the width: the bricks of a
    /// row stand side by side.
    pub fn rows_of(self, wanted: &[Range<usize>; 3]) -> impl Iterator<Item = Vec<Brick>> + use<> {
        let [z, y, x] = wanted.each_ref().map(|range| range.start / SIDE..range.end.div_ceil(SIDE));
        z.flat_map(move |z| {
            let x = x.clone();
            y.clone().map(move |y| x.clone().map(|x| self.at([z, y, x])).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bricks_stand_one_behind_the_other_and_hold_every_voxel_once(
            shape in prop::array::uniform3(1_usize..70),
        ) {
            let bricks = Bricks::of(shape);
            let (mut index, mut before) = (0, 0);
            for brick in bricks.rows().flatten() {
                prop_assert_eq!((brick.index, brick.before), (index, before));
                (index, before) = (index + 1, before + brick.voxels());
            }
            prop_assert_eq!((index, before), (bricks.count(), shape.iter().product::<usize>()));
        }

        #[test]
        fn the_bricks_of_a_box_hold_it_and_each_has_a_voxel_of_it(
            shape in prop::array::uniform3(1_usize..70),
            ends in prop::array::uniform3((0.0_f64..1.0, 0.0_f64..1.0)),
        ) {
            let wanted = [0, 1, 2].map(|axis| {
                let (a, b) = ends[axis];
                let at = |part: f64| (part * shape[axis] as f64) as usize;
                at(a.min(b))..at(a.max(b)) + 1
            });
            let common = |brick: &Brick| -> usize {
                let along = |axis: usize| {
                    let (a, b) = (&brick.place[axis], &wanted[axis]);
                    a.end.min(b.end).saturating_sub(a.start.max(b.start))
                };
                (0..3).map(along).product()
            };
            let found: Vec<Brick> = Bricks::of(shape).rows_of(&wanted).flatten().collect();
            prop_assert!(found.iter().all(|brick| common(brick) > 0));
            let held: usize = found.iter().map(common).sum();
            prop_assert_eq!(held, wanted.iter().map(|range| range.len()).product::<usize>());
        }
    }
}
