//! What windows are reduced by: the maximum, the mean, and the mean's transpose.

use std::marker::PhantomData;

use pulp::Simd;

use super::frames::Grid;

/// An associative, commutative operation, and what is done before and after it.
pub(super) trait Reduction {
    /// The neutral element.
    const PADDING: f32;
    /// What [`Reduction::keep`] is given inside of a row, and where there is no neighbour.
    const EDGES: [f32; 2];
    fn join<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s;
    /// The value or, behind the end of a row, the neutral element.
    fn keep<S: Simd>(simd: S, value: S::f32s, edge: S::f32s) -> S::f32s;
    /// Joins planes; `weights` are the reciprocals of the number of planes in their windows (zero:
    /// there is no such plane), `weight` those of the number of voxels in a plane's windows.
    fn enter<S: Simd>(simd: S, planes: [S::f32s; 3], weights: [f32; 3], weight: S::f32s)
    -> S::f32s;
    /// What becomes of a complete reduction.
    fn finish<S: Simd>(simd: S, value: S::f32s, weight: S::f32s, planes: f32) -> S::f32s;
}

pub(super) struct Max;

impl Reduction for Max {
    const PADDING: f32 = f32::NEG_INFINITY;
    const EDGES: [f32; 2] = [0.0, f32::NEG_INFINITY];

    #[inline(always)]
    fn join<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.max_f32s(a, b)
    }

    #[inline(always)]
    fn keep<S: Simd>(simd: S, value: S::f32s, edge: S::f32s) -> S::f32s {
        simd.add_f32s(value, edge)
    }

    #[inline(always)]
    fn enter<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3], _: [f32; 3], _: S::f32s) -> S::f32s {
        simd.max_f32s(simd.max_f32s(a, b), c)
    }

    #[inline(always)]
    fn finish<S: Simd>(_: S, value: S::f32s, _: S::f32s, _: f32) -> S::f32s {
        value
    }
}

pub(super) struct Mean;

impl Reduction for Mean {
    const PADDING: f32 = 0.0;
    const EDGES: [f32; 2] = [1.0, 0.0];

    #[inline(always)]
    fn join<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.add_f32s(a, b)
    }

    #[inline(always)]
    fn keep<S: Simd>(simd: S, value: S::f32s, edge: S::f32s) -> S::f32s {
        simd.mul_f32s(value, edge)
    }

    #[inline(always)]
    fn enter<S: Simd>(simd: S, planes: [S::f32s; 3], weights: [f32; 3], _: S::f32s) -> S::f32s {
        let present = weights.map(|weight| if weight > 0.0 { 1.0 } else { 0.0 });
        weighted(simd, planes, present)
    }

    #[inline(always)]
    fn finish<S: Simd>(simd: S, value: S::f32s, weight: S::f32s, planes: f32) -> S::f32s {
        simd.mul_f32s(value, simd.mul_f32s(weight, simd.splat_f32s(planes)))
    }
}

/// The transpose of [`Mean`]: weighted first, then summed.
pub(super) struct MeanTranspose;

impl Reduction for MeanTranspose {
    const PADDING: f32 = Mean::PADDING;
    const EDGES: [f32; 2] = Mean::EDGES;

    #[inline(always)]
    fn join<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        Mean::join(simd, a, b)
    }

    #[inline(always)]
    fn keep<S: Simd>(simd: S, value: S::f32s, edge: S::f32s) -> S::f32s {
        Mean::keep(simd, value, edge)
    }

    #[inline(always)]
    fn enter<S: Simd>(
        simd: S,
        planes: [S::f32s; 3],
        weights: [f32; 3],
        weight: S::f32s,
    ) -> S::f32s {
        simd.mul_f32s(weight, weighted(simd, planes, weights))
    }

    #[inline(always)]
    fn finish<S: Simd>(_: S, value: S::f32s, _: S::f32s, _: f32) -> S::f32s {
        value
    }
}

#[inline(always)]
fn weighted<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3], weights: [f32; 3]) -> S::f32s {
    let [wa, wb, wc] = weights.map(|weight| simd.splat_f32s(weight));
    simd.mul_add_e_f32s(c, wc, simd.mul_add_e_f32s(a, wa, simd.mul_f32s(b, wb)))
}

/// For every element of a dense plane of the output, whether it has a neighbour in its row.
pub(super) struct Edges<R> {
    pub(super) left: Vec<f32>,
    pub(super) right: Vec<f32>,
    of: PhantomData<fn(R)>,
}

impl<R: Reduction> Edges<R> {
    pub(super) fn new(grid: &Grid) -> Self {
        let width = grid.out[2];
        let [inside, outside] = R::EDGES;
        let (mut left, mut right) = (vec![inside; grid.part()], vec![inside; grid.part()]);
        left.iter_mut().step_by(width).for_each(|edge| *edge = outside);
        right.iter_mut().skip(width - 1).step_by(width).for_each(|edge| *edge = outside);
        Self { left, right, of: PhantomData }
    }
}

/// Reciprocals of the number of planes, and of the voxels of a plane, in the windows of the
/// outputs.
pub(super) struct Weights {
    pub(super) depth: Vec<f32>,
    pub(super) plane: Vec<f32>,
}

impl Weights {
    pub(super) fn new(grid: &Grid) -> Self {
        let counts = |n: usize| {
            let count = move |i: usize| ((i + 1).min(n - 1) + 1 - i.saturating_sub(1)) as f32;
            (0..n).step_by(grid.stride).map(move |i| 1.0 / count(i))
        };
        let columns: Vec<f32> = counts(grid.width).collect();
        let mut plane = Vec::with_capacity(grid.part());
        for row in counts(grid.height) {
            plane.extend(columns.iter().map(|column| row * column));
        }
        Self { depth: counts(grid.depth).collect(), plane }
    }
}
