//! What a label map holds, and whether it may.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::Examiner;
use super::{Finding, Fix, Kind};
use crate::class_map::Label;
use crate::dataset::Dataset;
use crate::digits::significant;
use crate::io::{Header, INTEGER_TOLERANCE, Source};
use crate::volume::Image;

/// Fewer voxels of foreground than this are no structure.
pub(super) const FEW_VOXELS: u64 = 10;

/// Labels closer to an integer than this were stored inexactly; others are interpolated, and which
/// label was meant cannot be known.
const SURELY_ROUNDED: f64 = 0.1;

/// What a label map holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Labels {
    /// Voxels by label value, as far as there are any.
    pub(super) counts: BTreeMap<u16, u64>,
    /// Volume of a voxel.
    pub(super) voxel_mm3: f64,
}

impl Labels {
    /// Voxels of any structure of a data set.
    pub(super) fn foreground(&self, dataset: &Dataset) -> u64 {
        let foreground = |value: u16| value > 0 && Some(value) != dataset.ignore;
        self.counts.iter().filter(|(value, _)| foreground(**value)).map(|(_, count)| count).sum()
    }

    /// Voxels of these values.
    pub(super) fn voxels(&self, values: &[u16]) -> u64 {
        values.iter().filter_map(|value| self.counts.get(value)).sum()
    }
}

impl Examiner<'_> {
    pub(super) fn labels(&mut self, source: &Source, image: &Image) -> Option<Labels> {
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
            let message = format!(
                "{shown}: {inexact} voxel(s) are not integers, up to {} off",
                significant(farthest, 2)
            );
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

    /// Compares what a label map calls its values with what the description does: programs number
    /// segments as they were drawn.
    pub(super) fn names(&mut self, source: &Source, header: &Header) {
        let same = |a: &Label, b: &Label| a.name.trim().eq_ignore_ascii_case(b.name.trim());
        let listed = self.dataset.labels.iter().filter(|_| self.dataset.target.is_classes());
        let listed: Vec<&Label> = listed.collect();
        let other = |own: &Label| {
            let called = || listed.iter().filter(|label| same(label, own));
            let other = called().find(|label| label.value != own.value)?;
            let says = format!("{} {:?}, which is {}", own.value, own.name, other.value);
            called().all(|label| label.value != own.value).then_some(says)
        };
        let others: Vec<String> = header.labels().iter().filter_map(other).collect();
        if !others.is_empty() {
            let shown = self.shown(source);
            let message = format!("{shown} calls {} in the description", others.join(", and "));
            let remedy = "give its segments the values of the description: programs number them in \
                          the order in which they were made";
            self.add(Finding::error(Kind::LabelNames, message, remedy));
        }
    }

    /// Compares label values with those listed, and looks whether there are any.
    fn listed(&mut self, shown: &str, labels: &Labels) {
        let listed: BTreeSet<u16> = self.dataset.class_map().listed().into_iter().collect();
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
        let foreground = labels.foreground(self.dataset);
        if (1..FEW_VOXELS).contains(&foreground) {
            let message = format!("{shown}: only {foreground} voxel(s) of foreground");
            self.add(Finding::warning(
                Kind::TinyForeground,
                message,
                "check the label map for stray voxels",
            ));
        } else if foreground == 0 {
            let ignored = self.dataset.ignore.is_some_and(|value| labels.voxels(&[value]) > 0);
            let what = if ignored { "background and voxels to ignore" } else { "background" };
            self.add(Finding::warning(
                Kind::EmptyForeground,
                format!("{shown}: nothing but {what}"),
                "check that the case was labelled and has none of the structures",
            ));
        }
    }
}
