//! What can be wrong with the inputs and outputs of predictions and evaluations.

use std::path::PathBuf;

use medvol::{lengths_mm, significant};

use super::text::shortened;

/// What is wrong with an input or an output. [`Error::Place`](crate::Error::Place) names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Place {
    /// Neither an image, nor a folder, nor a data set.
    #[error("expected an image (such as .nii.gz, .nrrd or .mha), a folder of images or a data set")]
    NoImage,
    /// Neither a folder nor a label map.
    #[error("expected a folder, or an image file (such as .nii.gz, .nrrd or .mha)")]
    NoLabelMap,
    /// A folder without images.
    #[error("no images to predict found there")]
    NoImages {
        /// Whether a data set's training images were wanted, too.
        training: bool,
    },
    /// A folder without label maps.
    #[error("expected label maps (such as .nii.gz, .nrrd or .mha), found none")]
    NoLabelMaps,
    /// Several images where one is expected: in the folder of a patient.
    #[error(
        "expected one {what} in the folder of a patient; found {} ({}); give them in one folder, \
         each under the name of its patient", found.len(), shortened(found)
    )]
    Several {
        /// What they are.
        what: &'static str,
        /// Their names.
        found: Vec<String>,
    },
    /// An image of which almost all would be invented on the model's grid.
    #[error(
        "its voxels of {} would become {} each on the model's grid of {}; expected 1000 at most; \
         check the unit in its header, or give an image of this kind",
        lengths_mm(*own_mm), significant(*times, 2), lengths_mm(*model_mm)
    )]
    TooCoarse {
        /// Its spacing in mm (depth, height, width), in canonical orientation.
        own_mm: [f64; 3],
        /// That of the model's grid.
        model_mm: [f64; 3],
        /// How many voxels one of them becomes.
        times: f64,
    },
    /// A case whose files are not where the run found and left them.
    #[error(
        "expected the image, the reference and the prediction of {case} where the run found and left them"
    )]
    NoCase {
        /// Name of the case.
        case: String,
    },
    /// A cross-validation with several seeds, where one is looked at.
    #[error("expected one seed; found several; give the folder of one, such as {}", seed.display())]
    SeveralSeeds {
        /// The folder of one.
        seed: PathBuf,
    },
    /// A name that is no text.
    #[error("expected a name in UTF-8; rename this file")]
    NotUtf8,
    /// One file for the label maps of several images.
    #[error("one file for {images} images; give a folder")]
    OneFile {
        /// Number of images.
        images: usize,
    },
    /// A place for label maps that is neither a folder nor the name of one.
    #[error(
        "expected a folder, or a file name that ends as an image's (such as .nii.gz, .nrrd or .mha)"
    )]
    NoFolder,
    /// An output that is an input or belongs to a data set.
    #[error("this would overwrite an input or a file of a data set")]
    Overwrites,
    /// A folder for results that is read for images.
    #[error(
        "this folder is read for images, and what is written there would be taken for such; give \
         another folder"
    )]
    AmongImages,
    /// An image of other channels than the model's.
    #[error(
        "the model expects {expected} channel(s), found {found}; give images like those it was \
         trained on ({})", names.join(", ")
    )]
    Channels {
        /// Number of the model's channels.
        expected: usize,
        /// Number of the image's.
        found: usize,
        /// Names of the model's channels.
        names: Vec<String>,
    },
    /// A data set whose channels stand in another order than the model's.
    #[error(
        "its channels are {}, but the model was trained on {}, in this order; put files and \
         description into the order of the model",
        found.join(", "), expected.join(", ")
    )]
    ChannelOrder {
        /// Names of the model's channels.
        expected: Vec<String>,
        /// Names of the data set's.
        found: Vec<String>,
    },
    /// A table of scores that cannot be understood.
    #[error(transparent)]
    Scores(#[from] ScoresFault),
}

/// Why a table of scores cannot be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoresFault {
    /// Not CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// Other columns.
    #[error("line 1: expected the columns case, one for each class, mean")]
    Columns,
    /// A cell that is neither empty nor a Dice.
    #[error("line {line}: expected a Dice from 0 to 1 or nothing, found {found}")]
    Dice {
        /// Line of the file, from 1.
        line: u64,
        /// What stands there.
        found: String,
    },
}
