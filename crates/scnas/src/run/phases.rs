//! The phases of a run, each from where it stands to its end.

use crate::data::patches::halves;
use crate::error::Result;
use crate::learn::relaxation::Alpha;
use crate::message::Message;
use crate::network::weights::Weights;
use crate::observer::Observer;
use crate::report::decided::Decided;
use crate::run::decide::Decider;
use crate::run::epochs;
use crate::run::search::Searcher;
use crate::run::setup::Run;
use crate::run::supernet::Supernet;
use crate::run::train::Trainer;
use crate::settings::DecideConfig;
use crate::space::genotype::{Genotype, Repair};
use crate::store::model::Model;

/// What a search ends with.
#[derive(Debug)]
pub struct Found {
    /// The architecture that α says.
    pub genotype: Genotype,
    /// Edges that had to be repaired.
    pub repairs: Vec<Repair>,
    /// Weights of the whole search network, to inherit from.
    pub weights: Weights,
}

/// Runs or resumes a search to its end, and writes the architecture and α.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped) on request, with everything saved;
/// [`Error::Diverged`](crate::Error::Diverged); files that cannot be read or written.
pub fn search(run: &mut Run, observer: &dyn Observer) -> Result<Found> {
    let halves = halves(run.training.len(), run.config.seed, run.plan.fold);
    let of = (run.size(), run.plan.target.clone());
    let supernet = Supernet::new(&run.config, of, &run.device, halves);
    match run.config.search.decide {
        None => learn_alpha(run, supernet, observer),
        Some(settings) => decide(run, supernet, settings, observer),
    }
}

fn learn_alpha(run: &mut Run, supernet: Supernet, observer: &dyn Observer) -> Result<Found> {
    let mut searcher = Searcher::new(supernet);
    epochs::run(run, &mut searcher, observer)?;
    let (genotype, repairs) = searcher.genotype();
    run.dir.write_json("genotype.json", &genotype)?;
    run.dir.write_json("alpha.json", &searcher.state.alpha)?;
    if let Some(agreement) = searcher.agreement() {
        observer.message(&Message::Learnt(agreement));
    }
    Ok(Found { genotype, repairs, weights: searcher.supernet.weights })
}

/// A search that decides when it knows. What speaks for an operation stands in the place of its α.
fn decide(
    run: &mut Run,
    supernet: Supernet,
    settings: DecideConfig,
    observer: &dyn Observer,
) -> Result<Found> {
    let mut decider = Decider::new(supernet, settings);
    epochs::run(run, &mut decider, observer)?;
    let (genotype, repairs) = decider.genotype();
    let Decider { decisions, supernet, .. } = decider;
    let effects = decisions.effects(&genotype.space);
    let alpha = effects.edges().map(|edge| edge.means().iter().map(|effect| -effect).collect());
    run.dir.write_json("genotype.json", &genotype)?;
    run.dir.write_json("alpha.json", &Alpha(alpha))?;
    let decided = Decided::of(&decisions, &effects, &genotype.space, settings.errors);
    run.dir.write_json(Decided::FILE, &decided)?;
    observer.message(&Message::Decided(decided.sureness));
    Ok(Found { genotype, repairs, weights: supernet.weights })
}

/// Trains `model`, or resumes its training, with all training cases. Its weights are then the
/// averages, where the settings ask for them.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped) on request, with everything saved;
/// [`Error::Diverged`](crate::Error::Diverged); files that cannot be read or written.
pub fn train(run: &mut Run, model: &mut Model, observer: &dyn Observer) -> Result<()> {
    train_until(run, model, usize::MAX, observer)
}

/// As [`train`], until so many epochs are over; a later call goes on from there.
///
/// # Errors
/// Those of [`train`].
pub(super) fn train_until(
    run: &mut Run,
    model: &mut Model,
    epochs: usize,
    observer: &dyn Observer,
) -> Result<()> {
    if run.config.train.augment {
        model.card.mirror = run.mirror();
    }
    let mut trainer = Trainer::new(run, model);
    epochs::run_until(run, &mut trainer, epochs, observer)?;
    trainer.finish();
    Ok(())
}
