//! Where the classes of a label map lie, kept in little memory: enough to draw a foreground voxel
//! once one plane of the label map is at hand, and to see which classes are told apart by the side
//! they lie on.

use ndarray::{ArrayView2, ArrayView3, Axis};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::class_map::ClassMap;

/// The foreground classes of one label map, and its ignored voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassPlaces {
    /// Those that are there, in order; [`ClassMap::IGNORED`] is the last.
    classes: Vec<ClassPlace>,
}

/// Where one class lies, which has at least one voxel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ClassPlace {
    class: u8,
    /// Voxels in each plane, along the depth.
    planes: Vec<u32>,
    centre: [f64; 3],
    /// Standard deviation.
    spread: [f64; 3],
}

/// A voxel that was drawn: the `rank`-th of its class in a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnVoxel {
    /// Index of the plane along the depth.
    pub plane: usize,
    /// `None`: any that is not ignored.
    class: Option<u8>,
    rank: usize,
}

/// What is summed over the voxels of a class.
#[derive(Clone, Default)]
struct Sums {
    /// Voxels in each plane; empty until there is one.
    planes: Vec<u32>,
    /// Of their indices (depth, height, width).
    places: [f64; 3],
    squares: [f64; 3],
}

impl ClassPlaces {
    /// Of a label map `[depth, height, width]` of class indices; class 0 is the background.
    pub fn of(map: ArrayView3<u8>) -> Self {
        let depth = map.dim().0;
        let mut sums = vec![Sums::default(); 256];
        for (z, plane) in map.axis_iter(Axis(0)).enumerate() {
            for ((y, x), &class) in plane.indexed_iter().filter(|(_, class)| **class > 0) {
                let Sums { planes, places, squares } = &mut sums[usize::from(class)];
                if planes.is_empty() {
                    planes.resize(depth, 0);
                }
                planes[z] += 1;
                for (axis, place) in [z, y, x].into_iter().enumerate() {
                    places[axis] += place as f64;
                    squares[axis] += (place * place) as f64;
                }
            }
        }
        let place = |(class, Sums { planes, places, squares }): (u8, Sums)| {
            let count = planes.iter().map(|&voxels| f64::from(voxels)).sum::<f64>();
            let centre = places.map(|sum| sum / count);
            let spread = [0, 1, 2]
                .map(|axis| (squares[axis] / count - centre[axis].powi(2)).max(0.0).sqrt());
            (!planes.is_empty()).then_some(ClassPlace { class, planes, centre, spread })
        };
        Self { classes: (0..=u8::MAX).zip(sums).filter_map(place).collect() }
    }

    /// Draws a foreground voxel: first a class, uniformly from those that are present, then one of
    /// its voxels. Rare classes are so drawn as often as common ones. `None` if there is no
    /// foreground.
    pub fn draw(&self, rng: &mut impl Rng) -> Option<DrawnVoxel> {
        let classes = self.classes.len() - usize::from(self.ignored().is_some());
        if classes == 0 {
            return None;
        }
        let ClassPlace { class, planes, .. } = &self.classes[rng.random_range(0..classes)];
        let (plane, rank) = draw_from(planes.iter().map(|&voxels| voxels as usize), rng)?;
        Some(DrawnVoxel { plane, class: Some(*class), rank })
    }

    /// Draws a voxel that is not ignored, of a label map whose planes have so many voxels. `None`
    /// where no voxel is ignored, so that none need be avoided, or all are.
    pub fn draw_known(&self, voxels: usize, rng: &mut impl Rng) -> Option<DrawnVoxel> {
        let known = self.ignored()?.planes.iter();
        let known = known.map(|&ignored| voxels.saturating_sub(ignored as usize));
        let (plane, rank) = draw_from(known, rng)?;
        Some(DrawnVoxel { plane, class: None, rank })
    }

    fn ignored(&self) -> Option<&ClassPlace> {
        self.classes.last().filter(|place| place.class == ClassMap::IGNORED)
    }

    /// Voxels of a class.
    pub fn voxels(&self, class: usize) -> u64 {
        let place = self.classes.iter().find(|place| usize::from(place.class) == class);
        place.map_or(0, |place| place.planes.iter().copied().map(u64::from).sum())
    }

    /// Where a class lies: centre and standard deviation of its voxels' indices (depth, height,
    /// width). `None` where it has none.
    pub(crate) fn centre_and_spread(&self, class: usize) -> Option<([f64; 3], [f64; 3])> {
        let place = self.classes.iter().find(|place| usize::from(place.class) == class)?;
        Some((place.centre, place.spread))
    }
}

/// Draws one of the voxels of planes: its plane and its rank there. `None` of none.
fn draw_from(
    planes: impl Iterator<Item = usize> + Clone,
    rng: &mut impl Rng,
) -> Option<(usize, usize)> {
    let all: usize = planes.clone().sum();
    if all == 0 {
        return None;
    }
    let mut rank = rng.random_range(0..all);
    for (plane, voxels) in planes.enumerate() {
        match rank.checked_sub(voxels) {
            Some(behind) => rank = behind,
            None => return Some((plane, rank)),
        }
    }
    None
}

impl DrawnVoxel {
    /// Its index (depth, height, width), found in its plane `[height, width]` of the label map that
    /// it was drawn from; `None` in a plane of any other.
    pub fn find(&self, plane: ArrayView2<u8>) -> Option<[usize; 3]> {
        let wanted = |found: u8| match self.class {
            Some(class) => found == class,
            None => found != ClassMap::IGNORED,
        };
        let voxels = plane.indexed_iter().filter(|&(_, &found)| wanted(found));
        voxels.map(|((j, i), _)| [self.plane, j, i]).nth(self.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, s};
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    fn draw(classes: &Array3<u8>, rng: &mut ChaCha8Rng) -> Option<[usize; 3]> {
        let drawn = ClassPlaces::of(classes.view()).draw(rng)?;
        drawn.find(classes.index_axis(Axis(0), drawn.plane))
    }

    /// What is drawn with the whole label map at hand.
    fn draw_from_all(classes: &Array3<u8>, rng: &mut ChaCha8Rng) -> Option<[usize; 3]> {
        let mut counts = [0_usize; 256];
        classes.iter().for_each(|&class| counts[usize::from(class)] += 1);
        let present: Vec<u8> =
            (1..ClassMap::IGNORED).filter(|&class| counts[usize::from(class)] > 0).collect();
        if present.is_empty() {
            return None;
        }
        let class = present[rng.random_range(0..present.len())];
        let rank = rng.random_range(0..counts[usize::from(class)]);
        let voxels = classes.indexed_iter().filter(|&(_, &found)| found == class);
        voxels.map(|((k, j, i), _)| [k, j, i]).nth(rank)
    }

    proptest! {
        #[test]
        fn the_voxel_is_the_one_that_is_drawn_with_the_whole_label_map_at_hand(
            shape in prop::array::uniform3(1_usize..7),
            seed in any::<u64>(),
            values in prop::collection::vec(prop_oneof![4 => Just(0_u8), 1 => any::<u8>()], 216),
        ) {
            let mut values = values.into_iter().cycle();
            let classes = Array3::from_shape_simple_fn(shape, || values.next().unwrap());
            let [mut here, mut there] = [seed; 2].map(ChaCha8Rng::seed_from_u64);
            for _ in 0..8 {
                prop_assert_eq!(draw(&classes, &mut here), draw_from_all(&classes, &mut there));
            }
            prop_assert_eq!(here.random::<u64>(), there.random::<u64>(), "as many draws");
        }
    }

    #[test]
    fn a_rare_class_is_drawn_as_often_as_a_common_one() {
        let mut classes = Array3::<u8>::zeros((6, 7, 8));
        classes.slice_mut(s![1..5, .., ..]).fill(1);
        classes[[5, 6, 7]] = 9;
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let drawn: Vec<u8> =
            (0..1000).map(|_| classes[draw(&classes, &mut rng).unwrap()]).collect();
        let rare = drawn.iter().filter(|&&class| class == 9).count();
        assert!((430..570).contains(&rare), "{rare} of 1000");
        assert!(!drawn.contains(&0));
    }

    #[test]
    fn ignored_voxels_are_never_drawn() {
        let mut classes = Array3::from_elem((4, 4, 4), ClassMap::IGNORED);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let draw_known = |classes: &Array3<u8>, rng: &mut ChaCha8Rng| {
            let drawn = ClassPlaces::of(classes.view()).draw_known(16, rng)?;
            drawn.find(classes.index_axis(Axis(0), drawn.plane))
        };
        assert_eq!((draw(&classes, &mut rng), draw_known(&classes, &mut rng)), (None, None));
        classes[[1, 2, 3]] = 0;
        classes[[3, 0, 1]] = 2;
        let mut known = std::collections::BTreeSet::new();
        for _ in 0..100 {
            assert_eq!(draw(&classes, &mut rng), Some([3, 0, 1]));
            known.extend(draw_known(&classes, &mut rng));
        }
        assert_eq!(known, [[1, 2, 3], [3, 0, 1]].into());
        classes.fill(1);
        assert_eq!(draw_known(&classes, &mut rng), None);
    }

    #[test]
    fn a_label_map_without_foreground_has_no_foreground_voxel() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        assert_eq!(draw(&Array3::zeros((2, 2, 2)), &mut rng), None);
    }
}
