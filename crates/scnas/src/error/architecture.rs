//! Why an architecture, or the weights it is to begin with, cannot be had.

use std::path::PathBuf;

/// Why an architecture, or the weights it is to begin with, cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureFault {
    /// Nothing is known by the name of an architecture.
    #[error("{name}: no such run folder; expected one, a genotype.json, a model.safetensors, random, random:SEED, u:CHANNELS, {}, or one of the operations {}", designed.join(", "), operations.join(", "))]
    NoArchitecture {
        /// The name.
        name: String,
        /// Names of the architectures that are built in.
        designed: Vec<String>,
        /// Names of the operations of the space.
        operations: Vec<String>,
    },
    /// A random architecture is numbered by what is no number.
    #[error("{name}: expected a number after random:")]
    RandomSeed {
        /// The name.
        name: String,
    },
    /// The channels of a network of the U family are no channels.
    #[error(
        "{name}: expected the channels of the stem, as in u:8, or of all levels, as in u:8,16,32,64"
    )]
    UChannels {
        /// The name.
        name: String,
    },
    /// An architecture of nothing but the operation that connects nothing.
    #[error("{name}: a network without any connection computes nothing; name another operation")]
    Unconnected {
        /// Name of the operation.
        name: String,
    },
    /// A network of a size that none can have.
    #[error(
        "{channels} channels, {classes} classes, width {width}: expected 1 to 4096 channels, 1 to \
         255 classes, and a width from 4 to 4096 that is a multiple of 4"
    )]
    ImpossibleSize {
        /// Input channels.
        channels: usize,
        /// Classes, background included.
        classes: usize,
        /// Channels of the stem.
        width: usize,
    },
    /// A patch that cannot be halved as a network halves it.
    #[error("patch {patch:?}: expected multiples of {}, {} and {} voxels, as its axes are halved", step[0], step[1], step[2])]
    Undivided {
        /// (depth, height, width) in voxels.
        patch: [usize; 3],
        /// What its extents must be multiples of.
        step: [usize; 3],
    },
    /// A network that has no cells is to be drawn.
    #[error("{name}: only cells of the search space can be drawn")]
    NoCells {
        /// Name of the architecture.
        name: String,
    },
    /// Cells that have a name do not fit the operations that an edge can be.
    #[error(
        "{name}: expected network.operations with the operation {missing} of these cells; found \
         none of its name and kind; add it"
    )]
    OtherOperations {
        /// The cells' name.
        name: String,
        /// The first operation that they need.
        missing: String,
    },
    /// A run whose search is not over has no architecture yet.
    #[error("{}: no genotype.json there; expected the folder of a run whose search is over", path.display())]
    NoGenotype {
        /// The folder.
        path: PathBuf,
    },
    /// Weights to inherit do not fit the network.
    #[error(
        "weights to inherit: expected a weight {weight} of the same shape; found none; inherit only from a run with the same width, channels, classes, operations and strides"
    )]
    Inherit {
        /// Name of the first weight that is missing.
        weight: String,
    },
    /// The search that weights are taken from has seen cases that are held out now.
    #[error(
        "{source_run}: its search has seen {seen} of the {held_out} cases held out here, so their scores would be too good; use the fold and seed of that run (fold {fold})"
    )]
    SeenCases {
        /// Name of the run of the search.
        source_run: String,
        /// Number of held-out cases that it has seen.
        seen: usize,
        /// Number of held-out cases.
        held_out: usize,
        /// Fold of the search.
        fold: usize,
    },
}
