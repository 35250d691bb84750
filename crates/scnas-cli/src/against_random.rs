//! Whether a found network beats random ones, in words.

use scnas::report::against_random::{AgainstRandom, Rival};
use scnas::report::cells::{PAIRED_HEAD, paired_cells};
use scnas::report::procedures::Procedures;
use scnas::report::table::{aligned, number, with_error};
use serde_json::{Value, json};

/// A table, and a sentence that sums it up.
pub fn text(against: &AgainstRandom) -> String {
    let head = ["found - random", "network", "its Dice", "minutes"].into_iter().chain(PAIRED_HEAD);
    let mut rows: Vec<Vec<String>> = vec![head.map(String::from).collect()];
    for Rival { random, paired, other_settings } in &against.rivals {
        let mark = if *other_settings { " *" } else { "" };
        let dice = number(random.mean().map(|dice| dice.mean), 4);
        let first = [
            random.name.clone(),
            format!("{}{mark}", random.network()),
            dice,
            number(random.minutes(), 1),
        ];
        rows.push(first.into_iter().chain(paired_cells(Some(paired))).collect());
    }
    let mut text = aligned(&rows, 2) + &sentence(against);
    if against.rivals.iter().any(|rival| rival.other_settings) {
        text += "\n* trained with other settings, so that the difference may be theirs";
    }
    text
}

fn sentence(against: &AgainstRandom) -> String {
    let verdict = against.verdict();
    let networks = "This speaks of these networks: cases are the sample.";
    match &against.procedure {
        None => format!("{verdict} {networks}"),
        Some(Procedures { networks: [_, random], difference, error, .. }) => format!(
            "{verdict} {networks}\nSearching against drawing at random: {}, standard error over \
             {random} random networks and the found ones, which are the sample.",
            with_error(*difference, error.map(|error| error.standard_error)),
        ),
    }
}

/// The same for programs.
pub fn json(against: &AgainstRandom) -> Value {
    let rivals = against.rivals.iter().map(|Rival { random, paired, other_settings }| {
        json!({
            "run": random.name, "network": random.network(), "difference": paired,
            "other_settings": other_settings,
        })
    });
    json!({
        "random": rivals.collect::<Vec<_>>(),
        "better_than": against.better_than(),
        "worse_than": against.worse_than(),
        "procedure": against.procedure,
    })
}
