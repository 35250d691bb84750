//! The human-designed control: a 3-D residual U-Net with attention gates and multiple segmentation
//! maps (paper section 4).
//!
//! The paper names its parts and gives its size, no more. What is here fits that size (see the tests
//! of `cost.rs`):
//! - encoder as in Isensee et al. 2017 (BraTS): a 3³ convolution, then at each of four levels a
//!   residual block of two, levels joined by 3³ convolutions of stride 2 that double the channels;
//! - decoder: 3³ transposed convolutions that halve the channels, the encoder's output of the level
//!   added through an attention gate (Oktay et al. 2018), then a residual block of one convolution,
//!   of two at full size;
//! - logits at every decoder level, each upsampled and added to the next finer one (Kayalibay et al.
//!   2017).
//!
//! Every convolution but those that end in logits or gates is LeakyReLU → convolution → instance
//! norm, as in the cells.

use burn::tensor::{Tensor, activation::sigmoid};
use volops::ConvSpec;

use crate::network::layers::{ConvBias, ConvNorm, finer_logits};
use crate::network::layout::Layout;
use crate::network::size::Size;
use crate::network::weights::Pass;
use crate::space::operation::SLOPE;
use crate::space::topology::DEPTH;

/// Convolutions of a residual block of the encoder.
const ENCODER_BLOCK: usize = 2;
/// Convolutions of the decoder's residual block at each level.
const DECODER_BLOCKS: [usize; DEPTH] = [2, 1, 1];

/// A U-ResNet without its weights' values. The output of a level has `width << level` channels on
/// the grid of that level.
#[derive(Debug)]
pub struct UResNet {
    layout: Layout,
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
    head: ConvBias,
}

/// What of a skip connection passes, voxel by voxel: `σ(ψ(θ(skip) + upsampled φ(signal)))`.
#[derive(Debug)]
struct Gate {
    of_skip: ConvNorm,
    of_signal: ConvNorm,
    psi: ConvBias,
    /// From the signal's grid to the skip's.
    factor: [usize; 3],
}

/// A convolution, 3³ where voxels are cubes, with its output at `level`.
fn conv3(
    layout: &mut Layout,
    name: &str,
    channels: [usize; 2],
    level: usize,
    stride: [usize; 3],
) -> ConvNorm {
    let spec = ConvSpec { kernel: [3; 3], stride, slope: Some(SLOPE) };
    ConvNorm::dense(layout, name, channels, level, spec)
}

impl Block {
    fn new(
        layout: &mut Layout,
        name: &str,
        channels: usize,
        level: usize,
        convolutions: usize,
    ) -> Self {
        let conv = |i| conv3(layout, &format!("{name}.conv{i}"), [channels; 2], level, [1; 3]);
        Self((0..convolutions).map(conv).collect())
    }

    fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let y = self.0.iter().fold(x.clone(), |y, conv| conv.forward(pass, y));
        volops::add_scaled(Some(x), y, None)
    }
}

impl Gate {
    /// For a skip of `fine` channels at `level` and a signal of `coarse` channels below it.
    fn new(layout: &mut Layout, name: &str, [coarse, fine]: [usize; 2], level: usize) -> Self {
        let inner = (fine / 2).max(1);
        let mut pointwise = |part, from, level| {
            ConvNorm::pointwise(layout, &format!("{name}.{part}"), [from, inner], level, [1; 3])
        };
        Self {
            of_skip: pointwise("skip", fine, level),
            of_signal: pointwise("signal", coarse, level + 1),
            psi: ConvBias::new(layout, &format!("{name}.psi"), [inner, 1], level),
            factor: layout.grid().stride(level + 1),
        }
    }

    /// The share of `skip` that passes, `[batch, channels, depth, height, width]`; `signal` is
    /// `[batch, 2·channels, …]` on the grid below.
    fn forward(&self, pass: &Pass, skip: Tensor<5>, signal: Tensor<5>) -> Tensor<5> {
        let of_signal = volops::upsample(self.of_signal.forward(pass, signal), self.factor);
        let sum = self.of_skip.add_to(of_signal, pass, skip.clone());
        skip * sigmoid(self.psi.forward(pass, sum))
    }
}

impl UResNet {
    /// The network for a stem of `size.width` channels.
    pub fn new(size: Size) -> Self {
        let Size { channels, classes, width, grid } = size;
        let mut own = Layout::new(grid);
        let layout = &mut own;
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: None };
        let stem = ConvNorm::dense(layout, "stem", [channels, width], 0, spec);
        let (mut encoder, mut downs) = (Vec::new(), Vec::new());
        for level in 0..=DEPTH {
            let (name, to) = (format!("encoder.{level}"), width << level);
            if level > 0 {
                downs.push(conv3(
                    layout,
                    &format!("{name}.down"),
                    [to / 2, to],
                    level,
                    grid.stride(level),
                ));
            }
            encoder.push(Block::new(layout, &name, to, level, ENCODER_BLOCK));
        }
        let decoder = (0..DEPTH).map(|level| {
            let (name, channels) =
                (format!("decoder.{level}"), [width << (level + 1), width << level]);
            let fine = channels[1];
            Level {
                up: ConvNorm::transposed(layout, &format!("{name}.up"), channels, level + 1),
                gate: Gate::new(layout, &format!("{name}.gate"), channels, level),
                block: Block::new(layout, &name, fine, level, DECODER_BLOCKS[level]),
                head: ConvBias::new(layout, &format!("{name}.map"), [fine, classes], level),
            }
        });
        let decoder = decoder.collect();
        Self { layout: own, stem, encoder, downs, decoder }
    }

    /// The weights it declared.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Logits `[batch, classes, depth, height, width]` of `x` `[batch, channels, depth, height,
    /// width]`, whose extents the grids must divide.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let mut y = self.encoder[0].forward(pass, self.stem.forward(pass, x));
        let mut skips = Vec::with_capacity(DEPTH);
        for (down, block) in self.downs.iter().zip(&self.encoder[1..]) {
            skips.push(y.clone());
            y = block.forward(pass, down.forward(pass, y));
        }
        let mut logits: Option<Tensor<5>> = None;
        for (Level { up, gate, block, head }, skip) in self.decoder.iter().zip(skips).rev() {
            let gated = gate.forward(pass, skip, y.clone());
            y = block.forward(pass, up.add_to(gated, pass, y));
            logits = Some(finer_logits(logits, head.forward(pass, y.clone()), gate.factor));
        }
        logits.unwrap_or(y)
    }
}
