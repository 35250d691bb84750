//! Along which axes cases may be mirrored: where a class is known by the side it lies on, a
//! mirrored case teaches what is wrong.

use ndarray::ArrayView3;

use crate::preprocess::Case;

/// Classes lie apart along an axis if their centres are, in the mean over cases, further from each
/// other than this many times the spread of their voxels.
const APART: f64 = 1.0;

/// The axes (depth, height, width) along which no two foreground classes lie apart, the same one on
/// the same side in most cases. `classes` counts the background.
pub fn mirror_axes<'a>(cases: impl IntoIterator<Item = &'a Case>, classes: usize) -> [bool; 3] {
    let places: Vec<Vec<Option<Place>>> = cases
        .into_iter()
        .filter_map(|case| case.classes.as_ref())
        .map(|map| Place::of_all(map.view(), classes))
        .collect();
    [0, 1, 2].map(|axis| {
        let mut pairs = (1..classes).flat_map(|a| (1..a).map(move |b| (a, b)));
        pairs.all(|(a, b)| {
            let distance = |case: &Vec<Option<Place>>| {
                let (a, b) = (case[a].as_ref()?, case[b].as_ref()?);
                let spread = (a.spread[axis] + b.spread[axis]) / 2.0;
                // A voxel's own extent, so that single planes are no infinite distance apart.
                Some((a.centre[axis] - b.centre[axis]) / spread.max(1.0))
            };
            let distances: Vec<f64> = places.iter().filter_map(distance).collect();
            (distances.iter().sum::<f64>() / distances.len().max(1) as f64).abs() <= APART
        })
    })
}

/// Where the voxels of a class lie.
struct Place {
    centre: [f64; 3],
    /// Standard deviation.
    spread: [f64; 3],
}

impl Place {
    /// Of every class; `None` where there is no voxel.
    fn of_all(map: ArrayView3<u8>, classes: usize) -> Vec<Option<Self>> {
        let mut sums = vec![(0.0, [0.0; 3], [0.0; 3]); classes];
        for ((z, y, x), &class) in map.indexed_iter() {
            let Some((count, sum, squares)) =
                sums.get_mut(usize::from(class)).filter(|_| class > 0)
            else {
                continue;
            };
            *count += 1.0;
            for (axis, place) in [z, y, x].into_iter().enumerate() {
                sum[axis] += place as f64;
                squares[axis] += (place * place) as f64;
            }
        }
        let place = |(count, sum, squares): (f64, [f64; 3], [f64; 3])| {
            let centre = sum.map(|sum| sum / count);
            let spread = [0, 1, 2]
                .map(|axis| (squares[axis] / count - centre[axis].powi(2)).max(0.0).sqrt());
            (count > 0.0).then_some(Self { centre, spread })
        };
        sums.into_iter().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Geometry;
    use ndarray::{Array3, Array4};

    /// A case with blobs of classes 1 and 2 at these places.
    fn case(places: [[usize; 3]; 2]) -> Case {
        let mut classes = Array3::zeros([20; 3]);
        for (class, [z, y, x]) in places.into_iter().enumerate() {
            classes.slice_mut(ndarray::s![z..z + 4, y..y + 4, x..x + 4]).fill(class as u8 + 1);
        }
        let geometry = Geometry {
            shape: [20; 3],
            affine: crate::Affine::from_spacing([1.0; 3]),
            crop_start: [0; 3],
            crop_shape: [20; 3],
            spacing_mm: [1.0; 3],
        };
        Case {
            name: String::new(),
            image: Array4::zeros([1, 20, 20, 20]),
            classes: Some(classes),
            geometry,
        }
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
        let unlabelled = Case { classes: None, ..case([[2, 3, 8], [12, 12, 8]]) };
        assert_eq!(mirror_axes(&[unlabelled], 3), [true; 3]);
    }
}
