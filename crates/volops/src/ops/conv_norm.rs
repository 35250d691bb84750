//! A convolution, its instance norm and the sum it is added to, as one step of the tape.

use burn::tensor::Tensor;

use super::{
    add_instance_norm,
    chain::Chain,
    conv::{Conv, ConvTranspose},
    conv_transpose3d, conv3d,
    depthwise::Depthwise,
    depthwise3d,
    extension::{Route, apply, route},
    norm::InstanceNorm,
    term::{Term, apply_term},
};
use crate::kernel::{conv::ConvSpec, depthwise::DepthwiseSpec};

/// A convolution with its weights.
#[allow(clippy::large_enum_variant)] // One at a time, for the length of a call.
pub enum Convolution {
    /// [`conv3d`].
    Dense { weight: Tensor<5>, spec: ConvSpec },
    /// [`conv_transpose3d`].
    Transposed { weight: Tensor<5>, slope: Option<f32> },
    /// [`depthwise3d`], then a 1³ convolution without an activation.
    Separable { depthwise: Tensor<5>, spec: DepthwiseSpec, pointwise: Tensor<5> },
}

const POINTWISE: ConvSpec = ConvSpec { kernel: [1; 3], stride: 1, slope: None };

/// `acc + z·instance_norm(convolution(x))`, with everything that [`add_instance_norm`] says of the sum.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `acc`, result: what the convolution makes of it
/// - `gamma`, `beta`: `[1, out, 1, 1, 1]`
/// - `z`: `[1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn add_conv_norm(
    acc: Option<Tensor<5>>,
    x: Tensor<5>,
    convolution: Convolution,
    gamma: Tensor<5>,
    beta: Tensor<5>,
    z: Option<Tensor<1>>,
) -> Tensor<5> {
    let x = match route(x) {
        Route::Kernels(x) => x,
        Route::Composition(x) => {
            let y = match convolution {
                Convolution::Dense { weight, spec } => conv3d(x, weight, spec),
                Convolution::Transposed { weight, slope } => conv_transpose3d(x, weight, slope),
                Convolution::Separable { depthwise, spec, pointwise } => conv3d(depthwise3d(x, depthwise, spec), pointwise, POINTWISE),
            };
            return add_instance_norm(acc, y, gamma, beta, z);
        }
    };
    let (term, more) = Term::new(acc, z);
    let then = InstanceNorm(term);
    let [gamma, beta] = [gamma, beta].map(Tensor::into_dispatch);
    match convolution {
        Convolution::Dense { weight, spec } => {
            let op = Chain::<_, _, 2> { first: Conv(spec), then };
            apply_term!(op, [x, weight.into_dispatch(), gamma, beta], more)
        }
        Convolution::Transposed { weight, slope } => {
            let op = Chain::<_, _, 2> { first: ConvTranspose { slope }, then };
            apply_term!(op, [x, weight.into_dispatch(), gamma, beta], more)
        }
        Convolution::Separable { depthwise, spec, pointwise } => {
            let first = Chain::<_, _, 2> { first: Depthwise(spec), then: Conv(POINTWISE) };
            let op = Chain::<_, _, 3> { first, then };
            apply_term!(op, [x, depthwise.into_dispatch(), pointwise.into_dispatch(), gamma, beta], more)
        }
    }
}
