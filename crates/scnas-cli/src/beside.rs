//! Does a found network beat random ones? Said whenever results of random networks lie beside its
//! own.

use std::path::{Path, PathBuf};

use scnas::report::statistics::Paired;
use scnas::report::table::aligned;
use serde_json::{Value, json};

use crate::finished::{Finished, PAIRED_HEAD, number, paired_cells};

/// A found network against the random ones beside it.
pub struct AgainstRandom(Vec<Rival>);

struct Rival {
    random: Finished,
    /// Found minus random, case by case.
    paired: Paired,
    /// Of another width, data or training.
    other_settings: bool,
}

impl AgainstRandom {
    /// Compares the results in `folder` with those of random networks in the folders beside it that
    /// share held-out cases with them. `None` where there are none, or the results are of a
    /// random network themselves.
    pub fn of(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let found = Finished::read(&folder).ok().filter(|found| !is_random(found))?;
        let mut beside: Vec<_> =
            std::fs::read_dir(folder.parent()?).ok()?.flatten().map(|entry| entry.path()).collect();
        beside.sort();
        let rival = |path: &PathBuf| {
            let random = Finished::read(path).ok().filter(is_random)?;
            Some(Rival {
                paired: found.against(&random)?,
                other_settings: !trained_alike(&found, &random),
                random,
            })
        };
        let rivals: Vec<Rival> =
            beside.iter().filter(|path| path.is_dir()).filter_map(rival).collect();
        (!rivals.is_empty()).then_some(Self(rivals))
    }

    /// A table, and a sentence that sums it up.
    pub fn text(&self) -> String {
        let head =
            ["found - random", "network", "its Dice", "minutes"].into_iter().chain(PAIRED_HEAD);
        let mut rows: Vec<Vec<String>> = vec![head.map(String::from).collect()];
        for Rival { random, paired, other_settings } in &self.0 {
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
        let mut text = aligned(&rows, 2) + &self.sentence();
        if self.0.iter().any(|rival| rival.other_settings) {
            text += "\n* trained with other settings, so that the difference may be theirs";
        }
        text
    }

    fn sentence(&self) -> String {
        let [better, worse] = [self.count(Rival::is_beaten), self.count(Rival::wins)];
        let verdict = match (self.0.len(), better, worse) {
            (1, 1, _) => "The found network is better than the random one.".into(),
            (1, _, 1) => "The found network is worse than the random one.".into(),
            (1, ..) => format!("No difference from the random network is shown: {UNDECIDED}."),
            (all, better, worse) => format!(
                "Of {all} random networks the found one is better than {better}, worse than \
                 {worse}; from {} no difference is shown ({UNDECIDED}).",
                all - better - worse
            ),
        };
        format!("{verdict} This speaks of these held-out cases, not of other seeds.")
    }

    fn count(&self, like_that: impl Fn(&Rival) -> bool) -> usize {
        self.0.iter().filter(|rival| like_that(rival)).count()
    }

    pub fn json(&self) -> Value {
        let rivals = self.0.iter().map(|Rival { random, paired, other_settings }| {
            json!({ "run": random.name, "network": random.network(), "difference": paired, "other_settings": other_settings })
        });
        json!({
            "random": rivals.collect::<Vec<_>>(),
            "better_than": self.count(Rival::is_beaten),
            "worse_than": self.count(Rival::wins),
        })
    }
}

/// Of fewer than six cases the test never decides; the interval alone, too narrow then, would.
const UNDECIDED: &str = "the interval holds 0 or p is not below 0.05";

impl Rival {
    fn is_beaten(&self) -> bool {
        self.is_certain() && self.paired.interval_95[0] > 0.0
    }

    fn wins(&self) -> bool {
        self.is_certain() && self.paired.interval_95[1] < 0.0
    }

    fn is_certain(&self) -> bool {
        self.paired.wilcoxon.is_some_and(|test| test.p < 0.05)
    }
}

fn is_random(finished: &Finished) -> bool {
    finished.network() == "random" || finished.network().starts_with("random:")
}

/// Were they made with the same settings but for how the network was found, the seed, and who is
/// held out?
fn trained_alike(a: &Finished, b: &Finished) -> bool {
    let aside = |key: &str| {
        key.starts_with("search.") || matches!(key, "seed" | "data.fold" | "data.splits")
    };
    a.unlike(b).is_some_and(|settings| settings.iter().all(|(key, _)| aside(key)))
}
