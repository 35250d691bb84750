//! Who takes part in a race: the candidates of the settings, each as wide as the budgets allow, and
//! what each costs.

use std::path::Path;

use burn::tensor::Device;

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
use crate::settings::{Bytes, Config, Count, RaceConfig};
use crate::space::topology::NODES;
use crate::space::u_design::UDesign;
use crate::store::named::{Named, built_in};

/// Channels of a stem, at most: those of the settings.
const MAX_WIDTH: usize = 1024;

/// An architecture that was asked for, and how wide.
struct Wanted {
    family: Family,
    form: Form,
}

/// An architecture at a width.
#[derive(Clone)]
struct Form {
    /// Its name, without the width.
    base: String,
    /// Its name.
    name: String,
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
    let wanted = race.candidates.iter().map(|text| {
        let wanted = Wanted::parse(text, &run.config, &run.device)?;
        if wanted.family == Family::Found {
            warn_of_seen_cases(Path::new(text), &run.plan, observer);
        }
        Ok(wanted)
    });
    let wanted = wanted.collect::<Result<Vec<Wanted>>>()?;
    let scale = Scale::new(run, program, observer)?;
    let (mut candidates, mut remarks): (Vec<Candidate>, Vec<BudgetRemark>) =
        (Vec::new(), Vec::new());
    let mut cheapest: Option<(String, Offer)> = None;
    observer.begin("measuring candidates", 0, wanted.len());
    for (done, wanted) in wanted.iter().enumerate() {
        let price = wanted.widest(run, &scale)?;
        let (asked, name) = (wanted.form.name.clone(), price.form.name.clone());
        match price.weighed.filter(|_| within(&price, race)) {
            Some(weighed) => {
                if name != asked {
                    remarks.push(BudgetRemark::Narrower { asked, instead: name });
                }
                enlist(wanted.family, price, weighed, run.size(), &mut candidates);
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

/// The candidate that costs most of those that are asked for, and its width: what budgets do to them
/// makes none larger. `None` where none is asked for.
///
/// # Errors
/// Names of nothing.
pub(super) fn largest(
    config: &Config,
    plan: &Plan,
    device: &Device,
) -> Result<Option<(Architecture, usize)>> {
    let forms = config.race.candidates.iter().map(|text| {
        let Form { architecture, width, .. } = Wanted::parse(text, config, device)?.form;
        Ok((architecture, width))
    });
    let forms = forms.collect::<Result<Vec<_>>>()?;
    let cost = |(architecture, width): &(Architecture, usize)| {
        architecture.cost(plan.size(*width), plan.patch).multiply_adds
    };
    Ok(forms.into_iter().max_by_key(cost))
}

/// What a candidate at some width costs.
struct Offer {
    form: Form,
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
    family: Family,
    Offer { form: Form { mut name, architecture, width, .. }, cost, .. }: Offer,
    Weighed { seconds, memory }: Weighed,
    size: Size,
    candidates: &mut Vec<Candidate>,
) {
    let design = |of: &Architecture, width| of.design(Size { width, ..size });
    let own = design(&architecture, width);
    let is_same = |other: &Candidate| match &own {
        Some(_) => own == design(&other.architecture, other.width),
        None => architecture == other.architecture && width == other.width,
    };
    if candidates.iter().any(is_same) {
        return;
    }
    // Several runs can have folders of one name.
    while candidates.iter().any(|candidate| candidate.name == name) {
        name.push('+');
    }
    candidates.push(Candidate { name, family, width, cost, seconds, memory, architecture });
}

impl Wanted {
    /// What `text` names: `NAME` or `NAME@WIDTH`. Without a width it is that of the run that is
    /// named, or of these settings.
    fn parse(text: &str, config: &Config, device: &Device) -> Result<Self> {
        let with_width = text.rsplit_once('@').filter(|_| !Path::new(text).exists());
        let (text, width) = with_width
            .and_then(|(name, width)| Some((name, Some(width.parse().ok()?))))
            .unwrap_or((text, None));
        let Named { name, architecture, made_for } =
            Named::resolve(text, &config.network.space(), config.seed, device)?;
        let own = made_for.map_or(config.network.width, |made_for| made_for.size.width);
        let width = width.unwrap_or(own);
        if !(NODES..=MAX_WIDTH).contains(&width) || !width.is_multiple_of(NODES) {
            let expected = Expected::Multiple { of: NODES, most: MAX_WIDTH };
            return Err(Error::setting("race.candidates", expected, format!("{text}@{width}")));
        }
        let family = family(text, &architecture);
        let form = Form { name: format!("{name}@{width}"), base: name, architecture, width };
        Ok(Self { family, form })
    }

    /// The widest form within the budgets, at most as wide as wanted; the narrowest one where none
    /// is.
    fn widest(&self, run: &Run, scale: &Scale) -> Result<Offer> {
        let race = &run.config.race;
        let offer = |form: &Form| -> Result<(Offer, bool)> {
            let size = Size { width: form.width, ..run.size() };
            let cost = form.architecture.cost(size, run.plan.patch);
            let mut offer = Offer { form: form.clone(), cost, weighed: None };
            if within(&offer, race) {
                offer.weighed = Some(scale.weigh(&form.architecture, form.width)?);
            }
            let meets = offer.weighed.is_some() && within(&offer, race);
            Ok((offer, meets))
        };
        let forms = self.forms(run.size());
        let (widest, meets) = offer(&self.form)?;
        let Some(narrowest) = forms.last().filter(|_| !meets) else { return Ok(widest) };
        let (mut found, meets) = offer(narrowest)?;
        if !meets {
            return Ok(found);
        }
        // Cost falls with the width. Of the forms between these two the first exceeds a budget, as
        // far as it is one of them, and the last exceeds none.
        let (mut least, mut most) = (0, forms.len() - 1);
        while least < most {
            let middle = usize::midpoint(least, most);
            match offer(&forms[middle])? {
                (better, true) => (found, most) = (better, middle),
                (_, false) => least = middle + 1,
            }
        }
        Ok(found)
    }

    /// It at every width that is less than wanted, the widest first: cells by the channels of their
    /// nodes, U-shaped networks by those of their stem.
    fn forms(&self, size: Size) -> Vec<Form> {
        let Form { base, architecture, width, .. } = &self.form;
        let of = |name, architecture, width| Form { base: base.clone(), name, architecture, width };
        match architecture.design(Size { width: *width, ..size }) {
            None => {
                let widths = (NODES..*width).rev().filter(|width| width.is_multiple_of(NODES));
                let name = |width| format!("{base}@{width}");
                widths.map(|width| of(name(width), architecture.clone(), width)).collect()
            }
            Some(design) => {
                let stems = (1..design.channels[0]).rev();
                let narrower = stems.map(|stem| {
                    let design = design.with_stem(stem);
                    let plain = design == UDesign::u_resnet(stem);
                    let base = if plain { "u" } else { base.as_str() };
                    of(format!("{base}:{stem}"), Architecture::U(design), *width)
                });
                narrower.collect()
            }
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
    let seen = plan.seen_by(&source);
    if seen > 0 {
        observer.message(&Message::Race(RaceMessage::SeenCases {
            source_run: name_of_folder(path),
            seen,
            held_out: plan.held_out().len(),
        }));
    }
}
