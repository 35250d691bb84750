//! Gradients of `z * pool(x)`, in the pass that makes the gradient of the pooling.

use std::mem::MaybeUninit;

use crate::kernel::elementwise::dot_block;
use crate::kernel::parallel::{Slab, collect_slabs};
use crate::kernel::simd::SharedOut;
use crate::kernel::{Shape, numel};

/// What every plane of the gradient of a pooling goes through before it is that of `z * pool(x)`.
#[derive(Clone, Copy)]
pub(super) struct Weighting<'a> {
    z: f32,
    /// If the gradient of `z` is wanted: `x`, and for every plane a place for its share.
    shares: Option<(&'a [f32], SharedOut<f64>)>,
}

impl Weighting<'_> {
    pub(super) const NONE: Self = Self { z: 1.0, shares: None };

    /// Plane number `index`, counted through all volumes.
    #[inline(always)]
    pub(super) fn finish(self, plane: &mut [f32], index: usize) {
        if let Some((x, shares)) = self.shares {
            let share = dot_block(plane, &x[index * plane.len()..][..plane.len()]);
            // SAFETY: there is a place for every plane, and nobody else has this one.
            unsafe { shares.ptr().add(index).write(share) };
        }
        if self.z != 1.0 {
            plane.iter_mut().for_each(|value| *value *= self.z);
        }
    }
}

/// Lets `fill` make the gradient of a pooling, each plane of which goes through a [`Weighting`]:
/// returns the gradient of `z * pool(x)` with respect to `x`, whose shape is `xs`, and, given `x`,
/// that with respect to `z`.
///
/// A pooling is linear wherever it has a gradient, `pool(x) = A x`, so the second one, `<g, A x>`,
/// is `<Aᵀ g, x>`: what was pooled is not needed for it.
///
/// # Safety
/// `fill` must initialise every element of the slice it is given.
pub(super) unsafe fn collect_weighted(
    xs: Shape,
    (z, x): (f32, Option<&[f32]>),
    (halo, nanoseconds): (usize, usize),
    fill: impl Fn(Slab, &mut [MaybeUninit<f32>], Weighting) + Sync,
) -> (Vec<f32>, f32) {
    assert!(
        x.is_none_or(|x| x.len() == numel(xs)),
        "the input of a pooling must have the shape {xs:?}"
    );
    let [batch, channels, depth, height, width] = xs;
    let mut shares = vec![0.0; if x.is_some() { batch * channels * depth } else { 0 }];
    let weighting = Weighting { z, shares: x.map(|x| (x, SharedOut::new(shares.as_mut_ptr()))) };
    // SAFETY: the caller's promise.
    let gx = unsafe {
        collect_slabs([batch * channels, depth, height * width], halo, nanoseconds, |slab, out| {
            fill(slab, out, weighting)
        })
    };
    (gx, shares.iter().sum::<f64>() as f32)
}
