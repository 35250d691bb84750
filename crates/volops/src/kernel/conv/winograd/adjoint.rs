//! The transforms of the weight gradient by minimal filtering (see
//! [`super::grad_weight`]): the adjoints, `A` and `G^T`, of
//! what [`super::transform`] does to outputs and weights, and `B^T` in the order in which
//! the gradient needs it.
//!
//! Accuracy: on normal data the root mean square error is 3 to 5 times that of the direct kernel,
//! which adds up lanes and parts separately; that is 3e-7 to 9e-7 of the gradient's root mean
//! square, as much as the forward convolution has.

// Indices in lockstep over several arrays that must stay in registers: iterators would hide that.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use crate::kernel::conv::winograd::transform::{OUTPUTS, PLANE_POINTS, POINTS, WEIGHTS, input};
use crate::kernel::simd::shuffle::{even, odd};
use crate::kernel::simd::{load, store};

/// `A` of `F(4, 3)`, the adjoint of the last step of a convolution, at consecutive tiles of the
/// gradient.
pub struct SpreadWidth {
    /// Rounded up to whole vectors.
    pub tiles: usize,
    /// The first element of the first tile.
    pub from: *const f32,
    /// The first point of the first tile.
    pub to: *mut f32,
    /// Elements of `to` between points.
    pub point: usize,
}

impl WithSimd for SpreadWidth {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, from, to, point } = self;
        for t in (0..tiles).step_by(S::F32_LANES) {
            // SAFETY: `winograd_grad_weight::pack_gradient`, the only maker of this type, has room
            // for whole vectors and all points.
            unsafe {
                let (from, to) = (from.add(OUTPUTS * t), to.add(t));
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| load(simd, from.add(i * S::F32_LANES)));
                let (e, o) =
                    ([even(simd, a, b), even(simd, c, d)], [odd(simd, a, b), odd(simd, c, d)]);
                let (g0, g2) = (even(simd, e[0], e[1]), odd(simd, e[0], e[1]));
                let (g1, g3) = (even(simd, o[0], o[1]), odd(simd, o[0], o[1]));
                let times = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
                let (a, b) = (simd.add_f32s(g0, g2), simd.add_f32s(g1, g3));
                let (c, d) = (times(4.0, g2, g0), times(8.0, g3, simd.add_f32s(g1, g1)));
                let points = [
                    g0,
                    simd.add_f32s(a, b),
                    simd.sub_f32s(a, b),
                    simd.add_f32s(c, d),
                    simd.sub_f32s(c, d),
                    g3,
                ];
                for (i, value) in points.into_iter().enumerate() {
                    store(simd, to.add(i * point), value);
                }
            }
        }
    }
}

/// `B^T` of one point of the depth and all of the height, at consecutive vectors of tiles.
pub struct CombineInput {
    /// The elements of two planes.
    pub from: [[*const f32; 4]; 2],
    /// Of the second plane.
    pub sign: f32,
    /// Vectors of tiles.
    pub vectors: usize,
    /// The first point of the first tile.
    pub to: *mut f32,
    /// Elements of `to` between points.
    pub point: usize,
}

impl WithSimd for CombineInput {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { from, sign, vectors, to, point } = self;
        let sign = simd.splat_f32s(sign);
        let mut x = [sign; 4];
        for v in 0..vectors {
            let at = v * S::F32_LANES;
            // SAFETY: `winograd_grad_weight::BoxSum`, the only maker of this type, says why the
            // pointers are valid.
            unsafe {
                // Loops, not `array::map`: that is not always inlined.
                for h in 0..4 {
                    x[h] = simd.mul_add_e_f32s(
                        sign,
                        load(simd, from[1][h].add(at)),
                        load(simd, from[0][h].add(at)),
                    );
                }
                let points = input(simd, x);
                for h in 0..4 {
                    store(simd, to.add(h * point + at), points[h]);
                }
            }
        }
    }
}

/// `A` of `F(2, 3)` for one point of the depth and all of the height, at consecutive vectors of
/// tiles of the gradient.
pub struct CombineSpread {
    /// The elements of two planes.
    pub from: [[*const f32; 2]; 2],
    /// Of the planes.
    pub factors: [f32; 2],
    /// Vectors of tiles.
    pub vectors: usize,
    /// The first point of the first tile.
    pub to: *mut f32,
    /// Elements of `to` between points.
    pub point: usize,
}

impl WithSimd for CombineSpread {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { from, factors, vectors, to, point } = self;
        let factors = [simd.splat_f32s(factors[0]), simd.splat_f32s(factors[1])];
        let zero = simd.splat_f32s(0.0);
        let mut g = [zero; 2];
        for v in 0..vectors {
            let at = v * S::F32_LANES;
            // SAFETY: `winograd_grad_weight::BoxSum`, the only maker of this type, says why the
            // pointers are valid.
            unsafe {
                for h in 0..2 {
                    let second = simd.mul_f32s(factors[1], load(simd, from[1][h].add(at)));
                    g[h] = simd.mul_add_e_f32s(factors[0], load(simd, from[0][h].add(at)), second);
                }
                let points = [
                    g[0],
                    simd.add_f32s(g[0], g[1]),
                    simd.sub_f32s(g[0], g[1]),
                    simd.sub_f32s(zero, g[1]),
                ];
                for h in 0..4 {
                    store(simd, to.add(h * point + at), points[h]);
                }
            }
        }
    }
}

/// `B^T` of `F(2, 3)`: the two elements of which a point is the sum, and the sign of the second.
pub const INPUT: [([usize; 2], f32); 4] =
    [([0, 2], -1.0), ([1, 2], 1.0), ([2, 1], -1.0), ([1, 3], -1.0)];

/// `A` of `F(2, 3)`.
pub const SPREAD: [[f32; 2]; 4] = [[1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [0.0, -1.0]];

/// `G^T`, the adjoint of [`TransformWeights`], for one pair of channels per lane. `sums` are
/// `[POINTS, PLANE_POINTS]` vectors, the result is the kernel's 27 elements, depth slowest.
#[inline(always)]
pub fn weight_gradient<S: Simd>(simd: S, sums: &[S::f32s; POINTS * PLANE_POINTS]) -> [S::f32s; 27] {
    let zero = simd.splat_f32s(0.0);
    let mut result = [zero; 27];
    for point in 0..POINTS {
        let mut planes = [[zero; 4]; 3];
        for h in 0..4 {
            let at = point * PLANE_POINTS + h;
            let plane =
                weights_adjoint(simd, [sums[at], sums[at + 4], sums[at + 8], sums[at + 12]]);
            for d in 0..3 {
                planes[d][h] = plane[d];
            }
        }
        for d in 0..3 {
            let rows = weights_adjoint(simd, planes[d]);
            for h in 0..3 {
                for w in 0..3 {
                    let sum = &mut result[9 * d + 3 * h + w];
                    *sum = simd.mul_add_e_f32s(simd.splat_f32s(WEIGHTS[point][w]), rows[h], *sum);
                }
            }
        }
    }
    result
}

/// `G^T` of `F(2, 3)`.
#[inline(always)]
fn weights_adjoint<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 3] {
    let half = simd.splat_f32s(0.5);
    let sum = simd.mul_f32s(half, simd.add_f32s(m[1], m[2]));
    [
        simd.add_f32s(m[0], sum),
        simd.mul_f32s(half, simd.sub_f32s(m[1], m[2])),
        simd.add_f32s(sum, m[3]),
    ]
}
