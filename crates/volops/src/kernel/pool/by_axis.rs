//! Poolings whose axes differ, by those whose axes are alike.

use super::{avg_pool3d, avg_pool3d_grad, max_pool3d, max_pool3d_grad};
use crate::kernel::Shape;
use crate::kernel::view::Alike;

/// What a pooling does along depth, height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Extent of the window: 1 or 3 each.
    pub window: [usize; 3],
    /// Distance between windows: 1 or 2 each.
    pub stride: [usize; 3],
}

impl PoolSpec {
    /// A pooling over 3x3x3 windows with one stride along all axes.
    pub fn cube(stride: usize) -> Self {
        Self { window: [3; 3], stride: [stride; 3] }
    }

    /// Its stride, if it is one with a single stride, over 3x3x3 windows.
    pub fn as_cube(&self) -> Option<usize> {
        let stride = self.stride[0];
        (*self == Self::cube(stride)).then_some(stride)
    }

    /// Shape of the output for an input of shape `xs`.
    pub fn out_shape(&self, [b, c, d, h, w]: Shape) -> Shape {
        let [sd, sh, sw] = self.stride;
        [b, c, d.div_ceil(sd), h.div_ceil(sh), w.div_ceil(sw)]
    }

    /// The pooling over cubes that does it, with its stride.
    fn alike(&self, xs: Shape) -> (Alike, usize) {
        assert!(
            self.window.iter().all(|n| matches!(n, 1 | 3))
                && self.stride.iter().all(|n| matches!(n, 1 | 2)),
            "windows must be 1 or 3 and strides 1 or 2 per axis, found {self:?}"
        );
        let acts = self.window.map(|window| window == 3);
        let mut own = (0..3).filter(|&axis| acts[axis]).map(|axis| self.stride[axis]);
        let first = own.next().unwrap_or(1);
        // With different strides all windows are pooled, and those kept that are wanted.
        let stride = if own.all(|other| other == first) { first } else { 1 };
        let kept = [0, 1, 2]
            .map(|axis| if acts[axis] { self.stride[axis] / stride } else { self.stride[axis] });
        (Alike::new(xs, acts, kept, |extent| extent.div_ceil(stride)), stride)
    }
}

/// Maximum over the windows of `x` (shape `xs`), padding never wins: shape [`PoolSpec::out_shape`].
pub fn max_pool(x: &[f32], xs: Shape, spec: PoolSpec) -> Vec<f32> {
    let (alike, stride) = spec.alike(xs);
    alike.leave(max_pool3d(&alike.enter(x), alike.shape, stride))
}

/// Mean over the voxels of the windows that are inside the volume; shapes as [`max_pool`].
pub fn avg_pool(x: &[f32], xs: Shape, spec: PoolSpec) -> Vec<f32> {
    let (alike, stride) = spec.alike(xs);
    alike.leave(avg_pool3d(&alike.enter(x), alike.shape, stride))
}

/// Gradients of `z * max_pool(x)` with respect to `x` and, if `of_z`, to `z`, which is else 0.
pub fn max_pool_grad(
    g: &[f32],
    x: &[f32],
    xs: Shape,
    spec: PoolSpec,
    z: f32,
    of_z: bool,
) -> (Vec<f32>, f32) {
    let (alike, stride) = spec.alike(xs);
    let (g, x) = (alike.enter_back(g), alike.enter(x));
    let (by_x, by_z) = max_pool3d_grad(&g, &x, alike.shape, stride, z, of_z);
    (alike.leave_back(by_x), by_z)
}

/// Gradients of `z * avg_pool(x)` with respect to `x` and, given `x`, to `z`, which is else 0.
pub fn avg_pool_grad(
    g: &[f32],
    xs: Shape,
    spec: PoolSpec,
    z: f32,
    x: Option<&[f32]>,
) -> (Vec<f32>, f32) {
    let (alike, stride) = spec.alike(xs);
    let (g, x) = (alike.enter_back(g), x.map(|x| alike.enter(x)));
    let (by_x, by_z) = avg_pool3d_grad(&g, alike.shape, stride, z, x.as_deref());
    (alike.leave_back(by_x), by_z)
}
