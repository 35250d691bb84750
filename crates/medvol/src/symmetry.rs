//! Along which axes cases may be mirrored: where a class is known by the side it lies on, a
//! mirrored case teaches what is wrong.

use crate::class_places::ClassPlaces;

/// Classes lie apart along an axis if their centres are, in the mean over cases, further from each
/// other than this many times the spread of their voxels.
const APART: f64 = 1.0;

/// The axes (depth, height, width) along which no two foreground classes lie apart, the same one on
/// the same side in most cases, of which `cases` says where their classes lie. `classes` counts the
/// background.
pub fn mirror_axes<'a>(
    cases: impl IntoIterator<Item = &'a ClassPlaces>,
    classes: usize,
) -> [bool; 3] {
    let cases: Vec<&ClassPlaces> = cases.into_iter().collect();
    [0, 1, 2].map(|axis| {
        let mut pairs = (1..classes).flat_map(|a| (1..a).map(move |b| (a, b)));
        pairs.all(|(a, b)| {
            let distance = |case: &&ClassPlaces| {
                let (a, b) = (case.centre_and_spread(a)?, case.centre_and_spread(b)?);
                let spread = (a.1[axis] + b.1[axis]) / 2.0;
                // A voxel's own extent, so that single planes are no infinite distance apart.
                Some((a.0[axis] - b.0[axis]) / spread.max(1.0))
            };
            let distances: Vec<f64> = cases.iter().filter_map(distance).collect();
            (distances.iter().sum::<f64>() / distances.len().max(1) as f64).abs() <= APART
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    /// A case with blobs of classes 1 and 2 at these places.
    fn case(places: [[usize; 3]; 2]) -> ClassPlaces {
        let mut classes = Array3::zeros([20; 3]);
        for (class, [z, y, x]) in places.into_iter().enumerate() {
            classes.slice_mut(ndarray::s![z..z + 4, y..y + 4, x..x + 4]).fill(class as u8 + 1);
        }
        ClassPlaces::of(classes.view())
    }

    #[test]
    fn an_axis_is_left_out_only_where_classes_always_lie_on_the_same_sides() {
        // Apart along depth always, along height to either side, along width never.
        let cases = [case([[2, 3, 8], [12, 12, 8]]), case([[2, 12, 8], [12, 3, 8]])];
        assert_eq!(mirror_axes(&cases, 3), [false, true, true]);
        assert_eq!(mirror_axes(&cases[..1], 3), [false, false, true]);
    }

    #[test]
    fn one_class_or_no_label_map_leaves_all_axes() {
        assert_eq!(mirror_axes(&[case([[2, 3, 8], [12, 12, 8]])], 2), [true; 3]);
        assert_eq!(mirror_axes(&[], 3), [true; 3]);
    }
}
