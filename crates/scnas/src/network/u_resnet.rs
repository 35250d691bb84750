//! The human-designed control: a 3-D residual U-Net with attention gates and multiple segmentation
//! maps (METHOD "Controls"; paper section 4).
//!
//! The paper names its parts and gives its size, no more. What is here fits that size (see the test
//! below):
//! - encoder as in Isensee et al. 2017 (BraTS): a 3³ convolution, then at each of four levels a
//!   residual block of two, levels joined by 3³ convolutions of stride 2 that double the channels;
//! - decoder: 3³ transposed convolutions that halve the channels, the encoder's output of the level
//!   added through an attention gate (Oktay et al. 2018), then a residual block of one convolution,
//!   of two at full size;
//! - a map of class scores at every decoder level, each upsampled and added to the next finer one
//!   (Kayalibay et al. 2017).
//!
//! Every convolution but those of maps is LeakyReLU → convolution → instance norm, as in the cells.

use burn::tensor::{Tensor, activation::sigmoid};
use volops::ConvSpec;

use crate::network::cells::Size;
use crate::network::cost::Cost;
use crate::network::layers::{Builder, ConvNorm, Map};
use crate::network::weights::{Pass, Weights};
use crate::space::operation::SLOPE;
use crate::space::topology::DEPTH;

/// Convolutions of a residual block of the encoder.
const ENCODER_BLOCK: usize = 2;
/// Convolutions of the decoder's residual block at each level.
const DECODER_BLOCKS: [usize; DEPTH] = [2, 1, 1];

/// A U-ResNet without its weights' values. The output of a level has `width << level` channels on
/// the grid divided by `2^level`.
#[derive(Debug)]
pub struct UResNet {
    stem: ConvNorm,
    /// From level 0 to the coarsest.
    encoder: Vec<Block>,
    /// Into the encoder's level 1 and those after it.
    downs: Vec<ConvNorm>,
    /// From level 0 to the second coarsest.
    decoder: Vec<Level>,
}

/// `x + convolutions(x)`.
#[derive(Debug)]
struct Block(Vec<ConvNorm>);

/// A level of the decoder.
#[derive(Debug)]
struct Level {
    up: ConvNorm,
    gate: Gate,
    block: Block,
    map: Map,
}

/// What of a skip connection passes, voxel by voxel: `σ(ψ(θ(skip) + upsampled φ(signal)))`.
#[derive(Debug)]
struct Gate {
    of_skip: ConvNorm,
    of_signal: ConvNorm,
    psi: Map,
}

impl Builder<'_> {
    fn conv3(&mut self, name: &str, from: usize, to: usize, stride: usize) -> ConvNorm {
        self.dense(name, from, to, ConvSpec { kernel: [3; 3], stride, slope: Some(SLOPE) })
    }

    fn block(&mut self, name: &str, channels: usize, convolutions: usize) -> Block {
        Block(
            (0..convolutions)
                .map(|i| self.conv3(&format!("{name}.conv{i}"), channels, channels, 1))
                .collect(),
        )
    }

    fn gate(&mut self, name: &str, skip: usize, signal: usize) -> Gate {
        let inner = gate_channels(skip);
        Gate {
            of_skip: self.pointwise(&format!("{name}.skip"), skip, inner, 1),
            of_signal: self.pointwise(&format!("{name}.signal"), signal, inner, 1),
            psi: self.map(&format!("{name}.psi"), inner, 1),
        }
    }
}

fn gate_channels(skip: usize) -> usize {
    (skip / 2).max(1)
}

impl Block {
    fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let y = self.0.iter().fold(x.clone(), |y, conv| conv.forward(pass, y));
        volops::add_scaled(Some(x), y, None)
    }
}

impl Gate {
    /// The share of `skip` that passes, `[batch, channels, D, H, W]`; `signal` is `[batch,
    /// 2·channels, D/2, H/2, W/2]`.
    fn forward(&self, pass: &Pass, skip: Tensor<5>, signal: Tensor<5>) -> Tensor<5> {
        let of_signal = volops::upsample2(self.of_signal.forward(pass, signal));
        let sum = self.of_skip.add_to(of_signal, pass, skip.clone());
        skip * sigmoid(self.psi.forward(pass, sum))
    }
}

impl UResNet {
    /// The network for a stem of `size.width` channels; adds its weights.
    pub fn new(size: Size, weights: &mut Weights) -> Self {
        let Size { channels, classes, width } = size;
        let mut b = Builder { weights };
        let stem =
            b.dense("stem", channels, width, ConvSpec { kernel: [3; 3], stride: 1, slope: None });
        let (mut encoder, mut downs) = (Vec::new(), Vec::new());
        for level in 0..=DEPTH {
            if level > 0 {
                downs.push(b.conv3(
                    &format!("encoder.{level}.down"),
                    width << (level - 1),
                    width << level,
                    2,
                ));
            }
            encoder.push(b.block(&format!("encoder.{level}"), width << level, ENCODER_BLOCK));
        }
        let level = |level: usize| {
            let (name, coarse, fine) =
                (format!("decoder.{level}"), width << (level + 1), width << level);
            Level {
                up: b.transposed(&format!("{name}.up"), coarse, fine),
                gate: b.gate(&format!("{name}.gate"), fine, coarse),
                block: b.block(&name, fine, DECODER_BLOCKS[level]),
                map: b.map(&format!("{name}.map"), fine, classes),
            }
        };
        Self { stem, encoder, downs, decoder: (0..DEPTH).map(level).collect() }
    }

    /// Class scores `[batch, classes, depth, height, width]` of `x` `[batch, channels, depth,
    /// height, width]`, whose extents must be divisible by 8.
    pub fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let mut y = self.encoder[0].forward(pass, self.stem.forward(pass, x));
        let mut skips = Vec::with_capacity(DEPTH);
        for (down, block) in self.downs.iter().zip(&self.encoder[1..]) {
            skips.push(y.clone());
            y = block.forward(pass, down.forward(pass, y));
        }
        let mut scores: Option<Tensor<5>> = None;
        for (Level { up, gate, block, map }, skip) in self.decoder.iter().zip(skips).rev() {
            let gated = gate.forward(pass, skip, y.clone());
            y = block.forward(pass, up.add_to(gated, pass, y));
            scores = Some(volops::add_scaled(
                scores.map(volops::upsample2),
                map.forward(pass, y.clone()),
                None,
            ));
        }
        scores.unwrap_or(y)
    }

    /// Cost of one forward pass over a patch `[depth, height, width]`.
    pub fn cost(size: Size, patch: [usize; 3]) -> Cost {
        let Size { channels, classes, width } = size;
        let voxels = |level: usize| patch.iter().map(|n| n.div_ceil(1 << level)).product::<usize>();
        let mut cost = Cost::default();
        cost.add(27 * channels * width, voxels(0));
        for level in 0..=DEPTH {
            let c = width << level;
            if level > 0 {
                cost.add(27 * c / 2 * c, voxels(level));
            }
            cost.add(ENCODER_BLOCK * 27 * c * c, voxels(level));
        }
        for (level, convolutions) in DECODER_BLOCKS.into_iter().enumerate() {
            let c = width << level;
            let inner = gate_channels(c);
            cost.add(27 * 2 * c * c + 2 * c * inner, voxels(level + 1));
            cost.add(c * inner + inner + convolutions * 27 * c * c + c * classes, voxels(level));
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_documented_size_and_cost() {
        let cost = UResNet::cost(Size { channels: 4, classes: 4, width: 32 }, [128; 3]);
        assert_eq!(format!("{:.2} M, {:.0} G", cost.millions(), cost.gflops()), "7.67 M, 875 G");
    }

    #[test]
    fn the_count_is_that_of_the_convolution_weights_it_has() {
        for size in
            [Size { channels: 2, classes: 3, width: 8 }, Size { channels: 1, classes: 2, width: 2 }]
        {
            let mut weights = Weights::new(&volops::device("cpu").unwrap(), 0);
            UResNet::new(size, &mut weights);
            let convolutions = weights.iter().filter(|(_, w)| w.name.ends_with("weight"));
            let scalars: usize =
                convolutions.map(|(_, w)| w.value.dims().iter().product::<usize>()).sum();
            assert_eq!(UResNet::cost(size, [8; 3]).parameters, scalars as u64);
        }
    }
}
