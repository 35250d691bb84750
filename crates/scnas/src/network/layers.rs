//! What networks are made of: convolution with instance norm, convolution with bias, head.

use std::sync::Arc;

use volops::{
    Conv3d, ConvSpec, ConvTranspose3d, DepthwiseSpec, Normed, Operation, Term, Upsample as Resize,
};

use crate::network::layout::{Init, Layout, Role, WeightId};
use crate::network::medium::{Medium, alone};
use crate::space::operation::SLOPE;
use crate::space::topology::Upsample;

/// A convolution with its norm: (LeakyReLU →) convolution → instance norm.
#[derive(Clone, Debug)]
pub(crate) struct ConvNorm {
    operation: Arc<dyn Operation>,
    /// Its inputs behind the tensor it works on.
    weights: Vec<WeightId>,
}

impl ConvNorm {
    /// From `from` to `to` channels, with its output at `level`. The kernel of the spec is that for
    /// voxels that are cubes.
    pub fn dense(
        layout: &mut Layout,
        name: &str,
        [from, to]: [usize; 2],
        level: usize,
        spec: ConvSpec,
    ) -> Self {
        let kernel @ [d, h, w] = layout.grid().kernel(level, spec.kernel);
        let spec = ConvSpec { kernel, ..spec };
        let init = Init::He { fan_in: from * d * h * w };
        let shape = [to, from, d, h, w];
        let weight =
            layout.declare(format!("{name}.weight"), shape, init, Role::Convolution { level });
        Self::new(layout, name, to, Normed::of(Conv3d(spec)), &[weight])
    }

    /// A 1³ convolution with LeakyReLU, with its output at `level`.
    pub fn pointwise(
        layout: &mut Layout,
        name: &str,
        channels: [usize; 2],
        level: usize,
        stride: [usize; 3],
    ) -> Self {
        let spec = ConvSpec { kernel: [1; 3], stride, slope: Some(SLOPE) };
        Self::dense(layout, name, channels, level, spec)
    }

    /// LeakyReLU and a transposed convolution, 3³ where voxels are cubes, from `level` to the one
    /// above.
    pub fn transposed(
        layout: &mut Layout,
        name: &str,
        [from, to]: [usize; 2],
        level: usize,
    ) -> Self {
        let stride = layout.grid().stride(level);
        let kernel @ [d, h, w] = layout.grid().kernel(level - 1, [3; 3]);
        // What an output voxel sees on average: of 3³ taps at stride 2, 27/8.
        let fan_in = (from * d * h * w).div_ceil(stride.iter().product());
        let (shape, init) = ([from, to, d, h, w], Init::He { fan_in });
        let weight =
            layout.declare(format!("{name}.weight"), shape, init, Role::Convolution { level });
        let conv = ConvTranspose3d(ConvSpec { kernel, stride, slope: Some(SLOPE) });
        Self::new(layout, name, to, Normed::of(conv), &[weight])
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
        let kernel @ [d, h, w] = layout.grid().kernel(level, spec.kernel);
        let spec = DepthwiseSpec { kernel, ..spec };
        let (shape, init) = ([channels, 1, d, h, w], Init::He { fan_in: d * h * w });
        let depthwise = layout.declare(format!("{name}.depthwise"), shape, init, role);
        let (shape, init) = ([channels, channels, 1, 1, 1], Init::He { fan_in: channels });
        let pointwise = layout.declare(format!("{name}.pointwise"), shape, init, role);
        let weights = [depthwise, pointwise];
        Self::new(layout, name, channels, Normed::separable(spec), &weights)
    }

    /// Declares the weights of the norm as well.
    fn new(
        layout: &mut Layout,
        name: &str,
        channels: usize,
        operation: Normed,
        weights: &[WeightId],
    ) -> Self {
        let shape = [1, channels, 1, 1, 1];
        let norm = [("gamma", 1.0), ("beta", 0.0)].map(|(part, start)| {
            layout.declare(format!("{name}.{part}"), shape, Init::Constant(start), Role::PerChannel)
        });
        Self { operation: Arc::new(operation), weights: [weights, &norm].concat() }
    }

    /// `[batch, to, …]` on the grid of its output, from `x` `[batch, from, depth, height, width]`.
    pub fn forward<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> M::Volume {
        medium.weighted_sum(vec![self.term(medium, x)])
    }

    /// `sum + self(x)`.
    pub fn add_to<M: Medium + ?Sized>(
        &self,
        sum: M::Volume,
        medium: &M,
        x: M::Volume,
    ) -> M::Volume {
        medium.weighted_sum(vec![Term::identity(sum), self.term(medium, x)])
    }

    /// What it is in a node's sum.
    pub fn term<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> Term<M::Volume> {
        let weights = self.weights.iter().map(|&id| medium.weight(id));
        let inputs = std::iter::once(x).chain(weights).collect();
        Term { operation: self.operation.clone(), inputs, z: None }
    }
}

/// Brings a tensor to other channels and to the grid of a level that is at most one away.
#[derive(Debug)]
pub(crate) struct Projection {
    conv: ConvNorm,
    /// Resampling after the convolution.
    upsample: Option<Resize>,
}

impl Projection {
    /// From `channels[0]` channels at level `from` to `channels[1]` at level `to`.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        channels: [usize; 2],
        [from, to]: [usize; 2],
        upsample: Upsample,
    ) -> Self {
        let coarser = from > to;
        let conv = match upsample {
            Upsample::Transposed if coarser => ConvNorm::transposed(layout, name, channels, from),
            _ => {
                let stride = if from < to { layout.grid().stride(to) } else { [1; 3] };
                ConvNorm::pointwise(layout, name, channels, from.max(to), stride)
            }
        };
        let resized = coarser && upsample == Upsample::Trilinear;
        let upsample = resized.then(|| Resize { factor: layout.grid().stride(from) });
        Self { conv, upsample }
    }

    /// `[batch, channels, …]` on the grid of its output.
    pub fn forward<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> M::Volume {
        medium.weighted_sum(vec![self.term(medium, x)])
    }

    /// What it is in a sum.
    pub fn term<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> Term<M::Volume> {
        match self.upsample {
            Some(resize) => Term::new(resize, [self.conv.forward(medium, x)]),
            None => self.conv.term(medium, x),
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
    pub fn new(layout: &mut Layout, name: &str, channels: [usize; 2], level: usize) -> Self {
        Self::starting_at(layout, name, channels, level, 1)
    }

    /// The same, with a `part`-th of the usual weights at the beginning.
    fn starting_at(
        layout: &mut Layout,
        name: &str,
        [from, to]: [usize; 2],
        level: usize,
        part: usize,
    ) -> Self {
        let (shape, init) = ([to, from, 1, 1, 1], Init::He { fan_in: from * part * part });
        let weight =
            layout.declare(format!("{name}.weight"), shape, init, Role::Convolution { level });
        let (shape, init) = ([1, to, 1, 1, 1], Init::Constant(0.0));
        let bias = layout.declare(format!("{name}.bias"), shape, init, Role::PerChannel);
        Self { weight, bias }
    }

    /// `[batch, to, depth, height, width]` from `x` `[batch, from, depth, height, width]`.
    pub fn forward<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> M::Volume {
        let spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: Some(SLOPE) };
        let y = alone(medium, Conv3d(spec), [x, medium.weight(self.weight)]);
        medium.shifted(y, medium.weight(self.bias))
    }
}

/// What says logits: class maps of outputs of a network, from coarse to fine, added up (Kayalibay et
/// al. 2017).
#[derive(Clone, Debug)]
pub(crate) struct Head {
    maps: Vec<ClassMap>,
}

/// The class map of one output.
#[derive(Clone, Debug)]
struct ClassMap {
    /// Number of the output.
    output: usize,
    /// Level of its grid.
    level: usize,
    /// From the level below it to this one.
    factor: [usize; 3],
    layer: ConvBias,
}

/// Where there are several class maps they start as a fifth of what a single one would: their sum
/// decides nothing before the network has learnt.
const PART_OF_SEVERAL: usize = 5;

impl Head {
    /// Of a single class map, of an output of `channels[0]` channels, for `channels[1]` classes.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        channels: [usize; 2],
        output: usize,
        level: usize,
    ) -> Self {
        let layer = ConvBias::new(layout, name, channels, level);
        Self { maps: vec![ClassMap { output, level, factor: [1; 3], layer }] }
    }

    /// Of class maps for `classes` classes of outputs, each with name, channels, number and level:
    /// from coarse to fine, every one a level above the one before it.
    pub fn of_several(
        layout: &mut Layout,
        classes: usize,
        outputs: impl IntoIterator<Item = (String, usize, usize, usize)>,
    ) -> Self {
        let map = |(name, channels, output, level): (String, usize, usize, usize)| {
            let channels = [channels, classes];
            let layer = ConvBias::starting_at(layout, &name, channels, level, PART_OF_SEVERAL);
            ClassMap { output, level, factor: layout.grid().stride(level + 1), layer }
        };
        Self { maps: outputs.into_iter().map(map).collect() }
    }

    /// Numbers of the outputs that it reads, from coarse to fine.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        self.maps.iter().map(|map| map.output)
    }

    /// Level of the logits.
    pub fn level(&self) -> usize {
        self.maps.last().map_or(0, |map| map.level)
    }

    /// Logits `[batch, classes, depth, height, width]` from the outputs `[batch, channels, depth,
    /// height, width]` that [`Self::reads`] names.
    ///
    /// # Panics
    /// Without an output.
    pub fn forward<M: Medium + ?Sized>(
        &self,
        medium: &M,
        outputs: impl IntoIterator<Item = M::Volume>,
    ) -> M::Volume {
        let maps = self.maps.iter().zip(outputs);
        let logits = maps.fold(None, |coarser, (map, y)| {
            Some(finer_logits(medium, coarser, map.layer.forward(medium, y), map.factor))
        });
        logits.expect("a head has a class map")
    }
}

/// Logits of a level: its own class map, and the logits of the level below it, if there are any,
/// upsampled by `factor`.
pub(crate) fn finer_logits<M: Medium + ?Sized>(
    medium: &M,
    coarser: Option<M::Volume>,
    own: M::Volume,
    factor: [usize; 3],
) -> M::Volume {
    match coarser {
        Some(coarser) => {
            let coarser = alone(medium, Resize { factor }, [coarser]);
            medium.weighted_sum(vec![Term::identity(coarser), Term::identity(own)])
        }
        None => own,
    }
}
