//! How a channel's intensities become what a network sees, by the names that nnU-Net gives its
//! channels (Isensee et al. 2021, "nnU-Net", *Nature Methods* 18).
//!
//! Intensities of most images mean something only beside each other, so each image is measured by
//! itself. Those of CT are absolute (Hounsfield units): what is measured is the foreground of all
//! training cases, once, and every image is treated the same, whatever surrounds the patient.

use ndarray::{ArrayView3, ArrayViewMut3};
use serde::{Deserialize, Serialize};

use crate::class_map::ClassMap;

/// A channel whose standard deviation is below this part of its largest value is constant up to
/// rounding.
const CONSTANT: f64 = 1e-6;

/// Where a CT holds no more than this many Hounsfield units there is air or padding: half-way
/// between air (-1000) and water (0).
pub(crate) const AIR: f32 = -500.0;

/// What CT is called where it is spelled out, in small letters.
const SPELLED_OUT: [&str; 4] = ["computed tomography", "ct scan", "ct image", "ct hu"];

/// Foreground voxels of one case that are looked at, at most; evenly spread.
const SAMPLED: usize = 10_000;

/// Parts of the foreground's voxels below and above which intensities are clipped.
const CLIPPED: [f64; 2] = [0.005, 0.995];

/// How the intensities of one channel are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Normalisation {
    /// Less their mean, in standard deviations, both of the image itself.
    #[default]
    ZScore,
    /// Clipped, less their mean, in standard deviations, all of the training cases' foreground.
    Ct {
        /// `None` before they are measured: the channel is then left in Hounsfield units.
        statistics: Option<CtStatistics>,
    },
    /// As they are.
    None,
    /// From 0 (the image's least) to 1 (its greatest).
    Rescale,
    /// Divided by 255.
    Rgb,
}

/// What is known of the foreground of the training cases, in Hounsfield units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CtStatistics {
    /// The 0.5th percentile; what lies below is clipped to it.
    pub low: f64,
    /// The 99.5th percentile; what lies above is clipped to it.
    pub high: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
}

impl Normalisation {
    /// The names that [`Self::named`] knows, as nnU-Net spells them.
    pub const NAMES: [&'static str; 5] = ["zscore", "CT", "noNorm", "rescale_to_0_1", "rgb_to_0_1"];

    /// The one called `name`, in capitals or not; CT also where it is spelled out.
    pub fn named(name: &str) -> Option<Self> {
        let words: Vec<String> = name
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        if SPELLED_OUT.contains(&words.join(" ").as_str()) {
            return Some(Self::Ct { statistics: None });
        }
        let at = Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name.trim()))?;
        Some(
            [Self::ZScore, Self::Ct { statistics: None }, Self::None, Self::Rescale, Self::Rgb][at],
        )
    }

    /// Its name among [`Self::NAMES`].
    pub fn name(&self) -> &'static str {
        let at = match self {
            Self::ZScore => 0,
            Self::Ct { .. } => 1,
            Self::None => 2,
            Self::Rescale => 3,
            Self::Rgb => 4,
        };
        Self::NAMES[at]
    }

    /// The one that a channel of this name gets: that of the name, or else the z-score.
    pub fn of_channel(name: &str) -> Self {
        Self::named(name).unwrap_or_default()
    }

    /// The same before anything is measured.
    pub fn unmeasured(self) -> Self {
        match self {
            Self::Ct { .. } => Self::Ct { statistics: None },
            Self::ZScore | Self::None | Self::Rescale | Self::Rgb => self,
        }
    }

    /// Greatest value that is as good as nothing: a border of such voxels is cut off, as is one
    /// of 0.
    pub fn nothing(self) -> f32 {
        match self {
            Self::Ct { .. } => AIR,
            Self::ZScore | Self::None | Self::Rescale | Self::Rgb => f32::NEG_INFINITY,
        }
    }

    /// What it does to an image whose voxels `each_slab` hands, always in the same order, to the
    /// function that it is given.
    pub(crate) fn measure(self, each_slab: impl Fn(&mut dyn FnMut(ArrayView3<f32>))) -> Scale {
        match self {
            Self::ZScore => z_score(each_slab),
            Self::Ct { statistics: Some(statistics) } => statistics.scale(),
            Self::Ct { statistics: None } | Self::None => Scale::IDENTITY,
            Self::Rescale => {
                let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
                each_slab(&mut |slab| {
                    for &value in slab {
                        (low, high) = (low.min(f64::from(value)), high.max(f64::from(value)));
                    }
                });
                Scale { shift: low, unit: (high > low).then_some(high - low), ..Scale::IDENTITY }
            }
            Self::Rgb => Scale { unit: Some(255.0), ..Scale::IDENTITY },
        }
    }
}

/// Values of one channel of a case in Hounsfield units, at most 10,000: evenly spread over its
/// foreground, or, where nothing is labelled, over all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CtSample {
    /// Whether they are of the foreground.
    pub foreground: bool,
    /// In the order of the voxels.
    pub values: Vec<f32>,
}

impl CtStatistics {
    /// Measures a channel by samples of the training cases: of their foreground, or, where nothing
    /// is labelled in any of them, of all voxels. `None` without a voxel.
    ///
    /// The result does not depend on how many threads there are.
    pub fn measure(samples: &[CtSample]) -> Option<Self> {
        let any = samples.iter().any(|sample| sample.foreground);
        let seen = samples.iter().filter(|sample| sample.foreground || !any);
        let mut values: Vec<f32> = seen.flat_map(|sample| &sample.values).copied().collect();
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f32::total_cmp);
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        let [low, high] = CLIPPED.map(|part| quantile(&values, part));
        Some(Self { low, high, mean, deviation: (squares / count).sqrt() })
    }

    /// Normalises a channel that is in Hounsfield units.
    pub fn normalise(&self, mut channel: ArrayViewMut3<f32>) {
        let scale = self.scale();
        channel.mapv_inplace(|value| scale.of(value));
    }

    fn scale(&self) -> Scale {
        let Self { low, high, mean, deviation } = *self;
        let unit = (deviation > CONSTANT * low.abs().max(high.abs())).then_some(deviation);
        Scale { clip: [low, high], shift: mean, unit }
    }
}

/// Brings values that were normalised one way to what another would have made of them, as far as
/// both are of one scheme: CT normalised by the statistics of other training cases.
pub fn restate(from: Normalisation, to: Normalisation, values: &mut [f32]) {
    let (Normalisation::Ct { statistics: Some(from) }, Normalisation::Ct { statistics: Some(to) }) =
        (from, to)
    else {
        return;
    };
    if from == to {
        return;
    }
    let (from, to) = (from.scale(), to.scale());
    for value in values {
        let hounsfield = f64::from(*value) * from.unit.unwrap_or(1.0) + from.shift;
        *value = to.of(hounsfield as f32);
    }
}

impl CtSample {
    /// Of a channel in Hounsfield units and the classes, both `[depth, height, width]`. Without a
    /// label map, nothing.
    pub fn of(channel: ArrayView3<f32>, classes: Option<ArrayView3<u8>>) -> Self {
        let Some(classes) = classes else { return Self { foreground: false, values: Vec::new() } };
        let labelled = classes.iter().filter(|&&class| is_foreground(class)).count();
        let foreground = labelled > 0;
        let count = if foreground { labelled } else { classes.len() };
        let wanted = |class: u8| is_foreground(class) || !foreground;
        let voxels = channel.iter().zip(classes).filter(|&(_, &class)| wanted(class));
        let values =
            voxels.step_by(count.div_ceil(SAMPLED).max(1)).map(|(&value, _)| value).collect();
        Self { foreground, values }
    }
}

fn is_foreground(class: u8) -> bool {
    class > 0 && class != ClassMap::IGNORED
}

/// Of sorted values, interpolated between the two next to it.
fn quantile(sorted: &[f32], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let [below, above] = [at.floor(), at.ceil()].map(|at| f64::from(sorted[at as usize]));
    below + (above - below) * (at - at.floor())
}

/// What is done to each value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    clip: [f64; 2],
    shift: f64,
    /// `None` if the channel is constant.
    unit: Option<f64>,
}

impl Scale {
    const IDENTITY: Self =
        Self { clip: [f64::NEG_INFINITY, f64::INFINITY], shift: 0.0, unit: Some(1.0) };

    /// The value clipped, less the shift, in units; 0 in a constant channel.
    pub(crate) fn of(&self, value: f32) -> f32 {
        let [low, high] = self.clip;
        self.unit
            .map_or(0.0, |unit| ((f64::from(value).clamp(low, high) - self.shift) / unit) as f32)
    }
}

fn z_score(each_slab: impl Fn(&mut dyn FnMut(ArrayView3<f32>))) -> Scale {
    let (mut count, mut sum, mut largest) = (0, 0.0, 0.0_f64);
    each_slab(&mut |slab| {
        count += slab.len();
        sum = slab.iter().fold(sum, |sum, &v| sum + f64::from(v));
        largest = slab.iter().fold(largest, |largest, &v| largest.max(f64::from(v).abs()));
    });
    let mean = sum / count as f64;
    let mut squares = 0.0;
    each_slab(&mut |slab| {
        squares = slab.iter().fold(squares, |sum, &v| sum + (f64::from(v) - mean).powi(2))
    });
    let deviation = (squares / count as f64).sqrt();
    let unit = (deviation > CONSTANT * largest).then_some(deviation);
    Scale { shift: mean, unit, ..Scale::IDENTITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_channels_in_capitals_or_not_and_anything_else_is_a_z_score() {
        for name in Normalisation::NAMES {
            let normalisation = Normalisation::named(name).unwrap();
            assert_eq!(Normalisation::of_channel(&name.to_uppercase()), normalisation);
            assert_eq!(normalisation.name(), name);
        }
        assert_eq!(Normalisation::named("CTA"), None);
        for name in ["Computed Tomography", "CT (HU)", "ct_scan"] {
            assert_eq!(Normalisation::of_channel(name), Normalisation::named("CT").unwrap());
        }
        assert_eq!(Normalisation::of_channel("T1 post contrast"), Normalisation::ZScore);
    }

    #[test]
    fn quantiles_are_interpolated() {
        // numpy.quantile([1, 2, 4, 8], [0, 0.5, 0.9, 1])
        let expected = [(0.0, 1.0), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)];
        for (part, value) in expected {
            assert!((quantile(&[1.0, 2.0, 4.0, 8.0], part) - value).abs() < 1e-12, "{part}");
        }
    }
}
