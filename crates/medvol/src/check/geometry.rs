//! How an image lies in space, and whether what belongs to it lies there too.

use super::examine::Examiner;
use super::{Finding, Fix, Kind};
use crate::affine::{Affine, PLAUSIBLE_MM, dot, norm};
use crate::digits::{lengths_mm, significant};
use crate::io::{Header, Remark, Source, Weight};
use crate::orient::Orientation;

/// Axes that differ from those of space by more are mentioned, and by much more are suspicious
/// (degrees).
const OBLIQUE: f64 = 1.0;
const VERY_OBLIQUE: f64 = 25.0;
/// Axes whose angles differ from a right one by more are suspicious (degrees).
const SHEARED: f64 = 1.0;

/// Spacings that differ by more than this part of themselves are not a matter of rounding.
const SPACING_TOLERANCE: f64 = 0.01;

/// What to do about a spacing that cannot be.
pub(super) const CHECK_UNIT: &str = "check the unit in its header (NIfTI spacings are in mm \
                                     unless it says otherwise) and that it is an image of this \
                                     kind";

impl Examiner<'_> {
    /// What an image's header says of its place.
    pub(super) fn geometry(&mut self, source: &Source, header: &Header) {
        let (shown, affine) = (self.shown(source), &header.grid.affine);
        header.place.remarks.iter().for_each(|remark| self.remark(source, remark));
        let orientation = Orientation::of(affine);
        if orientation != Orientation::of(&Affine::IDENTITY) {
            let message = format!("stored in {} orientation", orientation.code());
            self.add(Finding::note(
                Kind::Orientation,
                message,
                "none needed: it is brought to RAS and back",
            ));
        }
        directions(&shown, affine).into_iter().for_each(|finding| self.add(finding));
    }

    fn remark(&mut self, source: &Source, remark: &Remark) {
        let finding = said_of(&self.shown(source), remark);
        self.add(finding);
    }

    /// Compares a channel's or a label map's grid with the image's.
    pub(super) fn same_grid(
        &mut self,
        image: (&Source, &Header),
        other: (&Source, &Header),
        kind: Kind,
    ) {
        let ((image_source, image), (source, other)) = (image, other);
        let (a, b) = (self.shown(image_source), self.shown(source));
        let labels = kind == Kind::AffineMismatch;
        if image.grid.shape != other.grid.shape {
            let message = format!(
                "{a} has shape {:?}, {b} has {:?} (depth, height, width)",
                image.grid.shape, other.grid.shape
            );
            let kind = if labels { Kind::ShapeMismatch } else { kind };
            self.add(Finding::error(
                kind,
                message,
                "export both on one grid; do not resize voxels by guess",
            ));
            return;
        }
        let unsaid = |remark: &&Remark| {
            remark.weight() == Weight::Warning && !image.place.remarks.contains(remark)
        };
        other.place.remarks.iter().filter(unsaid).for_each(|remark| self.remark(source, remark));
        if image.lies_on(other) {
            return;
        }
        let distance = image.grid.affine.max_displacement(&other.grid.affine, image.grid.shape);
        let (from, to) = (image.grid.affine.spacing(), other.grid.affine.spacing());
        let spacing =
            (0..3).any(|axis| (from[axis] - to[axis]).abs() > SPACING_TOLERANCE * from[axis]);
        let message = match spacing {
            true => format!(
                "{a} has a spacing of {}, {b} of {} (depth, height, width)",
                lengths_mm(from),
                lengths_mm(to)
            ),
            false => format!("{a} and {b} lie {} mm apart", significant(distance, 3)),
        };
        let kind = if labels && spacing { Kind::SpacingMismatch } else { kind };
        let remedy = "if their voxels belong together, copy sform and qform of the image; \
                      otherwise resample to the image's grid";
        let finding = Finding::error(kind, message, remedy);
        let small = distance <= from.into_iter().fold(f64::INFINITY, f64::min);
        self.add(if labels && (small || is_unplaced(other)) {
            finding.fixed_by(Fix::CopyAffine)
        } else {
            finding
        });
    }
}

/// What is said of axes that are not those of the body, or not at right angles.
pub(super) fn directions(shown: &str, affine: &Affine) -> Vec<Finding> {
    let canonical = Orientation::of(affine).canonical_affine(affine, [1; 3]);
    let axes = [0, 1, 2].map(|column| canonical.column(column));
    let cosine = (0..3).map(|n| axes[n][n] / norm(axes[n])).fold(1.0, f64::min);
    let angle = cosine.acos().to_degrees();
    let mut findings = Vec::new();
    if angle > VERY_OBLIQUE {
        let message = format!(
            "{shown} is oblique: its axes are turned by up to {angle:.0}° against those of the body"
        );
        let remedy = "check the direction in its header; patches are cut along its own axes";
        findings.push(Finding::warning(Kind::Oblique, message, remedy));
    } else if angle > OBLIQUE {
        let message = format!("turned by up to {angle:.0}° against the axes of the body");
        let remedy = "none needed: predictions are oblique too";
        findings.push(Finding::note(Kind::Oblique, message, remedy));
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
        let remedy = "resample it to a rectangular grid (a tilted CT gantry leaves such images)";
        findings.push(Finding::warning(Kind::Sheared, message, remedy));
    }
    findings
}

/// What is to be said of a file's place.
pub(super) fn said_of(shown: &str, remark: &Remark) -> Finding {
    let (message, remedy) = (format!("{shown}: {remark}"), remark.remedy());
    match remark.weight() {
        Weight::Note => Finding::note(Kind::Geometry, message, remedy),
        Weight::Warning => Finding::warning(Kind::Geometry, message, remedy),
        Weight::Question => Finding::error(Kind::Geometry, message, remedy),
    }
}

/// What is said of a spacing (mm) that nothing between microscope and telescope has, along axes of
/// more than one voxel.
pub(super) fn implausible(shape: [usize; 3], spacing: [f64; 3]) -> Option<String> {
    let odd = |axis: usize| shape[axis] > 1 && !PLAUSIBLE_MM.contains(&spacing[axis]);
    let said = || format!("a spacing of {} (depth, height, width)", lengths_mm(spacing));
    (0..3).any(odd).then(said)
}

/// Whether a header says what remains where a file lost its place: no direction, no origin.
fn is_unplaced(header: &Header) -> bool {
    header.readings().any(|affine| *affine == Affine::from_spacing(affine.spacing()))
}
