//! All cases of a run read and preprocessed, as far as memory goes: a run whose cases do not fit
//! says so instead of being killed by the system.

use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::check::{Examination, examine};
use medvol::{Case, CaseFiles, preprocess};
use rayon::prelude::*;

use crate::data::cohort::{Cohort, Header};
use crate::data::plan::Plan;
use crate::error::{Error, Purpose, Result};

/// Bytes a voxel: of an image, as f32; of a label map; of classes.
const IMAGE: f64 = size_of::<f32>() as f64;
const LABEL: f64 = size_of::<u16>() as f64;
const CLASS: f64 = size_of::<u8>() as f64;

/// A grid that is coarser by more is no remedy: little is to be seen on it.
const MUCH_COARSER: f64 = 3.0;

/// Cases of a run in memory.
pub struct LoadedCases {
    /// Preprocessed, in order; without those in which an error was found.
    pub cases: Vec<Case>,
    /// What was found about each, if they were examined.
    pub examinations: Vec<Examination>,
    /// Why the first that is missing is.
    pub unfit: Option<Error>,
}

/// Reads and preprocesses labelled cases in parallel, and examines them on the way if `examined`.
/// `progress` hears how many are done and says whether to go on. They may take `memory` bytes, what
/// is needed to read them included; `None`: as many as they do.
///
/// # Errors
/// Unless they are examined, the first case, in order, that cannot be read or does not fit the data
/// set; [`Error::Memory`] where there is not room for all; [`Error::Stopped`].
pub fn load_cases(
    cohort: &Cohort,
    files: &[CaseFiles],
    plan: &Plan,
    examined: bool,
    memory: Option<u64>,
    progress: impl Fn(usize) -> bool + Sync,
) -> Result<LoadedCases> {
    let need = |file: &CaseFiles| Ok(Need::of(file, cohort.header(file)?, plan, examined));
    let needs = files.iter().map(need).collect::<Result<Vec<Need>>>()?;
    let done = AtomicUsize::new(0);
    let load = |file: &CaseFiles| -> Result<(Option<Examination>, Result<Option<Case>>)> {
        let (examination, read) = match examined {
            true => {
                let (examination, loaded) = examine(&cohort.dataset, file);
                (Some(examination), loaded.into_case())
            }
            false => (None, cohort.dataset.load(file).map(Some)),
        };
        let preprocessed = read.and_then(|read| {
            let Some((image, labels)) = read else { return Ok(None) };
            let (labels, channels) = (labels.as_ref(), &plan.normalisation[..]);
            preprocess(&file.name, &image, labels, &plan.labels, plan.spacing, channels).map(Some)
        });
        match progress(done.fetch_add(1, Ordering::Relaxed) + 1) {
            true => Ok((examination, preprocessed.map_err(Error::from))),
            false => Err(Error::Stopped),
        }
    };
    let memory = memory.map_or(f64::INFINITY, |bytes| bytes as f64);
    let mut all = LoadedCases { cases: Vec::new(), examinations: Vec::new(), unfit: None };
    let (mut read, mut held, mut expected) = (0, 0.0, 0.0);
    // As many at a time as fit for certain; what is cropped away of them makes room for more.
    while read < files.len() {
        let rest = &needs[read..];
        let fitting = (1..=rest.len())
            .take_while(|&n| held + together(&rest[..n]) <= memory)
            .last()
            .unwrap_or(0);
        if fitting == 0 {
            let kept = if expected > 0.0 { held / expected } else { 1.0 };
            return Err(too_many(plan, held + kept * together(rest), memory));
        }
        expected += rest[..fitting].iter().map(|need| need.held).sum::<f64>();
        let next = &files[read..read + fitting];
        for (examination, case) in next.par_iter().map(load).collect::<Result<Vec<_>>>()? {
            all.examinations.extend(examination);
            match case {
                Ok(Some(case)) => {
                    held += bytes(&case);
                    all.cases.push(case);
                }
                Ok(None) => drop(all.unfit.get_or_insert(Error::Unread)),
                Err(error) if examined => drop(all.unfit.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        read += fitting;
    }
    Ok(all)
}

/// What a case needs at most, in bytes; its headers tell.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Need {
    /// From then on.
    held: f64,
    /// While it is read and preprocessed, besides.
    passing: f64,
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
        Self { held: resampled * (IMAGE * channels + CLASS), passing: read + between }
    }
}

/// Bytes of a preprocessed case.
fn bytes(case: &Case) -> f64 {
    IMAGE * case.image.len() as f64
        + CLASS * case.classes.as_ref().map_or(0, |classes| classes.len()) as f64
}

/// Bytes of cases that are read in parallel.
fn together(needs: &[Need]) -> f64 {
    let passing = needs.iter().map(|need| need.passing).fold(0.0, f64::max);
    let at_a_time = rayon::current_num_threads().min(needs.len());
    needs.iter().map(|need| need.held).sum::<f64>() + passing * at_a_time as f64
}

fn too_many(plan: &Plan, needed: f64, allowed: f64) -> Error {
    // With room for the steps of training.
    let coarser = (2.0 * needed / allowed.max(1.0)).cbrt();
    let spacing = plan.spacing.map(|mm| (100.0 * coarser * mm).ceil() / 100.0);
    Error::Memory {
        purpose: Purpose::Cases {
            dataset: plan.dataset.clone(),
            coarser: (coarser < MUCH_COARSER).then_some(spacing),
        },
        needed: needed as u64,
        allowed: allowed as u64,
    }
}

#[cfg(test)]
mod tests {
    use medvol::phantom::{PhantomTask, write_task};

    use super::*;
    use crate::settings::Config;

    #[test]
    fn cases_are_the_same_in_all_memory_that_suffices_and_refused_in_less() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        write_task(&data, &PhantomTask { seed: 5, cases: 6, test_cases: 0, coarseness: 3.0 })
            .unwrap();
        let cohort = Cohort::open(&data).unwrap();
        let load = |memory, overrides: &[String]| {
            let plan =
                Plan::new(&cohort, &Config::load("default", None, overrides).unwrap()).unwrap();
            load_cases(&cohort, &cohort.dataset.cases, &plan, false, memory, |_| true)
                .map(|loaded| loaded.cases)
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
        assert!(load(Some(memory), &[format!("data.spacing={spacing:?}")]).is_ok(), "{refusal}");
    }
}
