//! A race in words: who ran, how the rungs went, what was gained.

use scnas::memory;
use scnas::report::race::{Candidate, Race, Rung};
use scnas::report::table::{aligned, number, with_error};
use scnas::settings::Count;

/// The candidates with their costs, a table a rung, and what was gained.
pub fn text(race: &Race) -> String {
    let mut text = costs(race);
    for remark in &race.entrants.remarks {
        text += &format!("{remark}\n");
    }
    for (n, rung) in race.rungs.iter().enumerate() {
        text += &format!("\n{}", rung_text(n + 1, rung, race));
    }
    match &race.verdict {
        Some(verdict) => text + &format!("\n{verdict}\n"),
        None => text + "\nThe race is not over.\n",
    }
}

fn costs(race: &Race) -> String {
    let head = ["candidate", "family", "parameters", "GFLOPs", "seconds", "memory"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(race.entrants.candidates.iter().map(|candidate| {
        let Candidate { name, family, cost, seconds, memory, .. } = candidate;
        vec![
            name.clone(),
            family.name().into(),
            Count(cost.parameters).to_string(),
            number(Some(cost.gflops()), 2),
            number(Some(*seconds), 2),
            memory.map_or_else(|| "–".into(), memory::text),
        ]
    }));
    let budgets = match race.budgets.as_slice() {
        [] => String::new(),
        budgets => format!("budgets: {}\n", budgets.join(", ")),
    };
    format!("{}{budgets}", aligned(&rows, 2))
}

/// Scores of a rung, the best first.
fn rung_text(number_of: usize, rung: &Rung, race: &Race) -> String {
    let title = format!("rung {number_of}, {} epochs", rung.epochs);
    let head = [title.as_str(), "", "Dice", "against prior", "seconds", "training"];
    let mut rows = vec![head.map(String::from).to_vec()];
    let mut standings: Vec<_> = rung.standings.iter().collect();
    let dice = |dice: Option<f64>| dice.unwrap_or(f64::NEG_INFINITY);
    standings.sort_by(|a, b| dice(b.dice).total_cmp(&dice(a.dice)));
    for standing in standings {
        let state = match (standing.judged, standing.dice, standing.goes_on) {
            (false, ..) => "runs",
            (_, None, _) => "diverged",
            (.., true) if rung.over && race.rungs.len() == number_of && race.verdict.is_some() => {
                "wins"
            }
            (.., true) => "goes on",
            (.., false) => "",
        };
        let front = if standing.on_front { " *" } else { "" };
        let seconds = race.entrants.candidates.get(standing.place).map(|c| c.seconds);
        rows.push(vec![
            standing.name.clone(),
            state.into(),
            number(standing.dice, 4),
            standing
                .against_prior
                .as_ref()
                .map_or_else(|| "–".into(), |of| with_error(of.mean, of.standard_error)),
            format!("{}{front}", number(seconds, 2)),
            format!("{:.1} min", standing.train_seconds / 60.0),
        ]);
    }
    let front = match rung.standings.iter().any(|standing| standing.on_front) {
        true => "* no other is as good and faster, or as fast and better\n",
        false => "",
    };
    aligned(&rows, 2) + front
}
