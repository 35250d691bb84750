//! Three planes of a case through its largest error, as drawings: the image as grey pixels, and
//! over it in vectors the outlines of reference and prediction and the voxels that are wrong.
//!
//! Patients are seen as radiologists see them: see [`crate::report::picture`].

use std::cmp::Reverse;
use std::collections::BTreeMap;

use medvol::components::{Connectivity, components};
use medvol::metrics::Structures;
use medvol::{Image, LabelMap, Orientation, canonical_spacing};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Zip, s};

use crate::report::picture::{fullest, grey_png, seen, shade, window};

/// Most pixels along a side of a plane: larger ones are drawn smaller.
const MOST_PIXELS: usize = 320;

/// White around the structures, as a share of their extent, and at least, in mm.
const MARGIN: (f64, f64) = (0.25, 10.0);

/// What a voxel that is wrong is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Of a structure, and predicted as background.
    Missed,
    /// Background, and predicted as a structure.
    Added,
    /// Of one structure, and predicted as another.
    Confused,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Missed, Self::Added, Self::Confused];
}

/// A plane to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// The grey pixels as PNG.
    pub png: Vec<u8>,
    /// Rows and columns of voxels.
    pub voxels: [usize; 2],
    /// Height and width in mm.
    pub mm: [f64; 2],
    /// Outlines of each structure in the reference, in voxels.
    pub reference: Vec<String>,
    /// In the prediction.
    pub prediction: Vec<String>,
    /// Areas of voxels that are [wrong](Wrong::ALL).
    pub wrong: [String; 3],
}

/// The axial, the coronal and the sagittal plane through the largest connected error of a
/// prediction; where nothing is wrong, through the largest area of the reference. Cut to the
/// structures and a little around them.
///
/// # Errors
/// When the grey pixels cannot be encoded.
///
/// # Panics
/// If the shapes differ.
pub fn planes(
    image: &Image,
    reference: &LabelMap,
    prediction: &LabelMap,
    scored: &Structures,
) -> Result<[Plane; 3], png::EncodingError> {
    let shapes = [image.shape(), reference.shape(), prediction.shape()];
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "on one grid: {shapes:?}");
    let axes = Orientation::of(&image.affine);
    let spacing = canonical_spacing(&image.affine);
    let channels = axes.canonical_channels(image.voxels.view());
    let grey = channels.index_axis(Axis(0), 0);
    let [reference, prediction] =
        [reference, prediction].map(|map| axes.canonical(map.voxels.view()));

    let sets = Sets::of(scored);
    let foreground = Zip::from(&reference).and(&prediction).map_collect(|&r, &p| {
        let [r, p] = [r, p].map(|value| sets.of_value(value));
        r > 0 || p > 0
    });
    let cut = around(foreground.view(), spacing).map(|[from, to]| from..to);
    let cut = s![cut[0].clone(), cut[1].clone(), cut[2].clone()];
    let (grey, reference, prediction) =
        (grey.slice(cut), reference.slice(cut), prediction.slice(cut));

    let (wrong, through) = compared(reference, prediction, scored);
    let contrast = window(&grey, through);
    let drawn = |axis: usize| -> Result<Plane, png::EncodingError> {
        let (plane, wrong) = (seen(grey, axis, through), seen(wrong.view(), axis, through));
        let [r, p] = [reference, prediction].map(|map| seen(map, axis, through));
        let shown = shrunk(plane).map(|&value| shade(value, contrast));
        let across = [0, 1, 2].into_iter().filter(|other| *other != axis);
        let mm: Vec<f64> =
            across.map(|axis| grey.len_of(Axis(axis)) as f64 * spacing[axis]).collect();
        let outlines = |map: ArrayView2<u16>| {
            let of = |values: &Vec<u16>| outline(map.map(|value| values.contains(value)).view());
            scored.values.iter().map(of).collect()
        };
        Ok(Plane {
            png: grey_png(&shown)?,
            voxels: plane.dim().into(),
            mm: [mm[0], mm[1]],
            reference: outlines(r),
            prediction: outlines(p),
            wrong: Wrong::ALL.map(|kind| area(wrong.map(|found| *found == Some(kind)).view())),
        })
    };
    Ok([drawn(0)?, drawn(1)?, drawn(2)?])
}

/// What is wrong with each voxel of a prediction, and the planes along each axis through the largest
/// connected error; where nothing is wrong, through the largest area of the reference.
///
/// # Panics
/// If the shapes differ.
pub fn compared(
    reference: ArrayView3<u16>,
    prediction: ArrayView3<u16>,
    scored: &Structures,
) -> (Array3<Option<Wrong>>, [usize; 3]) {
    let sets = Sets::of(scored);
    let wrong =
        Zip::from(reference).and(prediction).map_collect(|&r, &p| sets.wrong(r, p, scored.ignore));
    let through = through_largest(&wrong)
        .unwrap_or_else(|| fullest(reference.map(|&value| sets.of_value(value) > 0).view()));
    (wrong, through)
}

/// Which structures a voxel of each value belongs to, as the number of that set; 0 for none.
struct Sets(BTreeMap<u16, usize>);

impl Sets {
    fn of(scored: &Structures) -> Self {
        let mut members: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (structure, values) in scored.values.iter().enumerate() {
            values.iter().for_each(|value| members.entry(*value).or_default().push(structure));
        }
        let mut sets: Vec<Vec<usize>> = members.values().cloned().collect();
        sets.sort();
        sets.dedup();
        let number = |set: &Vec<usize>| sets.binary_search(set).map_or(0, |number| number + 1);
        Self(members.iter().map(|(value, set)| (*value, number(set))).collect())
    }

    fn of_value(&self, value: u16) -> usize {
        // Most voxels are background.
        if value == 0 { 0 } else { self.0.get(&value).copied().unwrap_or(0) }
    }

    fn wrong(&self, reference: u16, prediction: u16, ignore: Option<u16>) -> Option<Wrong> {
        match [reference, prediction].map(|value| self.of_value(value)) {
            _ if Some(reference) == ignore => None,
            [r, p] if r == p => None,
            [_, 0] => Some(Wrong::Missed),
            [0, _] => Some(Wrong::Added),
            _ => Some(Wrong::Confused),
        }
    }
}

/// The box of a mask with a margin, along each axis from where to where; all, where nothing is in
/// it.
fn around(mask: ArrayView3<bool>, spacing_mm: [f64; 3]) -> [[usize; 2]; 3] {
    [0, 1, 2].map(|axis| {
        let extent = mask.len_of(Axis(axis));
        let held: Vec<usize> = (0..extent)
            .filter(|&plane| mask.index_axis(Axis(axis), plane).iter().any(|inside| *inside))
            .collect();
        let (Some(first), Some(last)) = (held.first(), held.last()) else { return [0, extent] };
        let (share, mm) = MARGIN;
        let margin = (share * (last - first + 1) as f64).max(mm / spacing_mm[axis]).ceil() as usize;
        [first.saturating_sub(margin), (last + 1 + margin).min(extent)]
    })
}

/// The planes that hold most of the largest component of what is wrong.
fn through_largest(wrong: &Array3<Option<Wrong>>) -> Option<[usize; 3]> {
    let found = components(wrong.map(Option::is_some).view(), Connectivity::Faces);
    let sizes = found.sizes.iter().enumerate();
    let (largest, _) = sizes.max_by_key(|(number, size)| (**size, Reverse(*number)))?;
    Some(fullest(found.numbers.map(|number| *number as usize == largest + 1).view()))
}

/// A plane of at most so many pixels, by means of blocks.
fn shrunk(plane: ArrayView2<f32>) -> Array2<f32> {
    let (rows, columns) = plane.dim();
    let block = rows.max(columns).div_ceil(MOST_PIXELS).max(1);
    Array2::from_shape_fn([rows.div_ceil(block), columns.div_ceil(block)], |(y, x)| {
        let part = plane.slice(s![
            y * block..((y + 1) * block).min(rows),
            x * block..((x + 1) * block).min(columns)
        ]);
        part.sum() / part.len() as f32
    })
}

/// The border of a mask along the edges of its pixels, as an SVG path.
fn outline(mask: ArrayView2<bool>) -> String {
    let (rows, columns) = mask.dim();
    let inside = |y: Option<usize>, x: Option<usize>| {
        y.zip(x).and_then(|at| mask.get(at)).copied().unwrap_or(false)
    };
    let mut path = String::new();
    for y in 0..=rows {
        let edge = |x: usize| inside(y.checked_sub(1), Some(x)) != inside(Some(y), Some(x));
        runs(columns, edge, |x, length| path += &format!("M{x} {y}h{length}"));
    }
    for x in 0..=columns {
        let edge = |y: usize| inside(Some(y), x.checked_sub(1)) != inside(Some(y), Some(x));
        runs(rows, edge, |y, length| path += &format!("M{x} {y}v{length}"));
    }
    path
}

/// The pixels of a mask, as an SVG path.
fn area(mask: ArrayView2<bool>) -> String {
    let (rows, columns) = mask.dim();
    let mut path = String::new();
    for y in 0..rows {
        runs(
            columns,
            |x| mask[[y, x]],
            |x, length| {
                path += &format!("M{x} {y}h{length}v1h-{length}z");
            },
        );
    }
    path
}

/// Hears of each stretch of places that are `held`: where it begins and how long it is.
fn runs(places: usize, held: impl Fn(usize) -> bool, mut hear: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at < places {
        let length = (at..places).take_while(|&place| held(place)).count();
        if length > 0 {
            hear(at, length);
        }
        at += length + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medvol::Affine;
    use ndarray::Array4;

    const SHAPE: [usize; 3] = [12, 20, 30];

    fn map(fill: impl Fn(&mut Array3<u16>)) -> LabelMap {
        let mut voxels = Array3::zeros(SHAPE);
        fill(&mut voxels);
        LabelMap { voxels, affine: Affine::from_spacing([5.0, 2.0, 2.0]) }
    }

    fn image() -> Image {
        let [d, h, w] = SHAPE;
        let voxels = Array4::from_shape_fn([1, d, h, w], |(_, k, j, i)| (k + j + i) as f32);
        Image { voxels, affine: Affine::from_spacing([5.0, 2.0, 2.0]) }
    }

    /// The number of pixels that a path of areas covers.
    fn covered(path: &str) -> usize {
        path.split('h')
            .skip(1)
            .step_by(2)
            .map(|run| run.split_once('v').unwrap().0.parse::<usize>().unwrap())
            .sum()
    }

    #[test]
    fn planes_go_through_the_largest_error_and_show_each_kind_of_it() {
        let block = s![4..8, 5..15, 10..20];
        let reference = map(|voxels| voxels.slice_mut(block).fill(1));
        let prediction = map(|voxels| {
            voxels.slice_mut(block).fill(1);
            // Two voxels elsewhere, and six together.
            voxels[[4, 5, 10]] = 0;
            voxels[[7, 14, 20]] = 1;
            voxels.slice_mut(s![6, 7..10, 12..14]).fill(2);
        });
        let scored = Structures::labels(&[1, 2]);
        let [axial, coronal, sagittal] =
            planes(&image(), &reference, &prediction, &scored).unwrap();
        assert_eq!(axial.wrong.each_ref().map(|path| covered(path)), [0, 0, 6]);
        assert_eq!(coronal.wrong.each_ref().map(|path| covered(path)), [0, 0, 2]);
        assert_eq!(sagittal.wrong.each_ref().map(|path| covered(path)), [0, 0, 3]);
        assert!(axial.reference[0].len() > 10 && axial.reference[1].is_empty());
        assert!(!axial.prediction[1].is_empty());
        // Ten mm are two voxels along the depth and five along the others.
        assert_eq!((axial.voxels, axial.mm), ([20, 21], [40.0, 42.0]));
        assert_eq!((coronal.voxels, coronal.mm), ([8, 21], [40.0, 42.0]));
        assert_eq!(sagittal.voxels, [8, 20]);
    }

    #[test]
    fn ignored_voxels_are_not_wrong_and_regions_are_compared_as_sets() {
        let scored = Structures { values: vec![vec![1, 2], vec![2]], ignore: Some(9) };
        let sets = Sets::of(&scored);
        let wrong = |r, p| sets.wrong(r, p, scored.ignore);
        assert_eq!((wrong(9, 1), wrong(2, 2), wrong(0, 0)), (None, None, None));
        assert_eq!(wrong(1, 2), Some(Wrong::Confused));
        assert_eq!((wrong(2, 0), wrong(0, 1)), (Some(Wrong::Missed), Some(Wrong::Added)));
    }

    #[test]
    fn what_is_right_or_empty_has_a_plane_too() {
        let same = map(|voxels| voxels.slice_mut(s![9, 3..9, 4..8]).fill(1));
        let scored = Structures::labels(&[1]);
        let [axial, ..] = planes(&image(), &same, &same, &scored).unwrap();
        assert!(!axial.reference[0].is_empty() && axial.wrong.iter().all(String::is_empty));
        let empty = map(|_| {});
        let [axial, ..] = planes(&image(), &empty, &empty, &scored).unwrap();
        assert_eq!((axial.voxels, axial.reference[0].as_str()), ([20, 30], ""));
    }

    #[test]
    fn an_outline_runs_along_the_edges_of_its_pixels() {
        let mut mask = Array2::from_elem([3, 4], false);
        mask.slice_mut(s![0..2, 1..3]).fill(true);
        assert_eq!(outline(mask.view()), "M1 0h2M1 2h2M1 0v2M3 0v2");
        assert_eq!(area(mask.view()), "M1 0h2v1h-2zM1 1h2v1h-2z");
    }

    #[test]
    fn a_large_plane_is_drawn_smaller() {
        let plane = Array2::from_elem([2 * MOST_PIXELS + 1, 10], 3.0);
        let small = shrunk(plane.view());
        assert!(small.nrows() <= MOST_PIXELS && small.iter().all(|value| *value == 3.0));
    }
}
