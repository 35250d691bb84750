//! Dense convolutions, transposed ones, and their gradients, from three kernels: [`correlate`],
//! its adjoint [`spread`], and the gradient of the weights.

mod correlate;
mod grad_weight;
mod spread;

use cubecl::prelude::*;

use super::{Buffer, group_len};
use crate::kernel::conv::ConvSpec;

pub use correlate::correlate;
pub use grad_weight::grad_weight;
pub use spread::spread;

/// A volume that a convolution reads.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Its elements.
    pub data: &'a Buffer,
    /// `[batch, channels, depth, height, width]`
    pub shape: [usize; 5],
    /// Slope of a LeakyReLU that it goes through first.
    pub slope: Option<f32>,
}

/// A LeakyReLU whose gradient the result is multiplied by: its input, and its slope.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Shaped as the result.
    pub x: &'a Buffer,
    /// For what is not positive.
    pub slope: f32,
}

/// How weights lie that lead from `sources` channels to `results`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `[results, sources, taps]`
    Results,
    /// `[sources, results, taps]`
    Sources,
    /// `[sources, results, taps]`, the taps from last to first.
    Mirrored,
}

/// What [`correlate`] and [`spread`] do to one operand.
struct Window {
    x: Buffer,
    weight: Buffer,
    /// The input of a LeakyReLU whose gradient the result is multiplied by.
    gate: Option<Buffer>,
    out: Buffer,
    /// Of `x`.
    xs: [usize; 5],
    /// Of the result.
    ys: [usize; 5],
    /// Its slope is that of what is read, or of the gate: at most one of them has one.
    spec: ConvSpec,
}

impl Window {
    fn new(
        x: Operand,
        weight: &Buffer,
        ys: [usize; 5],
        spec: &ConvSpec,
        gate: Option<Gate>,
    ) -> Self {
        Self {
            x: x.data.clone(),
            weight: weight.clone(),
            gate: gate.map(|gate| gate.x.clone()),
            out: x.data.empty(ys.iter().product()),
            xs: x.shape,
            ys,
            spec: ConvSpec { slope: x.slope.or(gate.map(|gate| gate.slope)), ..*spec },
        }
    }

    fn reads(&self) -> Vec<&Buffer> {
        [&self.x, &self.weight].into_iter().chain(&self.gate).collect()
    }

    fn is_like(&self, other: &Self) -> bool {
        let of = |window: &Self| (window.xs, window.ys, window.spec, window.gate.is_some());
        of(self) == of(other)
    }

    /// Whether what is read goes through the LeakyReLU.
    fn is_activated(&self) -> bool {
        self.spec.slope.is_some() && self.gate.is_none()
    }

    fn slope(&self) -> f32 {
        self.spec.slope.unwrap_or(1.0)
    }

    /// Most of these in a launch.
    fn most(&self) -> usize {
        let taps = self.spec.kernel.iter().product::<usize>();
        group_len(&self.x, 3 + usize::from(self.gate.is_some()), 0).min((MOST_TAPS / taps).max(1))
    }
}

/// Taps that the code of a launch holds, at most: they are written out for each of its tasks.
const MOST_TAPS: usize = 4 * 27;

/// Output channels that a unit makes side by side, in vectors of [`LANES`].
const BLOCK: usize = 8;
/// Numbers of a vector.
const LANES: usize = 4;
/// Vectors of a block.
const VECTORS: usize = BLOCK / LANES;

/// Units of a cube of convolutions.
const CONV_UNITS: u32 = 128;

/// Weights in shared memory, of one block of output channels, at most: 8 input channels of 3³.
const STAGED: usize = 8 * 27;

/// Input channels whose weights are in shared memory at a time.
fn chunk(kernel: [usize; 3]) -> usize {
    (STAGED / kernel.iter().product::<usize>()).min(32)
}

/// Reads the weights of task `n` for `chunk` input channels from `first` on into shared memory, `[channel, tap,
/// vector]`; those of channels that are not there are 0.
#[cube]
fn stage(
    staged: &mut Shared<[Vector<f32, Const<4>>]>,
    weights: &Sequence<&'static [f32]>,
    #[comptime] n: usize,
    first: usize,
    block: usize,
    sources: usize,
    results: usize,
    #[comptime] taps: usize,
    #[comptime] chunk: usize,
    #[comptime] order: Order,
) {
    let mut i = UNIT_POS as usize;
    while i < comptime!(chunk * taps * VECTORS) {
        let tap = i / VECTORS % taps;
        let source = first + i / comptime!(VECTORS * taps);
        let result = block * BLOCK + i % VECTORS * LANES;
        let mut vector = Vector::<f32, Const<4>>::new(0.0f32);
        #[unroll]
        for lane in 0..LANES {
            let to = result + lane;
            if source < sources && to < results {
                let at = if comptime!(order == Order::Results) {
                    (to * sources + source) * taps + tap
                } else if comptime!(order == Order::Sources) {
                    (source * results + to) * taps + tap
                } else {
                    (source * results + to) * taps + (taps - 1 - tap)
                };
                vector.insert(lane, weights[n][at]);
            }
        }
        staged[i] = vector;
        i += comptime!(CONV_UNITS as usize);
    }
}

/// Strides, kernel and shape of the coarse side of a convolution whose fine side is `xs`.
fn coarse([batch, _, d, h, w]: [usize; 5], channels: usize, spec: &ConvSpec) -> [usize; 5] {
    crate::kernel::conv::out_shape([batch, 0, d, h, w], channels, spec)
}
