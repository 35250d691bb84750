//! All cases of a run read and preprocessed, and held where there is room: in memory, or in the cache
//! on disk. A run whose cases cannot be held says so instead of being killed by the system.

use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::{Case, CaseFiles};
use rayon::prelude::*;

use crate::data::fill::Fill;
use crate::data::kept::KeptCase;
use crate::data::loading::{CLASS, IMAGE, LoadedCases, Loading, Made, Need, Room, coarser};
use crate::data::plan::Plan;
use crate::error::{CasesFault, Error, Purpose, Result};
use crate::message::Message;
use crate::settings::Keep;

impl Loading<'_> {
    /// Whether, by their headers, the cases may not fit into memory. What cropping saves may make
    /// them fit all the same.
    pub fn may_go_to_disk(&self) -> bool {
        match self.room.keep {
            Keep::Auto => held(&self.needs) > self.limit() || together(&self.needs) > self.memory(),
            Keep::Memory => false,
            Keep::Disk => true,
        }
    }

    /// Bytes of memory that the cases take at most: all that are held there, or the largest while it
    /// is brought to disk.
    pub fn in_memory(&self) -> f64 {
        if self.may_go_to_disk() {
            self.needs.iter().map(Need::made).fold(0.0, f64::max)
        } else {
            held(&self.needs)
        }
    }

    /// Reads and preprocesses all cases, in parallel.
    ///
    /// # Errors
    /// Unless they are examined, the first case, in order, that cannot be read or does not fit the
    /// data set; [`Error::Memory`] or [`Error::CacheDisk`] where there is no room for all;
    /// [`Error::Stopped`].
    pub fn load(self) -> Result<LoadedCases> {
        let Room { keep, .. } = &self.room;
        if *keep == Keep::Disk || (self.may_go_to_disk() && self.all_cached()?) {
            return self.to_disk();
        }
        self.into_memory()
    }

    /// Reads and preprocesses all cases that are not on disk yet, and holds all there.
    ///
    /// # Errors
    /// Those of [`Loading::load`].
    pub fn to_disk(&self) -> Result<LoadedCases> {
        self.room.cache.begin()?;
        Fill::new(self).run(LoadedCases::default())
    }

    fn all_cached(&self) -> Result<bool> {
        for file in self.files {
            if self.room.cache.open(file)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
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
            let files = by_name(&case.name).ok_or(CasesFault::Unread)?;
            all.cases.push(cache.keep(files, &case)?.into());
        }
        Fill::new(self).run(all)
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
    use std::sync::Arc;

    use medvol::phantom::{PhantomTask, write_task};

    use super::*;
    use crate::data::cache::Cache;
    use crate::data::cohort::Cohort;
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
        with(cohort, cache, memory, overrides, |loading| loading.load().map(|all| all.cases))
    }

    /// What `look` makes of all cases that are to be loaded.
    fn with<T>(
        cohort: &Cohort,
        cache: &Path,
        memory: Option<u64>,
        overrides: &[&str],
        look: impl FnOnce(Loading) -> T,
    ) -> T {
        let overrides: Vec<String> = overrides.iter().map(|line| line.to_string()).collect();
        let config = Config::load("default", None, &overrides).unwrap();
        let plan = Plan::new(cohort, &config).unwrap();
        let recipe = Recipe::new(cohort, &plan, config.data.numbers);
        let cache = Arc::new(Cache::new(cache.into(), recipe));
        let room = Room { keep: config.data.keep, memory, cache };
        let files = &cohort.dataset.cases;
        look(Loading::new(cohort, files, &plan, room, false, &Silent).unwrap())
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

    #[test]
    fn cases_take_memory_where_they_are_held_there_and_on_disk_as_much_as_the_largest_while_it_is_made()
     {
        let folder = tempfile::tempdir().unwrap();
        let (cohort, cache) = (cohort(folder.path()), folder.path().join("cache"));
        let taken = |memory, keep: &str| {
            with(&cohort, &cache, memory, &[keep], |loading| {
                let made = loading.needs.iter().map(Need::made).fold(0.0, f64::max);
                (loading.in_memory(), held(&loading.needs), made)
            })
        };
        let (found, all, _) = taken(None, "data.keep=memory");
        assert!(found == all && found > 0.0, "{found} {all}");
        let (found, _, made) = taken(None, "data.keep=disk");
        assert_eq!(found, made);
        // By itself: in memory as long as half of it does.
        assert_eq!(taken(None, "data.keep=auto").0, all);
        assert_eq!(taken(Some(all as u64), "data.keep=auto").0, made);
    }
}
