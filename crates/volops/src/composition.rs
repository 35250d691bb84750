//! Every operation of this crate as a composition of stock Burn tensor operations.
//!
//! This is what element types without kernels run on, and what the kernels are compared with in the
//! tests. Burn's own autodiff differentiates it. Shapes and semantics are those of the function of
//! the same name at the crate's root.

use burn::tensor::{
    Tensor, TensorData, activation, module,
    ops::{ConvOptions, ConvTransposeOptions, PadMode},
    s,
};

use crate::{AdamStep, ConvSpec, DepthwiseSpec, PoolSpec};

/// The three spatial axes of `[batch, channels, depth, height, width]`.
const SPATIAL: [usize; 3] = [2, 3, 4];

/// See [`crate::conv3d`].
pub fn conv3d(x: Tensor<5>, weight: Tensor<5>, spec: ConvSpec) -> Tensor<5> {
    let (x, stride) = thinned(x, spec.kernel, spec.stride);
    let options = ConvOptions::new(stride, same_padding(spec.kernel, 1), [1; 3], 1);
    module::conv3d(activated(x, spec.slope), weight, None, options)
}

/// See [`crate::conv_transpose3d`].
pub fn conv_transpose3d(x: Tensor<5>, weight: Tensor<5>, spec: ConvSpec) -> Tensor<5> {
    // One row of output padding makes an axis exactly twice as long.
    let more = spec.stride.map(|stride| stride - 1);
    let padding = same_padding(spec.kernel, 1);
    let options = ConvTransposeOptions::new(spec.stride, padding, more, [1; 3], 1);
    module::conv_transpose3d(activated(x, spec.slope), weight, None, options)
}

/// See [`crate::depthwise3d`].
pub fn depthwise3d(x: Tensor<5>, weight: Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
    let channels = x.dims()[1];
    let (x, stride) = thinned(x, spec.kernel, spec.stride);
    let options = ConvOptions::new(
        stride,
        same_padding(spec.kernel, spec.dilation),
        [spec.dilation; 3],
        channels,
    );
    module::conv3d(activated(x, spec.slope), weight, None, options)
}

/// See [`crate::max_pool3d`].
pub fn max_pool3d(x: Tensor<5>, spec: PoolSpec) -> Tensor<5> {
    (0..3).fold(x, |x, i| {
        let (axis, stride) = (SPATIAL[i], spec.stride[i]);
        if spec.window[i] == 1 {
            return every(x, axis, stride);
        }
        let [a, b, c] = windows(x, axis, stride, f32::MIN);
        a.max_pair(b).max_pair(c)
    })
}

/// See [`crate::avg_pool3d`].
pub fn avg_pool3d(x: Tensor<5>, spec: PoolSpec) -> Tensor<5> {
    let (device, dtype) = (x.device(), x.dtype());
    (0..3).fold(x, |x, i| {
        let (axis, stride) = (SPATIAL[i], spec.stride[i]);
        if spec.window[i] == 1 {
            return every(x, axis, stride);
        }
        let size = x.dims()[axis];
        let [a, b, c] = windows(x, axis, stride, 0.0);
        let sum = a + b + c;
        // The number of voxels under a window factors over the axes, so each axis divides by its
        // own.
        let share: Vec<f32> = (0..sum.dims()[axis])
            .map(|i| i * stride)
            .map(|centre| 1.0 / ((centre + 2).min(size) - centre.saturating_sub(1)) as f32)
            .collect();
        let mut shape = [1; 5];
        shape[axis] = share.len();
        sum * Tensor::from_data(TensorData::new(share, shape), (&device, dtype))
    })
}

/// See [`crate::upsample`].
pub fn upsample(x: Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
    let doubled = (0..3).filter(|&i| factor[i] == 2).map(|i| SPATIAL[i]);
    doubled.fold(x, |x, axis| {
        let mut shape = x.dims();
        let size = shape[axis];
        // Beyond the border the grid goes on with its last voxel.
        let padded = x.clone().pad(around(axis), PadMode::Edge);
        let before = padded.clone().narrow(axis, 0, size);
        let after = padded.narrow(axis, 2, size);
        let centre = x * 0.75;
        let even = centre.clone() + before * 0.25;
        let odd = centre + after * 0.25;
        shape[axis] = 2 * size;
        Tensor::stack::<6>(vec![even, odd], axis + 1).reshape(shape)
    })
}

/// See [`crate::leaky_relu`].
pub fn leaky_relu(x: Tensor<5>, slope: f32) -> Tensor<5> {
    activation::leaky_relu(x, f64::from(slope))
}

/// See [`crate::instance_norm`].
pub fn instance_norm(x: Tensor<5>, gamma: Tensor<5>, beta: Tensor<5>) -> Tensor<5> {
    let mean = x.clone().mean_dims(&SPATIAL);
    let centred = x - mean;
    let variance = centred.clone().powi_scalar(2).mean_dims(&SPATIAL);
    centred / (variance + 1e-5).sqrt() * gamma + beta
}

/// See [`crate::add_scaled`].
pub fn add_scaled(acc: Option<Tensor<5>>, y: Tensor<5>, z: Option<Tensor<1>>) -> Tensor<5> {
    let term = match z {
        Some(z) => y * z.reshape([1; 5]),
        None => y,
    };
    match acc {
        Some(acc) => acc + term,
        None => term,
    }
}

/// See [`crate::adam`].
pub fn adam(
    p: Tensor<5>,
    g: Tensor<5>,
    m: Tensor<5>,
    v: Tensor<5>,
    step: &AdamStep,
) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
    let AdamStep { lr, beta1, beta2, eps, weight_decay, bias1, bias2 } = *step;
    let m = m * beta1 + g.clone() * (1.0 - beta1);
    let v = v * beta2 + g.powi_scalar(2) * (1.0 - beta2);
    let direction = m.clone() / ((v.clone() / bias2).sqrt() + eps);
    let p = p * (1.0 - lr * weight_decay) - direction * (lr / bias1);
    (p, m, v)
}

fn activated(x: Tensor<5>, slope: Option<f32>) -> Tensor<5> {
    match slope {
        Some(slope) => leaky_relu(x, slope),
        None => x,
    }
}

/// Drops the planes that a stride steps over where the kernel is flat, and returns the strides left
/// for the convolution.
///
/// The same as leaving it to the convolution, but for its gradient on a GPU: along an axis where
/// the kernel is smaller than the stride, Burn 0.22's transposed convolution finds no voxel to add
/// up and gives zeros.
fn thinned(x: Tensor<5>, kernel: [usize; 3], mut strides: [usize; 3]) -> (Tensor<5>, [usize; 3]) {
    let mut thinned = x;
    for (i, axis) in SPATIAL.into_iter().enumerate() {
        if kernel[i] == 1 {
            thinned = every(thinned, axis, strides[i]);
            strides[i] = 1;
        }
    }
    (thinned, strides)
}

/// Every `stride`-th plane along `axis`.
fn every(x: Tensor<5>, axis: usize, stride: usize) -> Tensor<5> {
    if stride == 1 { x } else { x.slice_dim(axis, s![..;stride as isize]) }
}

/// The padding that keeps a stride-1 grid as it is, for odd kernel sizes.
fn same_padding(kernel: [usize; 3], dilation: usize) -> [usize; 3] {
    kernel.map(|k| dilation * (k - 1) / 2)
}

/// The three taps of a window of 3 along `axis`, padded by one `fill` on both sides: three strided
/// views of equal size.
fn windows(x: Tensor<5>, axis: usize, stride: usize, fill: f32) -> [Tensor<5>; 3] {
    let size = x.dims()[axis];
    let out = size.div_ceil(stride);
    let padded = x.pad(around(axis), PadMode::Constant(fill));
    [0, 1, 2].map(|tap| {
        let end = tap + (out - 1) * stride + 1;
        padded.clone().slice_dim(axis, s![tap..end;stride as isize])
    })
}

/// Padding by one voxel at both ends of `axis`.
fn around(axis: usize) -> [(usize, usize); 5] {
    let mut padding = [(0, 0); 5];
    padding[axis] = (1, 1);
    padding
}
