//! How an image lies in space, and whether what belongs to it lies there too.

use super::examine::Examiner;
use super::{Finding, Fix, Kind};
use crate::affine::{Affine, dot, norm};
use crate::io::Source;
use crate::orient::Orientation;
use crate::volume::Image;

/// Axes that differ from those of space by more are mentioned, and by much more are suspicious
/// (degrees).
const OBLIQUE: f64 = 1.0;
const VERY_OBLIQUE: f64 = 25.0;
/// Axes whose angles differ from a right one by more are suspicious (degrees).
const SHEARED: f64 = 1.0;

/// Spacings that differ by more than this part of themselves are not a matter of rounding.
const SPACING_TOLERANCE: f64 = 0.01;

impl Examiner<'_> {
    pub(super) fn geometry(&mut self, source: &Source, affine: &Affine) {
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

    /// Compares a channel's or a label map's grid with the image's.
    pub(super) fn same_grid(
        &mut self,
        image: (&Source, &Image),
        other: (&Source, &Image),
        kind: Kind,
    ) {
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
}

/// Whether an affine is what remains where a file lost its place: no direction, no origin.
fn is_unplaced(affine: &Affine) -> bool {
    *affine == Affine::from_spacing(affine.spacing())
}
