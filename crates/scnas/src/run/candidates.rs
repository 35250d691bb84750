//! Who takes part in a race: the candidates of the settings, each as wide as the budgets allow, and
//! what each costs.

use std::path::Path;

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::{Error, Expected, Price, Result};
use crate::message::{BudgetRemark, Message, RaceMessage};
use crate::network::architecture::Architecture;
use crate::network::cost::Cost;
use crate::network::size::Size;
use crate::observer::Observer;
use crate::report::race::{Candidate, Entrants, Family};
use crate::run::scale::{Scale, Weighed};
use crate::run::setup::Run;
use crate::settings::{Bytes, Count, RaceConfig};
use crate::space::topology::NODES;
use crate::store::named::{Named, built_in};

/// Channels of a stem, at most: those of the settings.
const MAX_WIDTH: usize = 1024;

/// An architecture that was asked for, and how wide.
struct Wanted {
    name: String,
    family: Family,
    architecture: Architecture,
    width: usize,
}

/// The candidates of a run's race, the first of which is the prior. A candidate that exceeds a
/// budget is made narrower until it does not; one that does so at any width is left out. `program`:
/// bytes of the program before cases were loaded.
///
/// # Errors
/// Names of nothing; [`Error::NoCandidate`] where none meets the budgets; an image that cannot be
/// predicted; [`Error::Stopped`].
pub(super) fn enter(run: &Run, program: Option<u64>, observer: &dyn Observer) -> Result<Entrants> {
    let race = &run.config.race;
    let wanted = race.candidates.iter().map(|text| Wanted::parse(text, run, observer));
    let wanted = wanted.collect::<Result<Vec<Wanted>>>()?;
    let scale = Scale::new(run, program, observer)?;
    let (mut candidates, mut remarks): (Vec<Candidate>, Vec<BudgetRemark>) =
        (Vec::new(), Vec::new());
    let mut cheapest: Option<(String, Offer)> = None;
    observer.begin("measuring candidates", 0, wanted.len());
    for (done, wanted) in wanted.iter().enumerate() {
        let price = wanted.widest(run, &scale)?;
        let (asked, name) = (wanted.called(wanted.width), wanted.called(price.width));
        match price.weighed.filter(|_| within(&price, race)) {
            Some(weighed) => {
                if name != asked {
                    remarks.push(BudgetRemark::Narrower { asked, instead: name.clone() });
                }
                enlist(wanted, name, price, weighed, &mut candidates);
            }
            None => {
                remarks.push(BudgetRemark::LeftOut { asked });
                let least = cheapest.as_ref().map(|(_, least)| least.cost.multiply_adds);
                if least.is_none_or(|least| price.cost.multiply_adds < least) {
                    cheapest = Some((name, price));
                }
            }
        }
        observer.advance(done + 1);
    }
    match cheapest {
        Some((name, price)) if candidates.is_empty() => {
            let (budgets, price) = (race.budgets(), Box::new(price.into()));
            Err(Error::NoCandidate { budgets, name, price })
        }
        _ => Ok(Entrants { candidates, remarks }),
    }
}

/// What a candidate of some width costs.
struct Offer {
    width: usize,
    cost: Cost,
    /// Only where all that can be counted is within the budgets.
    weighed: Option<Weighed>,
}

impl From<Offer> for Price {
    fn from(Offer { cost, weighed, .. }: Offer) -> Self {
        Self {
            parameters: cost.parameters,
            gflops: cost.gflops(),
            seconds: weighed.map(|weighed| weighed.seconds),
            memory: weighed.and_then(|weighed| weighed.memory),
        }
    }
}

/// Adds a candidate, unless it is there.
fn enlist(
    wanted: &Wanted,
    mut name: String,
    Offer { width, cost, .. }: Offer,
    Weighed { seconds, memory }: Weighed,
    candidates: &mut Vec<Candidate>,
) {
    let Wanted { family, architecture, .. } = wanted;
    if candidates.iter().any(|c| c.architecture == *architecture && c.width == width) {
        return;
    }
    // Several runs can have folders of one name.
    while candidates.iter().any(|candidate| candidate.name == name) {
        name.push('+');
    }
    let (family, architecture) = (*family, architecture.clone());
    candidates.push(Candidate { name, family, width, cost, seconds, memory, architecture });
}

impl Wanted {
    /// What `text` names: `NAME` or `NAME@WIDTH`. Without a width it is that of the run that is
    /// named, or of these settings.
    fn parse(text: &str, run: &Run, observer: &dyn Observer) -> Result<Self> {
        let with_width = text.rsplit_once('@').filter(|_| !Path::new(text).exists());
        let (text, width) = with_width
            .and_then(|(name, width)| Some((name, Some(width.parse().ok()?))))
            .unwrap_or((text, None));
        let Named { name, architecture, made_for } =
            Named::resolve(text, &run.config.network.space(), run.config.seed, &run.device)?;
        let own = made_for.map_or(run.config.network.width, |made_for| made_for.size.width);
        let width = width.unwrap_or(own);
        if !(NODES..=MAX_WIDTH).contains(&width) || !width.is_multiple_of(NODES) {
            let expected = Expected::Multiple { of: NODES, most: MAX_WIDTH };
            return Err(Error::setting("race.candidates", expected, format!("{text}@{width}")));
        }
        let family = family(text, &architecture);
        if family == Family::Found {
            warn_of_seen_cases(Path::new(text), &run.plan, observer);
        }
        Ok(Self { name, family, architecture, width })
    }

    fn called(&self, width: usize) -> String {
        format!("{}@{width}", self.name)
    }

    /// The widest one within the budgets, at most as wide as wanted; the narrowest one where none
    /// is.
    fn widest(&self, run: &Run, scale: &Scale) -> Result<Offer> {
        let race = &run.config.race;
        let cost_of = |width| self.architecture.cost(Size { width, ..run.size() }, run.plan.patch);
        let mut width = self.width;
        loop {
            let cost = cost_of(width);
            let mut price = Offer { width, cost, weighed: None };
            if within(&price, race) {
                price.weighed = Some(scale.weigh(&self.architecture, width)?);
            }
            let meets = price.weighed.is_some() && within(&price, race);
            // A design that names its own channels is no narrower at another width.
            if meets || width == NODES || cost_of(width - NODES) == cost {
                return Ok(price);
            }
            width -= NODES;
        }
    }
}

/// Whether all that is known of a price is within the budgets.
fn within(Offer { cost, weighed, .. }: &Offer, race: &RaceConfig) -> bool {
    let RaceConfig { max_params, max_gflops, max_memory, max_seconds, .. } = race;
    let memory = weighed.and_then(|weighed| weighed.memory);
    max_params.is_none_or(|Count(most)| cost.parameters <= most)
        && max_gflops.is_none_or(|most| cost.gflops() <= most)
        && max_memory.is_none_or(|Bytes(most)| memory.is_none_or(|memory| memory <= most))
        && max_seconds.is_none_or(|most| weighed.is_none_or(|w| w.seconds <= most))
}

/// What an architecture is a kind of, by what it is called.
fn family(text: &str, architecture: &Architecture) -> Family {
    match architecture.genotype() {
        None => Family::UResNet,
        Some(_) if built_in().any(|name| name == text) => Family::Designed,
        Some(_) if Path::new(text).exists() => Family::Found,
        Some(_) if text == "random" || text.starts_with("random:") => Family::Random,
        Some(_) => Family::Designed,
    }
}

/// An architecture that was found with cases held out here may be flattered by them.
fn warn_of_seen_cases(path: &Path, plan: &Plan, observer: &dyn Observer) {
    let Ok(source) = Plan::read(&path.join("plan.json")) else { return };
    let seen = source.training_names();
    let seen = plan.held_out().iter().filter(|name| seen.contains(name.as_str())).count();
    if source.dataset == plan.dataset && seen > 0 {
        observer.message(&Message::Race(RaceMessage::SeenCases {
            source_run: name_of_folder(path),
            seen,
            held_out: plan.held_out().len(),
        }));
    }
}
