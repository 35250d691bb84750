//! Does a found network beat random ones? Looked at whenever results of random networks lie beside
//! its own.

use std::path::{Path, PathBuf};

use crate::report::finished::Finished;
use crate::report::statistics::Paired;

/// A found network against the random ones beside it: at least one.
#[derive(Clone, Debug)]
pub struct AgainstRandom(pub Vec<Rival>);

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
        let rivals: Vec<Rival> =
            beside.iter().filter(|path| path.is_dir()).filter_map(rival).collect();
        (!rivals.is_empty()).then_some(Self(rivals))
    }

    /// Random networks that the found one is better than.
    pub fn better_than(&self) -> usize {
        self.0.iter().filter(|rival| rival.shows() && rival.paired.interval_95[0] > 0.0).count()
    }

    /// Random networks that the found one is worse than.
    pub fn worse_than(&self) -> usize {
        self.0.iter().filter(|rival| rival.shows() && rival.paired.interval_95[1] < 0.0).count()
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
        key.starts_with("search.") || matches!(key, "seed" | "data.fold" | "data.splits")
    };
    a.unlike(b).is_some_and(|settings| settings.iter().all(|(key, _)| aside(key)))
}
