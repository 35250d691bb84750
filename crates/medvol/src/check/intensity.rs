//! How the intensities of a channel are distributed.

use ndarray::ArrayView3;

use super::examine::Examiner;
use super::{Finding, Kind};
use crate::io::Source;
use crate::normalisation::Normalisation;

/// Voxels looked at, at most about, for all but the extremes.
const SAMPLES: usize = 1 << 18;

/// In every CT there is something less dense than this: fat has about -100 Hounsfield units, air
/// -1000.
pub(super) const LEAST_DENSE: f32 = -50.0;

/// Label maps hold so many values at most, mostly; images of more than a few voxels never so few.
const FEW_VALUES: usize = 16;
const MANY_VOXELS: usize = 1000;

/// How far beyond the range of 99.8 % of all voxels a voxel may lie, in such ranges.
const SPIKE: f32 = 50.0;

/// Statistics of one channel; NaN and infinite voxels do not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Intensity {
    pub(super) min: f32,
    pub(super) max: f32,
    /// 99.8 % of the voxels lie from here …
    pub(super) low: f32,
    /// … to here.
    pub(super) high: f32,
    /// Mean and standard deviation of those voxels that are not 0 (0 is what lies outside the body
    /// in many images).
    pub(super) mean: f64,
    pub(super) sd: f64,
    /// The number of values, where these are few whole numbers, as in a label map.
    pub(super) as_labels: Option<usize>,
}

impl Intensity {
    pub(super) fn of(channel: ArrayView3<f32>) -> Self {
        Self::measured(channel.len(), || channel.iter().copied())
    }

    /// Of `count` values, which can be gone through several times.
    pub(super) fn measured<I: Iterator<Item = f32>>(count: usize, values: impl Fn() -> I) -> Self {
        let finite = || values().filter(|value| value.is_finite());
        let mut samples: Vec<f32> = finite().step_by(count.div_ceil(SAMPLES).max(1)).collect();
        if samples.is_empty() {
            let (min, max, low, high, mean, sd) = Default::default();
            return Self { min, max, low, high, mean, sd, as_labels: None };
        }
        samples.sort_by(f32::total_cmp);
        let tail = samples.len() / 1000;
        let usual = &samples[tail..samples.len() - tail];
        let occupied: Vec<f64> =
            usual.iter().filter(|value| **value != 0.0).map(|&value| value.into()).collect();
        let count = occupied.len().max(1) as f64;
        let mean = occupied.iter().sum::<f64>() / count;
        Self {
            min: finite().fold(f32::INFINITY, f32::min),
            max: finite().fold(f32::NEG_INFINITY, f32::max),
            low: usual[0],
            high: usual[usual.len() - 1],
            mean,
            as_labels: as_labels(&samples),
            sd: (occupied.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt(),
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        self.min == self.max
    }

    /// The value of a voxel that lies far beyond nearly all others.
    pub(super) fn spike(&self) -> Option<f32> {
        let (below, above) = (self.low - self.min, self.max - self.high);
        let range = self.high - self.low;
        // Of a nearly constant channel nothing can be said.
        (range > 0.0 && below.max(above) > SPIKE * range).then_some(if below > above {
            self.min
        } else {
            self.max
        })
    }
}

/// The number of values among many that are sorted, where these are few whole numbers from 0 on.
fn as_labels(sorted: &[f32]) -> Option<usize> {
    let values = sorted.chunk_by(|a, b| a == b).map(|same| same[0]);
    let whole =
        values.take(FEW_VALUES + 1).take_while(|value| *value >= 0.0 && value.fract() == 0.0);
    let count = whole.count();
    let all = sorted.chunk_by(|a, b| a == b).take(FEW_VALUES + 1).count();
    let few = count == all && (2..=FEW_VALUES).contains(&all);
    (few && sorted.len() > MANY_VOXELS).then_some(all)
}

impl Examiner<'_> {
    /// Channels without contrast, voxels far from all others, channels that are copies, and CT in
    /// other units. `alike` compares the voxels of two channels.
    pub(super) fn contrast(
        &mut self,
        sources: &[Source],
        channels: &[Intensity],
        alike: impl Fn(usize, usize) -> bool,
    ) {
        let names = sources.iter().map(|source| self.shown(source)).collect();
        let files = Files::of(names, channels.len());
        let names = self.dataset.channels.iter();
        let normalisation: Vec<_> = names.map(|name| Normalisation::of_channel(name)).collect();
        let mut found = contrast(&files, channels);
        found.extend(copies(&files, channels, alike));
        found.extend(other_units(&files, channels, &normalisation));
        found.into_iter().for_each(|finding| self.add(finding));
    }
}

/// Channels that are normalised as CT and hold no Hounsfield units: without their intercept,
/// scaled, or of another modality.
pub(super) fn other_units(
    files: &Files,
    channels: &[Intensity],
    normalisation: &[Normalisation],
) -> Vec<Finding> {
    let of_ct = |(_, (channel, scheme)): &(usize, (&Intensity, &Normalisation))| {
        matches!(scheme, Normalisation::Ct { .. }) && !channel.is_constant()
    };
    let channels = channels.iter().zip(normalisation).enumerate().filter(of_ct);
    let wrong = channels.filter(|(_, (channel, _))| channel.min > LEAST_DENSE);
    let finding = |(n, (channel, _)): (usize, (&Intensity, _))| {
        let shown = files.of_channel(n);
        let message = format!(
            "{shown}: channel {n} is CT, but its values, {} to {}, are no Hounsfield units: in \
             these air is -1000 and fat -100",
            channel.min, channel.max
        );
        let remedy = "convert it again with its rescale slope and intercept; if it is no CT, mend \
                      the order or the names of the channels";
        Finding::warning(Kind::OutlierIntensity, message, remedy)
    };
    wrong.map(finding).collect()
}

/// Channels without contrast, those that look like label maps, and voxels far from all others.
pub(super) fn contrast(files: &Files, channels: &[Intensity]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let constant: Vec<usize> = (0..channels.len()).filter(|&n| channels[n].is_constant()).collect();
    if constant.len() == channels.len() {
        let value = channels.first().map_or(0.0, |channel| channel.max);
        let message = format!("{}: all voxels are {value}", files.of_channel(0));
        let remedy = "export the image again, or leave the case out";
        findings.push(Finding::error(Kind::ConstantImage, message, remedy));
    } else {
        for of_file in constant.chunk_by(|a, b| files.of_channel(*a) == files.of_channel(*b)) {
            let shown = files.of_channel(of_file[0]);
            let message = format!("{shown}: all voxels of channel(s) {of_file:?} are the same");
            let remedy = "check whether this channel was recorded";
            findings.push(Finding::warning(Kind::ConstantImage, message, remedy));
        }
    }
    for (n, channel) in channels.iter().enumerate() {
        let shown = files.of_channel(n);
        if let Some(values) = channel.as_labels {
            let message = format!(
                "{shown}: channel {n} holds {values} values, all of them whole numbers, as a label \
                 map does"
            );
            let remedy = "see whether it is the image, and not its label map";
            findings.push(Finding::warning(Kind::OutlierIntensity, message, remedy));
        }
        if let Some(value) = channel.spike() {
            let message = format!(
                "{shown}: channel {n} reaches {value}, while 99.8 % of its voxels lie from {} to {}",
                channel.low, channel.high
            );
            let remedy = "look at the image; a few such voxels spoil its normalisation";
            findings.push(Finding::warning(Kind::OutlierIntensity, message, remedy));
        }
    }
    findings
}

/// Channels that are one and the same; `alike` compares the voxels of two whose statistics are equal.
pub(super) fn copies(
    files: &Files,
    channels: &[Intensity],
    alike: impl Fn(usize, usize) -> bool,
) -> Vec<Finding> {
    // A file that is listed twice is said to be.
    let listed_twice = |m, n| files.by_channel && files.of_channel(m) == files.of_channel(n);
    let is_first =
        |m: usize, n: usize| channels[m] == channels[n] && !listed_twice(m, n) && alike(m, n);
    let first = |n: usize| (0..n).find(|&m| is_first(m, n));
    let twice = (0..channels.len()).filter(|&n| !channels[n].is_constant());
    let finding = |n: usize| {
        let other = first(n)?;
        let message = format!(
            "{}: channel {n} has the voxels of channel {other} ({})",
            files.of_channel(n),
            files.of_channel(other)
        );
        let remedy = "one is a copy of the other: give each channel its own image";
        Some(Finding::warning(Kind::DuplicateImage, message, remedy))
    };
    twice.filter_map(finding).collect()
}

/// How the files of an image are called in messages.
pub(super) struct Files {
    names: Vec<String>,
    /// Whether each channel has its own.
    by_channel: bool,
}

impl Files {
    pub(super) fn of(names: Vec<String>, channels: usize) -> Self {
        let by_channel = names.len() == channels;
        Self { names, by_channel }
    }

    /// The file of a channel, or the first of all.
    fn of_channel(&self, channel: usize) -> &str {
        self.names.get(if self.by_channel { channel } else { 0 }).map_or("", String::as_str)
    }
}
