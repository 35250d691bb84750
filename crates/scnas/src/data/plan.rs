//! What is derived from the data before the first step: spacing, patch, folds. Written to
//! `plan.json` and into every model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use medvol::check::Familiar;
use medvol::io::Reading;
use medvol::metrics::Structures;
use medvol::{CaseFiles, ClassMap, Dataset, Fold, Label, Normalisation, Target};
use serde::{Deserialize, Serialize};

use crate::data::cohort::{Cohort, Header};
use crate::data::splits;
use crate::error::{CasesFault, Error, Expected, Result};
use crate::message::Outputs;
use crate::network::size::Size;
use crate::settings::{Config, EXTENTS};
use crate::space::grid::Grid;

/// Spacings that differ from those of the cases by more than this factor are a mistake.
const OTHER_SPACING: f64 = 12.0;

/// How images are brought to the network and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the data set.
    pub dataset: String,
    /// Names of the input channels.
    pub channels: Vec<String>,
    /// Class `n` is `labels[n]`; background first.
    pub labels: Vec<Label>,
    /// What is learnt and scored of these: what the outputs of the network say.
    #[serde(default, skip_serializing_if = "Target::is_classes")]
    pub target: Target,
    /// The value of voxels that are left out of the loss and of all scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<u16>,
    /// Spacing `[depth, height, width]` in mm of the preprocessed grid, in canonical orientation.
    pub spacing: [f64; 3],
    /// Patch `[depth, height, width]` in voxels.
    pub patch: [usize; 3],
    /// The grids of a network's levels.
    #[serde(default, skip_serializing_if = "Grid::is_isotropic")]
    pub grid: Grid,
    /// How each channel is normalised; empty where all are by a z-score of each image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub normalisation: Vec<Normalisation>,
    /// How headers are read that contradict themselves; `None`: as far as their parts tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<Reading>,
    /// Names of the cases held out in each fold.
    pub folds: Vec<Vec<String>>,
    /// The fold held out.
    pub fold: usize,
    /// Names of the training cases, where a file said them; otherwise all that other folds hold
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Vec<String>>,
}

impl Plan {
    /// What a model of this plan has seen.
    pub fn familiar(&self) -> Familiar<'_> {
        let Self { spacing, patch, normalisation, .. } = self;
        Familiar { spacing_mm: *spacing, patch: *patch, normalisation }
    }

    /// Derives a plan from the headers of a data set's labelled cases.
    ///
    /// # Errors
    /// Too few labelled cases; a data set without foreground labels; splits that cannot be read or
    /// do not fit.
    pub fn new(cohort: &Cohort, config: &Config) -> Result<Self> {
        let (dataset, data) = (&cohort.dataset, &config.data);
        let cases: Vec<&CaseFiles> = cohort.labelled().collect();
        let groups = by_subject(&cases);
        let said = said_folds(dataset, config, &groups.concat())?;
        if said.is_none() && groups.len() < data.folds {
            let (path, folds, found) = (dataset.root.clone(), data.folds, groups.len());
            return Err(CasesFault::TooFewCases { path, folds, found }.into());
        }
        if dataset.labels.len() < 2 {
            let path = dataset.description.clone();
            return Err(CasesFault::NoForeground { path, found: dataset.labels.len() }.into());
        }
        let headers = cases.iter().map(|case| cohort.header(case));
        let headers = headers.collect::<Result<Vec<&Header>>>()?;
        let usual = cohort.usual_spacing();
        let derived = |spacing| {
            let case = median_case(&headers, spacing);
            let grid_of = |patch| config.network.grid(patch, spacing);
            (derive_patch(case, data.max_patch_voxels, grid_of), case)
        };
        let spacing = match (data.spacing, data.patch) {
            (Some(spacing), _) => spacing,
            // Whoever says the patch says how much of a case it holds.
            (None, Some(_)) => usual,
            (None, None) => coarse_enough(usual, data.coverage, |spacing| {
                let (patch, case) = derived(spacing);
                covered(patch, case)
            }),
        };
        refuse_other_spacing(spacing, usual)?;
        let patch = data.patch.unwrap_or_else(|| derived(spacing).0);
        let grid_of = |patch| config.network.grid(patch, spacing);
        let grid = grid_of(patch);
        if !grid.divides(patch) {
            let expected = Expected::Multiples { of: grid.step() };
            return Err(Error::setting("data.patch", expected, format!("{patch:?}")));
        }

        let (path, splits) = match said {
            Some((path, folds)) => (Some(path), folds),
            None => {
                let seed = data.folds_seed.unwrap_or(config.seed);
                (None, splits::seeded(&groups, data.folds, seed))
            }
        };
        let Some(Fold { training, .. }) = splits.get(data.fold) else {
            let expected = Expected::Fold { of: splits.len(), splits: path.map(Path::to_path_buf) };
            return Err(Error::setting("data.fold", expected, data.fold));
        };
        Ok(Self {
            dataset: dataset.name.clone(),
            channels: dataset.channels.clone(),
            labels: dataset.labels.clone(),
            target: dataset.target.clone(),
            ignore: dataset.ignore,
            spacing,
            patch,
            grid,
            normalisation: normalisation(&dataset.channels, &data.normalisation)?,
            geometry: data.geometry,
            training: path.is_some().then(|| training.clone()),
            folds: splits.into_iter().map(|split| split.held_out).collect(),
            fold: data.fold,
        })
    }

    /// How each channel is normalised, without what was measured.
    pub fn schemes(&self) -> Vec<Normalisation> {
        self.normalisation.iter().map(|channel| channel.unmeasured()).collect()
    }

    /// This plan with what was measured for an earlier one, should they not differ in anything else.
    pub fn measured_as(&self, earlier: &Self) -> Self {
        let normalisation = match self.schemes() == earlier.schemes() {
            true => earlier.normalisation.clone(),
            false => self.normalisation.clone(),
        };
        Self { normalisation, ..self.clone() }
    }

    /// Names of the foreground classes, or of the regions.
    pub fn foreground(&self) -> Vec<String> {
        self.target.names(&self.labels)
    }

    /// What is scored of label maps.
    pub fn scored(&self) -> Structures {
        self.target.scored(&self.labels, self.ignore)
    }

    /// The classes of the values in reference label maps.
    pub fn class_map(&self) -> ClassMap {
        ClassMap::new(&self.labels).ignoring(self.ignore)
    }

    /// Size of a network of `width` for these channels and outputs.
    pub fn size(&self, width: usize) -> Size {
        let classes = self.target.outputs(self.labels.len());
        Size { channels: self.channels.len(), classes, width, grid: self.grid }
    }

    /// What the outputs are, in words.
    pub fn outputs(&self) -> Outputs {
        let regions = if self.target.is_classes() { Vec::new() } else { self.foreground() };
        Outputs { classes: self.labels.len(), regions, ignore: self.ignore }
    }

    /// Reads a run's `plan.json`.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::file("read", path, e))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::invalid(path, "the plan of a run", e, "give the folder of a run"))
    }

    /// Writes `plan.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(medvol::atomic_write(path, &to_json(self)?)?)
    }

    /// The files of the training cases and of the held-out ones, in the order of their names.
    ///
    /// # Errors
    /// When the data set has lost a case since the plan was made.
    pub fn split(&self, dataset: &Dataset) -> Result<(Vec<CaseFiles>, Vec<CaseFiles>)> {
        let by_name: BTreeMap<&str, &CaseFiles> =
            dataset.cases.iter().map(|c| (c.name.as_str(), c)).collect();
        let files = |names: BTreeSet<&str>| -> Result<Vec<CaseFiles>> {
            let file = |name: &str| {
                let gone =
                    || CasesFault::CaseGone { path: dataset.root.clone(), case: name.to_string() };
                Ok(by_name.get(name).map(|case| (*case).clone()).ok_or_else(gone)?)
            };
            names.into_iter().map(file).collect()
        };
        Ok((
            files(self.training_names())?,
            files(self.held_out().iter().map(String::as_str).collect())?,
        ))
    }

    /// The names on both sides of the fold that is held out.
    pub fn sides(&self) -> Fold {
        let training = self.training_names().into_iter().map(String::from).collect();
        Fold { training, held_out: self.held_out().to_vec() }
    }

    /// Names of the cases held out.
    pub fn held_out(&self) -> &[String] {
        self.folds.get(self.fold).map_or(&[], Vec::as_slice)
    }

    /// How many of the cases held out here a run of another plan has trained with; none, if its
    /// data set is another.
    pub fn seen_by(&self, other: &Self) -> usize {
        let seen = other.training_names();
        let seen = self.held_out().iter().filter(|name| seen.contains(name.as_str())).count();
        if self.dataset == other.dataset { seen } else { 0 }
    }

    /// Names of the training cases.
    pub fn training_names(&self) -> BTreeSet<&str> {
        match &self.training {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => {
                let others = self.folds.iter().enumerate().filter(|(fold, _)| *fold != self.fold);
                others.flat_map(|(_, names)| names).map(String::as_str).collect()
            }
        }
    }
}

/// The folds that a file says, with that file: the one in the settings, or the data set's own
/// description.
fn said_folds<'a>(
    dataset: &'a Dataset,
    config: &'a Config,
    names: &[String],
) -> Result<Option<(&'a Path, Vec<Fold>)>> {
    let folds = match &config.data.splits {
        Some(path) => (path.as_path(), splits::read(path, names)?),
        None if dataset.folds.is_empty() => return Ok(None),
        None => {
            let path = dataset.list();
            (path, splits::placed(path, dataset.folds.clone(), names)?)
        }
    };
    Ok(Some(folds))
}

/// Pretty JSON with a line end.
///
/// # Errors
/// [`Error::Json`]: an empty file must not stand for what could not be written.
pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Refuses a grid on which nothing of the images would be left, or which is almost all invention.
fn refuse_other_spacing(spacing: [f64; 3], usual: [f64; 3]) -> Result<()> {
    let far = |axis: usize| (spacing[axis] / usual[axis]).ln().abs() > OTHER_SPACING.ln();
    if !(0..3).any(far) {
        return Ok(());
    }
    let expected = Expected::Near { usual_mm: usual, factor: OTHER_SPACING };
    Err(Error::setting("data.spacing", expected, format!("{spacing:?}")))
}

/// The normalisation of each channel, by name, or as the settings say.
fn normalisation(channels: &[String], settings: &[String]) -> Result<Vec<Normalisation>> {
    if !settings.is_empty() && settings.len() != channels.len() {
        let expected = Expected::NameEach { channels: channels.len() };
        return Err(Error::setting("data.normalisation", expected, format!("{settings:?}")));
    }
    let names = if settings.is_empty() { channels } else { settings };
    let found: Vec<_> = names.iter().map(|name| Normalisation::of_channel(name)).collect();
    let usual = found.iter().all(|channel| *channel == Normalisation::ZScore);
    Ok(if usual { Vec::new() } else { found })
}

/// Names of the cases of each subject; a case whose subject is not known stands alone. In the order
/// of their first names.
pub(super) fn by_subject(cases: &[&CaseFiles]) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut of_subject: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        let new = groups.len();
        let group = case
            .subject
            .as_deref()
            .map_or(new, |subject| *of_subject.entry(subject).or_insert(new));
        if group == new {
            groups.push(Vec::new());
        }
        groups[group].push(case.name.clone());
    }
    groups
}

/// The median extents of the cases in voxels of `spacing`, axis by axis.
fn median_case(headers: &[&Header], spacing: [f64; 3]) -> [usize; 3] {
    let shapes: Vec<[f64; 3]> = headers.iter().map(|header| header.resampled(spacing)).collect();
    [0, 1, 2].map(|axis| {
        let mut extents: Vec<f64> = shapes.iter().map(|shape| shape[axis]).collect();
        extents.sort_by(f64::total_cmp);
        extents[extents.len() / 2].round() as usize
    })
}

/// The share of a case that a patch holds.
fn covered(patch: [usize; 3], case: [usize; 3]) -> f64 {
    let share = |axis: usize| patch[axis] as f64 / case[axis].max(1) as f64;
    (0..3).map(|axis| share(axis).min(1.0)).product()
}

/// The finest spacing, coarsened in small steps from the usual one, at which a patch `covered` this
/// share of a case (the rule by which nnU-Net finds its low resolution, Isensee et al. 2021): axes
/// that are much finer than the coarsest are coarsened first.
fn coarse_enough(usual: [f64; 3], share: f64, covered: impl Fn([f64; 3]) -> f64) -> [f64; 3] {
    const STEP: f64 = 1.03;
    let mut spacing = usual;
    while covered(spacing) < share
        && (0..3).all(|axis| spacing[axis] < OTHER_SPACING / 2.0 * usual[axis])
    {
        let coarsest = spacing.into_iter().fold(0.0, f64::max);
        let fine = spacing.map(|mm| coarsest > 2.0 * mm);
        let all = fine == [false; 3];
        spacing = [0, 1, 2]
            .map(|axis| if all || fine[axis] { STEP * spacing[axis] } else { spacing[axis] });
    }
    spacing
}

/// The extents of the median case, rounded up to what a network on its grids can halve, the longest
/// shortened until the patch fits.
fn derive_patch(
    case: [usize; 3],
    max_voxels: usize,
    grid_of: impl Fn([usize; 3]) -> Grid,
) -> [usize; 3] {
    let patch = rounded(case, max_voxels, Grid::ISOTROPIC.step());
    // Axes that are halved less often need no more than that; unless they then are halved more.
    let closer = rounded(case, max_voxels, grid_of(patch).step());
    if grid_of(closer).divides(closer) { closer } else { patch }
}

/// Extents in multiples of `step`.
fn rounded(case: [usize; 3], max_voxels: usize, step: [usize; 3]) -> [usize; 3] {
    let mut patch =
        [0, 1, 2].map(|axis| case[axis].max(*EXTENTS.start()).next_multiple_of(step[axis]));
    while patch.iter().product::<usize>() > max_voxels {
        let longest = (0..3).max_by_key(|&a| patch[a]).unwrap_or(0);
        if patch[longest] == step[longest] {
            break;
        }
        patch[longest] -= step[longest];
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_far_from_those_of_the_cases_is_refused() {
        let usual = [2.5, 0.8, 0.8];
        for (spacing, fine) in [
            (usual, true),
            ([1.0, 1.0, 1.0], true),
            ([8.0, 8.0, 8.0], true),
            ([100.0, 100.0, 100.0], false),
            ([2.5, 0.8, 0.001], false),
        ] {
            assert_eq!(refuse_other_spacing(spacing, usual).is_ok(), fine, "{spacing:?}");
        }
    }

    #[test]
    fn a_derived_patch_is_divisible_by_what_is_halved_and_within_the_limit() {
        let isotropic = |_| Grid::ISOTROPIC;
        assert_eq!(derive_patch([35, 50, 36], 262_144, isotropic), [40, 56, 40]);
        let patch = derive_patch([155, 240, 240], 262_144, isotropic);
        assert!(patch.iter().all(|p| p % 8 == 0) && patch.iter().product::<usize>() <= 262_144);
        assert_eq!(derive_patch([1, 1, 1], 512, isotropic), [8, 8, 8]);
    }

    #[test]
    fn few_slices_stay_as_few_and_cubes_get_the_patch_that_they_had() {
        for (slices, height, mm) in [(19, 128, 3.0), (20, 96, 1.0), (11, 320, 6.0)] {
            let grid_of = |patch| Grid::by_axis(patch, [mm, 0.6, 0.6]);
            let patch = derive_patch([slices, height, height], 262_144, grid_of);
            assert!(grid_of(patch).divides(patch), "{patch:?}");
            assert!(patch[0].abs_diff(slices) < 4, "{slices}: {patch:?}");
        }
        let by_axis = |patch| Grid::by_axis(patch, [1.0; 3]);
        assert_eq!(derive_patch([35, 50, 36], 262_144, by_axis), [40, 56, 40]);
    }

    #[test]
    fn the_grid_is_as_coarse_as_a_patch_that_holds_its_share_of_a_case_needs() {
        let usual = [2.0, 0.8, 0.8];
        let case = |spacing: [f64; 3]| {
            [0, 1, 2].map(|axis| ([180.0, 400.0, 400.0][axis] / spacing[axis]) as usize)
        };
        let share = |spacing| {
            covered(derive_patch(case(spacing), 262_144, |_| Grid::ISOTROPIC), case(spacing))
        };
        let coarse = coarse_enough(usual, 0.25, share);
        assert!(share(coarse) >= 0.25 && share(coarse.map(|mm| mm / 1.03)) < 0.25, "{coarse:?}");
        // The fine axes first.
        assert!(coarse[1] > 1.2 * usual[1] && coarse[0] / coarse[1] < 2.1, "{coarse:?}");
        // What is wide enough stays as it is, as everything does where no share is asked for.
        assert_eq!(coarse_enough(usual, share(usual), share), usual);
        assert_eq!(coarse_enough(usual, 0.0, |_| 0.0), usual);
        let never = coarse_enough(usual, 1.0, |_| 0.0);
        assert!(refuse_other_spacing(never, usual).is_ok(), "{never:?}");
    }
}
