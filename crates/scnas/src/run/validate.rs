//! Scores of a network that is not done yet on the held-out cases, between epochs and rungs.

use medvol::metrics::mean_sd;

use crate::error::Result;
use crate::network::architecture::Segmenter;
use crate::network::mixture::Mixture;
use crate::network::weights::Weights;
use crate::predict::windows::Predictor;
use crate::run::setup::Run;

/// A network that is validated.
pub(super) struct Judged<'a> {
    /// Its structure.
    pub network: &'a dyn Segmenter,
    /// Its weights.
    pub weights: &'a Weights,
    /// What it runs with.
    pub mixture: Mixture,
}

/// Dice per foreground class, or region, of each held-out case of a run, in their order, on the
/// preprocessed grid.
pub(super) fn scores(run: &Run, judged: &Judged) -> Result<Vec<Vec<Option<f64>>>> {
    let Judged { network, weights, mixture } = judged;
    let predictor = Predictor {
        network: *network,
        weights,
        mixture,
        patch: run.plan.patch,
        classes: run.plan.labels.len(),
        target: &run.plan.target,
        settings: run.config.predict.clone(),
        mirror: Run::UNMIRRORED,
    };
    let memory = run.config.data.memory_free();
    run.held_out.iter().map(|case| predictor.validate(case, memory)).collect()
}

/// Mean of [`scores`] per foreground class, or region.
pub(super) fn validate(run: &Run, judged: &Judged) -> Result<Vec<Option<f64>>> {
    let scores = scores(run, judged)?;
    let mean = |n: usize| mean_sd(scores.iter().filter_map(|s| s[n]));
    let structures = run.plan.foreground().len();
    Ok((0..structures).map(|n| mean(n).map(|(mean, _)| mean)).collect())
}
