//! A race: what each candidate costs and reaches, and which no other beats in both.

use crate::memory;
use crate::report::html::markup::{note, sentence, table};
use crate::report::html::plot::{Axis, Plot};
use crate::report::race::{Race, Rung, Standing};
use crate::report::table::{number, with_error};
use crate::settings::Count;

/// The front of the latest rung, the way there, and the standings.
pub fn section(race: &Race) -> String {
    let verdict = match &race.verdict {
        Some(verdict) => note(&sentence(&verdict.to_string())),
        None => note("The race is not over."),
    };
    let judged = |rung: &&Rung| rung.standings.iter().any(|standing| standing.dice.is_some());
    let latest = race.rungs.iter().rfind(judged);
    let front = latest.map(|rung| front(race, rung)).unwrap_or_default();
    format!(
        "{verdict}<div class=\"plots\">{front}{}</div>\n{}",
        climb(race),
        table("Candidates of the race", &rows(race), 2)
    )
}

/// Seconds against Dice: who is on the front is filled, and the front is a line.
fn front(race: &Race, rung: &Rung) -> String {
    let seconds = |standing: &Standing| race.entrants.candidates[standing.place].seconds;
    let judged: Vec<(&Standing, [f64; 2])> = rung
        .standings
        .iter()
        .filter_map(|standing| Some((standing, [seconds(standing), standing.dice?])))
        .collect();
    let axes = (
        Axis::of("seconds to predict a case", judged.iter().map(|(_, [x, _])| *x)),
        Axis::of("Dice", judged.iter().map(|(_, [_, y])| *y)),
    );
    let (Some(x), Some(y)) = axes else { return String::new() };
    let title = format!("Dice against time, after {} epochs", rung.epochs);
    let mut plot = Plot::new(&title, x, y);
    let mut line: Vec<[f64; 2]> =
        judged.iter().filter(|(standing, _)| standing.on_front).map(|(_, at)| *at).collect();
    line.sort_by(|a, b| a[0].total_cmp(&b[0]));
    plot.line(0, "no other is as good and faster", "", &line);
    for (standing, at) in &judged {
        let text = format!("{}: Dice {:.4}, {:.2} s", standing.name, at[1], at[0]);
        plot.point(if standing.on_front { 0 } else { 1 }, &text, *at, !standing.on_front);
        plot.text(&standing.name, *at, "name");
    }
    plot.figure(false)
}

/// Dice at the ends of the rungs, a line a candidate.
fn climb(race: &Race) -> String {
    let of = |place: usize| -> Vec<[f64; 2]> {
        let standing = |rung: &Rung| {
            let found = rung.standings.iter().find(|standing| standing.place == place)?;
            Some([rung.epochs as f64, found.dice?])
        };
        race.rungs.iter().filter_map(standing).collect()
    };
    let lines: Vec<Vec<[f64; 2]>> = (0..race.entrants.candidates.len()).map(of).collect();
    let all = || lines.iter().flatten();
    let axes = (
        Axis::of("epochs of training", all().map(|[x, _]| *x)),
        Axis::of("Dice", all().map(|[_, y]| *y)),
    );
    let (Some(x), Some(y)) = axes else { return String::new() };
    let mut plot = Plot::new("Dice at the end of each rung", x, y);
    let winner = race.verdict.as_ref().map(|verdict| verdict.place);
    for (place, (candidate, points)) in race.entrants.candidates.iter().zip(&lines).enumerate() {
        let (colour, name) = match () {
            () if Some(place) == winner => (0, "winner"),
            () if place == 0 => (1, "prior"),
            () => (2, "others"),
        };
        plot.line(colour, name, &candidate.name, points);
    }
    plot.figure(true)
}

/// A row a candidate, the best of the latest rungs first.
fn rows(race: &Race) -> Vec<Vec<String>> {
    let head = ["candidate", "how far", "Dice", "against prior", "parameters", "GFLOPs", "seconds"];
    let head = head.into_iter().chain(["memory", "training"]).map(String::from).collect();
    let mut standings: Vec<(usize, &Standing)> = Vec::new();
    for place in 0..race.entrants.candidates.len() {
        let last = race.rungs.iter().enumerate().rev().find_map(|(number, rung)| {
            let of = |standing: &&Standing| standing.place == place && standing.judged;
            Some((number + 1, rung.standings.iter().find(of)?))
        });
        standings.extend(last);
    }
    let dice = |standing: &Standing| standing.dice.unwrap_or(f64::NEG_INFINITY);
    standings.sort_by(|(a, x), (b, y)| b.cmp(a).then(dice(y).total_cmp(&dice(x))));
    let winner = race.verdict.as_ref().map(|verdict| verdict.place);
    let rungs = race.rungs.len();
    let row = |(rung, standing): &(usize, &Standing)| {
        let candidate = &race.entrants.candidates[standing.place];
        let far = match (standing.dice, Some(standing.place) == winner) {
            (None, _) => "diverged".into(),
            (_, true) => "wins".into(),
            _ => format!("rung {rung} of {rungs}"),
        };
        let against = standing.against_prior.as_ref();
        vec![
            standing.name.clone(),
            far,
            number(standing.dice, 4),
            against.map_or_else(|| "–".into(), |of| with_error(of.mean, of.standard_error)),
            Count(candidate.cost.parameters).to_string(),
            number(Some(candidate.cost.gflops()), 2),
            number(Some(candidate.seconds), 2),
            candidate.memory.map_or_else(|| "–".into(), memory::text),
            format!("{:.1} min", standing.train_seconds / 60.0),
        ]
    };
    [head].into_iter().chain(standings.iter().map(row)).collect()
}
