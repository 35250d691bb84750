//! Does a found network beat random ones? Looked at whenever results of random networks lie beside
//! its own.

use std::path::{Path, PathBuf};

use crate::report::finished::Finished;
use crate::report::procedures::{Groups, Procedures};
use crate::report::statistics::Paired;

const UNDECIDED: &str = "the interval holds 0 or p is not below 0.05";

/// A found network against the random ones beside it.
#[derive(Clone, Debug)]
pub struct AgainstRandom {
    /// Each of them: at least one. Cases are the sample.
    pub rivals: Vec<Rival>,
    /// Searching against drawing at random: networks are the sample. `None` where there are too
    /// few to tell.
    pub procedure: Option<Procedures>,
}

/// A random network that the found one is compared with.
#[derive(Clone, Debug)]
pub struct Rival {
    /// Its results.
    pub random: Finished,
    /// Found minus random, case by case.
    pub paired: Paired,
    /// Of another width, data or training.
    pub other_settings: bool,
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
        let rivals: Vec<(PathBuf, Rival)> = beside
            .into_iter()
            .filter(|path| path.is_dir())
            .filter_map(|path| Some((path.clone(), rival(&path)?)))
            .collect();
        let (random, rivals): (Vec<PathBuf>, Vec<Rival>) = rivals.into_iter().unzip();
        let groups = Groups::read([&[folder], &random]).ok();
        let procedure = groups.and_then(|groups| groups.procedures);
        let procedure = procedure.filter(|found| found.error.is_some());
        (!rivals.is_empty()).then_some(Self { rivals, procedure })
    }

    /// What is shown, in a sentence.
    pub fn verdict(&self) -> String {
        match (self.rivals.len(), self.better_than(), self.worse_than()) {
            (1, 1, _) => "The found network is better than the random one.".into(),
            (1, _, 1) => "The found network is worse than the random one.".into(),
            (1, ..) => format!("No difference from the random network is shown: {UNDECIDED}."),
            (all, better, worse) => format!(
                "Of {all} random networks the found one is better than {better}, worse than \
                 {worse}; from {} no difference is shown ({UNDECIDED}).",
                all - better - worse
            ),
        }
    }

    /// Random networks that the found one is better than.
    pub fn better_than(&self) -> usize {
        self.rivals
            .iter()
            .filter(|rival| rival.shows() && rival.paired.interval_95[0] > 0.0)
            .count()
    }

    /// Random networks that the found one is worse than.
    pub fn worse_than(&self) -> usize {
        self.rivals
            .iter()
            .filter(|rival| rival.shows() && rival.paired.interval_95[1] < 0.0)
            .count()
    }
}

impl Rival {
    /// Whether a difference is shown. Of fewer than six cases the test never decides; the interval
    /// alone, too narrow then, would.
    fn shows(&self) -> bool {
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
        ["search.", "log."].iter().any(|section| key.starts_with(section))
            || matches!(key, "seed" | "data.fold" | "data.splits")
    };
    a.unlike(b).is_some_and(|settings| settings.iter().all(|(key, _)| aside(key)))
}
