//! Counting voxels: what overlap and volume are made of.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView3, Zip};

use super::ShapeMismatch;

/// What is scored of two label maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structures {
    /// The label values of each structure, each once. A value may be in several structures.
    pub values: Vec<Vec<u16>>,
    /// Voxels whose reference has this value are left out.
    pub ignore: Option<u16>,
}

impl Structures {
    /// Every label by itself.
    pub fn labels(labels: &[u16]) -> Self {
        Self { values: labels.iter().map(|&label| vec![label]).collect(), ignore: None }
    }
}

/// The Dice coefficient `2 |P ∩ R| / (|P| + |R|)` of one label, see [`dice_per_structure`].
///
/// # Errors
/// [`ShapeMismatch`] of maps on different grids.
pub fn dice(
    prediction: ArrayView3<u16>,
    reference: ArrayView3<u16>,
    label: u16,
) -> Result<Option<f64>, ShapeMismatch> {
    Ok(dice_per_structure(prediction, reference, &Structures::labels(&[label]))?[0])
}

/// The Dice coefficient of each structure, in their order, from one pass over two maps `[depth,
/// height, width]`.
///
/// `None` is a structure in neither map: not scored, by the [module's rule](super).
///
/// # Errors
/// [`ShapeMismatch`] of maps on different grids.
pub fn dice_per_structure(
    prediction: ArrayView3<u16>,
    reference: ArrayView3<u16>,
    scored: &Structures,
) -> Result<Vec<Option<f64>>, ShapeMismatch> {
    Ok(find(prediction, reference, scored)?.iter().map(|found| found.counts.dice()).collect())
}

/// Voxels of one structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    prediction: u64,
    reference: u64,
    both: u64,
}

impl Counts {
    /// The same reference with another prediction (1 inside), both masks in a box that holds all of
    /// them.
    pub fn with_prediction(&self, prediction: ArrayView3<u8>, reference: ArrayView3<bool>) -> Self {
        let inside = || prediction.iter().zip(reference).filter(|(p, _)| **p == 1);
        Self {
            prediction: inside().count() as u64,
            both: inside().filter(|(_, r)| **r).count() as u64,
            ..*self
        }
    }

    /// Whether the label is in one of the maps.
    pub fn in_a_map(&self) -> bool {
        self.prediction + self.reference > 0
    }

    /// Whether the label is in both maps.
    pub fn in_both_maps(&self) -> bool {
        self.prediction > 0 && self.reference > 0
    }

    /// Twice what is shared, of the sum of both.
    pub fn dice(&self) -> Option<f64> {
        ratio(2 * self.both, self.prediction + self.reference)
    }

    /// What is shared, of the union.
    pub fn jaccard(&self) -> Option<f64> {
        ratio(self.both, self.prediction + self.reference - self.both)
    }

    /// What is shared, of the reference.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.both, self.reference)
    }

    /// What is shared, of the prediction.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.both, self.prediction)
    }

    /// Voxels predicted beyond those expected, negative where some are missing.
    pub fn excess(&self) -> f64 {
        self.prediction as f64 - self.reference as f64
    }

    /// The excess, of the reference.
    pub fn volume_error(&self) -> Option<f64> {
        (self.reference > 0).then(|| self.excess() / self.reference as f64)
    }
}

/// `None` where there is nothing to divide by.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Where a label is, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// How often, in each map and in both.
    pub counts: Counts,
    /// The smallest box (depth, height, width) that holds the label in both maps; empty where
    /// there is none.
    pub bounds: [Range<usize>; 3],
}

impl Found {
    fn extend(&mut self, run: [Range<usize>; 3]) {
        for (bounds, run) in self.bounds.iter_mut().zip(run) {
            *bounds = if bounds.end == 0 {
                run
            } else {
                bounds.start.min(run.start)..bounds.end.max(run.end)
            };
        }
    }
}

/// Finds all structures, in their order, in one pass over two maps `[depth, height, width]`.
pub(super) fn find(
    prediction: ArrayView3<u16>,
    reference: ArrayView3<u16>,
    scored: &Structures,
) -> Result<Vec<Found>, ShapeMismatch> {
    if prediction.dim() != reference.dim() {
        let shape = |(depth, height, width)| [depth, height, width];
        return Err(ShapeMismatch {
            prediction: shape(prediction.dim()),
            reference: shape(reference.dim()),
        });
    }
    let mut found = vec![Found::default(); scored.values.len()];
    let places = Places::of(&scored.values);
    Zip::indexed(prediction.rows()).and(reference.rows()).for_each(
        |(k, j), predicted, expected| {
            for (run, p, r) in runs(predicted, expected) {
                if Some(r) == scored.ignore {
                    continue;
                }
                let voxels = run.len() as u64;
                let bounds = [k..k + 1, j..j + 1, run];
                let (in_prediction, in_reference) = (places.of_value(p), places.of_value(r));
                for &n in in_prediction {
                    found[n].counts.prediction += voxels;
                    found[n].extend(bounds.clone());
                }
                for &n in in_reference {
                    found[n].counts.reference += voxels;
                    if in_prediction.contains(&n) {
                        found[n].counts.both += voxels;
                    }
                    found[n].extend(bounds.clone());
                }
            }
        },
    );
    Ok(found)
}

/// The structures that each label value is in.
struct Places {
    /// By value, the number of its list.
    list: Vec<u32>,
    /// The first is empty.
    lists: Vec<Vec<usize>>,
}

impl Places {
    fn of(structures: &[Vec<u16>]) -> Self {
        let mut places = Self { list: vec![0; usize::from(u16::MAX) + 1], lists: vec![Vec::new()] };
        for (n, values) in structures.iter().enumerate() {
            for &value in values {
                let list = &mut places.list[usize::from(value)];
                if *list == 0 {
                    *list = places.lists.len() as u32;
                    places.lists.push(Vec::new());
                }
                places.lists[*list as usize].push(n);
            }
        }
        places
    }

    fn of_value(&self, value: u16) -> &[usize] {
        &self.lists[self.list[usize::from(value)] as usize]
    }
}

/// The stretches of two rows in which neither changes its value, with the values.
fn runs(
    predicted: ArrayView1<u16>,
    expected: ArrayView1<u16>,
) -> impl Iterator<Item = (Range<usize>, u16, u16)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let (&p, &r) = (predicted.get(start)?, expected.get(start)?);
        let same =
            (start..predicted.len()).take_while(|&i| (predicted[i], expected[i]) == (p, r)).count();
        let run = start..start + same;
        start = run.end;
        Some((run, p, r))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, s};
    use proptest::prelude::*;

    const LABELS: [u16; 4] = [0, 1, 2, 700];

    fn map(shape: [usize; 3], voxels: &[usize]) -> Array3<u16> {
        let voxels = voxels.iter().map(|&v| LABELS[v]).collect();
        Array3::from_shape_vec(shape, voxels).unwrap()
    }

    fn all(prediction: &Array3<u16>, reference: &Array3<u16>) -> Vec<Option<f64>> {
        dice_per_structure(prediction.view(), reference.view(), &Structures::labels(&LABELS))
            .unwrap()
    }

    proptest! {
        #[test]
        fn dice_is_symmetric_blind_to_flips_and_permutations_and_equal_to_its_definition(
            (p, r, permutation) in (
                prop::collection::vec(0_usize..4, 24),
                prop::collection::vec(0_usize..4, 24),
                Just((0..24).collect::<Vec<usize>>()).prop_shuffle(),
            ),
        ) {
            let (prediction, reference) = (map([2, 3, 4], &p), map([2, 3, 4], &r));
            let scores = all(&prediction, &reference);

            prop_assert_eq!(&all(&reference, &prediction), &scores);
            let flip = s![..;-1, .., ..;-1];
            prop_assert_eq!(&all(&prediction.slice(flip).to_owned(), &reference.slice(flip).to_owned()), &scores);
            let permuted = |v: &[usize]| map([4, 3, 2], &permutation.iter().map(|&at| v[at]).collect::<Vec<_>>());
            prop_assert_eq!(&all(&permuted(&p), &permuted(&r)), &scores);

            for (label, score) in LABELS.into_iter().zip(scores) {
                let both = prediction.iter().zip(&reference).filter(|&(&p, &r)| p == label && r == label).count();
                let sum = prediction.iter().chain(&reference).filter(|&&v| v == label).count();
                let expected = (sum > 0).then(|| (2 * both) as f64 / sum as f64);
                prop_assert_eq!(score, expected);
                prop_assert_eq!(dice(prediction.view(), reference.view(), label), Ok(expected));
            }
        }

        #[test]
        fn a_map_scores_one_against_itself_for_every_label_it_holds(v in prop::collection::vec(0_usize..4, 12)) {
            let map = map([3, 2, 2], &v);
            for (label, score) in LABELS.into_iter().zip(all(&map, &map)) {
                let present = map.iter().any(|&voxel| voxel == label);
                prop_assert_eq!(score, present.then_some(1.0));
            }
        }
    }

    #[test]
    fn a_case_computed_by_hand() {
        // Label 1: 3 predicted, 2 expected, 2 shared: 4/5. Label 2: only expected. Label 700:
        // nowhere.
        let prediction = map([1, 2, 3], &[1, 1, 1, 0, 0, 0]);
        let reference = map([1, 2, 3], &[0, 1, 1, 2, 0, 0]);
        let expected = vec![Some(2.0 * 2.0 / 6.0), Some(0.8), Some(0.0), None];
        assert_eq!(all(&prediction, &reference), expected);
        assert_eq!(all(&reference, &prediction), expected);
    }

    #[test]
    fn maps_on_different_grids_are_refused_even_with_equally_many_voxels() {
        let (prediction, reference) = (Array3::zeros((1, 2, 3)), Array3::zeros((3, 2, 1)));
        let expected = ShapeMismatch { prediction: [1, 2, 3], reference: [3, 2, 1] };
        assert_eq!(dice(prediction.view(), reference.view(), 1), Err(expected.clone()));
        assert!(expected.to_string().contains("[1, 2, 3] voxels"), "{expected}");
    }
}
