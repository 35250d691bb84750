//! One case by itself: its files, grid, voxels and labels. What other cases must be compared with
//! is kept as [`Facts`].

use super::intensity::Intensity;
use super::{Finding, Fix, Kind};
use crate::affine::{Affine, dot, norm};
use crate::dataset::{CaseFiles, Dataset};
use crate::error::Error;
use crate::io::{INTEGER_TOLERANCE, Opened, Source};
use crate::orient::Orientation;
use crate::volume::Image;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};

/// Axes that differ from those of space by more are mentioned, and by much more are suspicious
/// (degrees).
const OBLIQUE: f64 = 1.0;
const VERY_OBLIQUE: f64 = 25.0;
/// Axes whose angles differ from a right one by more are suspicious (degrees).
const SHEARED: f64 = 1.0;

/// Spacings that differ by more than this part of themselves are not a matter of rounding.
const SPACING_TOLERANCE: f64 = 0.01;

/// Every voxel is read as f32.
const BYTES_OF_A_VOXEL: u64 = size_of::<f32>() as u64;

/// Fewer voxels of foreground than this are no structure.
pub(super) const FEW_VOXELS: u64 = 10;

/// Labels closer to an integer than this were stored inexactly; others are interpolated, and which
/// label was meant cannot be known.
const SURELY_ROUNDED: f64 = 0.1;

/// What is kept of a case once its voxels are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) subject: Option<String>,
    /// Whether it has a label map, readable or not.
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

/// What a label map holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Labels {
    /// Voxels by label value, as far as there are any.
    pub(super) counts: BTreeMap<u16, u64>,
    /// Volume of a voxel.
    pub(super) voxel_mm3: f64,
}

impl Labels {
    pub(super) fn foreground(&self) -> u64 {
        self.counts.iter().filter(|(value, _)| **value > 0).map(|(_, count)| count).sum()
    }
}

/// Bytes of a case's voxels while they are looked at; of files whose headers can be read.
pub(super) fn bytes(case: &CaseFiles) -> u64 {
    let grids = case.sources().filter_map(|source| source.open().ok()).map(|opened| opened.grid());
    grids.fold(0, |sum, grid| sum.saturating_add(BYTES_OF_A_VOXEL.saturating_mul(grid.voxels())))
}

/// What is said of a case that is not read, as it would take so many bytes.
pub(super) fn too_large(case: &CaseFiles, bytes: u64, memory: u64) -> (Vec<Finding>, Facts) {
    let message = format!(
        "its headers announce voxels that take {} MiB of memory; there are {} MiB",
        bytes >> 20,
        memory >> 20
    );
    let remedy = "see whether the sizes in its headers are right; cut it into parts, or check it \
                  on a machine with more memory";
    let facts = Facts {
        name: case.name.clone(),
        subject: case.subject.clone(),
        labelled: case.label.is_some(),
        ..Facts::default()
    };
    (vec![Finding::error(Kind::TooLarge, message, remedy).of(&case.name)], facts)
}

/// Reads a case and says all that is wrong with it.
pub(super) fn examine(dataset: &Dataset, case: &CaseFiles) -> (Vec<Finding>, Facts) {
    let mut examination = Examination { dataset, findings: Vec::new() };
    let mut facts = Facts {
        name: case.name.clone(),
        subject: case.subject.clone(),
        labelled: case.label.is_some(),
        ..Facts::default()
    };
    let images: Vec<Option<Image>> =
        case.images.iter().map(|source| examination.read(source)).collect();
    let first =
        case.images.iter().zip(&images).find_map(|(source, image)| Some((source, image.as_ref()?)));
    if let Some((source, image)) = first {
        let axes = Orientation::of(&image.affine);
        facts.grid =
            Some((axes.canonical_axes(image.shape()), axes.canonical_axes(image.affine.spacing())));
        examination.geometry(source, &image.affine);
    }
    for (source, image) in case
        .images
        .iter()
        .zip(&images)
        .filter_map(|(source, image)| Some((source, image.as_ref()?)))
    {
        examination.voxels(source, image);
        facts.intensities.extend(image.voxels.outer_iter().map(Intensity::of));
        if let Some(first) = first.filter(|(first, _)| *first != source) {
            examination.same_grid(first, (source, image), Kind::ChannelGrid);
        }
    }
    if images.iter().all(Option::is_some) {
        examination.channels(case, facts.intensities.len());
        examination.contrast(&case.images[0], &facts.intensities);
        if facts.intensities.iter().any(|channel| !channel.is_constant()) {
            facts.digest = Some(digest(images.iter().flatten()));
        }
    }
    if let Some(source) = &case.label
        && let Some(labels) = examination.read(source)
    {
        if let Some(first) = first {
            examination.same_grid(first, (source, &labels), Kind::AffineMismatch);
        }
        facts.labels = examination.labels(source, &labels);
    }
    if case.label.is_none() && dataset.cases.contains(case) {
        let remedy = "name its label map, or list it as a test case; training leaves it out";
        examination.add(Finding::note(
            Kind::NoLabel,
            "has no label map but is listed among the training cases",
            remedy,
        ));
    }
    let findings = examination.findings.into_iter().map(|finding| finding.of(&case.name)).collect();
    (findings, facts)
}

struct Examination<'a> {
    dataset: &'a Dataset,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A path as short as it can be told.
    fn shown(&self, source: &Source) -> String {
        let path = source.path();
        path.strip_prefix(&self.dataset.root).unwrap_or(path).display().to_string()
    }

    fn read(&mut self, source: &Source) -> Option<Image> {
        let shown = self.shown(source);
        let finding = match source.open().and_then(Opened::image) {
            Ok(image) => return Some(image),
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
                let message = format!(
                    "{shown} is truncated: its header announces {expected} bytes, the file holds \
                     {found}"
                );
                Finding::error(Kind::Truncated, message, "copy or download it again")
            }
            Err(error) => {
                let message = error.to_string().replace(&source.to_string(), &shown);
                Finding::error(Kind::Unreadable, message, "copy, download or convert it again")
            }
        };
        self.add(finding);
        None
    }

    fn geometry(&mut self, source: &Source, affine: &Affine) {
        let shown = self.shown(source);
        let orientation = Orientation::of(affine);
        if orientation != Orientation::of(&Affine::IDENTITY) {
            let message = format!("stored in {} orientation", orientation.code());
            self.add(Finding::note(
                Kind::Orientation,
                message,
                "none needed: it is brought to RAS and back",
            ));
        }
        let canonical = orientation.canonical_affine(affine, [1; 3]);
        let axes = [0, 1, 2].map(|column| canonical.column(column));
        let cosine = (0..3).map(|n| axes[n][n] / norm(axes[n])).fold(1.0, f64::min);
        let angle = cosine.acos().to_degrees();
        if angle > VERY_OBLIQUE {
            let message = format!(
                "{shown} is oblique: its axes are turned by up to {angle:.0}° against those of \
                 the body"
            );
            let remedy = "check the direction in its header; patches are cut along its own axes";
            self.add(Finding::warning(Kind::Oblique, message, remedy));
        } else if angle > OBLIQUE {
            let message = format!("turned by up to {angle:.0}° against the axes of the body");
            self.add(Finding::note(
                Kind::Oblique,
                message,
                "none needed: predictions are oblique too",
            ));
        }
        let pairs = [(0, 1), (0, 2), (1, 2)];
        let skew = pairs
            .map(|(a, b)| (dot(axes[a], axes[b]) / norm(axes[a]) / norm(axes[b])).abs())
            .into_iter()
            .fold(0.0, f64::max);
        if skew > SHEARED.to_radians().sin() {
            let message = format!(
                "{shown} has axes that are not at right angles ({:.0}° off)",
                skew.asin().to_degrees()
            );
            let remedy =
                "resample it to a rectangular grid (a tilted CT gantry leaves such images)";
            self.add(Finding::warning(Kind::Sheared, message, remedy));
        }
    }

    fn voxels(&mut self, source: &Source, image: &Image) {
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

    fn channels(&mut self, case: &CaseFiles, found: usize) {
        let expected = self.dataset.channels.len();
        if expected > 0 && found != expected {
            let message = format!(
                "{}: expected {expected} channel(s), found {found}",
                self.shown(&case.images[0])
            );
            let remedy = "give all channels in the order of the description, one 4-D file or one \
                          file each, or correct the description";
            self.add(Finding::error(Kind::ChannelCount, message, remedy));
        }
    }

    fn contrast(&mut self, source: &Source, channels: &[Intensity]) {
        let shown = self.shown(source);
        let constant: Vec<usize> =
            (0..channels.len()).filter(|&n| channels[n].is_constant()).collect();
        if constant.len() == channels.len() {
            let message = format!("{shown}: all voxels are {}", channels[0].max);
            self.add(Finding::error(
                Kind::ConstantImage,
                message,
                "export the image again, or leave the case out",
            ));
        } else if !constant.is_empty() {
            let message = format!("{shown}: all voxels of channel(s) {constant:?} are the same");
            self.add(Finding::warning(
                Kind::ConstantImage,
                message,
                "check whether this channel was recorded",
            ));
        }
        for (n, channel) in channels.iter().enumerate() {
            if let Some(value) = channel.spike() {
                let message = format!(
                    "{shown}: channel {n} reaches {value}, while 99.8 % of its voxels lie from {} \
                     to {}",
                    channel.low, channel.high
                );
                let remedy = "look at the image; a few such voxels spoil its normalisation";
                self.add(Finding::warning(Kind::OutlierIntensity, message, remedy));
            }
        }
    }

    /// Compares a channel's or a label map's grid with the image's.
    fn same_grid(&mut self, image: (&Source, &Image), other: (&Source, &Image), kind: Kind) {
        let ((image_source, image), (source, other)) = (image, other);
        let (a, b) = (self.shown(image_source), self.shown(source));
        let labels = kind == Kind::AffineMismatch;
        if image.shape() != other.shape() {
            let message = format!(
                "{a} has shape {:?}, {b} has {:?} (depth, height, width)",
                image.shape(),
                other.shape()
            );
            let kind = if labels { Kind::ShapeMismatch } else { kind };
            self.add(Finding::error(
                kind,
                message,
                "export both on one grid; do not resize voxels by guess",
            ));
            return;
        }
        let distance = image.affine.max_displacement(&other.affine, image.shape());
        if distance <= image.grid().place_tolerance_mm() {
            return;
        }
        let (from, to) = (image.affine.spacing(), other.affine.spacing());
        let spacing =
            (0..3).any(|axis| (from[axis] - to[axis]).abs() > SPACING_TOLERANCE * from[axis]);
        let message = match spacing {
            true => {
                format!("{a} has a spacing of {from:?} mm, {b} of {to:?} mm (depth, height, width)")
            }
            false => format!("{a} and {b} lie {distance:.3} mm apart"),
        };
        let kind = if labels && spacing { Kind::SpacingMismatch } else { kind };
        let remedy = "if their voxels belong together, copy sform and qform of the image; \
                      otherwise resample to the image's grid";
        let finding = Finding::error(kind, message, remedy);
        let small = distance <= from.into_iter().fold(f64::INFINITY, f64::min);
        self.add(if labels && (small || is_unplaced(&other.affine)) {
            finding.fixed_by(Fix::CopyAffine)
        } else {
            finding
        });
    }

    fn labels(&mut self, source: &Source, image: &Image) -> Option<Labels> {
        let shown = self.shown(source);
        if image.channels() != 1 {
            let message =
                format!("{shown}: expected a label map of one channel, found {}", image.channels());
            self.add(Finding::error(
                Kind::ChannelCount,
                message,
                "merge its channels into one map of integers",
            ));
            return None;
        }
        self.voxels(source, image);
        let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
        let (mut inexact, mut farthest, mut outside) = (0, 0.0_f64, BTreeSet::new());
        let mut last = (0.0_f32, 0_u16);
        let mut run = 0;
        for &value in image.voxels.iter().filter(|value| value.is_finite()) {
            // Runs of equal labels are long.
            if value == last.0 {
                run += 1;
                continue;
            }
            let rounded = value.round();
            if !(0.0..=65535.0).contains(&rounded) {
                outside.insert(rounded as i64);
                continue;
            }
            let off = f64::from((value - rounded).abs());
            if off > INTEGER_TOLERANCE {
                inexact += 1;
                farthest = farthest.max(off);
                *counts.entry(rounded as u16).or_default() += 1;
                continue;
            }
            *counts.entry(last.1).or_default() += run;
            (last, run) = ((value, rounded as u16), 1);
        }
        *counts.entry(last.1).or_default() += run;
        counts.retain(|_, count| *count > 0);
        if !outside.is_empty() {
            let message = format!(
                "{shown}: values outside 0 to 65535, such as {:?}",
                outside.iter().take(5).collect::<Vec<_>>()
            );
            self.add(Finding::error(
                Kind::LabelNotInteger,
                message,
                "give each structure an integer from 0 to 65535",
            ));
        }
        if inexact > 0 {
            let message =
                format!("{shown}: {inexact} voxel(s) are not integers, up to {farthest:.3} off");
            let sure = farthest <= SURELY_ROUNDED;
            let remedy = if sure {
                "round them"
            } else {
                "label maps must be resampled by nearest neighbour: export it again"
            };
            let finding = Finding::error(Kind::LabelNotInteger, message, remedy);
            self.add(if sure { finding.fixed_by(Fix::RoundLabels) } else { finding });
        }
        let labels = Labels { counts, voxel_mm3: image.affine.spacing().iter().product() };
        // Values that come from interpolation say nothing.
        if farthest <= SURELY_ROUNDED {
            self.listed(&shown, &labels);
        }
        Some(labels)
    }

    /// Compares label values with those listed, and looks whether there are any.
    fn listed(&mut self, shown: &str, labels: &Labels) {
        let listed: BTreeSet<u16> = self.dataset.labels.iter().map(|label| label.value).collect();
        let unlisted: Vec<String> = labels
            .counts
            .iter()
            .filter(|(value, _)| !listed.contains(value))
            .map(|(value, count)| format!("{value} ({count} voxel(s))"))
            .collect();
        if !listed.is_empty() && !unlisted.is_empty() {
            let message = format!("{shown}: labels that are not listed: {}", unlisted.join(", "));
            self.add(Finding::error(
                Kind::UnlistedLabel,
                message,
                "list them in the description, or relabel these voxels",
            ));
        }
        let foreground = labels.foreground();
        if (1..FEW_VOXELS).contains(&foreground) {
            let message = format!("{shown}: only {foreground} voxel(s) of foreground");
            self.add(Finding::warning(
                Kind::TinyForeground,
                message,
                "check the label map for stray voxels",
            ));
        } else if foreground == 0 {
            let message = format!("{shown}: nothing but background");
            self.add(Finding::warning(
                Kind::EmptyForeground,
                message,
                "check that the case was labelled and has none of the structures",
            ));
        }
    }
}

/// Whether an affine is what remains where a file lost its place: no direction, no origin.
fn is_unplaced(affine: &Affine) -> bool {
    *affine == Affine::from_spacing(affine.spacing())
}

fn digest<'a>(images: impl Iterator<Item = &'a Image>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for image in images {
        image.shape().iter().for_each(|&n| hasher.write_usize(n));
        image.voxels.iter().for_each(|value| hasher.write_u32(value.to_bits()));
    }
    hasher.finish()
}
