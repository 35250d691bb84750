//! Writing where voxels are: from an affine, or as another header on the same grid has it.

use super::fields::{
    DIM, Fields, ORIGIN, PIXDIM, QFORM_CODE, QOFFSET, QUATERNION, SFORM_CODE, SROWS, UNITS, Version,
};
use super::quaternion;
use crate::affine::Affine;
use crate::io::grid::Grid;

/// Writes into `header`, which has the version of the reference.
pub(super) fn write(header: &mut Fields, grid: &Grid, reference: Option<&Fields>) {
    match reference {
        Some(fields) => copy(header, grid, fields),
        None => from_affine(header, &grid.affine),
    }
}

/// Both matrices, exact to the numbers of the format.
fn from_affine(header: &mut Fields, affine: &Affine) {
    let (spacing, quaternion) = (affine.spacing(), quaternion::from_affine(affine));
    let handedness = quaternion.map_or(1.0, |(_, handedness)| handedness);
    let pixdim = [handedness, spacing[2], spacing[1], spacing[0], 1.0, 1.0, 1.0, 1.0];
    for (n, value) in pixdim.into_iter().enumerate() {
        header.set_float(PIXDIM, n, value);
    }
    // Millimetres.
    header.set_int(UNITS, 0, 2);
    if let Some((bcd, _)) = quaternion {
        header.set_int(QFORM_CODE, 0, 1);
        for (n, (component, origin)) in bcd.into_iter().zip(affine.column(3)).enumerate() {
            header.set_float(QUATERNION, n, component);
            header.set_float(QOFFSET, n, origin);
        }
    }
    header.set_int(SFORM_CODE, 0, 1);
    for (n, value) in affine.0[..3].as_flattened().iter().enumerate() {
        header.set_float(SROWS, n, *value);
    }
}

/// All that another header says about space: spacings, units, codes, quaternion and matrix, and how
/// many dimensions there are.
fn copy(header: &mut Fields, grid: &Grid, fields: &Fields) {
    let mut floats = vec![(PIXDIM, 8)];
    let mut ints = Vec::new();
    if fields.version == Version::Analyze {
        ints.push((ORIGIN, 3));
    } else {
        floats.extend([(QUATERNION, 3), (QOFFSET, 3), (SROWS, 12)]);
        ints.extend([(QFORM_CODE, 1), (SFORM_CODE, 1), (UNITS, 1)]);
    }
    // Of an image in several files, the header is that of the first alone.
    let volumes = (4..=fields.int(DIM, 0).clamp(3, 7)).map(|n| fields.int(DIM, n as usize).max(1));
    if volumes.product::<i64>() == grid.channels as i64 {
        // As many dimensions as the image, whose further ones may be of one; a size of 0 is one.
        header.set_int(DIM, 0, fields.int(DIM, 0));
        (4..=7).for_each(|n| header.set_int(DIM, n, fields.int(DIM, n).max(1)));
    } else if grid.channels == 1 {
        // An image of many volumes has a map of one.
        header.set_int(DIM, 0, fields.int(DIM, 0).min(3));
    }
    for (field, count) in floats {
        (0..count).for_each(|n| header.set_float(field, n, fields.float(field, n)));
    }
    for (field, count) in ints {
        (0..count).for_each(|n| header.set_int(field, n, fields.int(field, n)));
    }
}
