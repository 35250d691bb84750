//! The one door for image files: [`open`] reads, [`create`] writes, whatever the format.
//!
//! A format is one implementation of [`Format`] in a file of its own, and one line in [`FORMATS`].
//! It understands headers and says where the voxels stand; everything behind that is the same for
//! all: bounded memory, truncated files, the number types, scale factors, compact voxels, label
//! maps. Which endings the program knows follows from the registry, too ([`stem_and_ending`]).
//!
//! ```no_run
//! use medvol::io::{self, Source};
//!
//! # fn main() -> medvol::Result<()> {
//! let channels = [Source::from("case_0000.nii.gz"), Source::from("case_0001.nii.gz")];
//! let opened = io::open(&channels)?; // headers only
//! let header = opened.header().clone();
//! let image = opened.checked(2)?.image()?; // now the voxels
//! let labels = Source::from("case.nii.gz").open()?.labels()?;
//! io::create("copy.nii.gz")?.like(&header).labels(&labels)?;
//! # Ok(())
//! # }
//! ```

mod afterwards;
mod create;
mod crop;
mod data_files;
pub mod dicom;
mod encoding;
mod fault;
mod file_names;
mod foreign;
mod format;
mod grid;
mod gzip;
mod lines;
mod metaimage;
mod nifti;
mod nrrd;
mod opened;
mod order;
mod place;
mod reading;
mod remark;
mod source;
mod stream;
mod turn;
mod voxels;

pub use afterwards::Afterwards;
pub use create::{Destination, create, image_as_nifti, labels_as_nifti};
pub use fault::{HeaderFault, Unsupported};
pub(crate) use format::known_by;
pub use format::{
    Content, FORMATS, Format, Join, default_ending, ending_like, endings, image_ending_like,
    is_image, is_packed, is_part_of_another, stem_and_ending,
};
pub use grid::{Grid, Header};
pub use opened::{Opened, open};
pub use place::Place;
pub use reading::Reading;
pub use remark::{Decision, Remark, Weight};
pub use source::Source;
pub use stream::Stream;
pub use voxels::{NumberType, Stored};

pub(crate) use format::writes_images;
pub(crate) use opened::{INTEGER_TOLERANCE, joined};
