//! What networks are made of: convolution with instance norm, and the builder that gives layers
//! their weights.

use burn::tensor::Tensor;
use volops::{ConvSpec, DepthwiseSpec, Operation, Term};

use crate::network::weights::{Init, Pass, WeightId, Weights};
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

/// Class scores, or any other map without a norm: LeakyReLU → 1³ convolution, plus bias.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    weight: WeightId,
    bias: WeightId,
}

/// Adds the weights of layers by their names.
pub(crate) struct Builder<'a> {
    pub weights: &'a mut Weights,
}

impl Builder<'_> {
    fn norm(&mut self, name: &str, channels: usize) -> (WeightId, WeightId) {
        let shape = [1, channels, 1, 1, 1];
        let gamma = self.weights.add(format!("{name}.gamma"), shape, Init::Constant(1.0));
        (gamma, self.weights.add(format!("{name}.beta"), shape, Init::Constant(0.0)))
    }

    pub fn dense(&mut self, name: &str, from: usize, to: usize, spec: ConvSpec) -> ConvNorm {
        let [d, h, w] = spec.kernel;
        let init = Init::He { fan_in: from * d * h * w };
        let weight = self.weights.add(format!("{name}.weight"), [to, from, d, h, w], init);
        let (gamma, beta) = self.norm(name, to);
        ConvNorm { conv: Convolution::Dense { weight, spec }, gamma, beta }
    }

    pub fn pointwise(&mut self, name: &str, from: usize, to: usize, stride: usize) -> ConvNorm {
        self.dense(name, from, to, ConvSpec { kernel: [1; 3], stride, slope: Some(SLOPE) })
    }

    pub fn transposed(&mut self, name: &str, from: usize, to: usize) -> ConvNorm {
        // Each output voxel sees 27/8 taps on average.
        let init = Init::He { fan_in: (from * 27).div_ceil(8) };
        let weight = self.weights.add(format!("{name}.weight"), [from, to, 3, 3, 3], init);
        let (gamma, beta) = self.norm(name, to);
        ConvNorm { conv: Convolution::Transposed { weight }, gamma, beta }
    }

    pub fn separable(&mut self, name: &str, channels: usize, spec: DepthwiseSpec) -> ConvNorm {
        let [d, h, w] = spec.kernel;
        let init = Init::He { fan_in: d * h * w };
        let depthwise = self.weights.add(format!("{name}.depthwise"), [channels, 1, d, h, w], init);
        let init = Init::He { fan_in: channels };
        let pointwise =
            self.weights.add(format!("{name}.pointwise"), [channels, channels, 1, 1, 1], init);
        let (gamma, beta) = self.norm(name, channels);
        ConvNorm { conv: Convolution::Separable { depthwise, spec, pointwise }, gamma, beta }
    }

    pub fn map(&mut self, name: &str, from: usize, to: usize) -> Map {
        let weight = self.weights.add(
            format!("{name}.weight"),
            [to, from, 1, 1, 1],
            Init::He { fan_in: from },
        );
        let bias = self.weights.add(format!("{name}.bias"), [1, to, 1, 1, 1], Init::Constant(0.0));
        Map { weight, bias }
    }
}

impl ConvNorm {
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

impl Map {
    pub fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let spec = ConvSpec { kernel: [1; 3], stride: 1, slope: Some(SLOPE) };
        volops::conv3d(x, pass.weight(self.weight), spec) + pass.weight(self.bias)
    }
}
