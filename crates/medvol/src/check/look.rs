//! An image by itself, as prediction meets it: there is no data set to hold it against, but what a
//! model was trained on.

use super::geometry::{CHECK_UNIT, directions, implausible, said_of};
use super::intensity::{Files, Intensity, contrast, copies, other_units};
use super::{Finding, Kind, Severity};
use crate::digits::lengths_mm;
use crate::io::{Header, Remark, Source, Weight};
use crate::normalisation::Normalisation;
use crate::orient::Orientation;
use crate::raw::RawImage;

/// What axes are called, from depth to width.
pub(super) const AXES: [&str; 3] = ["z", "y", "x"];

/// A spacing that differs by more than this factor from that of a model's grid is suspicious: thick
/// slices differ by up to ten.
const OTHER_SPACING: f64 = 12.0;

/// Voxels whose size differs by more than this factor, to the power of three, are suspicious:
/// centimetres are taken for millimetres.
const OTHER_SIZE: f64 = 5.0;

/// What a model was trained on; axes are depth, height, width in canonical orientation.
#[derive(Clone, Copy, Debug)]
pub struct Familiar<'a> {
    /// Spacing of the grid that it works on.
    pub spacing_mm: [f64; 3],
    /// Voxels of its patches.
    pub patch: [usize; 3],
    /// How each channel is normalised; empty: each image by itself.
    pub normalisation: &'a [Normalisation],
}

/// What makes it doubtful that anything sound can be predicted from an image that was read: what
/// [`look_at`] says, a header that contradicts itself, and files that were left out. Empty where
/// there is nothing to say. `sources` are the files of its channels.
///
/// Voxels that are not finite are for [`Opened::checked`](crate::io::Opened::checked) to refuse.
pub fn look(
    sources: &[Source],
    header: &Header,
    image: &RawImage,
    familiar: Familiar,
) -> Vec<Finding> {
    let shown = sources.first().map_or_else(String::new, Source::to_string);
    let to_be_said = |remark: &&Remark| {
        remark.weight() > Weight::Note || matches!(remark, Remark::LeftOut { .. })
    };
    let remarks = header.place.remarks.iter().filter(to_be_said);
    let mut findings: Vec<Finding> = remarks.map(|remark| said_of(&shown, remark)).collect();
    let names = sources.iter().map(Source::to_string).collect();
    findings.extend(look_at_files(names, image, familiar));
    findings
}

/// What makes it doubtful that anything sound can be predicted from an image, which is called
/// `shown`: voxels that are all the same, in the whole image or a channel, or few whole numbers; a
/// few far from all others; a channel that is a copy of another one; a spacing that cannot be, or is
/// far from what is `familiar`; a slice where volumes are; axes that are turned far or sheared;
/// channels that are normalised as CT and are none.
pub fn look_at(shown: &str, image: &RawImage, familiar: Familiar) -> Vec<Finding> {
    look_at_files(vec![shown.to_string()], image, familiar)
}

/// The same of an image in files that are called so.
fn look_at_files(names: Vec<String>, image: &RawImage, familiar: Familiar) -> Vec<Finding> {
    let Familiar { spacing_mm, patch, normalisation } = familiar;
    let shown = names.first().map_or("", String::as_str);
    let directions = directions(shown, &image.affine).into_iter();
    let mut findings: Vec<Finding> =
        directions.filter(|finding| finding.severity > Severity::Note).collect();
    let axes = Orientation::of(&image.affine);
    let (shape, own) =
        (axes.canonical_axes(image.shape()), axes.canonical_axes(image.affine.spacing()));
    let far = |axis: usize| (own[axis] / spacing_mm[axis]).ln().abs() > OTHER_SPACING.ln();
    let odd = implausible(shape, own).or_else(|| {
        let said = || format!("a spacing of {}, far from the model's", lengths_mm(own));
        let far = (0..3).any(|axis| shape[axis] > 1 && far(axis));
        (far || is_of_other_size(shape, own, spacing_mm)).then(said)
    });
    if let Some(odd) = odd {
        let message = format!("{shown}: {odd}; the model works on {}", lengths_mm(spacing_mm));
        findings.push(Finding::warning(Kind::ExtremeSpacing, message, CHECK_UNIT));
    }
    if let Some(axis) = (0..3).find(|&axis| is_slice(shape, axis) && !is_slice(patch, axis)) {
        let along = AXES[axis];
        let message = format!(
            "{shown}: a slice, one voxel along {along}; the model has learnt from volumes, in \
             patches of {} voxels along {along}",
            patch[axis]
        );
        findings.push(Finding::warning(Kind::Slice, message, "predict the volume it is of"));
    }
    let view = image.view();
    let [channels, sizes @ ..] = view.dim();
    let intensities: Vec<Intensity> = (0..channels)
        .map(|channel| Intensity::measured(sizes.iter().product(), || view.values(channel)))
        .collect();
    let alike = |a: usize, b: usize| view.values(a).eq(view.values(b));
    let files = Files::of(names, channels);
    findings.extend(contrast(&files, &intensities));
    findings.extend(copies(&files, &intensities, alike));
    findings.extend(other_units(&files, &intensities, normalisation));
    findings
}

/// Whether voxels of these spacings differ in size so much that one of them is in other units.
/// Along axes of one voxel nothing is known.
pub(super) fn is_of_other_size(shape: [usize; 3], spacing: [f64; 3], usual: [f64; 3]) -> bool {
    let long = (0..3).filter(|&axis| shape[axis] > 1);
    let ratios: Vec<f64> = long.map(|axis| (spacing[axis] / usual[axis]).ln()).collect();
    let mean = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
    mean.abs() > OTHER_SIZE.ln()
}

/// Whether there is but one voxel along an axis.
pub(super) fn is_slice(shape: [usize; 3], axis: usize) -> bool {
    shape[axis] == 1
}
