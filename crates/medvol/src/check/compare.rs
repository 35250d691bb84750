//! Cases held against each other: duplicates, and what lies far from the rest by median and median
//! absolute deviation.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::examine::Facts;
use super::geometry::{CHECK_UNIT, implausible};
use super::intensity::LEAST_DENSE;
use super::labels::{FEW_VOXELS, Labels};
use super::look::{AXES, is_of_other_size, is_slice};
use super::{Finding, Fix, Kind, Severity};
use crate::dataset::Dataset;
use crate::digits::{lengths_mm, significant};
use crate::normalisation::Normalisation;
use crate::orient::median_spacing;
use crate::preprocess::MAX_VOXELS;

/// Fewer cases than this have no usual value.
const FEWEST: usize = 8;
/// Standard deviations (estimated from the median absolute deviation) beyond which a value is an
/// outlier.
const OUTLIER: f64 = 8.0;
/// Smallest standard deviations, of a logarithm or a ratio: what is nearly equal everywhere makes
/// nothing an outlier.
const LEAST_DEVIATION: f64 = 0.25;
/// One part in so many of all cases is a group of its own.
const GROUP: usize = 20;
/// Spacings within this factor of the usual one are never extreme.
const USUAL_SPACING: f64 = 3.0;
/// What lies about a patient in a CT, in Hounsfield units: air, or what scanners write beyond the
/// circle that they see.
const AROUND: RangeInclusive<f32> = -8192.0..=-900.0;
/// Bone, at least a little of it, is denser than this, and all else than …
const BONE: f32 = 150.0;
/// … this much is not to be seen in a CT.
const METAL: f32 = 65536.0;
/// What CT is called, with contrast and without, in small letters.
const KINDS_OF_CT: [&str; 7] = ["ct", "cta", "ncct", "cect", "ldct", "hrct", "mdct"];
/// What to do where a channel may be CT.
const CALL_IT_CT: &str = "if it is CT in Hounsfield units, call the channel \"CT\" in the \
                          description, or set data.normalisation; otherwise set that to \"zscore\"";
/// A label that so many of ten cases hold is missed where it is not.
const NEARLY_ALL_OF_TEN: usize = 9;

/// What is usual.
struct Usual {
    values: Vec<f64>,
    median: f64,
    deviation: f64,
}

impl Usual {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        if values.len() < FEWEST {
            return None;
        }
        let median = median(values.clone());
        let deviation =
            1.4826 * self::median(values.iter().map(|value| (value - median).abs()).collect());
        Some(Self { values, median, deviation: deviation.max(LEAST_DEVIATION) })
    }

    /// Whether one of the values is far from the median and no part of a group: scanners differ
    /// too, and many data sets come from several.
    fn is_outlier(&self, value: f64) -> bool {
        let near = self
            .values
            .iter()
            .filter(|other| (*other - value).abs() <= 2.0 * LEAST_DEVIATION)
            .count();
        (value - self.median).abs() > OUTLIER * self.deviation
            && near <= (self.values.len() / GROUP).max(1)
    }
}

/// The upper one of the middle values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `normalised`: whether the names of channels decide nothing.
pub(super) fn compare(dataset: &Dataset, facts: &[Facts], normalised: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(duplicates(facts));
    findings.extend(spacings(facts));
    findings.extend(slices(facts));
    findings.extend(intensities(dataset, facts));
    if !normalised {
        findings.extend(suspected_ct(dataset, facts));
    }
    findings.extend(labels(dataset, facts));
    findings
}

fn duplicates(facts: &[Facts]) -> Vec<Finding> {
    let mut first: BTreeMap<u64, &Facts> = BTreeMap::new();
    let mut findings = Vec::new();
    for case in facts {
        let Some(digest) = case.digest else { continue };
        let Some(before) = first.get(&digest) else {
            first.insert(digest, case);
            continue;
        };
        let message = format!("has the same voxels as the image of {}", before.shown());
        let remedy = "keep one of them; in different folds they make scores too good";
        let finding = Finding::warning(Kind::DuplicateImage, message, remedy).of(case);
        // A test image is still to be predicted.
        findings.push(if case.labelled { finding.fixed_by(Fix::LeaveOut) } else { finding });
    }
    findings
}

fn spacings(facts: &[Facts]) -> Vec<Finding> {
    let grids = || facts.iter().filter_map(|case| Some((case, case.grid?)));
    let usual: Vec<Option<Usual>> =
        (0..3).map(|axis| Usual::of(grids().map(|(_, (_, spacing))| spacing[axis].ln()))).collect();
    // That of training cases is what training resamples to.
    let target =
        median_spacing(grids().filter(|(case, _)| case.labelled).map(|(_, (_, spacing))| spacing));
    let mut findings = Vec::new();
    for (case, (shape, spacing)) in grids() {
        // Along an axis of one voxel nothing is resampled.
        let long = |axis: usize| shape[axis] > 1;
        let voxels = target.map_or(0.0, |target| {
            let along = |axis: usize| (shape[axis] as f64 * spacing[axis] / target[axis]).ceil();
            (0..3).filter(|&axis| long(axis)).map(along).product()
        });
        if voxels > MAX_VOXELS {
            let message = format!(
                "{voxels:.1e} voxels when resampled to the usual spacing, {}; it has {shape:?} of \
                 {}",
                lengths_mm(target.unwrap_or_default()),
                lengths_mm(spacing)
            );
            findings.push(
                Finding::error(Kind::ExtremeSpacing, message, "check the unit of its spacing")
                    .of(case),
            );
            continue;
        }
        let far = |axis: usize| {
            let usual = usual[axis].as_ref()?;
            let factor = (spacing[axis].ln() - usual.median).exp();
            let extreme = usual.is_outlier(spacing[axis].ln())
                && !(1.0 / USUAL_SPACING..=USUAL_SPACING).contains(&factor);
            extreme.then(|| {
                format!(
                    "{} mm along {}, usual are {} mm",
                    significant(spacing[axis], 3),
                    AXES[axis],
                    significant(usual.median.exp(), 3)
                )
            })
        };
        let found: Vec<String> = (0..3).filter(|&axis| long(axis)).filter_map(far).collect();
        let message = if !found.is_empty() {
            format!("a spacing unlike the other cases': {}", found.join("; "))
        } else if let Some(message) = implausible(shape, spacing) {
            message
        } else if let Some(usual) = target.filter(|usual| is_of_other_size(shape, spacing, *usual))
        {
            let (own, usual) = (lengths_mm(spacing), lengths_mm(usual));
            format!("a spacing of {own} (depth, height, width); usual are {usual}")
        } else {
            continue;
        };
        findings.push(Finding::warning(Kind::ExtremeSpacing, message, CHECK_UNIT).of(case));
    }
    findings
}

/// Slices among volumes, or volumes among slices.
fn slices(facts: &[Facts]) -> Vec<Finding> {
    let shapes: Vec<_> = facts.iter().filter_map(|case| Some((case, case.grid?.0))).collect();
    let unlike = |&(case, shape): &(&Facts, [usize; 3])| {
        let as_here = |axis: usize| {
            let alike = |(_, other): &&(&Facts, _)| is_slice(*other, axis) == is_slice(shape, axis);
            shapes.iter().filter(alike).count()
        };
        let axis = (0..3).find(|&axis| 4 * as_here(axis) <= shapes.len())?;
        let (this, others) = match is_slice(shape, axis) {
            true => ("is a slice: it has one voxel", "have more"),
            false => ("is a volume: it has more than one voxel", "are slices"),
        };
        let message = format!("{this} along {}, where other cases {others}", AXES[axis]);
        Some(
            Finding::warning(Kind::Slice, message, "check the file, or leave the case out")
                .of(case),
        )
    };
    shapes.iter().filter_map(unlike).collect()
}

/// Channels that hold Hounsfield units, as it seems, and are not called so.
fn suspected_ct(dataset: &Dataset, facts: &[Facts]) -> Vec<Finding> {
    let unnamed = |(_, name): &(usize, &String)| Normalisation::named(name).is_none();
    let suspect = |(channel, name): (usize, &String)| {
        let known: Vec<_> = facts.iter().filter_map(|case| case.intensities.get(channel)).collect();
        let dense_alone = known.iter().filter(|channel| channel.min > LEAST_DENSE).count();
        if is_called_like_ct(name) && 2 * dense_alone < known.len() {
            let message = format!(
                "channel {channel} is called {name:?}, which is not exactly \"CT\": its images are \
                 normalised one by one, and what surrounds the patient changes that"
            );
            return Some(Finding::warning(Kind::SuspectedCt, message, CALL_IT_CT));
        }
        let like_ct =
            known.iter().filter(|i| AROUND.contains(&i.min) && (BONE..METAL).contains(&i.max));
        let alike = like_ct.count();
        if alike == 0 || 2 * alike < known.len() {
            return None;
        }
        let message = format!(
            "channel {channel} ({name:?}) seems to be CT: in {alike} of {} cases it goes from air \
             (below -900) to bone; but images that are not called CT are normalised one by one, \
             and what surrounds the patient changes that",
            known.len()
        );
        Some(Finding::warning(Kind::SuspectedCt, message, CALL_IT_CT))
    };
    dataset.channels.iter().enumerate().filter(unnamed).filter_map(suspect).collect()
}

/// Whether a name speaks of CT: a word of it is the name of a kind of CT.
fn is_called_like_ct(name: &str) -> bool {
    let words = name.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase);
    words.into_iter().any(|word| KINDS_OF_CT.contains(&word.as_str()))
}

/// Contrast and the mean in units of it: both are free of the unit of an image, and of how much air
/// surrounds the body.
fn intensities(dataset: &Dataset, facts: &[Facts]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for channel in 0..dataset.channels.len() {
        let of_channel = || {
            let channels =
                facts.iter().filter(|case| case.intensities.len() == dataset.channels.len());
            channels.map(|case| (case, &case.intensities[channel])).filter(|(_, i)| i.sd > 0.0)
        };
        let contrast = Usual::of(of_channel().map(|(_, i)| i.sd.ln()));
        let brightness = Usual::of(of_channel().map(|(_, i)| i.mean / i.sd));
        let (Some(contrast), Some(brightness)) = (contrast, brightness) else { continue };
        for (case, i) in of_channel() {
            if contrast.is_outlier(i.sd.ln()) || brightness.is_outlier(i.mean / i.sd) {
                let message = format!(
                    "channel {channel} has intensities of {} ± {}; usual are about {} ± {}",
                    significant(i.mean, 4),
                    significant(i.sd, 4),
                    significant(brightness.median * contrast.median.exp(), 4),
                    significant(contrast.median.exp(), 4)
                );
                let remedy =
                    "check its units and scale factor, and that it is of the same modality";
                findings.push(Finding::warning(Kind::OutlierIntensity, message, remedy).of(case));
            }
        }
    }
    findings
}

fn labels(dataset: &Dataset, facts: &[Facts]) -> Vec<Finding> {
    let labelled: Vec<(&Facts, &Labels)> =
        facts.iter().filter_map(|case| Some((case, case.labels.as_ref()?))).collect();
    // What is missing in a case that is empty, or nearly so, was said.
    let filled: Vec<_> =
        labelled.iter().filter(|(_, labels)| labels.foreground(dataset) >= FEW_VOXELS).collect();
    let nothing = labelled.iter().all(|(_, labels)| labels.foreground(dataset) == 0);
    let mut findings = Vec::new();
    let scored = dataset.target.scored(&dataset.labels, dataset.ignore);
    let structures = dataset.target.names(&dataset.labels).into_iter().zip(scored.values);
    for (name, values) in structures.filter(|_| !labelled.is_empty()) {
        let name = match values.as_slice() {
            [value] => format!("label {value} ({name})"),
            values => format!("labels {values:?} ({name})"),
        };
        let mm3 = |labels: &Labels| {
            let voxels = labels.voxels(&values);
            (voxels > 0).then_some(voxels as f64 * labels.voxel_mm3)
        };
        let holding = labelled.iter().filter(|(_, labels)| labels.voxels(&values) > 0).count();
        if holding == 0 {
            let severity = if nothing { Severity::Error } else { Severity::Warning };
            let message = format!("no case holds {name}: nothing can be learnt of it");
            findings.push(Finding::new(
                severity,
                Kind::MissingLabel,
                message,
                "correct the label maps, or take it out of the description",
            ));
            continue;
        }
        let expected =
            labelled.len() >= FEWEST && 10 * holding >= NEARLY_ALL_OF_TEN * labelled.len();
        let usual = Usual::of(filled.iter().filter_map(|(_, labels)| mm3(labels)).map(f64::ln));
        for (case, labels) in &filled {
            match (mm3(labels), &usual) {
                (None, _) if expected => {
                    let message = format!(
                        "does not hold {name}, which {holding} of {} cases hold",
                        labelled.len()
                    );
                    findings.push(
                        Finding::warning(
                            Kind::MissingLabel,
                            message,
                            "check that it was labelled completely",
                        )
                        .of(case),
                    );
                }
                (Some(volume), Some(usual))
                    if volume.ln() < usual.median && usual.is_outlier(volume.ln()) =>
                {
                    let message = format!(
                        "{volume:.1} mm³ of {name}; usual are about {:.1} mm³",
                        usual.median.exp()
                    );
                    findings.push(
                        Finding::warning(Kind::TinyForeground, message, "check the label map")
                            .of(case),
                    );
                }
                _ => {}
            }
        }
    }
    findings
}
