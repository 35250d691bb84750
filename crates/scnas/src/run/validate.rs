//! Scores of a network that is not done yet on the held-out cases, between epochs and rungs.

use medvol::metrics::mean_sd;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::kept::KeptCase;
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

/// What `score` says of each held-out case of a run, in their order, with the memory there is. Ranks
/// take them in turn.
pub(super) fn scores<T: Serialize + DeserializeOwned>(
    run: &Run,
    judged: &Judged,
    score: impl Fn(&Predictor, &KeptCase, Option<u64>) -> Result<T>,
) -> Result<Vec<T>> {
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
    let (rank, count) = (run.ranks.rank(), run.ranks.count());
    let own = run.held_out.iter().skip(rank).step_by(count);
    let own = own.map(|case| score(&predictor, case, memory)).collect::<Result<Vec<T>>>()?;
    if run.ranks.is_alone() {
        return Ok(own);
    }
    let mut of_ranks: Vec<_> = run.ranks.tell(&own)?.into_iter().map(Vec::into_iter).collect();
    Ok((0..run.held_out.len()).filter_map(|case| of_ranks[case % count].next()).collect())
}

/// Mean Dice per foreground class, or region, of the held-out cases, on the preprocessed grid.
pub(super) fn validate(run: &Run, judged: &Judged) -> Result<Vec<Option<f64>>> {
    let scores = scores(run, judged, |predictor, case, memory| predictor.validate(case, memory))?;
    let mean = |n: usize| mean_sd(scores.iter().filter_map(|s| s[n]));
    let structures = run.plan.foreground().len();
    Ok((0..structures).map(|n| mean(n).map(|(mean, _)| mean)).collect())
}
