//! Medical volumes without a tensor library: image files, data sets, orientation, resampling,
//! patches, stitching and metrics.
//!
//! A voxel's way: [`Dataset::load`] reads, through the one door for files that [`io`] is, an
//! [`Image`] and its [`LabelMap`]; [`preprocess`] brings them to a common grid as a [`Case`];
//! [`patch`] cuts what a network sees, [`augment`] varies it in training; [`stitch`] joins what it
//! says; [`Geometry`] brings that back to the image's own grid; [`components`](mod@components)
//! cleans stray voxels away; [`metrics`] scores it there. [`check`](mod@check) says what is wrong
//! with a data set; [`phantom`] makes data sets up.
//!
//! Arrays are indexed `[depth, height, width]`, an image's channels come first. Shapes and spacings
//! (mm) are given in that order too. An [`Affine`] maps the voxel `(i, j, k)` = (width, height,
//! depth) to millimetres in RAS+.

#![deny(missing_docs, unsafe_code)]

mod affine;
mod atomic;
pub mod augment;
pub mod check;
mod class_map;
mod class_places;
pub mod components;
mod dataset;
mod digits;
pub mod distance;
mod error;
mod geometry;
pub mod io;
pub mod metrics;
mod new_folder;
mod normalisation;
mod open;
mod orient;
mod part;
pub mod patch;
pub mod phantom;
mod preprocess;
mod raw;
mod resample;
pub mod sliding;
pub mod stitch;
mod symmetry;
mod target;
mod text;
mod volume;

pub use affine::Affine;
pub use atomic::{
    atomic_write, atomic_write_keeping, atomic_write_with, can_write_in, remove_abandoned,
    remove_leftovers,
};
pub use class_map::{ClassMap, Label};
pub use class_places::{ClassPlaces, DrawnVoxel};
pub use dataset::{CaseFiles, Dataset, Flaw, Fold, Notice, case_of_label_map};
pub use digits::{lengths_mm, significant};
pub use error::{Error, Instead, Result};
pub use geometry::Geometry;
pub use normalisation::{CtSample, CtStatistics, Normalisation, restate};
pub use open::open_file;
pub use orient::{Orientation, canonical_spacing, median_spacing};
pub use part::Part;
pub use preprocess::{Case, MAX_VOXELS, PreprocessFault, Preprocessed, preprocess};
pub use raw::RawImage;
pub use resample::{resample, resample_classes};
pub use symmetry::mirror_axes;
pub use target::{Region, Target};
pub use text::{composed, read_text};
pub use volume::{Image, LabelMap};
