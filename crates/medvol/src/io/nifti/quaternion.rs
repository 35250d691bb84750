//! The qform of a NIfTI header: a rotation as the (b, c, d) of a unit quaternion whose a is not
//! negative.

use crate::affine::{Affine, cross, dot, norm};

/// Largest cosine between two axes for which an affine is also written as a quaternion, which
/// cannot hold shears.
const SHEAR_TOLERANCE: f64 = 1e-3;

/// The a² below which a quaternion is a half turn, a = 0: rounding b, c and d to `f32` makes as
/// much of that. The standard's own library has 1e-7.
const HALF_TURN: f64 = f32::EPSILON as f64;

/// The affine of a quaternion. `step` is the spacing in mm along (i, j, k), negative where the axis
/// is mirrored.
pub(super) fn to_affine(bcd: [f64; 3], step: [f64; 3], origin: [f64; 3]) -> Affine {
    let square = dot(bcd, bcd);
    let is_half_turn = 1.0 - square < HALF_TURN;
    let a = if is_half_turn { 0.0 } else { (1.0 - square).sqrt() };
    let [b, c, d] = if is_half_turn { bcd.map(|v| v / square.sqrt()) } else { bcd };
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let mut matrix = Affine::IDENTITY.0;
    for row in 0..3 {
        for column in 0..3 {
            matrix[row][column] = rotation[row][column] * step[column];
        }
        matrix[row][3] = origin[row];
    }
    Affine(matrix)
}

/// (b, c, d) and the handedness ±1 of the affine's axes, or `None` where they are not
/// perpendicular.
pub(super) fn from_affine(affine: &Affine) -> Option<([f64; 3], f64)> {
    let [x, y, z] = [0, 1, 2].map(|column| {
        let axis = affine.column(column);
        let length = norm(axis);
        axis.map(|v| v / length)
    });
    if [dot(x, y), dot(y, z), dot(z, x)].iter().any(|cosine| cosine.abs() > SHEAR_TOLERANCE) {
        return None;
    }
    // A mirrored grid is a rotated one whose third axis runs backwards.
    let handedness = dot(cross(x, y), z).signum();
    let z = z.map(|v| v * handedness);
    // Of 4a², 4b², 4c², 4d² at least one is 1 or more; dividing by its root is stable.
    let squares = [
        1.0 + x[0] + y[1] + z[2],
        1.0 + x[0] - y[1] - z[2],
        1.0 - x[0] + y[1] - z[2],
        1.0 - x[0] - y[1] + z[2],
    ];
    let largest = (0..4).fold(0, |best, n| if squares[n] > squares[best] { n } else { best });
    let square = squares[largest];
    let (yz, zx, xy) = (y[2] - z[1], z[0] - x[2], x[1] - y[0]);
    let (sum_yz, sum_zx, sum_xy) = (y[2] + z[1], z[0] + x[2], x[1] + y[0]);
    let abcd = match largest {
        0 => [square, yz, zx, xy],
        1 => [yz, square, sum_xy, sum_zx],
        2 => [zx, sum_xy, square, sum_yz],
        _ => [xy, sum_zx, sum_yz, square],
    };
    // A quaternion and its negative are the same rotation.
    let sign = if abcd[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = sign / (2.0 * square.sqrt());
    Some(([abcd[1] * scale, abcd[2] * scale, abcd[3] * scale], handedness))
}
