//! Dice overlap of label maps, and mean and spread over cases or folds.
//!
//! One rule for empty masks holds everywhere: a label in neither map is *not scored* (`None`, shown as `–` and left out
//! of means: there is nothing to find, and both 0 and 1 would distort a mean), and a label in only one of the maps
//! scores 0.

use ndarray::{ArrayView3, Zip};

/// Two label maps on different grids were compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prediction has {prediction:?} voxels and the reference {reference:?} (depth, height, width): \
     bring the prediction back to the image's own grid before scoring it"
)]
pub struct ShapeMismatch {
    /// `[depth, height, width]` of the prediction.
    pub prediction: [usize; 3],
    /// `[depth, height, width]` of the reference.
    pub reference: [usize; 3],
}

/// The Dice coefficient `2 |P ∩ R| / (|P| + |R|)` of one label, see [`dice_per_label`].
pub fn dice(prediction: ArrayView3<u16>, reference: ArrayView3<u16>, label: u16) -> Result<Option<f64>, ShapeMismatch> {
    Ok(dice_per_label(prediction, reference, &[label])?[0])
}

/// The Dice coefficient of each of `labels`, in their order, from one pass over two maps `[depth, height, width]`.
///
/// `None` is a label in neither map: not scored, by the module's rule.
pub fn dice_per_label(prediction: ArrayView3<u16>, reference: ArrayView3<u16>, labels: &[u16]) -> Result<Vec<Option<f64>>, ShapeMismatch> {
    if prediction.dim() != reference.dim() {
        let shape = |(depth, height, width)| [depth, height, width];
        return Err(ShapeMismatch { prediction: shape(prediction.dim()), reference: shape(reference.dim()) });
    }
    let mut counts = vec![Counts::default(); usize::from(u16::MAX) + 1];
    Zip::from(prediction).and(reference).for_each(|&predicted, &expected| {
        counts[usize::from(predicted)].either += 1;
        counts[usize::from(expected)].either += 1;
        if predicted == expected {
            counts[usize::from(expected)].both += 1;
        }
    });
    let dice = |&label: &u16| {
        let Counts { both, either } = counts[usize::from(label)];
        (either > 0).then(|| 2.0 * both as f64 / either as f64)
    };
    Ok(labels.iter().map(dice).collect())
}

/// Voxels of one label.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// In the intersection.
    both: u64,
    /// In the prediction, plus those in the reference.
    either: u64,
}

/// Mean and sample standard deviation (`n - 1`; 0 for a single value); `None` of no values.
pub fn mean_sd(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.into_iter().collect();
    let count = values.len() as f64;
    match values.len() {
        0 => None,
        1 => Some((values[0], 0.0)),
        _ => {
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            Some((mean, (squares / (count - 1.0)).sqrt()))
        }
    }
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
        dice_per_label(prediction.view(), reference.view(), &LABELS).unwrap()
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
        // Label 1: 3 predicted, 2 expected, 2 shared: 4/5. Label 2: only expected. Label 700: nowhere.
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

    #[test]
    fn mean_and_sample_deviation_of_known_values() {
        assert_eq!(mean_sd([]), None);
        assert_eq!(mean_sd([0.7]), Some((0.7, 0.0)));
        let (mean, sd) = mean_sd([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((mean - 5.0).abs() < 1e-12 && (sd - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        // A spread far smaller than the mean must not be lost to cancellation.
        let (_, sd) = mean_sd([1e9, 1e9 + 1.0]).unwrap();
        assert!((sd - 0.5_f64.sqrt()).abs() < 1e-6);
    }
}
