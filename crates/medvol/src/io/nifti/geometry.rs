//! Where a NIfTI header says that its voxels lie: the readings it has, and which is taken.
//!
//! Three parts of a header speak of space: the sform (a matrix), the qform (a rotation, an origin
//! and the spacing of pixdim) and pixdim alone. Programs read them differently: nibabel takes the
//! sform before the qform and knows no units; ITK takes directions and origin from one of the two,
//! and the spacing always from pixdim. Where all agree, nothing is to be decided. Where they do
//! not, the reading whose spacing is that of pixdim is taken and the contradiction is told; where
//! there is no such reading, it is a question what the file means ([`Weight::Question`]), unless
//! somebody has said which [`Reading`] is meant. The other readings are kept, as a label map may come from a program that reads the image in another way.
//!
//! [`Weight::Question`]: crate::io::Weight::Question

use super::quaternion;
use crate::affine::{Affine, PLAUSIBLE_MM};
use crate::digits::significant;
use crate::io::fault::HeaderFault;
use crate::io::place::Place;
use crate::io::reading::Reading;
use crate::io::remark::{Decision, Remark};
use crate::orient::Orientation;

/// Spacings that differ by more than this part of themselves are not a matter of rounding.
const SPACING_TOLERANCE: f64 = 0.02;

/// Matrices that place a voxel further apart than this part of the smallest spacing differ.
const PLACE_TOLERANCE: f64 = 0.1;

/// How much longer than 1 a quaternion may be by rounding, squared.
const QUATERNION_TOLERANCE: f64 = 1e-3;

/// What a header says of space, in its own unit.
#[derive(Clone, Debug)]
pub(super) struct Space {
    /// Voxels along (i, j, k).
    pub(super) extents: [usize; 3],
    /// Spacing along (i, j, k).
    pub(super) pixdim: [f64; 3],
    /// `pixdim[0]`: negative where the third axis of the qform is mirrored.
    pub(super) qfac: f64,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    /// b, c and d of the qform.
    pub(super) quaternion: [f64; 3],
    /// Where the qform places the first voxel.
    pub(super) offset: [f64; 3],
    /// The first three rows of the sform.
    pub(super) rows: [[f64; 4]; 3],
    /// The lower three bits of `xyzt_units`.
    pub(super) unit: u8,
}

/// Readings, in the unit of the header.
struct Choice {
    taken: Affine,
    others: Vec<Affine>,
}

/// Whether a place can be computed from a length, whatever its sign. NIfTI-2 can state lengths of
/// which not even the square is a number; those that floats of 32 bits cannot hold are as none.
fn is_length(mm: f64) -> bool {
    mm.abs() >= f64::from(f32::MIN_POSITIVE) && !is_beyond(mm)
}

/// Whether a length is no number, or too large for one of 32 bits.
fn is_beyond(mm: f64) -> bool {
    mm.is_nan() || mm.abs() > f64::from(f32::MAX)
}

impl Space {
    /// The affine that is taken, in mm, and what else is to be known of the place. Where the header
    /// contradicts itself, the reading that is `asked` for counts, if there is one.
    ///
    /// # Errors
    /// Why there is no reading.
    pub(super) fn place(&self, asked: Option<Reading>) -> Result<(Affine, Place), HeaderFault> {
        let mut remarks = Vec::new();
        let Choice { taken, others } = self.choose(asked, &mut remarks)?;
        let scale = self.scale(&taken, &mut remarks);
        // By programs that know no units, and by those that believe them.
        let other_scales = [1.0, self.stated_scale()].into_iter().filter(|&other| other != scale);
        let rescaled = other_scales
            .flat_map(|other| others.iter().chain([&taken]).map(move |a| scaled(a, other)));
        let others = others.iter().map(|a| scaled(a, scale)).chain(rescaled).collect();
        Ok((scaled(&taken, scale), Place { others, remarks }))
    }

    fn choose(
        &self,
        asked: Option<Reading>,
        remarks: &mut Vec<Remark>,
    ) -> Result<Choice, HeaderFault> {
        let sform = usable("sform", self.sform(), remarks);
        let Some(spacing) = self.spacing(sform.is_some(), remarks)? else {
            let taken = sform.ok_or(HeaderFault::NoPlace)?;
            return Ok(Choice { taken, others: Vec::new() });
        };
        let sform = sform.map(|sform| self.in_own_unit(sform, spacing, remarks));
        let qform = usable("qform", self.qform(spacing), remarks);
        match (sform, qform) {
            (Some(sform), Some(qform)) if self.agree(&sform, spacing) => {
                let apart = self.apart(&sform, &qform, asked);
                let by_qform = apart.is_some() && asked == Some(Reading::Qform);
                remarks.extend(apart);
                let (taken, other) = if by_qform { (qform, sform) } else { (sform, qform) };
                Ok(Choice { taken, others: vec![other] })
            }
            (Some(sform), None) if self.agree(&sform, spacing) => {
                Ok(Choice { taken: sform, others: Vec::new() })
            }
            (Some(sform), qform) => Ok(self.contradiction(sform, qform, spacing, asked, remarks)),
            (None, Some(qform)) => Ok(Choice { taken: qform, others: Vec::new() }),
            (None, None) => {
                let [taken, others @ ..] = without_direction(self.extents, spacing);
                remarks.push(Remark::NoMatrix);
                Ok(Choice { taken, others: others.to_vec() })
            }
        }
    }

    /// Of an sform whose spacing is not that of pixdim.
    fn contradiction(
        &self,
        sform: Affine,
        qform: Option<Affine>,
        spacing: [f64; 3],
        asked: Option<Reading>,
        remarks: &mut Vec<Remark>,
    ) -> Choice {
        let in_mm = |spacing: [f64; 3]| spacing.map(|length| length * self.stated_scale());
        let [dx, dy, dz] = spacing;
        // As ITK reads it.
        let respaced = with_spacing(&sform, spacing);
        let all = [(Reading::Sform, Some(sform)), (Reading::Qform, qform)];
        let mut all: Vec<(Reading, Affine)> = all
            .into_iter()
            .chain([(Reading::Pixdim, Some(respaced))])
            .filter_map(|(reading, affine)| Some((reading, affine?)))
            .collect();
        let place = |wanted: Reading| all.iter().position(|(reading, _)| *reading == wanted);
        let asked_for = asked.and_then(place);
        let taken = asked_for.or_else(|| place(Reading::Qform)).unwrap_or(0);
        let (reading, taken) = all.remove(taken);
        let decision = match (asked_for, qform) {
            (Some(_), _) => Decision::Asked(reading),
            (None, Some(_)) => Decision::ByQform,
            (None, None) => Decision::Open,
        };
        remarks.push(Remark::OtherSpacing {
            sform_mm: in_mm(sform.spacing()),
            pixdim_mm: in_mm([dz, dy, dx]),
            decision,
        });
        Choice { taken, others: all.into_iter().map(|(_, affine)| affine).collect() }
    }

    /// The spacing along (i, j, k) that pixdim gives; `None` where it gives none and an sform does.
    /// Along an axis of one voxel anything will do.
    fn spacing(
        &self,
        is_in_sform: bool,
        remarks: &mut Vec<Remark>,
    ) -> Result<Option<[f64; 3]>, HeaderFault> {
        let Self { extents, pixdim, .. } = *self;
        let any = |found: fn(f64) -> bool| (0..3).any(|n| extents[n] > 1 && found(pixdim[n]));
        if any(|mm| !is_length(mm)) {
            if is_in_sform {
                remarks.push(Remark::NoPixdim { pixdim });
                return Ok(None);
            }
            if any(is_beyond) {
                let found = pixdim.map(|mm| significant(mm, 4)).join(" ");
                return Err(HeaderFault::values("pixdim", 3, "numbers up to 3e38", &found));
            }
            remarks.push(Remark::ZeroPixdim { pixdim });
        }
        if any(|mm| mm < 0.0) {
            remarks.push(Remark::NegativePixdim { pixdim });
        }
        let usable = |mm: f64| if is_length(mm) { mm.abs() } else { 1.0 };
        Ok(Some(pixdim.map(usable)))
    }

    /// `None` where its code says that there is none.
    fn sform(&self) -> Option<Result<Affine, &'static str>> {
        let [x, y, z] = self.rows;
        let affine = Affine([x, y, z, Affine::IDENTITY.0[3]]);
        let sound = affine.is_invertible();
        (self.sform_code > 0).then_some(if sound { Ok(affine) } else { Err("spans no space") })
    }

    /// `None` where its code says that there is none.
    fn qform(&self, [dx, dy, dz]: [f64; 3]) -> Option<Result<Affine, &'static str>> {
        if self.qform_code <= 0 {
            return None;
        }
        let square = self.quaternion.iter().map(|v| v * v).sum::<f64>();
        if square.is_nan() || square > 1.0 + QUATERNION_TOLERANCE {
            return Some(Err("has a quaternion that is no rotation"));
        }
        let step = [dx, dy, if self.qfac < 0.0 { -dz } else { dz }];
        let affine = quaternion::to_affine(self.quaternion, step, self.offset);
        Some(if affine.is_invertible() { Ok(affine) } else { Err("places no voxel") })
    }

    /// Whether a matrix has the spacing of pixdim, along axes of more than one voxel.
    fn agree(&self, affine: &Affine, spacing: [f64; 3]) -> bool {
        let [dz, dy, dx] = affine.spacing();
        let near = |mm: f64, n: usize| (mm - spacing[n]).abs() <= SPACING_TOLERANCE * spacing[n];
        [dx, dy, dz].into_iter().enumerate().all(|(n, mm)| self.extents[n] == 1 || near(mm, n))
    }

    /// An sform in mm, where only pixdim is in the unit that the header states, in that unit.
    fn in_own_unit(&self, sform: Affine, spacing: [f64; 3], remarks: &mut Vec<Remark>) -> Affine {
        let converted = scaled(&sform, 1.0 / self.stated_scale());
        if self.agree(&sform, spacing) || !self.agree(&converted, spacing) {
            return sform;
        }
        remarks.push(Remark::SformInMm { unit: self.unit_name() });
        converted
    }

    /// Two matrices of one header that say different things.
    fn apart(&self, sform: &Affine, qform: &Affine, asked: Option<Reading>) -> Option<Remark> {
        let [width, height, depth] = self.extents;
        let distance = sform.max_displacement(qform, [depth, height, width]);
        let smallest = sform.spacing().into_iter().fold(f64::INFINITY, f64::min);
        (distance > PLACE_TOLERANCE * smallest).then(|| Remark::Apart {
            codes: [self.sform_code, self.qform_code],
            axes: [sform, qform].map(Orientation::of),
            distance_mm: distance * self.stated_scale(),
            // Both have the spacing of pixdim.
            asked: asked.filter(|reading| *reading != Reading::Pixdim),
        })
    }

    /// mm in a unit of the header, as it says.
    fn stated_scale(&self) -> f64 {
        match self.unit {
            1 => 1e3,
            3 => 1e-3,
            _ => 1.0,
        }
    }

    fn unit_name(&self) -> &'static str {
        match self.unit {
            1 => "metres",
            3 => "micrometres",
            _ => "millimetres",
        }
    }

    /// mm in a unit of the header, as its numbers say.
    fn scale(&self, taken: &Affine, remarks: &mut Vec<Remark>) -> f64 {
        let stated = self.stated_scale();
        if !matches!(self.unit, 0..=3) {
            remarks.push(Remark::NoUnit { code: self.unit });
        }
        if stated == 1.0 {
            return 1.0;
        }
        let as_mm = taken.spacing();
        let spacing_mm = as_mm.map(|mm| mm * stated);
        let plausible = |spacing: [f64; 3]| spacing.iter().all(|mm| PLAUSIBLE_MM.contains(mm));
        let unit = self.unit_name();
        let (remark, scale) = if plausible(spacing_mm) {
            (Remark::Unit { unit, spacing_mm }, stated)
        } else if self.unit == 1 && plausible(as_mm) {
            (Remark::UnitIgnored { unit, spacing_mm }, 1.0)
        } else {
            (Remark::ImplausibleUnit { unit, spacing_mm }, stated)
        };
        remarks.push(remark);
        scale
    }
}

/// One of the two matrices, where it can be used.
fn usable(
    matrix: &'static str,
    affine: Option<Result<Affine, &'static str>>,
    remarks: &mut Vec<Remark>,
) -> Option<Affine> {
    affine?.map_err(|why| remarks.push(Remark::MatrixLeftOut { matrix, why })).ok()
}

/// How a header is read that gives no direction: by nibabel (to the left, the middle of the grid at
/// the origin), by ITK (to the left and the back, from the origin), and along the axes of space.
fn without_direction(extents: [usize; 3], [dx, dy, dz]: [f64; 3]) -> [Affine; 3] {
    let along = |step: [f64; 3], origin: [f64; 3]| {
        let mut matrix = Affine::IDENTITY.0;
        for n in 0..3 {
            (matrix[n][n], matrix[n][3]) = (step[n], origin[n]);
        }
        Affine(matrix)
    };
    let step = [-dx, dy, dz];
    let middle = [0, 1, 2].map(|n| -step[n] * extents[n].saturating_sub(1) as f64 / 2.0);
    [along(step, middle), along([-dx, -dy, dz], [0.0; 3]), along([dx, dy, dz], [0.0; 3])]
}

/// The same directions and origin with another spacing along (i, j, k).
fn with_spacing(affine: &Affine, spacing: [f64; 3]) -> Affine {
    let [dz, dy, dx] = affine.spacing();
    let factors = [spacing[0] / dx, spacing[1] / dy, spacing[2] / dz, 1.0];
    let mut matrix = affine.0;
    for row in matrix.iter_mut().take(3) {
        row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
    }
    Affine(matrix)
}

/// The same grid in another unit.
fn scaled(affine: &Affine, factor: f64) -> Affine {
    let mut matrix = affine.0;
    matrix[..3].iter_mut().flatten().for_each(|value| *value *= factor);
    Affine(matrix)
}
