//! Numbered random streams: one seed, one stream per purpose, one substream per index (iteration,
//! epoch, case).
//!
//! Nothing depends on how many numbers another purpose drew, so a resumed run needs no generator
//! state, only its indices.

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

/// What random numbers are for. The numbers are part of a run's reproducibility: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights; index = position of the weight in the network.
    Weights = 1,
    /// Initial α.
    Alpha = 2,
    /// Gumbel noise and pairs; index = iteration.
    Sampling = 3,
    /// Assignment of cases to folds.
    Folds = 4,
    /// Halves of the training cases; index = fold.
    Halves = 5,
    /// Order of the cases and crop corners for Θ; index = epoch.
    WeightPatches = 6,
    /// Order of the cases and crop corners for α; index = epoch.
    AlphaPatches = 7,
    /// Random architectures.
    RandomGenotype = 8,
    /// Order of the cases and crop corners in training a fixed network; index = epoch.
    TrainPatches = 9,
    /// Augmentation of the patches of a search; index = [`epoch_and_case`].
    SearchAugmentation = 10,
    /// Augmentation of the patches in training a fixed network; index = [`epoch_and_case`].
    TrainAugmentation = 11,
    /// Operations left out in training a fixed network; index = step.
    DropPath = 12,
    /// Training cases that judge the candidates of a race; index = fold.
    InnerSplit = 13,
}

/// The index of a case in an epoch, both below 2²⁴.
pub fn epoch_and_case(epoch: usize, case: usize) -> u64 {
    (epoch as u64) << 24 | case as u64
}

/// The generator of `stream`, substream `index`, under `seed`.
pub fn rng(seed: u64, stream: Stream, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((stream as u64) << 48) ^ index);
    rng
}
