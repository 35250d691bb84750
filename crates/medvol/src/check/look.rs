//! An image by itself, as prediction meets it: there is no data set to hold it against, but the
//! spacing of the grid that a model works on.

use super::geometry::{CHECK_UNIT, implausible, said_of};
use super::intensity::{Intensity, contrast};
use super::{Finding, Kind};
use crate::digits::lengths_mm;
use crate::io::{Header, Source, Weight};
use crate::orient::Orientation;
use crate::raw::RawImage;

/// A spacing that differs by more than this factor from that of a model's grid is suspicious: thick
/// slices differ by up to ten.
const OTHER_SPACING: f64 = 12.0;

/// What makes it doubtful that anything sound can be predicted from an image: voxels that are all
/// the same, in the whole image or a channel; a few far from all others; a spacing that cannot be,
/// or is far from `spacing_mm` (depth, height, width in canonical orientation); a header that
/// contradicts itself. Empty where there is nothing to say. `sources` are the files of its channels.
///
/// Voxels that are not finite are for [`Opened::checked`](crate::io::Opened::checked) to refuse.
pub fn look(
    sources: &[Source],
    header: &Header,
    image: &RawImage,
    spacing_mm: [f64; 3],
) -> Vec<Finding> {
    let shown = sources.first().map_or_else(String::new, Source::to_string);
    let remarks = header.place.remarks.iter().filter(|remark| remark.weight() > Weight::Note);
    let mut findings: Vec<Finding> = remarks.map(|remark| said_of(&shown, remark)).collect();
    let axes = Orientation::of(&header.grid.affine);
    let (shape, own) =
        (axes.canonical_axes(header.grid.shape), axes.canonical_axes(header.grid.affine.spacing()));
    let far = |axis: usize| (own[axis] / spacing_mm[axis]).ln().abs() > OTHER_SPACING.ln();
    let odd = implausible(shape, own).or_else(|| {
        let said = || format!("a spacing of {}, far from the model's", lengths_mm(own));
        (0..3).any(|axis| shape[axis] > 1 && far(axis)).then(said)
    });
    if let Some(odd) = odd {
        let message = format!("{shown}: {odd}; the model works on {}", lengths_mm(spacing_mm));
        findings.push(Finding::warning(Kind::ExtremeSpacing, message, CHECK_UNIT));
    }
    let view = image.view();
    let [channels, sizes @ ..] = view.dim();
    let intensities: Vec<Intensity> = (0..channels)
        .map(|channel| Intensity::measured(sizes.iter().product(), || view.values(channel)))
        .collect();
    findings.extend(contrast(&shown, &intensities));
    findings
}
