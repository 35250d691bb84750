//! Where a slice lies, and where the volume does that slices are stacked to.

use super::attributes::{self as tags, Attribute};
use super::data_set::DataSet;
use super::problem::{Difference, Problem};
use crate::affine::{Affine, cross, dot, norm};

/// How far the two directions of a slice may be from length 1 and a right angle: they are written
/// with few digits.
const DIRECTION_TOLERANCE: f64 = 1e-3;

/// How far a slice may lie from where it would on a regular grid, as a part of their distance.
/// Positions of some scanners are rounded to tenths of a millimetre.
const PLACE_TOLERANCE: f64 = 0.05;

/// Slices closer than this in mm are at the same place.
const SAME_PLACE_MM: f64 = 1e-3;

/// How far slices may be stacked off their normal, in degrees. Rounding stays below.
const TILT_TOLERANCE_DEGREES: f64 = 0.1;

/// Why a place is needed.
const NEEDED: &str = "an image needs a place in space";

/// The plane of a slice. Millimetres, in DICOM's axes: x to the patient's left, y to the back, z to
/// the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Of the first pixel's centre.
    pub position: [f64; 3],
    /// Of length 1, along a row (to the next column).
    along_row: [f64; 3],
    /// Of length 1, along a column (to the next row).
    along_column: [f64; 3],
    /// Distance of rows and of columns in mm.
    pub pixel_spacing: [f64; 2],
    /// Distance of slices in mm as the object tells it, or their thickness.
    told_spacing: Option<f64>,
}

impl Place {
    /// From the data sets that hold position, orientation and measures: one and the same, or
    /// functional groups.
    pub fn of(
        position: &DataSet,
        orientation: &DataSet,
        measures: &DataSet,
    ) -> Result<Self, Problem> {
        let unusable = |set: &DataSet, attribute, expected| match set.shown(attribute) {
            Some(found) => Problem::Value { attribute, found, expected },
            None => Problem::Missing { attribute, needed: NEEDED },
        };
        let [a, b, c, d, e, f] = orientation
            .vector(tags::ORIENTATION)
            .ok_or_else(|| unusable(orientation, tags::ORIENTATION, "six numbers"))?;
        let (row, column) = ([a, b, c], [d, e, f]);
        let unit = |v| (norm(v) - 1.0).abs() <= DIRECTION_TOLERANCE;
        if !(unit(row) && unit(column) && dot(row, column).abs() <= DIRECTION_TOLERANCE) {
            return Err(Problem::Value {
                attribute: tags::ORIENTATION,
                found: format!("{:?}", [row, column]),
                expected: "two directions of length 1 at a right angle",
            });
        }
        let pixel_spacing: [f64; 2] = measures
            .vector(tags::PIXEL_SPACING)
            .ok_or_else(|| unusable(measures, tags::PIXEL_SPACING, "two distances in mm"))?;
        if !pixel_spacing.iter().all(|mm| (1e-6..1e6).contains(mm)) {
            return Err(Problem::Value {
                attribute: tags::PIXEL_SPACING,
                found: format!("{pixel_spacing:?}"),
                expected: "two distances in mm",
            });
        }
        let told_spacing = [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
            .into_iter()
            .filter_map(|attribute| measures.number(attribute).map(f64::abs))
            .find(|mm| (1e-6..1e6).contains(mm));
        Ok(Self {
            position: position
                .vector(tags::POSITION)
                .filter(|position: &[f64; 3]| position.iter().all(|mm| mm.abs() < 1e6))
                .ok_or_else(|| unusable(position, tags::POSITION, "three numbers of mm"))?,
            along_row: row.map(|v| v / norm(row)),
            along_column: column.map(|v| v / norm(column)),
            pixel_spacing,
            told_spacing,
        })
    }

    /// Whether the object tells how far slices are apart, or how thick.
    pub fn tells_spacing(&self) -> bool {
        self.told_spacing.is_some()
    }

    /// Row and column directions.
    pub fn orientation(&self) -> [f64; 6] {
        let ([a, b, c], [d, e, f]) = (self.along_row, self.along_column);
        [a, b, c, d, e, f]
    }

    /// Whether a slice lies where this one does.
    pub fn is_at(&self, other: &Self) -> bool {
        norm(difference(self.position, other.position)) <= SAME_PLACE_MM
            && self.differs(other).is_none()
    }

    /// How far a slice lies along this one's normal, in mm.
    fn distance(&self, other: &Self) -> f64 {
        let from = difference(other.position, self.position);
        dot(cross(self.along_row, self.along_column), from)
    }

    /// In what another slice differs that would be of the same volume.
    pub fn differs(&self, other: &Self) -> Option<Difference> {
        let apart = |attribute: Attribute, a: &[f64], b: &[f64], tolerance: f64| {
            let far = a.iter().zip(b).any(|(a, b)| (a - b).abs() > tolerance);
            let values = || [format!("{a:?}"), format!("{b:?}")];
            far.then(|| Difference { attribute: attribute.name, values: values() })
        };
        let (a, b) = (self.pixel_spacing, other.pixel_spacing);
        let orientations = (self.orientation(), other.orientation());
        apart(tags::ORIENTATION, &orientations.0, &orientations.1, DIRECTION_TOLERANCE)
            .or_else(|| apart(tags::PIXEL_SPACING, &a, &b, 1e-3 * a[0].min(a[1])))
    }
}

/// Slices in order, and where the volume lies.
pub(super) struct Stack {
    /// From voxel `(i, j, k)` to mm in RAS+.
    pub affine: Affine,
    /// For each plane of the volume, the slices that lie there, in their own order.
    pub planes: Vec<Vec<usize>>,
}

/// Why slices cannot be stacked; slices by their index.
#[derive(Debug, PartialEq)]
pub(super) enum Unstackable {
    Gap { before: usize, after: usize, gap_mm: f64, spacing_mm: f64, missing: u64 },
    Uneven { smallest_mm: f64, largest_mm: f64 },
    Drift { slice: usize, off_mm: f64 },
    Tilt { degrees: f64 },
}

/// Stacks slices that agree in all but their position. With `gaps`, planes without a slice are no
/// error: they stay empty, and the distance of planes is the told one.
///
/// # Errors
/// What is irregular.
pub(super) fn stack(places: &[Place], gaps: bool) -> Result<Stack, Unstackable> {
    let first = &places[0];
    let mut order: Vec<(f64, usize)> =
        places.iter().enumerate().map(|(slice, place)| (first.distance(place), slice)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut planes: Vec<(f64, Vec<usize>)> = Vec::new();
    for (distance, slice) in order {
        match planes.last_mut() {
            Some((last, slices)) if distance - *last <= SAME_PLACE_MM => slices.push(slice),
            _ => planes.push((distance, vec![slice])),
        }
    }
    let normal = cross(first.along_row, first.along_column);
    let told = first.told_spacing.unwrap_or(1.0);
    let distances: Vec<f64> = planes.iter().map(|plane| plane.0).collect();
    let place = |plane: usize| places[planes[plane].1[0]].position;
    let last = planes.len() - 1;
    if last == 0 {
        let affine = first.affine(place(0), normal.map(|v| v * told));
        return Ok(Stack { affine, planes: vec![planes.remove(0).1] });
    }

    let indices = match gaps {
        true => spread(&distances, told),
        false => (0..planes.len()).collect(),
    };
    if !gaps {
        check_even(&distances, &planes)?;
    }
    let way = difference(place(last), place(0));
    let step = way.map(|mm| mm / indices[last] as f64);
    let degrees = (dot(step, normal) / norm(step)).clamp(-1.0, 1.0).acos().to_degrees();
    if degrees > TILT_TOLERANCE_DEGREES {
        return Err(Unstackable::Tilt { degrees });
    }
    for (plane, &index) in indices.iter().enumerate() {
        let expected = [0, 1, 2].map(|axis| place(0)[axis] + step[axis] * index as f64);
        let off_mm = norm(difference(place(plane), expected));
        if off_mm > PLACE_TOLERANCE * norm(step) {
            return Err(Unstackable::Drift { slice: planes[plane].1[0], off_mm });
        }
    }
    let affine = first.affine(place(0), step);
    let mut all = vec![Vec::new(); indices[last] + 1];
    for ((_, slices), index) in planes.into_iter().zip(indices) {
        all[index] = slices;
    }
    Ok(Stack { affine, planes: all })
}

/// The planes of a regular grid nearest to these distances. A distance that is told wrongly, or a
/// grid with far more planes than there are slices, is not believed.
fn spread(distances: &[f64], told: f64) -> Vec<usize> {
    let smallest = distances.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let regular = |spacing: f64| {
        distances.iter().all(|distance| {
            let index = (distance - distances[0]) / spacing;
            (index - index.round()).abs() <= PLACE_TOLERANCE && index < 1e5
        })
    };
    match [told, smallest].into_iter().find(|spacing| regular(*spacing)) {
        Some(spacing) => distances
            .iter()
            .map(|distance| ((distance - distances[0]) / spacing).round() as usize)
            .collect(),
        // What does not fit is said by the caller.
        None => (0..distances.len()).collect(),
    }
}

/// Refuses missing slices and unequal distances.
fn check_even(distances: &[f64], planes: &[(f64, Vec<usize>)]) -> Result<(), Unstackable> {
    let steps: Vec<f64> = distances.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut sorted = steps.clone();
    sorted.sort_by(f64::total_cmp);
    let (smallest_mm, largest_mm) = (sorted[0], sorted[sorted.len() - 1]);
    let spacing_mm = sorted[(sorted.len() - 1) / 2];
    // Two roundings, one at each end.
    if largest_mm - smallest_mm <= 2.0 * PLACE_TOLERANCE * spacing_mm {
        return Ok(());
    }
    let whole = |step: f64| {
        let steps = step / spacing_mm;
        steps.round() >= 1.0 && (steps - steps.round()).abs() <= 2.0 * PLACE_TOLERANCE
    };
    match steps.iter().position(|&step| step == largest_mm) {
        Some(at) if steps.iter().all(|&step| whole(step)) => Err(Unstackable::Gap {
            before: planes[at].1[0],
            after: planes[at + 1].1[0],
            gap_mm: largest_mm,
            spacing_mm,
            missing: steps.iter().map(|step| (step / spacing_mm).round() as u64 - 1).sum(),
        }),
        _ => Err(Unstackable::Uneven { smallest_mm, largest_mm }),
    }
}

impl Place {
    /// The affine of a volume whose first voxel lies at `origin` and whose slices are `step`
    /// apart.
    fn affine(&self, origin: [f64; 3], step: [f64; 3]) -> Affine {
        let [between_rows, between_columns] = self.pixel_spacing;
        let columns = [
            self.along_row.map(|v| v * between_columns),
            self.along_column.map(|v| v * between_rows),
            step,
            origin,
        ];
        let mut matrix = Affine::IDENTITY.0;
        for (column, vector) in columns.iter().enumerate() {
            // To the right instead of to the left, to the front instead of to the back.
            matrix[0][column] = -vector[0];
            matrix[1][column] = -vector[1];
            matrix[2][column] = vector[2];
        }
        Affine(matrix)
    }
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is irregular of slices at these places along their normal, in mm.
    fn irregular(along: &[f64]) -> Option<Unstackable> {
        let place = |&z: &f64| Place {
            position: [0.0, 0.0, z],
            along_row: [1.0, 0.0, 0.0],
            along_column: [0.0, 1.0, 0.0],
            pixel_spacing: [1.0; 2],
            told_spacing: None,
        };
        stack(&along.iter().map(place).collect::<Vec<_>>(), false).err()
    }

    #[test]
    fn a_slice_far_too_close_to_another_is_no_gap() {
        assert!(irregular(&[0.0, 1.0, 2.0, 3.0]).is_none());
        let gap = irregular(&[0.0, 1.0, 2.0, 5.0]);
        assert!(matches!(gap, Some(Unstackable::Gap { missing: 2, .. })));
        let close = irregular(&[0.0, 0.01, 1.01, 2.01, 5.01]);
        assert!(matches!(close, Some(Unstackable::Uneven { .. })));
    }
}
