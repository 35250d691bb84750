//! What the weights of a network begin as: new ones, or those of a search.

use std::path::Path;

use burn::tensor::Device;

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::{ArchitectureFault, Result};
use crate::network::architecture::Architecture;
use crate::network::weights::Weights;
use crate::run::epochs::Phase as _;
use crate::run::search::Searcher;
use crate::run::setup::Run;
use crate::store::checkpoint;
use crate::store::model::Model;
use crate::store::run_folder::RunDir;

/// How the weights of a given architecture begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// New weights, trained.
    Scratch,
    /// The weights that the search in this run folder ended with, trained on.
    Finetune(&'a Path),
    /// The weights that the search in this run folder ended with, as they are.
    Inherit(&'a Path),
}

impl Start<'_> {
    /// The weights to inherit, if there are any.
    ///
    /// # Errors
    /// [`ArchitectureFault::SeenCases`] where they have seen cases that `plan` holds out; those of
    /// [`weights_of`].
    pub fn inherited(self, plan: &Plan, device: &Device) -> Result<Option<Weights>> {
        match self {
            Self::Scratch => Ok(None),
            Self::Finetune(from) | Self::Inherit(from) => {
                refuse_seen_cases(plan, from)?;
                weights_of(from, device).map(Some)
            }
        }
    }

    /// Whether they are trained.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::Inherit(_))
    }
}

/// Weights that have seen a held-out case in their search would score too well on it.
fn refuse_seen_cases(plan: &Plan, from: &Path) -> Result<()> {
    let source = Plan::read(&from.join("plan.json"))?;
    let seen = plan.seen_by(&source);
    if seen == 0 {
        return Ok(());
    }
    Err(ArchitectureFault::SeenCases {
        source_run: name_of_folder(from),
        seen,
        held_out: plan.held_out().len(),
        fold: source.fold,
    }
    .into())
}

/// The weights that the search of another run ended with, to inherit from.
///
/// # Errors
/// When there is no checkpoint of a search in `run_folder`, or it cannot be read.
pub fn weights_of(run_folder: &Path, device: &Device) -> Result<Weights> {
    checkpoint::weights(&RunDir::checkpoint_in(run_folder, Searcher::NAME), device)
}

/// The network of `architecture` with new weights, or those of the same name in `inherited`.
///
/// # Errors
/// [`ArchitectureFault::Inherit`] when `inherited` is of another size.
pub fn prepare(
    run: &Run,
    architecture: impl Into<Architecture>,
    inherited: Option<&Weights>,
) -> Result<Model> {
    let mirrored = inherited.is_some() && run.config.search.augment;
    let mut model =
        Model::new(run.card(architecture.into(), mirrored), &run.device, run.config.seed);
    let missing = inherited.map(|weights| model.weights.inherit(weights)).unwrap_or_default();
    match missing.into_iter().next() {
        Some(weight) => Err(ArchitectureFault::Inherit { weight }.into()),
        None => Ok(model),
    }
}
