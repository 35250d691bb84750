//! What networks are made of: convolution with instance norm, convolution with bias, head.

use burn::tensor::Tensor;
use volops::{ConvSpec, DepthwiseSpec, Operation, Term};

use crate::network::layout::{Init, Layout, Role, WeightId};
use crate::network::weights::Pass;
use crate::space::operation::SLOPE;

/// A convolution with its norm: (LeakyReLU →) convolution → instance norm.
#[derive(Clone, Debug)]
pub(crate) struct ConvNorm {
    conv: Convolution,
    gamma: WeightId,
    beta: WeightId,
}

#[derive(Clone, Debug)]
enum Convolution {
    Dense { weight: WeightId, spec: ConvSpec },
    Transposed { weight: WeightId },
    Separable { depthwise: WeightId, spec: DepthwiseSpec, pointwise: WeightId },
}

impl ConvNorm {
    /// From `from` to `to` channels, with its output at `level`.
    pub fn dense(
        layout: &mut Layout,
        name: &str,
        [from, to]: [usize; 2],
        level: usize,
        spec: ConvSpec,
    ) -> Self {
        let [d, h, w] = spec.kernel;
        let init = Init::He { fan_in: from * d * h * w };
        let shape = [to, from, d, h, w];
        let weight =
            layout.declare(format!("{name}.weight"), shape, init, Role::Convolution { level });
        Self::with_norm(layout, name, to, Convolution::Dense { weight, spec })
    }

    /// A 1³ convolution with LeakyReLU, with its output at `level`.
    pub fn pointwise(
        layout: &mut Layout,
        name: &str,
        channels: [usize; 2],
        level: usize,
        stride: usize,
    ) -> Self {
        let spec = ConvSpec { kernel: [1; 3], stride, slope: Some(SLOPE) };
        Self::dense(layout, name, channels, level, spec)
    }

    /// LeakyReLU and a 3³ transposed convolution of stride 2, from `level` to the one above.
    pub fn transposed(
        layout: &mut Layout,
        name: &str,
        [from, to]: [usize; 2],
        level: usize,
    ) -> Self {
        // Each output voxel sees 27/8 taps on average.
        let init = Init::He { fan_in: (from * 27).div_ceil(8) };
        let shape = [from, to, 3, 3, 3];
        let weight =
            layout.declare(format!("{name}.weight"), shape, init, Role::Convolution { level });
        Self::with_norm(layout, name, to, Convolution::Transposed { weight })
    }

    /// A depthwise convolution and a 1³ one, with its output at `level`.
    pub fn separable(
        layout: &mut Layout,
        name: &str,
        channels: usize,
        level: usize,
        spec: DepthwiseSpec,
    ) -> Self {
        let role = Role::Convolution { level };
        let [d, h, w] = spec.kernel;
        let (shape, init) = ([channels, 1, d, h, w], Init::He { fan_in: d * h * w });
        let depthwise = layout.declare(format!("{name}.depthwise"), shape, init, role);
        let (shape, init) = ([channels, channels, 1, 1, 1], Init::He { fan_in: channels });
        let pointwise = layout.declare(format!("{name}.pointwise"), shape, init, role);
        let conv = Convolution::Separable { depthwise, spec, pointwise };
        Self::with_norm(layout, name, channels, conv)
    }

    fn with_norm(layout: &mut Layout, name: &str, channels: usize, conv: Convolution) -> Self {
        let shape = [1, channels, 1, 1, 1];
        let mut declare = |part, start| {
            layout.declare(format!("{name}.{part}"), shape, Init::Constant(start), Role::PerChannel)
        };
        Self { conv, gamma: declare("gamma", 1.0), beta: declare("beta", 0.0) }
    }

    /// `[batch, to, …]` on the grid of its output, from `x` `[batch, from, depth, height, width]`.
    pub fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        volops::weighted_sum(vec![Term { x, operation: self.operation(pass), z: None }])
    }

    /// `sum + self(x)`.
    pub fn add_to(&self, sum: Tensor<5>, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let sum = Term { x: sum, operation: Operation::Identity, z: None };
        volops::weighted_sum(vec![sum, Term { x, operation: self.operation(pass), z: None }])
    }

    /// What it is as a term of a sum.
    pub fn operation(&self, pass: &Pass) -> Operation {
        let convolution = match self.conv {
            Convolution::Dense { weight, spec } => {
                volops::Convolution::Dense { weight: pass.weight(weight), spec }
            }
            Convolution::Transposed { weight } => {
                volops::Convolution::Transposed { weight: pass.weight(weight), slope: Some(SLOPE) }
            }
            Convolution::Separable { depthwise, spec, pointwise } => {
                volops::Convolution::Separable {
                    depthwise: pass.weight(depthwise),
                    spec,
                    pointwise: pass.weight(pointwise),
                }
            }
        };
        Operation::ConvNorm {
            convolution,
            gamma: pass.weight(self.gamma),
            beta: pass.weight(self.beta),
        }
    }
}

/// LeakyReLU → 1³ convolution, plus bias: what ends in numbers with a meaning has no norm.
#[derive(Clone, Debug)]
pub(crate) struct ConvBias {
    weight: WeightId,
    bias: WeightId,
}

impl ConvBias {
    /// From `from` to `to` channels at `level`.
    pub fn new(layout: &mut Layout, name: &str, [from, to]: [usize; 2], level: usize) -> Self {
        let (shape, init) = ([to, from, 1, 1, 1], Init::He { fan_in: from });
        let weight =
            layout.declare(format!("{name}.weight"), shape, init, Role::Convolution { level });
        let (shape, init) = ([1, to, 1, 1, 1], Init::Constant(0.0));
        let bias = layout.declare(format!("{name}.bias"), shape, init, Role::PerChannel);
        Self { weight, bias }
    }

    /// `[batch, to, depth, height, width]` from `x` `[batch, from, depth, height, width]`.
    pub fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let spec = ConvSpec { kernel: [1; 3], stride: 1, slope: Some(SLOPE) };
        volops::conv3d(x, pass.weight(self.weight), spec) + pass.weight(self.bias)
    }
}

/// What says logits, from one output of a network.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Number of the output it reads.
    pub output: usize,
    /// Level of that output's grid, and of the logits.
    pub level: usize,
    layer: ConvBias,
}

impl Head {
    /// On an output of `channels[0]` channels, for `channels[1]` classes.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        channels: [usize; 2],
        output: usize,
        level: usize,
    ) -> Self {
        Self { output, level, layer: ConvBias::new(layout, name, channels, level) }
    }

    /// Logits `[batch, classes, depth, height, width]` from the output `y` `[batch, channels,
    /// depth, height, width]`.
    pub fn forward(&self, pass: &Pass, y: Tensor<5>) -> Tensor<5> {
        self.layer.forward(pass, y)
    }
}
