//! The page's first words: what was reached, by what, at which cost.

use crate::message::duration;
use crate::report::evaluation::MeanSd;
use crate::report::finished::Results;
use crate::report::html::markup::{counted, escape, number, sentence};
use crate::report::html::subject::Subject;
use crate::report::result::RunResult;

/// A sentence in large letters, figures, and a line about where they come from.
pub fn headline(subject: &Subject) -> String {
    match &subject.finished {
        Some(_) => done(subject),
        None => format!("<p class=\"lead\">{}</p>\n", escape(&under_way(subject))),
    }
}

/// How far a run is that has no results yet.
fn under_way(subject: &Subject) -> String {
    let line = subject.networks.iter().rev().find_map(|network| network.lines.last());
    let phase = line.map(|line| {
        let name = if line.phase == "search" { "search" } else { "training" };
        let dice = line.mean_dice.map(|dice| format!(", with a Dice of {dice:.3}"));
        format!(
            "the {name} is at epoch {} of {}{}",
            line.epoch + 1,
            line.epochs,
            dice.unwrap_or_default()
        )
    });
    let race = subject.race.as_ref().filter(|race| race.verdict.is_none()).map(|race| {
        let candidates = counted(race.entrants.candidates.len(), "candidate");
        format!("a race of {candidates} is in rung {}", race.rungs.len())
    });
    let what = race.or(phase).unwrap_or_else(|| "it has just begun".into());
    format!("{} goes on: {what}.", subject.name)
}

fn done(subject: &Subject) -> String {
    let Some(finished) = &subject.finished else { return String::new() };
    let classes = finished.classes();
    let mean = finished
        .mean()
        .map_or_else(|| "no Dice".into(), |dice| format!("a mean Dice of {}", in_words(dice)));
    let (cases, folds) = match &finished.results {
        Results::Run(result) => (result.cases, format!(" (fold {})", result.fold)),
        Results::Folds(all) => {
            let of = match all.folds.len() == all.of {
                true => format!(" ({} folds)", all.of),
                false => format!(" ({} of {} folds)", all.folds.len(), all.of),
            };
            (all.over_cases.count, of)
        }
        Results::Seeds(all) => {
            (all.over_cases.count, format!(" ({})", counted(all.networks(), "network")))
        }
        Results::Scores(evaluation) => (evaluation.scored(), String::new()),
    };
    // Scores do not say what was held out.
    let (network, noun) = match &finished.results {
        Results::Scores(_) => (finished.name.clone(), "case"),
        _ => (format!("{} on {}", finished.network(), finished.dataset()), "held-out case"),
    };
    let sentence = format!("{network} reaches {mean} over {}{folds}.", counted(cases, noun));
    let mut figures: Vec<(String, String)> = Vec::new();
    if classes.len() > 1 {
        let shown = classes.iter().enumerate().take(6);
        figures.extend(
            shown.filter_map(|(n, class)| Some((class.clone(), in_words(finished.class(n)?)))),
        );
    }
    let [parameters, gflops] = finished.cost();
    figures.extend(parameters.map(|m| ("parameters".into(), format!("{m:.2} M"))));
    figures.extend(gflops.map(|of| ("a patch".into(), format!("{of:.2} GFLOPs"))));
    figures
        .extend(finished.minutes().map(|of| ("search and training".into(), duration(60.0 * of))));
    let figures: String = figures
        .iter()
        .map(|(name, value)| {
            format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value))
        })
        .collect();
    format!(
        "<p class=\"lead\">{}</p>\n<dl class=\"figures\">{figures}</dl>\n{}",
        escape(&sentence),
        origin(subject)
    )
}

/// Mean and standard deviation with three decimals.
fn in_words(MeanSd { mean, sd }: MeanSd) -> String {
    format!("{} ± {}", number(Some(mean), 3), number(Some(sd), 3))
}

/// Against which control, on which machine, with which seed and version.
fn origin(subject: &Subject) -> String {
    let results: Vec<&RunResult> =
        subject.networks.iter().filter_map(|network| Some(&network.results.as_ref()?.0)).collect();
    let control = match (&subject.random, results.is_empty()) {
        (Some(random), _) => Some(random.verdict()),
        (None, false) => Some("No control lies beside it.".into()),
        (None, true) => None,
    };
    let race = subject.race.as_ref().and_then(|race| race.verdict.as_ref());
    let race = race.map(|verdict| sentence(&verdict.to_string()));
    let made = results
        .iter()
        .find_map(|result| result.made_with.as_ref())
        .map(|made| format!("Made by scnas {} on {}.", made.version, made.machine));
    let seed = results.first().map(|result| format!("Seed {}.", result.seed));
    let spread =
        (!results.is_empty()).then(|| "± is the standard deviation over cases.".to_string());
    let all: Vec<String> = [control, race, seed, made, spread].into_iter().flatten().collect();
    format!("<p class=\"note\">{}</p>\n", escape(&all.join(" ")))
}
