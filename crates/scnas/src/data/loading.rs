//! Cases that are to be loaded: what each needs, how it is made, and what becomes of all.

use std::sync::Arc;

use medvol::check::{Examination, examine};
use medvol::{Case, CaseFiles};

use crate::data::cache::Cache;
use crate::data::cohort::{Cohort, Header};
use crate::data::kept::KeptCase;
use crate::data::plan::Plan;
use crate::error::{CasesFault, Error, Result};
use crate::observer::Observer;
use crate::settings::Keep;

/// Bytes a voxel: of an image, as f32; of a label map; of classes.
pub(super) const IMAGE: f64 = size_of::<f32>() as f64;
const LABEL: f64 = size_of::<u16>() as f64;
pub(super) const CLASS: f64 = size_of::<u8>() as f64;

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

    /// Bytes that there are.
    pub(super) fn memory(&self) -> f64 {
        self.room.memory.map_or(f64::INFINITY, |bytes| bytes as f64)
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
            Ok(None) => drop(self.unfit.get_or_insert(CasesFault::Unread.into())),
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
    /// Of its image.
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

    /// While it is read and preprocessed.
    pub fn made(&self) -> f64 {
        self.held + self.passing
    }
}

/// A grid that takes `factor` times fewer voxels, where it is worth it.
pub(super) fn coarser(plan: &Plan, factor: f64) -> Option<[f64; 3]> {
    let coarser = factor.cbrt();
    let spacing = plan.spacing.map(|mm| (100.0 * coarser * mm).ceil() / 100.0);
    (coarser < MUCH_COARSER).then_some(spacing)
}
