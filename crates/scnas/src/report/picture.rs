//! A picture of a segmentation: three planes of an image, with the outlines of label maps on them.
//!
//! Each map has a row: the axial, the coronal and the sagittal plane through the largest area of
//! what the first map labels. Patients are seen as radiologists see them: from the feet, from the
//! front and from their left, so that their right is on the left of the picture.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;

use medvol::io::Source;
use medvol::{Image, LabelMap, Orientation, canonical_spacing};
use ndarray::{Array2, ArrayView2, ArrayView3, Axis, s};
use serde::Serialize;

use crate::error::{Error, Place, Result};
use crate::report::held_out::on_grid;

/// Pixels of the longest side of the volume.
const LONGEST: f64 = 320.0;

/// Pixels between two planes.
const GAP: usize = 4;

/// Intensities below and above these parts of what is shown are black and white.
const WINDOW: [f64; 2] = [0.01, 0.99];

/// A colour with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Colour {
    /// In English.
    pub name: &'static str,
    /// Red, green, blue.
    pub rgb: [u8; 3],
}

/// Colours that readers of any colour vision tell apart (Okabe and Ito 2008). Labels take them in
/// turn.
const COLOURS: [Colour; 7] = [
    Colour { name: "orange", rgb: [230, 159, 0] },
    Colour { name: "sky blue", rgb: [86, 180, 233] },
    Colour { name: "bluish green", rgb: [0, 158, 115] },
    Colour { name: "yellow", rgb: [240, 228, 66] },
    Colour { name: "blue", rgb: [0, 114, 178] },
    Colour { name: "vermillion", rgb: [213, 94, 0] },
    Colour { name: "reddish purple", rgb: [204, 121, 167] },
];

/// Outlines of label maps on three planes of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// `[height, width]`, each red, green, blue.
    pixels: Array2<[u8; 3]>,
    /// The planes that are shown, along (depth, height, width) in canonical orientation.
    pub planes: [usize; 3],
    /// The colour of each label that occurs, by its value.
    pub colours: Vec<(u16, Colour)>,
}

impl Picture {
    /// Of an image (its first channel) and label maps on its grid.
    ///
    /// # Errors
    /// Files that cannot be read; maps that do not lie on the image; no map.
    pub fn of_files(image: &Path, maps: &[impl AsRef<Path>]) -> Result<Self> {
        let (read, maps) = read(image, maps)?;
        let shown = Self::new(&read, &maps);
        shown.ok_or_else(|| Error::place(image, Place::NoLabelMaps))
    }

    /// Of an image (its first channel) and label maps on its grid; nothing without a map.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn new(image: &Image, maps: &[LabelMap]) -> Option<Self> {
        assert!(maps.iter().all(|map| map.shape() == image.shape()), "maps on the image's grid");
        let axes = Orientation::of(&image.affine);
        let channels = axes.canonical_channels(image.voxels.view());
        let image_voxels = channels.index_axis(Axis(0), 0);
        let colours = coloured(maps);
        let maps: Vec<ArrayView3<u16>> =
            maps.iter().map(|map| axes.canonical(map.voxels.view())).collect();
        let planes = fullest(maps.first()?.map(|&value| value > 0).view());

        let sizes = panel_sizes(image_voxels.dim().into(), canonical_spacing(&image.affine));
        let [heights, widths] = [0, 1].map(|side| sizes.map(|size| size[side]));
        let row = heights.into_iter().max().unwrap_or(0);
        let height = maps.len() * (row + GAP) - GAP;
        let width = widths.iter().sum::<usize>() + 2 * GAP;
        let mut pixels = Array2::from_elem([height, width], [0; 3]);
        let window = window(&image_voxels, planes);
        for (n, map) in maps.iter().enumerate() {
            let mut left = 0;
            for (axis, [high, wide]) in sizes.into_iter().enumerate() {
                let top = n * (row + GAP) + (row - high) / 2;
                let grey = linear(seen(image_voxels, axis, planes), [high, wide]);
                let labels = nearest(seen(*map, axis, planes), [high, wide]);
                let mut panel = pixels.slice_mut(s![top..top + high, left..left + wide]);
                panel.indexed_iter_mut().for_each(|((y, x), pixel)| {
                    *pixel = match is_outline(&labels, [y, x]) {
                        true => colour_of(&colours, labels[[y, x]]),
                        false => [shade(grey[[y, x]], window); 3],
                    };
                });
                left += wide + GAP;
            }
        }
        Some(Self { pixels, planes, colours })
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let png = self.png().map_err(|e| Error::file("write", path, e.into()))?;
        Ok(medvol::atomic_write(path, &png)?)
    }

    fn png(&self) -> std::result::Result<Vec<u8>, png::EncodingError> {
        let values: Vec<u8> = self.pixels.iter().flatten().copied().collect();
        encoded(self.pixels.dim(), png::ColorType::Rgb, &values)
    }
}

/// A colour for each label that occurs in maps.
pub(super) fn coloured(maps: &[LabelMap]) -> Vec<(u16, Colour)> {
    let values = maps.iter().flat_map(|map| &map.voxels).copied();
    let values: BTreeSet<u16> = values.filter(|&value| value > 0).collect();
    values.into_iter().zip(COLOURS.into_iter().cycle()).collect()
}

/// An image and label maps on its grid.
///
/// # Errors
/// Files that cannot be read; maps that do not lie on the image.
pub(super) fn read(image: &Path, maps: &[impl AsRef<Path>]) -> Result<(Image, Vec<LabelMap>)> {
    let source = Source::from(image);
    let opened = source.open()?;
    let header = opened.header().clone();
    let maps = maps.iter().map(|map| on_grid(&header, map.as_ref(), Some(&source)));
    let maps = maps.collect::<Result<Vec<LabelMap>>>()?;
    Ok((opened.image()?, maps))
}

/// A grey image `[height, width]` as PNG.
///
/// # Errors
/// When it cannot be encoded.
pub(super) fn grey_png(pixels: &Array2<u8>) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let values: Vec<u8> = pixels.iter().copied().collect();
    encoded(pixels.dim(), png::ColorType::Grayscale, &values)
}

fn encoded(
    (height, width): (usize, usize),
    colour: png::ColorType,
    values: &[u8],
) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    // A few thousand pixels at most, as every side is.
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(values)?;
    Ok(bytes)
}

/// The plane along each axis that holds most of a mask; without any, the one in the middle.
pub(super) fn fullest(mask: ArrayView3<bool>) -> [usize; 3] {
    [0, 1, 2].map(|axis| {
        let area = |plane: ArrayView2<bool>| plane.iter().filter(|&&inside| inside).count();
        let areas = mask.axis_iter(Axis(axis)).map(area).enumerate();
        let best = areas.max_by_key(|&(plane, area)| (area, Reverse(plane)));
        best.filter(|&(_, area)| area > 0).map_or(mask.len_of(Axis(axis)) / 2, |(plane, _)| plane)
    })
}

/// Height and width in pixels of the planes across (depth, height, width): a pixel is as many mm
/// everywhere.
fn panel_sizes(shape: [usize; 3], spacing_mm: [f64; 3]) -> [[usize; 2]; 3] {
    let mm = [0, 1, 2].map(|axis| shape[axis] as f64 * spacing_mm[axis]);
    let longest = mm.into_iter().fold(0.0, f64::max);
    let pixels = mm.map(|mm| ((LONGEST * mm / longest).round() as usize).max(1));
    let [depth, height, width] = pixels;
    [[height, width], [depth, width], [depth, height]]
}

/// The plane across an axis as it is seen: the head or the front above, the patient's right or
/// front on the left.
pub(super) fn seen<'a, T>(
    volume: ArrayView3<'a, T>,
    axis: usize,
    planes: [usize; 3],
) -> ArrayView2<'a, T> {
    let mut plane = volume.index_axis_move(Axis(axis), planes[axis]);
    plane.invert_axis(Axis(0));
    plane.invert_axis(Axis(1));
    plane
}

/// What is black and what is white.
pub(super) fn window(image: &ArrayView3<f32>, planes: [usize; 3]) -> [f32; 2] {
    let shown = (0..3).flat_map(|axis| seen(*image, axis, planes).to_owned());
    let mut shown: Vec<f32> = shown.filter(|value| value.is_finite()).collect();
    shown.sort_by(f32::total_cmp);
    let last = shown.len().saturating_sub(1) as f64;
    WINDOW.map(|part| shown.get((part * last).round() as usize).copied().unwrap_or(0.0))
}

/// Where there is no contrast, and for NaN, black.
pub(super) fn shade(value: f32, [black, white]: [f32; 2]) -> u8 {
    let share = if white > black { (value - black) / (white - black) } else { 0.0 };
    (255.0 * share.clamp(0.0, 1.0)) as u8
}

/// A plane at another size; the value of the nearest voxel.
fn nearest<T: Copy>(plane: ArrayView2<T>, size: [usize; 2]) -> Array2<T> {
    let (rows, columns) = plane.dim();
    Array2::from_shape_fn(size, |(y, x)| plane[[y * rows / size[0], x * columns / size[1]]])
}

/// A plane at another size, interpolated between voxels.
fn linear(plane: ArrayView2<f32>, size: [usize; 2]) -> Array2<f32> {
    let (rows, columns) = plane.dim();
    let taps = |pixel: usize, pixels: usize, voxels: usize| {
        let at = ((pixel as f64 + 0.5) * voxels as f64 / pixels as f64 - 0.5)
            .clamp(0.0, (voxels - 1) as f64);
        let first = at as usize;
        (first, (first + 1).min(voxels - 1), (at - first as f64) as f32)
    };
    Array2::from_shape_fn(size, |(y, x)| {
        let (top, bottom, down) = taps(y, size[0], rows);
        let (left, right, across) = taps(x, size[1], columns);
        let along = |row: usize| plane[[row, left]] * (1.0 - across) + plane[[row, right]] * across;
        along(top) * (1.0 - down) + along(bottom) * down
    })
}

/// Whether a pixel of a structure has a neighbour that is not of it.
fn is_outline(labels: &Array2<u16>, [y, x]: [usize; 2]) -> bool {
    let own = labels[[y, x]];
    let neighbours = [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)];
    own > 0 && neighbours.into_iter().any(|at| labels.get(at).is_some_and(|&other| other != own))
}

fn colour_of(colours: &[(u16, Colour)], label: u16) -> [u8; 3] {
    let found = colours.binary_search_by_key(&label, |(value, _)| *value);
    found.map_or([0; 3], |n| colours[n].1.rgb)
}

#[cfg(test)]
mod tests {
    use medvol::Affine;
    use ndarray::{Array3, Array4};

    use super::*;

    const SHAPE: [usize; 3] = [4, 8, 6];

    /// An image of cubic voxels, and a map with a block of label 3 in it, away from the middle.
    fn example() -> (Image, LabelMap) {
        let value = |(_, k, j, i): (usize, usize, usize, usize)| (100 * k + 10 * j + i) as f32;
        let [d, h, w] = SHAPE;
        let mut voxels = Array3::zeros(SHAPE);
        voxels.slice_mut(s![3, 5..8, 0..2]).fill(3);
        let affine = Affine::from_spacing([1.0; 3]);
        (
            Image { voxels: Array4::from_shape_fn([1, d, h, w], value), affine },
            LabelMap { voxels, affine },
        )
    }

    #[test]
    fn the_outline_lies_where_the_structure_does_as_a_radiologist_sees_it() {
        let (image, map) = example();
        let picture = Picture::new(&image, &[map]).unwrap();
        assert_eq!(picture.planes, [3, 5, 0]);
        assert_eq!(picture.colours, [(3, COLOURS[0])]);
        // Forty pixels a voxel. In the axial plane the front is above and the right on the left.
        let axial = picture.pixels.slice(s![.., ..240]);
        let coloured = axial.indexed_iter().filter(|(_, pixel)| **pixel == COLOURS[0].rgb);
        let (mut rows, mut columns) = (BTreeSet::new(), BTreeSet::new());
        for ((y, x), _) in coloured {
            rows.insert(y);
            columns.insert(x);
        }
        // Along the border of the image there is no outline.
        assert_eq!((rows.first(), rows.last()), (Some(&0), Some(&119)));
        assert_eq!((columns.first(), columns.last()), (Some(&160), Some(&239)));
        assert!(axial[[60, 200]] != COLOURS[0].rgb, "the inside is seen");
    }

    #[test]
    fn the_picture_is_the_same_however_the_file_stores_its_voxels() {
        let (image, map) = example();
        let expected = Picture::new(&image, std::slice::from_ref(&map)).unwrap();
        // The width runs to the left, and comes first.
        let turned = |mut voxels: ndarray::Array3<f32>| {
            voxels.invert_axis(Axis(2));
            voxels.permuted_axes([2, 0, 1]).as_standard_layout().to_owned()
        };
        let voxels = turned(image.voxels.index_axis(Axis(0), 0).to_owned()).insert_axis(Axis(0));
        let labels = turned(map.voxels.mapv(f32::from)).mapv(|value| value as u16);
        let (last, zero) = ((SHAPE[2] - 1) as f64, [0.0, 0.0, 0.0, 1.0]);
        let affine =
            Affine([[0.0, 0.0, -1.0, last], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], zero]);
        let other = [LabelMap { voxels: labels, affine }];
        assert_eq!(Picture::new(&Image { voxels, affine }, &other), Some(expected));
    }

    #[test]
    fn each_map_has_a_row_and_a_pixel_is_as_many_mm_everywhere() {
        let (mut image, map) = example();
        image.affine = Affine::from_spacing([3.0, 1.0, 1.0]);
        let picture = Picture::new(&image, &[map.clone(), map]).unwrap();
        // 12 mm are 320 pixels: 8 are 213, 6 are 160.
        assert_eq!(picture.pixels.dim(), (320 + GAP + 320, 160 + GAP + 160 + GAP + 213));
        assert_eq!(Picture::new(&image, &[]), None);
    }

    #[test]
    fn an_image_without_foreground_contrast_or_numbers_is_black() {
        let affine = Affine::from_spacing([1.0; 3]);
        let map = LabelMap { voxels: Array3::zeros([3, 4, 5]), affine };
        for value in [7.0, f32::NAN, f32::INFINITY] {
            let image = Image { voxels: Array4::from_elem([1, 3, 4, 5], value), affine };
            let picture = Picture::new(&image, std::slice::from_ref(&map)).unwrap();
            assert_eq!((picture.planes, picture.colours.len()), ([1, 2, 2], 0));
            assert!(picture.pixels.iter().all(|pixel| *pixel == [0; 3]), "{value}");
        }
    }

    #[test]
    fn the_file_holds_the_pixels() {
        let (image, map) = example();
        let picture = Picture::new(&image, &[map]).unwrap();
        let bytes = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut found = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut found).unwrap();
        assert!(found.iter().eq(picture.pixels.iter().flatten()));
    }
}
