//! All cases of a run read and preprocessed, and held where there is room: in memory, or in the cache
//! on disk. A run whose cases cannot be held says so instead of being killed by the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::check::{Examination, examine};
use medvol::{Case, CaseFiles};
use rayon::prelude::*;

use crate::data::cache::Cache;
use crate::data::cohort::{Cohort, Header};
use crate::data::fill::Fill;
use crate::data::kept::KeptCase;
use crate::data::plan::Plan;
use crate::error::{Error, Purpose, Result};
use crate::message::Message;
use crate::observer::Observer;
use crate::settings::Keep;

/// Bytes a voxel: of an image, as f32; of a label map; of classes.
const IMAGE: f64 = size_of::<f32>() as f64;
const LABEL: f64 = size_of::<u16>() as f64;
const CLASS: f64 = size_of::<u8>() as f64;

/// A grid that is coarser by more is no remedy: little is to be seen on it.
const MUCH_COARSER: f64 = 3.0;

/// Cases of a run.
#[derive(Debug, Default)]
pub struct LoadedCases {
    /// Preprocessed, in order; without those in which an error was found.
    pub cases: Vec<KeptCase>,
    /// What was found about each, if they were examined.
    pub examinations: Vec<Examination>,
    /// Why the first that is missing is.
    pub unfit: Option<Error>,
}

/// Where cases may be held.
#[derive(Clone, Debug)]
pub struct Room {
    /// What the settings say.
    pub keep: Keep,
    /// Bytes for the cases, and for making them; `None`: as many as they take.
    pub memory: Option<u64>,
    /// Where they are held on disk.
    pub cache: Arc<Cache>,
}

/// Labelled cases that are to be loaded.
pub(crate) struct Loading<'a> {
    pub(super) files: &'a [CaseFiles],
    /// Of each.
    pub(super) needs: Vec<Need>,
    pub(super) plan: &'a Plan,
    pub(super) room: Room,
    pub(super) examined: bool,
    pub(super) observer: &'a dyn Observer,
}

/// What became of a case: what was found about it, if it was examined, and the case; none where an
/// error was found.
pub(super) type Made<T> = (Option<Examination>, Result<Option<T>>);

impl<'a> Loading<'a> {
    /// Of these cases of a plan; they are examined on the way if `examined`.
    ///
    /// # Errors
    /// A case that is not labelled.
    pub fn new(
        cohort: &Cohort,
        files: &'a [CaseFiles],
        plan: &'a Plan,
        room: Room,
        examined: bool,
        observer: &'a dyn Observer,
    ) -> Result<Self> {
        let need = |file: &CaseFiles| Ok(Need::of(file, cohort.header(file)?, plan, examined));
        let needs = files.iter().map(need).collect::<Result<Vec<Need>>>()?;
        Ok(Self { files, needs, plan, room, examined, observer })
    }

    /// Whether, by their headers, the cases may not fit into memory. What cropping saves may make
    /// them fit all the same.
    pub fn may_go_to_disk(&self) -> bool {
        match self.room.keep {
            Keep::Auto => held(&self.needs) > self.limit() || together(&self.needs) > self.memory(),
            Keep::Memory => false,
            Keep::Disk => true,
        }
    }

    /// Reads and preprocesses all cases, in parallel.
    ///
    /// # Errors
    /// Unless they are examined, the first case, in order, that cannot be read or does not fit the
    /// data set; [`Error::Memory`] or [`Error::CacheDisk`] where there is no room for all;
    /// [`Error::Stopped`].
    pub fn load(self) -> Result<LoadedCases> {
        let Room { keep, cache, .. } = &self.room;
        if *keep == Keep::Disk || (self.may_go_to_disk() && self.all_cached()?) {
            cache.begin()?;
            return Fill::new(&self).run(LoadedCases::default());
        }
        self.into_memory()
    }

    fn all_cached(&self) -> Result<bool> {
        for file in self.files {
            if self.room.cache.open(file)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes that there are.
    pub(super) fn memory(&self) -> f64 {
        self.room.memory.map_or(f64::INFINITY, |bytes| bytes as f64)
    }

    /// Bytes that the cases may hold: half of what there is, so that there is room for the steps,
    /// where they can be held elsewhere.
    fn limit(&self) -> f64 {
        if self.room.keep == Keep::Auto { self.memory() / 2.0 } else { self.memory() }
    }

    /// Loads the cases into memory as long as they fit; where they do not, all go to the cache.
    fn into_memory(self) -> Result<LoadedCases> {
        let (memory, limit) = (self.memory(), self.limit());
        let done = AtomicUsize::new(0);
        let load = |file: &CaseFiles| -> Result<Made<Case>> {
            let made = self.make(file);
            self.advance(done.fetch_add(1, Ordering::Relaxed) + 1)?;
            Ok(made)
        };
        self.begin(0);
        let mut all = LoadedCases::default();
        let (mut read, mut taken, mut expected) = (0, 0.0, 0.0);
        // As many at a time as fit for certain; what is cropped away of them makes room for more.
        while read < self.files.len() {
            let rest = &self.needs[read..];
            let fits = |n: &usize| {
                let next = &rest[..*n];
                taken + held(next) <= limit && taken + together(next) <= memory
            };
            let mut fitting = (1..=rest.len()).take_while(fits).last().unwrap_or(0);
            let kept = if expected > 0.0 { taken / expected } else { 1.0 };
            if self.room.keep == Keep::Auto && fitting < rest.len() {
                let all_do = taken + kept * held(rest) <= limit;
                if fitting == 0 || (read > 0 && !all_do) {
                    let needed = taken + kept * held(rest);
                    return self.move_to_disk(all, needed);
                }
                if read == 0 {
                    // A few say how much of the others is cropped away.
                    fitting = fitting.min(2 * rayon::current_num_threads());
                }
            }
            if fitting == 0 {
                return Err(too_many(self.plan, taken + kept * together(rest), memory));
            }
            expected += held(&rest[..fitting]);
            let next = &self.files[read..read + fitting];
            for made in next.par_iter().map(load).collect::<Result<Vec<_>>>()? {
                if let Some(case) = all.add(made, self.examined)? {
                    taken += bytes(&case);
                    all.cases.push(case.into());
                }
            }
            read += fitting;
        }
        Ok(all)
    }

    /// Writes what is in memory into the cache, and the rest after it.
    fn move_to_disk(&self, mut all: LoadedCases, needed: f64) -> Result<LoadedCases> {
        let cache = &self.room.cache;
        let memory = self.memory() as u64;
        self.observer.message(&Message::HeldOnDisk { needed: needed as u64, memory });
        cache.begin()?;
        // One after the other, each out of memory before the next.
        let by_name = |name: &str| self.files.iter().find(|file| file.name == name);
        let in_memory = std::mem::take(&mut all.cases);
        for case in in_memory.into_iter().filter_map(KeptCase::into_memory) {
            let files = by_name(&case.name).ok_or(Error::Unread)?;
            all.cases.push(cache.keep(files, &case)?.into());
        }
        Fill::new(self).run(all)
    }

    /// Reads and preprocesses a case, and examines it where that is due.
    pub(super) fn make(&self, file: &CaseFiles) -> Made<Case> {
        let recipe = self.room.cache.recipe();
        if !self.examined {
            return (None, recipe.make(file).map(Some));
        }
        let (examination, loaded) = examine(recipe.dataset(), file);
        let case = loaded.into_case().map_err(Error::from).and_then(|read| {
            let Some((image, labels)) = read else { return Ok(None) };
            recipe.preprocess(&file.name, &image, labels.as_ref()).map(Some)
        });
        (Some(examination), case)
    }

    /// Tells the observer what is done, of which some was done before.
    fn begin(&self, done: usize) {
        let what = if self.examined { "checking cases" } else { "reading cases" };
        self.observer.begin(what, done, self.files.len());
    }

    /// Tells the observer how many are done.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    fn advance(&self, done: usize) -> Result<()> {
        self.observer.advance(done);
        if self.examined && self.observer.stop() { Err(Error::Stopped) } else { Ok(()) }
    }
}

impl LoadedCases {
    /// Keeps what was found about the next case, and gives the case.
    ///
    /// # Errors
    /// What is wrong with it, unless it was `examined`: then that is told with all else.
    pub(super) fn add<T>(
        &mut self,
        (examination, case): Made<T>,
        examined: bool,
    ) -> Result<Option<T>> {
        self.examinations.extend(examination);
        match case {
            Ok(Some(case)) => return Ok(Some(case)),
            Ok(None) => drop(self.unfit.get_or_insert(Error::Unread)),
            Err(error) if examined => drop(self.unfit.get_or_insert(error)),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

/// What a case needs at most, in bytes; its headers tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Need {
    /// From then on.
    pub held: f64,
    /// While it is read and preprocessed, besides.
    pub passing: f64,
    /// Voxels of the preprocessed case.
    pub voxels: f64,
    pub channels: usize,
}

impl Need {
    fn of(file: &CaseFiles, Header { grid, .. }: &Header, plan: &Plan, examined: bool) -> Self {
        let spacing = grid.affine.spacing();
        let volume = |extents: [f64; 3]| extents.iter().product::<f64>();
        let voxels = volume(grid.shape.map(|extent| extent as f64));
        let resampled = voxels * volume(spacing) / volume(plan.spacing);
        let channels = grid.channels as f64;
        // The image, once more while the channels of several files are joined; the label map, which
        // is looked at as an image, and its classes.
        let joined = if file.images.len() > 1 { 2.0 } else { 1.0 };
        let looked_at = if examined { IMAGE } else { 0.0 };
        let read = voxels * (IMAGE * channels * joined + looked_at + LABEL + CLASS);
        // One channel between two axes, before and after.
        let between = 2.0 * IMAGE * voxels.max(resampled);
        Self {
            held: resampled * (IMAGE * channels + CLASS),
            passing: read + between,
            voxels: resampled,
            channels: grid.channels,
        }
    }
}

/// Bytes of a preprocessed case.
fn bytes(case: &Case) -> f64 {
    IMAGE * case.image.len() as f64
        + CLASS * case.classes.as_ref().map_or(0, |classes| classes.len()) as f64
}

/// Bytes that cases hold.
fn held(needs: &[Need]) -> f64 {
    needs.iter().map(|need| need.held).sum()
}

/// Bytes of cases that are read in parallel.
fn together(needs: &[Need]) -> f64 {
    let passing = needs.iter().map(|need| need.passing).fold(0.0, f64::max);
    let at_a_time = rayon::current_num_threads().min(needs.len());
    held(needs) + passing * at_a_time as f64
}

/// A grid that takes `factor` times fewer voxels, where it is worth it.
pub(super) fn coarser(plan: &Plan, factor: f64) -> Option<[f64; 3]> {
    let coarser = factor.cbrt();
    let spacing = plan.spacing.map(|mm| (100.0 * coarser * mm).ceil() / 100.0);
    (coarser < MUCH_COARSER).then_some(spacing)
}

fn too_many(plan: &Plan, needed: f64, allowed: f64) -> Error {
    // With room for the steps of training.
    let coarser = coarser(plan, 2.0 * needed / allowed.max(1.0));
    Error::Memory {
        purpose: Purpose::Cases { dataset: plan.dataset.clone(), coarser },
        needed: needed as u64,
        allowed: allowed as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use medvol::phantom::{PhantomTask, write_task};

    use super::*;
    use crate::data::recipe::Recipe;
    use crate::observer::Silent;
    use crate::settings::Config;

    fn cohort(folder: &Path) -> Cohort {
        let data = folder.join("data");
        write_task(&data, &PhantomTask { seed: 5, cases: 6, test_cases: 0, coarseness: 3.0 })
            .unwrap();
        Cohort::open(&data).unwrap()
    }

    fn load(
        cohort: &Cohort,
        cache: &Path,
        memory: Option<u64>,
        overrides: &[&str],
    ) -> Result<Vec<KeptCase>> {
        let overrides: Vec<String> = overrides.iter().map(|line| line.to_string()).collect();
        let config = Config::load("default", None, &overrides).unwrap();
        let plan = Plan::new(cohort, &config).unwrap();
        let recipe = Recipe::new(cohort, &plan, config.data.numbers);
        let cache = Arc::new(Cache::new(cache.into(), recipe));
        let room = Room { keep: config.data.keep, memory, cache };
        let files = &cohort.dataset.cases;
        Loading::new(cohort, files, &plan, room, false, &Silent)?.load().map(|all| all.cases)
    }

    fn in_memory(cases: Vec<KeptCase>) -> Vec<Case> {
        cases.into_iter().map(|case| case.into_memory().unwrap()).collect()
    }

    #[test]
    fn cases_are_the_same_in_all_memory_that_suffices_and_refused_in_less() {
        let folder = tempfile::tempdir().unwrap();
        let (cohort, cache) = (cohort(folder.path()), folder.path().join("cache"));
        let load = |memory, overrides: &[&str]| {
            load(&cohort, &cache, memory, &[&["data.keep=memory"], overrides].concat())
                .map(in_memory)
        };
        let all = load(None, &[]).unwrap();
        let held = all.iter().map(bytes).sum::<f64>() as u64;
        // As much as all may need at once, and from there down to where it does not do any more.
        let (mut memory, mut fitted) = (8 * held, 0);
        let refusal = loop {
            match load(Some(memory), &[]) {
                Ok(cases) => assert!(cases == all, "other cases in {memory} bytes"),
                Err(refusal) => break refusal,
            }
            (memory, fitted) = (memory / 10 * 9, fitted + 1);
        };
        assert!(fitted > 3 && memory > held / 2, "{fitted} {memory} {held}");
        let Error::Memory { purpose: Purpose::Cases { coarser: Some(spacing), .. }, .. } = refusal
        else {
            panic!("{refusal}")
        };
        assert!(load(Some(memory), &[&format!("data.spacing={spacing:?}")]).is_ok(), "{refusal}");
        assert!(!cache.exists(), "nothing is written where memory is asked for");
    }

    #[test]
    fn cases_that_do_not_fit_are_held_on_disk_and_known_by_the_same_facts() {
        let folder = tempfile::tempdir().unwrap();
        let (cohort, cache) = (cohort(folder.path()), folder.path().join("cache"));
        let facts =
            |cases: &[KeptCase]| cases.iter().map(|case| case.facts().clone()).collect::<Vec<_>>();
        let all = load(&cohort, &cache, None, &[]).unwrap();
        assert!(all.iter().all(KeptCase::in_memory) && !cache.exists());
        let (facts_of_all, all) = (facts(&all), in_memory(all));
        let held = all.iter().map(bytes).sum::<f64>() as u64;
        let (mut memory, mut by_place) = (8 * held, [0, 0]);
        // Down to where not even one is made; the cache is filled when they do not fit any more,
        // and opened when they fit still less.
        let refusal = loop {
            match load(&cohort, &cache, Some(memory), &[]) {
                Ok(cases) => {
                    let here = cases[0].in_memory();
                    assert!(cases.iter().all(|case| case.in_memory() == here));
                    assert_eq!(facts(&cases), facts_of_all);
                    by_place[usize::from(here)] += 1;
                }
                Err(refusal) => break refusal,
            }
            memory = memory / 10 * 9;
        };
        assert!(by_place[0] > 3 && by_place[1] > 3, "{by_place:?}");
        assert!(
            matches!(refusal, Error::Memory { purpose: Purpose::Case { .. }, .. }),
            "{refusal}"
        );
        assert!(memory < held, "{memory} {held}");
    }
}
