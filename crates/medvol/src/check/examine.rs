//! One case by itself: its files, grid, voxels and labels. What other cases must be compared with
//! is kept as [`Facts`].

use std::hash::{DefaultHasher, Hasher};

use ndarray::{Array3, Axis};

use super::finding::shown;
use super::intensity::Intensity;
use super::labels::Labels;
use super::{Finding, Fix, Kind, Severity};
use crate::dataset::{CaseFiles, Dataset};
use crate::error::{Error, Result, cut};
use crate::io::{Afterwards, Header, Opened, Remark, Source, joined};
use crate::orient::Orientation;
use crate::volume::{Image, LabelMap};

/// What is kept of a case once its voxels are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) subject: Option<String>,
    /// Whether it is one of the test cases.
    pub(super) test: bool,
    /// Whether it is a training case with a label map, readable or not.
    pub(super) labelled: bool,
    /// Shape and spacing (mm) in canonical orientation.
    pub(super) grid: Option<([usize; 3], [f64; 3])>,
    /// Of all channels' voxels; `None` where they could not be read or are all the same.
    pub(super) digest: Option<u64>,
    /// Per channel; of files that could be read.
    pub(super) intensities: Vec<Intensity>,
    /// `None` without a readable label map.
    pub(super) labels: Option<Labels>,
}

impl Facts {
    fn of(dataset: &Dataset, case: &CaseFiles) -> Self {
        // One of its cases may be listed twice, to train with and to be tested.
        let test = dataset.test.iter().any(|test| std::ptr::eq(test, case))
            || (dataset.test.contains(case) && !dataset.cases.contains(case));
        Self {
            name: case.name.clone(),
            subject: case.subject.clone(),
            test,
            labelled: case.label.is_some() && !test,
            ..Self::default()
        }
    }

    /// How it is told apart from all others.
    pub(super) fn shown(&self) -> String {
        shown(&self.name, self.test)
    }
}

/// What was found about one case, to be kept until all are [concluded](super::conclude) upon. Small:
/// the voxels are not in it.
#[derive(Clone, Debug)]
pub struct Examination {
    pub(super) findings: Vec<Finding>,
    pub(super) facts: Facts,
}

impl Examination {
    /// What is wrong with the case by itself.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Of a case that is not read, as it would take so many bytes.
    pub(super) fn too_large(dataset: &Dataset, case: &CaseFiles, bytes: u64, memory: u64) -> Self {
        let message = format!(
            "its headers announce voxels that take {} MiB of memory; there are {} MiB",
            bytes >> 20,
            memory >> 20
        );
        let remedy = "see whether the sizes in its headers are right; cut it into parts, or check \
                      it on a machine with more memory";
        let facts = Facts::of(dataset, case);
        let finding = Finding::error(Kind::TooLarge, message, remedy).of(&facts);
        Self { findings: vec![finding], facts }
    }

    /// Where the case stands in its data set: training cases come first, by name.
    pub(super) fn place(&self) -> (bool, &str) {
        (self.facts.test, &self.facts.name)
    }
}

/// The voxels of a case that has been [`examine`]d; nothing where an error was found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// One a source.
    images: Vec<Image>,
    labels: Option<Image>,
}

impl Loaded {
    /// The image and its label map, if it has one, as [`Dataset::load`] would read them; `None`
    /// where an error was found.
    ///
    /// # Errors
    /// Channels of several sources that cannot be joined.
    pub fn into_case(self) -> Result<Option<(Image, Option<LabelMap>)>> {
        if self.images.is_empty() {
            return Ok(None);
        }
        let label_map = |Image { voxels, affine }: Image| {
            // They were found to be near integers from 0 to 65535.
            let voxels: Array3<u16> =
                voxels.index_axis(Axis(0), 0).mapv(|value| value.round() as u16);
            LabelMap { voxels, affine }
        };
        Ok(Some((joined(self.images)?, self.labels.map(label_map))))
    }
}

/// Reads a case and says all that is wrong with it; every voxel is read once. What it read comes
/// with it, for those who go on with a case that is found to be good.
///
/// Needs four bytes of memory for each voxel of the case's images and label map.
pub fn examine(dataset: &Dataset, case: &CaseFiles) -> (Examination, Loaded) {
    let mut examiner = Examiner { dataset, findings: Vec::new() };
    let mut facts = Facts::of(dataset, case);
    let read: Vec<Option<(Header, Image)>> =
        case.images.iter().map(|source| examiner.read(source, None)).collect();
    let readable = || {
        let sources = case.images.iter().zip(&read);
        sources.filter_map(|(source, read)| read.as_ref().map(|read| (source, read)))
    };
    let first = readable().next().map(|(source, (header, _))| (source, header));
    if let Some((source, header)) = first {
        let (axes, grid) = (Orientation::of(&header.grid.affine), &header.grid);
        facts.grid =
            Some((axes.canonical_axes(grid.shape), axes.canonical_axes(grid.affine.spacing())));
        examiner.geometry(source, header);
    }
    for (source, (header, image)) in readable() {
        examiner.voxels(source, image);
        facts.intensities.extend(image.voxels.outer_iter().map(Intensity::of));
        if let Some(first) = first.filter(|(first, _)| *first != source) {
            examiner.same_grid(first, (source, header), Kind::ChannelGrid);
        }
    }
    if read.iter().all(Option::is_some) {
        let found: Vec<usize> = readable().map(|(_, (_, image))| image.channels()).collect();
        examiner.channels(case, &found);
        let channels: Vec<_> =
            readable().flat_map(|(_, (_, image))| image.voxels.outer_iter()).collect();
        // Of channels too many it is said that they are too many.
        let expected = channels.len() == dataset.channels.len();
        let alike = |a: usize, b: usize| expected && channels[a] == channels[b];
        examiner.contrast(&case.images, &facts.intensities, alike);
        if facts.intensities.iter().any(|channel| !channel.is_constant()) {
            facts.digest = Some(digest(readable().map(|(_, (_, image))| image)));
        }
    }
    let mut label_map = None;
    if let Some(source) = &case.label
        && let Some((header, labels)) = examiner.read(source, first.map(|(_, image)| image))
    {
        if let Some(first) = first {
            examiner.same_grid(first, (source, &header), Kind::AffineMismatch);
        }
        examiner.names(source, &header);
        facts.labels = examiner.labels(source, &labels);
        if facts.digest.is_some() {
            let images = readable().map(|(source, (_, image))| (source, image));
            examiner.same_voxels(images, (source, &labels));
        }
        label_map = Some(labels);
    }
    if case.label.is_none() && dataset.cases.contains(case) {
        let remedy = "name its label map, or list it as a test case; training leaves it out";
        examiner.add(Finding::note(
            Kind::NoLabel,
            "has no label map but is listed among the training cases",
            remedy,
        ));
    }
    let findings: Vec<Finding> =
        examiner.findings.into_iter().map(|finding| finding.of(&facts)).collect();
    let loaded = if findings.iter().all(|finding| finding.severity < Severity::Error) {
        let images = read.into_iter().flatten().map(|(_, image)| image).collect();
        Loaded { images, labels: label_map }
    } else {
        Loaded::default()
    };
    (Examination { findings, facts }, loaded)
}

/// A case being looked at.
pub(super) struct Examiner<'a> {
    pub(super) dataset: &'a Dataset,
    findings: Vec<Finding>,
}

impl Examiner<'_> {
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A path as short as it can be told.
    pub(super) fn shown(&self, source: &Source) -> String {
        let path = source.path();
        path.strip_prefix(&self.dataset.root).unwrap_or(path).display().to_string()
    }

    /// Reads an image; a label map is brought to the grid of its image, where it can be.
    fn read(&mut self, source: &Source, of_image: Option<&Header>) -> Option<(Header, Image)> {
        let shown = self.shown(source);
        let read = |opened: Opened| {
            let opened = match of_image {
                Some(image) => opened.on_grid_of(image),
                None => opened,
            };
            let (header, afterwards) = (opened.header().clone(), opened.afterwards());
            Ok((header, opened.image()?, afterwards))
        };
        let finding = match source.open().and_then(read) {
            Ok((header, image, afterwards)) => {
                self.findings.extend(said_afterwards(&shown, &afterwards));
                return Some((header, image));
            }
            Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Finding::error(
                    Kind::MissingFile,
                    format!("{shown} is not there"),
                    "put it there, or take the case out of the data set",
                )
            }
            Err(Error::Read { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                let remedy = "allow your account to read it (chmod u+r, or its owner must), or \
                              take the case out of the data set";
                Finding::error(
                    Kind::Unreadable,
                    format!("{shown} may not be read: {source}"),
                    remedy,
                )
            }
            Err(Error::Truncated { expected, found, .. }) => {
                let message = format!("{shown} is truncated: {}", cut(expected, found));
                Finding::error(Kind::Truncated, message, "copy or download it again")
            }
            Err(error @ Error::BeyondFloats { .. }) => {
                let message = error.to_string().replace(&source.to_string(), &shown);
                let remedy = "see whether its scale factor is right";
                Finding::error(Kind::NotFinite, message, remedy)
            }
            Err(error) => {
                let message = error.to_string().replace(&source.to_string(), &shown);
                Finding::error(Kind::Unreadable, message, "copy, download or convert it again")
            }
        };
        self.add(finding);
        None
    }

    /// Voxels that are not finite.
    pub(super) fn voxels(&mut self, source: &Source, image: &Image) {
        if let Some((voxel, value)) = image.first_non_finite() {
            let count = image.voxels.iter().filter(|value| !value.is_finite()).count();
            let message = format!(
                "{}: {count} voxel(s) are not finite, the first at {voxel:?} (channel, depth, \
                 height, width): {value}",
                self.shown(source)
            );
            self.add(
                Finding::error(Kind::NotFinite, message, "replace them, for example by 0")
                    .fixed_by(Fix::ZeroVoxels),
            );
        }
    }

    /// A label map in the place of an image.
    fn same_voxels<'i>(
        &mut self,
        images: impl Iterator<Item = (&'i Source, &'i Image)>,
        (labels, map): (&Source, &Image),
    ) {
        let is_map = |image: &Image| {
            image.voxels.outer_iter().any(|channel| map.voxels.outer_iter().eq([channel]))
        };
        for (source, _) in images.filter(|(_, image)| is_map(image)) {
            let message =
                format!("{}: its voxels are those of {}", self.shown(source), self.shown(labels));
            let remedy = "one is a copy of the other: put the image in its place";
            self.add(Finding::error(Kind::DuplicateImage, message, remedy));
        }
    }

    /// `found` is the number of channels in each file.
    fn channels(&mut self, case: &CaseFiles, found: &[usize]) {
        let (expected, all) = (self.dataset.channels.len(), found.iter().sum::<usize>());
        if expected > 0 && all != expected {
            // Of several files, those that hold more than their one channel.
            let more = case.images.iter().zip(found).filter(|(_, of_file)| **of_file > 1);
            let named: Vec<String> = more
                .map(|(source, of_file)| format!("{} ({of_file})", self.shown(source)))
                .collect();
            let of_files = match found.len() {
                1 => String::new(),
                n if named.is_empty() => format!(" in {n} files"),
                n => format!(" in {n} files, of them several in {}", named.join(", ")),
            };
            let message = format!(
                "{}: expected {expected} channel(s), found {all}{of_files}",
                self.shown(&case.images[0])
            );
            let remedy = "give all channels in the order of the description, one 4-D file or one \
                          file each, or correct the description";
            self.add(Finding::error(Kind::ChannelCount, message, remedy));
        }
    }
}

/// What is to be said of a file once its voxels are read.
fn said_afterwards(shown: &str, afterwards: &Afterwards) -> Vec<Finding> {
    let finding = |(_, remark): (&Source, Remark)| {
        Finding::warning(Kind::Unreadable, format!("{shown}: {remark}"), remark.remedy())
    };
    afterwards.remarks().map(finding).collect()
}

fn digest<'a>(images: impl Iterator<Item = &'a Image>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for image in images {
        image.shape().iter().for_each(|&n| hasher.write_usize(n));
        image.voxels.iter().for_each(|value| hasher.write_u32(value.to_bits()));
    }
    hasher.finish()
}
