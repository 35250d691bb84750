//! What a format is, and which there are.

use std::fmt::Debug;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array3, Array4};

use super::dicom::Dicom;
use super::grid::{Grid, Header};
use super::metaimage::MetaImage;
use super::nifti::Nifti;
use super::nrrd::Nrrd;
use super::source::Source;
use super::stream::Stream;
use super::voxels::{NumberType, Stored};
use crate::class_map::Label;
use crate::error::Result;

/// All formats, the one that is written unless another is asked for first.
pub const FORMATS: &[&dyn Format] = &[&Nifti, &Nrrd, &MetaImage, &Dicom];

/// A file format: how its headers are read and written. Voxels are read and written by what all
/// formats share.
pub trait Format: Debug + Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// The endings of its files, each with its dot and in lower case; an ending that ends in
    /// another stands before it. The first is that of new files.
    fn endings(&self) -> &'static [&'static str];

    /// Whether a source is of this format: by its first bytes, which are `start` (up to
    /// [`Stream::START`], uncompressed), or by its name. A source that nobody claims goes to the
    /// format of its ending.
    fn probe(&self, source: &Source, start: &[u8]) -> bool;

    /// The file under which an image is known, if this file is only another part of it: then a
    /// folder that holds both holds one image.
    fn is_part_of(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// Whether a folder is one image, of which its files are the slices.
    fn is_image(&self, _folder: &Path) -> bool {
        false
    }

    /// Reads and validates the header at the beginning of a stream, and nothing more.
    ///
    /// # Errors
    /// Whatever is wrong with the file; what it announces is not believed before it is there.
    fn open(&'static self, stream: Stream) -> Result<(Header, Stored)>;

    /// How the layers of a file become one label map, where it keeps one so. Its grid has one channel
    /// then, and each layer has all voxels of it.
    fn join<'a>(&self, _source: &'a Source, _header: &'a Header) -> Option<Join<'a>> {
        None
    }

    /// What a label map says by itself that its values mean, as far as it says so.
    fn labels(&self, _header: &Header) -> Vec<Label> {
        Vec::new()
    }

    /// Whether a label map with this header may be cut from the larger grid of its image.
    fn may_be_cropped(&self, _header: &Header) -> bool {
        false
    }

    /// Whether it writes images, and not only label maps of an image it has read.
    fn writes_images(&self) -> bool {
        true
    }

    /// Refuses what cannot be written like an image with this header, before there is anything to
    /// write.
    ///
    /// # Errors
    /// What the format cannot hold.
    fn check_reference(&self, _path: &Path, _reference: &Header) -> Result<()> {
        Ok(())
    }

    /// Writes a file, complete or not at all.
    ///
    /// # Errors
    /// What the format cannot hold, and those of writing.
    fn write(&self, path: &Path, content: &Content) -> Result<()>;
}

/// Makes a label map `[depth, height, width]` of layers `[layers, depth, height, width]`.
pub type Join<'a> = Box<dyn FnOnce(&Array4<u16>) -> Result<Array3<u16>> + 'a>;

/// What is to be written.
pub struct Content<'a> {
    /// The grid the voxels are on.
    pub grid: Grid,
    /// The type of number they are written as.
    pub numbers: NumberType,
    /// Hands all voxels on in their order (width fastest, then height, depth, channels), as
    /// little-endian numbers.
    pub voxels: &'a dyn Fn(&mut dyn Write) -> io::Result<()>,
    /// What the values of a label map mean, as far as it is known.
    pub labels: Option<&'a [Label]>,
    /// The header of an image on the same grid, whose words about space are to be kept as far as
    /// the format can.
    pub reference: Option<&'a Header>,
}

/// The endings of all formats, in the order of [`FORMATS`].
pub fn endings() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().flat_map(|format| format.endings()).copied()
}

/// The ending of files whose name the program chooses.
pub fn default_ending() -> &'static str {
    FORMATS[0].endings()[0]
}

/// The ending of label maps that answer to a source: that of its format, by its name, or by what is
/// in it if that has no ending; of NIfTI the compressed one.
pub fn ending_like(source: &Source) -> &'static str {
    let (_, ending) = source.stem_and_ending();
    let known = endings().find(|known| known.eq_ignore_ascii_case(ending)).or_else(|| {
        let stream = Stream::open(source).ok()?;
        Some(of_source(source, stream.start())?.endings()[0])
    });
    match known {
        Some(known) if default_ending().strip_suffix(".gz") != Some(known) => known,
        _ => default_ending(),
    }
}

/// The ending of images that answer to a source: as [`ending_like`], where its format has images.
pub fn image_ending_like(source: &Source) -> &'static str {
    let ending = ending_like(source);
    if writes_images(ending) { ending } else { default_ending() }
}

/// Whether files with this ending hold images, and not only label maps.
pub(crate) fn writes_images(ending: &str) -> bool {
    by_ending(Path::new(ending)).is_some_and(Format::writes_images)
}

/// Whether a folder is one image, of which its files are the slices.
pub fn is_image(folder: &Path) -> bool {
    folder.is_dir() && FORMATS.iter().any(|format| format.is_image(folder))
}

/// A file's name without folder and without the ending of a format that can be read, and that
/// ending (or none), in upper or lower case as it is: `imagesTr/case_1.nii.gz` → `("case_1",
/// ".nii.gz")`.
pub fn stem_and_ending(file: &str) -> (&str, &str) {
    let name = file.rsplit('/').next().unwrap_or(file);
    let stem = |ending: &str| {
        let (stem, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
        end.eq_ignore_ascii_case(ending).then_some(stem.len())
    };
    name.split_at(endings().find_map(stem).unwrap_or(name.len()))
}

/// What compressed files end in.
const PACKED: [&str; 10] = ["gz", "bz2", "xz", "zst", "zip", "7z", "rar", "lz4", "lzma", "z"];

/// Whether a file's name is that of an image that is compressed in a way that is not read.
pub fn is_packed(file: &str) -> bool {
    let packed = |(stem, last): (&str, &str)| {
        PACKED.iter().any(|ending| last.eq_ignore_ascii_case(ending))
            && !stem_and_ending(stem).1.is_empty()
    };
    stem_and_ending(file).1.is_empty() && file.rsplit_once('.').is_some_and(packed)
}

/// Whether a file is only a part of an image that is known by another file which is there: the
/// voxels beside their header.
pub fn is_part_of_another(path: &Path) -> bool {
    match by_ending(path) {
        Some(format) => format.is_part_of(path).is_some(),
        None => is_data_file(path),
    }
}

/// The header that is there of a file that is only its voxels, by their names.
pub(crate) fn known_by(path: &Path) -> Option<PathBuf> {
    by_ending(path)?.is_part_of(path)
}

/// Whether a file has the name that programs give to the voxels of a text header which is there.
fn is_data_file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let of = |ending: &&str| {
        let (stem, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
        end.eq_ignore_ascii_case(ending).then_some(stem)
    };
    let header =
        |stem: &str, ending: &str| path.with_file_name(format!("{stem}{ending}")).is_file();
    let endings = [".mhd", ".nhdr", ".MHD", ".NHDR"];
    let stem = [".raw.gz", ".zraw", ".raw"].iter().find_map(of);
    stem.is_some_and(|stem| endings.iter().any(|ending| header(stem, ending)))
}

/// The format whose files end as a name does, in upper or lower case.
pub(super) fn by_ending(path: &Path) -> Option<&'static dyn Format> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    FORMATS
        .iter()
        .find(|format| format.endings().iter().any(|ending| name.ends_with(ending)))
        .copied()
}

/// The format of a source that begins with the bytes `start`.
pub(super) fn of_source(source: &Source, start: &[u8]) -> Option<&'static dyn Format> {
    let claimed = FORMATS.iter().find(|format| format.probe(source, start)).copied();
    claimed.or_else(|| by_ending(source.path()))
}
