//! Which images are predicted and where the results go, from names and headers: all that can be known
//! before any work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use medvol::io::{self, Opened, Reading, Source};
use medvol::stitch::Blend;
use medvol::{Dataset, canonical_spacing};

use crate::data::cohort::Header;
use crate::data::files::{
    Protected, case_name, folder_name, folders_in, images_in, is_of_no_folder, join_channels,
    others_in, refuse_odd_name, several_series_in, take_same_names,
};
use crate::error::{Error, Place, Result};
use crate::message::{Doubt, Message};
use crate::observer::Observer;
use crate::store::model::Card;

/// What to predict, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Images, folders of images, or data sets (their test images).
    pub inputs: Vec<PathBuf>,
    /// Models, run folders that hold one, or folders of cross-validations (the models of their
    /// complete folds). Of several the mean is predicted, with the settings of the first.
    pub models: Vec<PathBuf>,
    /// Folder for the label maps; for a single image also a file.
    pub out: PathBuf,
    /// Of data sets, predict the training images too.
    pub training: bool,
    /// Write class probabilities too.
    pub probabilities: bool,
    /// Overlap of neighbouring windows, 0 to less than 1; `None`: the model's.
    pub overlap: Option<f64>,
    /// Weights inside a window; `None`: the model's.
    pub blend: Option<Blend>,
    /// Test-time augmentation; `None`: the model's.
    pub flips: Option<bool>,
    /// Labels, by name or value, of which only the largest component is kept; `None`: the model's,
    /// and those that the cross-validations among `models` say are better for it.
    pub largest_component: Option<Vec<String>>,
    /// How headers are read that contradict themselves; `None`: as those the (first) model was
    /// trained on.
    pub reading: Option<Reading>,
    /// The most bytes to use; `None`: what the machine allows.
    pub memory: Option<u64>,
}

/// An image to predict, and where the results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its file, or those of its channels.
    pub inputs: Vec<Source>,
    /// The label map to write.
    pub labels: PathBuf,
    /// The class probabilities to write, if they are wanted.
    pub probabilities: Option<PathBuf>,
}

/// An image that cannot be predicted, and why.
type Failure = (Job, Error);

/// Everything about names and places, checked before any work; also the jobs that cannot be done.
pub(super) fn plan_jobs(request: &Request, channels: usize) -> Result<(Vec<Job>, Vec<Failure>)> {
    let Request { out, training, .. } = request;
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    let mut single_files = Vec::new();
    let mut protected = Protected::default();
    for input in &request.inputs {
        let found =
            if Dataset::is_at(input) {
                let dataset = Dataset::open(input)?;
                protected.add_data_set(&dataset);
                let training = dataset.cases.iter().filter(|_| *training);
                let cases = dataset.test.iter().chain(training);
                cases.map(|case| (case.name.clone(), case.images.clone())).collect()
            } else if let Some(name) = folder_name(input) {
                protected.add_folder(input);
                single_files.push((name, input.clone()));
                continue;
            } else if input.is_dir() {
                protected.add_folder(input);
                let several = several_series_in(input).into_iter();
                faults.extend(several.map(|(patient, folder, found)| {
                    several_images(patient, folder, "series", found)
                }));
                match join_channels(images_in(input)?, channels) {
                    found if found.is_empty() => of_patients(input, channels, &mut faults)?,
                    found => found,
                }
            } else if let Some(name) = case_name(input) {
                std::fs::metadata(input).map_err(|e| Error::file("read", input, e))?;
                single_files.push((name, input.clone()));
                continue;
            } else {
                std::fs::metadata(input).map_err(|e| Error::file("read", input, e))?;
                return Err(Error::place(input, Place::NoImage));
            };
        if found.is_empty() && faults.is_empty() {
            return Err(Error::place(input, Place::NoImages { training: *training }));
        }
        files.extend(found);
    }
    files.extend(join_channels(single_files, channels));
    // A file that was given twice, perhaps by another spelling of its path, is one image.
    let full = |source: &Source| {
        let path = source.path();
        path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
    };
    let mut seen = BTreeSet::new();
    files.retain(|(name, sources)| {
        seen.insert((name.clone(), sources.iter().map(full).collect::<Vec<PathBuf>>()))
    });
    protected.add(files.iter().flat_map(|(_, sources)| sources).map(Source::path));

    let single = case_name(out).is_some();
    let images = files.len() + faults.len();
    if single && images > 1 {
        return Err(Error::place(out, Place::OneFile { images }));
    }
    if !single && (is_of_no_folder(out) || out.exists()) && !out.is_dir() {
        return Err(Error::place(out, Place::NoFolder));
    }
    let folder = if single { out.parent().unwrap_or(Path::new("")) } else { out };
    let there = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    protected.add_data_set_around(there);
    let job = |(name, inputs): Named| {
        let (ending, images) = (io::ending_like(&inputs[0]), io::image_ending_like(&inputs[0]));
        let labels = if single { out.clone() } else { folder.join(format!("{name}{ending}")) };
        let stem = case_name(&labels).unwrap_or_else(|| name.clone());
        let probabilities =
            request.probabilities.then(|| folder.join(format!("{stem}_probabilities{images}")));
        Job { name, inputs, labels, probabilities }
    };
    let mut jobs: Vec<Job> = files.into_iter().map(job).collect();
    for Job { labels, probabilities, .. } in &jobs {
        [Some(labels), probabilities.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|path| protected.check(path))?;
    }
    protected.check_folder(there)?;
    let mut failures: Vec<Failure> =
        faults.into_iter().map(|(named, error)| (job(named), error)).collect();
    failures.extend(take_same_names(&mut jobs, |job| (&job.name, job.inputs[0].path())));
    Ok((jobs, failures))
}

/// An image: its name, and its file or those of its channels.
type Named = (String, Vec<Source>);

/// The images of a folder that holds a folder for each patient: the only one in each, under the
/// name of that folder.
fn of_patients(
    input: &Path,
    channels: usize,
    faults: &mut Vec<(Named, Error)>,
) -> Result<Vec<Named>> {
    let mut images = Vec::new();
    for (patient, folder) in folders_in(input) {
        if faults.iter().any(|((_, sources), _)| sources[0].path() == folder) {
            continue;
        }
        let mut found = join_channels(images_in(&folder)?, channels);
        if found.len() > 1 {
            let names = found.into_iter().map(|(name, _)| name).collect();
            faults.push(several_images(patient, folder, "image", names));
        } else {
            images.extend(found.pop().map(|(_, sources)| (patient, sources)));
        }
    }
    Ok(images)
}

/// What is wrong with the folder of a patient that holds several images.
fn several_images(
    patient: String,
    folder: PathBuf,
    what: &'static str,
    found: Vec<String>,
) -> (Named, Error) {
    let error = Error::place(&folder, Place::Several { what, found });
    ((patient, vec![folder.into()]), error)
}

/// Compares the channels of data sets with the model's: in another order all would be wrong.
pub(super) fn compare_channels(
    inputs: &[PathBuf],
    card: &Card,
    observer: &dyn Observer,
) -> Result<()> {
    let lower = |names: &[String]| names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>();
    let sorted = |names: &[String]| {
        let mut names = lower(names);
        names.sort();
        names
    };
    let expected = &card.plan.channels;
    for data in inputs.iter().filter(|input| Dataset::is_at(input)) {
        let found = Dataset::open(data)?.channels;
        if found.len() != expected.len() || lower(&found) == lower(expected) {
            continue;
        }
        let (data, expected) = (data.clone(), expected.clone());
        if sorted(&found) == sorted(&expected) {
            return Err(Error::place(&data, Place::ChannelOrder { expected, found }));
        }
        observer.message(&Message::Doubt(Doubt::OtherChannels { data, expected, found }));
    }
    Ok(())
}

/// Splits off the jobs whose header says that they cannot be done.
pub(super) fn check_headers(jobs: Vec<Job>, card: &Card) -> (Vec<Job>, Vec<Failure>) {
    let expected = card.size.channels;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for job in jobs {
        let named = job.inputs.iter().try_for_each(|source| refuse_odd_name(source.path()));
        if let Err(error) = named {
            bad.push((job, error));
            continue;
        }
        match io::open(&job.inputs).and_then(|opened| opened.checked(expected)) {
            Ok(opened) => match is_fit(&job, &opened, card) {
                Ok(()) => good.push(job),
                Err(error) => bad.push((job, error)),
            },
            Err(medvol::Error::ChannelCount { path, expected, found }) => {
                let names = card.plan.channels.clone();
                let problem = Place::Channels { expected, found, names };
                bad.push((job, Error::place(&path, problem)));
            }
            Err(error) => bad.push((job, error.into())),
        }
    }
    (good, bad)
}

/// Refuses what its header says cannot be predicted, or not be written as asked for.
fn is_fit(job: &Job, opened: &Opened, card: &Card) -> Result<()> {
    io::create(&job.labels)?.like(opened.header()).check()?;
    refuse_too_coarse(job, opened, card)
}

/// Refuses an image whose voxels are so much larger than those of the model's grid that almost all
/// of it would be invented there, which would also take very long.
fn refuse_too_coarse(job: &Job, opened: &Opened, card: &Card) -> Result<()> {
    /// Ten along each axis: more than the thickest slices.
    const MOST: f64 = 1000.0;
    let (grid, model_mm) = (opened.grid(), card.plan.spacing);
    let own_mm = canonical_spacing(&grid.affine);
    let header = Header { grid, raw_bytes: opened.raw_bytes() };
    let resampled = header.resampled(model_mm).into_iter().product::<f64>();
    let times = resampled / grid.shape.iter().product::<usize>() as f64;
    if times <= MOST {
        return Ok(());
    }
    Err(Error::place(job.inputs[0].path(), Place::TooCoarse { own_mm, model_mm, times }))
}

/// Names what lies in folders and is no image: files by their names, and folders. The files of a
/// folder that is one image are its slices, whatever their names.
pub(super) fn say_what_is_passed_over(inputs: &[PathBuf], observer: &dyn Observer) {
    let of_images =
        |input: &&PathBuf| input.is_dir() && !Dataset::is_at(input) && folder_name(input).is_none();
    for folder in inputs.iter().filter(of_images) {
        let is_packed =
            |file: &PathBuf| io::is_packed(&file.file_name().unwrap_or_default().to_string_lossy());
        let (packed, files): (Vec<_>, Vec<_>) = others_in(folder).into_iter().partition(is_packed);
        if !packed.is_empty() {
            observer.message(&Message::Packed { files: packed });
        }
        if !files.is_empty() {
            observer.message(&Message::NoImages { files });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Observer for Warnings {
        fn message(&self, message: &Message) {
            assert!(message.is_warning());
            self.0.lock().unwrap().push(message.to_string());
        }
    }

    #[test]
    fn files_that_are_no_images_are_named_and_the_slices_of_a_series_are_not_among_them() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../medvol/tests/fixtures/dicom");
        let series = Path::new(fixtures).join("explicit");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        let warnings = Warnings::default();
        say_what_is_passed_over(&[series, folder.path().into()], &warnings);
        let said = warnings.0.into_inner().unwrap();
        assert!(said.len() == 1 && said[0].contains("notes.txt"), "{said:?}");
    }
}
