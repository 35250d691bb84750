//! A prediction beside its reference as a picture for papers: the planes of the report, through the
//! largest error, with outlines and wrong voxels.

use std::io::{self, Error as IoError};
use std::path::Path;

use medvol::metrics::Structures;
use resvg::tiny_skia::{
    FillRule, FilterQuality, LineCap, Paint, Path as Outline, Pixmap, PixmapPaint, Stroke,
    Transform,
};
use resvg::usvg::{Node, Options, Tree};

use crate::error::{Error, Place, Result};
use crate::report::html::plane::{Plane, planes};
use crate::report::picture::{Colour, coloured, read};

/// Pixels of the longest side of all planes.
const LONGEST: f64 = 640.0;

/// Pixels between two planes.
const GAP: u32 = 6;

/// Width in pixels of the outlines: of the reference, and of the prediction.
const WIDTHS: [f32; 2] = [2.0, 3.0];

/// How opaque wrong voxels are, of 255.
const OPACITY: u8 = 140;

/// The colours of voxels that are missed, added, and labelled otherwise.
pub const WRONG: [Colour; 3] = [
    Colour { name: "red", rgb: [255, 77, 61] },
    Colour { name: "blue", rgb: [61, 155, 255] },
    Colour { name: "yellow", rgb: [255, 225, 77] },
];

/// A picture of an image with two label maps.
#[derive(Clone, Debug)]
pub struct Montage {
    pixels: Pixmap,
    /// The colour of the prediction's outline of each label that occurs; the reference's are white.
    pub colours: Vec<(u16, Colour)>,
}

impl Montage {
    /// Of an image (its first channel), and label maps on its grid.
    ///
    /// # Errors
    /// Files that cannot be read; maps that do not lie on the image.
    pub fn of_files(image: &Path, maps: [&Path; 2]) -> Result<Self> {
        let (shown, read) = read(image, &maps)?;
        let colours = coloured(&read);
        let values: Vec<u16> = colours.iter().map(|(value, _)| *value).collect();
        let [reference, prediction] = read.as_slice() else {
            return Err(Error::place(image, Place::NoLabelMaps));
        };
        let planes = planes(&shown, reference, prediction, &Structures::labels(&values));
        let planes = planes.map_err(|e| Error::file("draw", image, e.into()))?;
        let pixels = drawn(&planes, &colours).map_err(|e| Error::file("draw", image, e))?;
        Ok(Self { pixels, colours })
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let png = self.pixels.encode_png().map_err(IoError::other);
        Ok(medvol::atomic_write(path, &png.map_err(|e| Error::file("draw", path, e))?)?)
    }
}

/// The planes side by side on black, a pixel as many mm everywhere.
fn drawn(planes: &[Plane; 3], colours: &[(u16, Colour)]) -> io::Result<Pixmap> {
    let longest = planes.iter().flat_map(|plane| plane.mm).fold(0.0, f64::max);
    let sizes = planes
        .each_ref()
        .map(|plane| plane.mm.map(|mm| ((mm / longest * LONGEST).round() as u32).max(1)));
    let height = sizes.iter().map(|[height, _]| *height).max().unwrap_or(1);
    let width = sizes.iter().map(|[_, width]| width + GAP).sum::<u32>() - GAP;
    let too_large = || IoError::other("a picture that large");
    let mut pixels = Pixmap::new(width, height).ok_or_else(too_large)?;
    pixels.fill(resvg::tiny_skia::Color::BLACK);
    let mut left = 0;
    for (plane, size) in planes.iter().zip(sizes) {
        let corner = [left, (height - size[0]) / 2].map(|pixel| pixel as f32);
        draw(&mut pixels, plane, corner, size.map(|side| side as f32), colours)?;
        left += size[1] + GAP;
    }
    Ok(pixels)
}

/// Draws a plane, and over it what is wrong and the outlines.
fn draw(
    pixels: &mut Pixmap,
    plane: &Plane,
    [left, top]: [f32; 2],
    [height, width]: [f32; 2],
    colours: &[(u16, Colour)],
) -> io::Result<()> {
    let grey = Pixmap::decode_png(&plane.png).map_err(IoError::other)?;
    let onto = |columns: f32, rows: f32| {
        Transform::from_scale(width / columns, height / rows).post_translate(left, top)
    };
    let smooth = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
    let to = onto(grey.width() as f32, grey.height() as f32);
    pixels.draw_pixmap(0, 0, grey.as_ref(), &smooth, to, None);
    let [rows, columns] = plane.voxels.map(|count| count as f32);
    let to = onto(columns, rows);
    for (path, colour) in plane.wrong.iter().zip(WRONG) {
        if let Some(area) = outline(path)? {
            let paint = paint(colour.rgb, OPACITY);
            pixels.fill_path(&area, &paint, FillRule::Winding, to, None);
        }
    }
    let mut line = |path: &str, rgb: [u8; 3], width: f32| -> io::Result<()> {
        // Lines are as wide everywhere, whatever the voxels are.
        if let Some(line) = outline(path)?.and_then(|line| line.transform(to)) {
            let stroke = Stroke { width, line_cap: LineCap::Square, ..Stroke::default() };
            pixels.stroke_path(&line, &paint(rgb, 255), &stroke, Transform::identity(), None);
        }
        Ok(())
    };
    for path in &plane.reference {
        line(path, [255; 3], WIDTHS[0])?;
    }
    for (path, (_, colour)) in plane.prediction.iter().zip(colours) {
        line(path, colour.rgb, WIDTHS[1])?;
    }
    Ok(())
}

/// A path as SVG writes it; `None` of an empty one.
fn outline(path: &str) -> io::Result<Option<Outline>> {
    if path.is_empty() {
        return Ok(None);
    }
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\"><path fill=\"none\" \
         stroke=\"#000\" d=\"{path}\"/></svg>"
    );
    let tree = Tree::from_str(&svg, &Options::default()).map_err(IoError::other)?;
    Ok(tree.root().children().iter().find_map(|node| match node {
        Node::Path(path) => Some(path.data().clone()),
        _ => None,
    }))
}

fn paint([red, green, blue]: [u8; 3], opacity: u8) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, opacity);
    paint
}

#[cfg(test)]
mod tests {
    use super::*;
    use medvol::{Affine, Image, LabelMap, io};
    use ndarray::{Array3, Array4, s};

    #[test]
    fn outlines_and_wrong_voxels_have_their_colours_in_millimetres() {
        let folder = tempfile::tempdir().unwrap();
        let affine = Affine::from_spacing([4.0, 1.0, 1.0]);
        let map = |fill: &dyn Fn(&mut Array3<u16>)| {
            let mut voxels = Array3::zeros([10, 40, 30]);
            fill(&mut voxels);
            LabelMap { voxels, affine }
        };
        let block = s![3..7, 10..30, 8..22];
        let maps = [
            map(&|voxels| voxels.slice_mut(block).fill(3)),
            map(&|voxels| {
                voxels.slice_mut(block).fill(3);
                voxels.slice_mut(s![3..7, 10..16, 8..22]).fill(0);
            }),
        ];
        let image = Image { voxels: Array4::from_elem([1, 10, 40, 30], 5.0), affine };
        let [of_image, reference, prediction] =
            ["i.nii", "r.nii", "p.nii"].map(|name| folder.path().join(name));
        io::create(&of_image).unwrap().image(&image).unwrap();
        io::create(&reference).unwrap().labels(&maps[0]).unwrap();
        io::create(&prediction).unwrap().labels(&maps[1]).unwrap();
        let montage = Montage::of_files(&of_image, [&reference, &prediction]).unwrap();
        let count = |rgb: [u8; 3]| {
            let pixels = montage.pixels.pixels().iter();
            pixels.filter(|p| [p.red(), p.green(), p.blue()] == rgb).count()
        };
        // The image has no contrast and is black, so that wrong voxels are darker than their colour.
        let missed =
            WRONG[0].rgb.map(|part| (f32::from(part) * f32::from(OPACITY) / 255.0).round() as u8);
        let near = |rgb: [u8; 3]| {
            let pixels = montage.pixels.pixels().iter();
            let same = |a: u8, b: u8| a.abs_diff(b) <= 1;
            pixels
                .filter(|p| {
                    same(p.red(), rgb[0]) && same(p.green(), rgb[1]) && same(p.blue(), rgb[2])
                })
                .count()
        };
        // Cut to 40 mm along the depth, 40 and 30 mm: 16 pixels a mm.
        assert_eq!(
            (montage.pixels.width(), montage.pixels.height()),
            (480 + 480 + 640 + 2 * GAP, 640)
        );
        // Of 6 × 14 mm in the axial plane, 16 × 14 in the coronal and 16 × 6 in the sagittal one.
        let expected = 256.0 * (6.0 * 14.0 + 16.0 * 14.0 + 16.0 * 6.0);
        let share = near(missed) as f64 / expected;
        assert!((0.85..1.0).contains(&share), "{share}");
        assert!(count([255; 3]) > 1000 && count(montage.colours[0].1.rgb) > 1000);
        assert_eq!(montage.colours.iter().map(|(value, _)| *value).collect::<Vec<_>>(), [3]);
        let file = folder.path().join("m.png");
        montage.write(&file).unwrap();
        assert_eq!(Pixmap::decode_png(&std::fs::read(file).unwrap()).unwrap(), montage.pixels);
    }
}
