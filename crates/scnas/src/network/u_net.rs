//! Networks of the U family, which people design; among them the control of the paper (section 4):
//! a 3-D residual U-Net with attention gates and multiple segmentation maps.
//!
//! The paper names the parts of that one and gives its size, no more. What is here fits that size
//! (see the tests of `cost.rs`):
//! - encoder as in Isensee et al. 2017 (BraTS): a 3³ convolution, then at each of four levels a
//!   residual block of two, levels joined by 3³ convolutions of stride 2 that double the channels;
//! - decoder: 3³ transposed convolutions that halve the channels, the encoder's output of the level
//!   added through an attention gate (Oktay et al. 2018), then a residual block of one convolution,
//!   of two at full size;
//! - logits at every decoder level, each upsampled and added to the next finer one (Kayalibay et al.
//!   2017).
//!
//! Every convolution but those that end in logits or gates is LeakyReLU → convolution → instance
//! norm, as in the cells. What else the family holds says [`UDesign`].

use volops::{ConvSpec, DepthwiseSpec, Term, Upsample as Resize};

use crate::network::layers::{ConvBias, ConvNorm, Projection, finer_logits};
use crate::network::layout::Layout;
use crate::network::medium::{Medium, alone};
use crate::network::size::Size;
use crate::space::operation::SLOPE;
use crate::space::topology::DEPTH;
use crate::space::u_design::{Block as Kind, UDesign};

/// A network of the U family without its weights' values.
#[derive(Debug)]
pub struct UNet {
    layout: Layout,
    stem: ConvNorm,
    /// From level 0 to the coarsest.
    encoder: Vec<Block>,
    /// Into the encoder's level 1 and those after it.
    downs: Vec<ConvNorm>,
    /// From level 0 to the second coarsest.
    decoder: Vec<Level>,
}

/// Convolutions one after the other, perhaps added to what they start from.
#[derive(Debug)]
struct Block {
    convolutions: Vec<ConvNorm>,
    residual: bool,
}

/// A level of the decoder.
#[derive(Debug)]
struct Level {
    up: Projection,
    gate: Option<Gate>,
    block: Block,
    head: Option<ConvBias>,
    /// From the grid below.
    factor: [usize; 3],
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
        (kind, convolutions): (Kind, usize),
    ) -> Self {
        let conv = |i| {
            let name = format!("{name}.conv{i}");
            match kind {
                Kind::Residual | Kind::Plain => conv3(layout, &name, [channels; 2], level, [1; 3]),
                Kind::Separable => {
                    let (kernel, stride, slope) = ([3; 3], [1; 3], Some(SLOPE));
                    let spec = DepthwiseSpec { kernel, dilation: 1, stride, slope };
                    ConvNorm::separable(layout, &name, channels, level, spec)
                }
            }
        };
        let convolutions = (0..convolutions).map(conv).collect();
        Self { convolutions, residual: kind != Kind::Plain }
    }

    fn forward<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> M::Volume {
        let y = self.convolutions.iter().fold(x.clone(), |y, conv| conv.forward(medium, y));
        match self.residual {
            true => medium.weighted_sum(vec![Term::identity(x), Term::identity(y)]),
            false => y,
        }
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
    fn forward<M: Medium + ?Sized>(
        &self,
        medium: &M,
        skip: M::Volume,
        signal: M::Volume,
    ) -> M::Volume {
        let resize = Resize { factor: self.factor };
        let of_signal = alone(medium, resize, [self.of_signal.forward(medium, signal)]);
        let sum = self.of_skip.add_to(of_signal, medium, skip.clone());
        medium.gated(skip, self.psi.forward(medium, sum))
    }
}

impl UNet {
    /// The network of a design; of `size` only channels, classes and grids matter.
    pub fn new(design: &UDesign, size: Size) -> Self {
        let Size { channels, classes, grid, .. } = size;
        let UDesign { channels: widths, encoder: convolutions, block: kind, .. } = design;
        let mut own = Layout::new(grid);
        let layout = &mut own;
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: None };
        let stem = ConvNorm::dense(layout, "stem", [channels, widths[0]], 0, spec);
        let (mut encoder, mut downs) = (Vec::new(), Vec::new());
        for level in 0..=DEPTH {
            let (name, to) = (format!("encoder.{level}"), widths[level]);
            if level > 0 {
                let (channels, stride) = ([widths[level - 1], to], grid.stride(level));
                downs.push(conv3(layout, &format!("{name}.down"), channels, level, stride));
            }
            encoder.push(Block::new(layout, &name, to, level, (*kind, convolutions[level])));
        }
        let decoder = (0..DEPTH).map(|level| {
            let name = format!("decoder.{level}");
            let (channels, levels) = ([widths[level + 1], widths[level]], [level + 1, level]);
            let fine = channels[1];
            let (up, gate) = (format!("{name}.up"), format!("{name}.gate"));
            let map = (design.maps || level == 0).then(|| format!("{name}.map"));
            Level {
                up: Projection::new(layout, &up, channels, levels, design.upsample),
                gate: design.gates.then(|| Gate::new(layout, &gate, channels, level)),
                block: Block::new(layout, &name, fine, level, (*kind, design.decoder[level])),
                head: map.map(|map| ConvBias::new(layout, &map, [fine, classes], level)),
                factor: grid.stride(level + 1),
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
    pub fn forward<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> M::Volume {
        let mut y = self.encoder[0].forward(medium, self.stem.forward(medium, x));
        let mut skips = Vec::with_capacity(DEPTH);
        for (down, block) in self.downs.iter().zip(&self.encoder[1..]) {
            skips.push(y.clone());
            y = block.forward(medium, down.forward(medium, y));
        }
        let mut logits: Option<M::Volume> = None;
        for (Level { up, gate, block, head, factor }, skip) in self.decoder.iter().zip(skips).rev()
        {
            let passed = match gate {
                Some(gate) => gate.forward(medium, skip, y.clone()),
                None => skip,
            };
            let sum = vec![Term::identity(passed), up.term(medium, y)];
            y = block.forward(medium, medium.weighted_sum(sum));
            if let Some(head) = head {
                let own = head.forward(medium, y.clone());
                logits = Some(finer_logits(medium, logits, own, *factor));
            }
        }
        logits.unwrap_or(y)
    }
}
