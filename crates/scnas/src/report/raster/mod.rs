//! SVG drawings as pixels, for papers and slides. The letters come with the program, so that a
//! drawing looks the same on every machine, also on those without any fonts. What the fonts lack is
//! drawn as a box.

pub mod montage;

use std::io::{self, Error as IoError};
use std::path::Path;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::error::{Error, Result};

/// Pixels for each unit of a drawing.
const SCALE: f32 = 2.0;

/// The faces that drawings use.
const FONTS: [&[u8]; 3] = [
    include_bytes!("fonts/DejaVuSans.ttf"),
    include_bytes!("fonts/DejaVuSans-Bold.ttf"),
    include_bytes!("fonts/DejaVuSansMono.ttf"),
];

/// Writes a drawing as PNG, two pixels for each of its units.
///
/// # Errors
/// What is no SVG, or is too large for memory; a file that cannot be written.
pub fn write(svg: &str, path: &Path) -> Result<()> {
    let pixels = pixels(svg, SCALE).and_then(|pixels| pixels.encode_png().map_err(IoError::other));
    let png = pixels.map_err(|error| Error::file("draw", path, error))?;
    Ok(medvol::atomic_write(path, &png)?)
}

/// A drawing with so many pixels for each of its units.
fn pixels(svg: &str, scale: f32) -> io::Result<Pixmap> {
    let mut options = Options::default();
    let fonts = options.fontdb_mut();
    FONTS.iter().for_each(|font| fonts.load_font_data(font.to_vec()));
    let tree = Tree::from_str(svg, &options).map_err(IoError::other)?;
    let size = tree.size().to_int_size().scale_by(scale);
    let pixels = size.and_then(|size| Pixmap::new(size.width(), size.height()));
    let mut pixels = pixels.ok_or_else(|| IoError::other("a drawing that large"))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::draw::svg;
    use crate::space::genotype::Genotype;
    use crate::space::topology::Space;

    /// The pixels of text on white that are not white.
    fn inked(style: &str, text: &str) -> usize {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"200\" height=\"40\"><rect \
             width=\"100%\" height=\"100%\" fill=\"#fff\"/><text x=\"5\" y=\"30\" \
             style=\"{style}\">{text}</text></svg>"
        );
        let pixels = pixels(&svg, 1.0).unwrap();
        pixels.pixels().iter().filter(|pixel| pixel.red() < 255).count()
    }

    #[test]
    fn letters_are_drawn_in_every_face_of_the_drawings_without_any_font_of_the_machine() {
        let sans = inked("font: 13px 'DejaVu Sans', Verdana, sans-serif", "conv3 – τ");
        let bold = inked("font: bold 13px 'DejaVu Sans'", "conv3 – τ");
        let mono = inked("font: 13px 'DejaVu Sans Mono', Menlo, monospace", "conv3 – τ");
        assert!(sans > 100 && bold > sans && mono > 100, "{sans} {bold} {mono}");
        assert_ne!(sans, mono);
    }

    #[test]
    fn cells_have_their_size_twice_their_colours_and_the_same_bytes_each_time() {
        let svg = svg(&Genotype::random(&Space::paper(), 3));
        let folder = tempfile::tempdir().unwrap();
        let files = ["a.png", "b.png"].map(|name| folder.path().join(name));
        files.iter().for_each(|file| write(&svg, file).unwrap());
        let [a, b] = files.map(|file| std::fs::read(file).unwrap());
        assert!(a == b);
        let width: usize =
            svg.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        let pixels = Pixmap::decode_png(&a).unwrap();
        assert_eq!(pixels.width() as usize, 2 * width);
        // The colour of convolutions.
        let drawn = |rgb: [u8; 3]| {
            pixels.pixels().iter().filter(|p| [p.red(), p.green(), p.blue()] == rgb).count()
        };
        assert!(drawn([0, 0x72, 0xb2]) > 500 && drawn([255; 3]) > 100_000);
        // In the corner there is nothing, and it is opaque.
        assert_eq!(pixels.pixel(0, 0).map(|p| (p.red(), p.alpha())), Some((255, 255)));
        assert!(write("<svg", Path::new("x.png")).is_err());
    }
}
