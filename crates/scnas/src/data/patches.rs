//! Patches drawn from preprocessed cases.

use medvol::augment::{AugmentSettings, Augmentation};
use medvol::patch::{draw_corner, draw_corner_containing};
use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};

use crate::data::kept::KeptCase;
use crate::error::{CasesFault, Result};
use crate::learn::batch::Batch;
use crate::random::{Stream, epoch_and_case, rng};

/// The two halves of `cases` training cases: indices for Θ and for α (paper Algorithm 1), seeded.
pub fn halves(cases: usize, seed: u64, fold: usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..cases).collect();
    order.shuffle(&mut rng(seed, Stream::Halves, fold as u64));
    let architecture = order.split_off(cases.div_ceil(2));
    (order, architecture)
}

/// One patch to cut: a case, a corner, and how the patch is varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    case: usize,
    corner: [isize; 3],
    augmentation: Augmentation,
}

/// Where training patches come from.
#[derive(Clone, Copy, Debug)]
pub struct Patches<'a> {
    /// Preprocessed, with labels.
    pub cases: &'a [KeptCase],
    /// Size `[depth, height, width]` in voxels.
    pub patch: [usize; 3],
    /// Share of patches that contain a voxel of a foreground class.
    pub foreground: f64,
    /// How patches are varied, if they are.
    pub augment: Option<&'a AugmentSettings>,
    /// Seed of the random streams.
    pub seed: u64,
}

impl Patches<'_> {
    /// The patches of an epoch: one from each case in `members`, in random order. All is drawn
    /// before anything is cut, so that an epoch can be resumed in its middle. `places` is the
    /// stream of order and corners, `augmentations` that of what is done to them.
    ///
    /// # Errors
    /// Classes that cannot be read back from the disk.
    pub fn draw(
        &self,
        members: &[usize],
        epoch: usize,
        places: Stream,
        augmentations: Stream,
    ) -> Result<Vec<Draw>> {
        let mut random = rng(self.seed, places, epoch as u64);
        let mut order = members.to_vec();
        order.shuffle(&mut random);
        let draw = |case: usize| {
            let corner = self.corner(&self.cases[case], &mut random)?;
            let augmentation = self.augment.map_or_else(Augmentation::default, |settings| {
                let channels = self.cases[case].facts().channels;
                Augmentation::draw(
                    settings,
                    channels,
                    &mut rng(self.seed, augmentations, epoch_and_case(epoch, case)),
                )
            });
            Ok(Draw { case, corner, augmentation })
        };
        order.into_iter().map(draw).collect()
    }

    /// The patches of an epoch as [`draw`](Self::draw) has them, `batch` of them a step; the last
    /// step may have fewer.
    ///
    /// # Errors
    /// Those of [`draw`](Self::draw).
    pub fn steps(
        &self,
        members: &[usize],
        batch: usize,
        epoch: usize,
        places: Stream,
        augmentations: Stream,
    ) -> Result<Vec<Vec<Draw>>> {
        let draws = self.draw(members, epoch, places, augmentations)?;
        Ok(draws.chunks(batch).map(<[Draw]>::to_vec).collect())
    }

    fn corner(&self, case: &KeptCase, rng: &mut impl Rng) -> Result<[isize; 3]> {
        let shape = case.facts().shape;
        let forced = rng.random::<f64>() < self.foreground;
        let foreground = if forced { case.draw_foreground(rng)? } else { None };
        // Nothing can be learnt of a patch of nothing but ignored voxels.
        let voxel = match foreground {
            None => case.draw_known(rng)?,
            some => some,
        };
        Ok(match voxel {
            Some(voxel) => draw_corner_containing(voxel, shape, self.patch, rng),
            None => draw_corner(shape, self.patch, rng),
        })
    }

    /// Cuts and varies the patches of one step.
    ///
    /// # Errors
    /// [`CasesFault::NoLabels`] for a case without labels: it must not train as background; voxels
    /// that cannot be read back from the disk.
    pub fn batch(&self, draws: &[Draw]) -> Result<Batch> {
        let [d, h, w] = self.patch;
        let channels = draws.first().map_or(0, |draw| self.cases[draw.case].facts().channels);
        let mut batch = Batch {
            image: Vec::new(),
            shape: [draws.len(), channels, d, h, w],
            classes: Vec::new(),
        };
        for Draw { case, corner, augmentation } in draws {
            let case = &self.cases[*case];
            let cut = case.patch(augmentation, *corner, self.patch)?;
            batch.image.extend(cut.image);
            let name = &case.facts().name;
            let classes = cut.classes.ok_or_else(|| CasesFault::NoLabels { case: name.clone() });
            batch.classes.extend(classes?);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use medvol::phantom::phantom;
    use medvol::{ClassMap, Label, preprocess};

    #[test]
    fn a_case_without_labels_does_not_train_as_background() {
        let (image, labels) = phantom(1, 0, 3.0);
        let listed = [0, 1, 2].map(|value| Label { value, name: value.to_string() });
        let map = ClassMap::new(&listed);
        let case = |name: &str, labels| preprocess(name, &image, labels, &map, [3.0; 3], &[]);
        let cases = [case("labelled", Some(&labels)), case("bare", None)]
            .map(|case| KeptCase::from(case.unwrap()));
        let patches =
            Patches { cases: &cases, patch: [8; 3], foreground: 0.0, augment: None, seed: 0 };
        let draw = |members: &[usize]| {
            patches.draw(members, 0, Stream::TrainPatches, Stream::TrainAugmentation).unwrap()
        };
        assert!(patches.batch(&draw(&[0])).is_ok());
        let refused = patches.batch(&draw(&[0, 1]));
        assert!(
            matches!(refused, Err(Error::Cases(CasesFault::NoLabels { case })) if case == "bare")
        );
    }

    #[test]
    fn the_halves_are_disjoint_cover_all_cases_and_depend_on_seed_and_fold() {
        for n in [2, 3, 166] {
            let (a, b) = halves(n, 1, 0);
            let mut all: Vec<usize> = a.iter().chain(&b).copied().collect();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            assert!(a.len() - b.len() <= 1);
        }
        assert_ne!(halves(166, 1, 0), halves(166, 2, 0));
        assert_ne!(halves(166, 1, 0), halves(166, 1, 1));
    }
}
