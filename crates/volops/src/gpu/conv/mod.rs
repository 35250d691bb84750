//! Dense convolutions, transposed ones, and their gradients, from three kernels: [`correlate`],
//! its adjoint [`spread`], and the gradient of the weights.

mod correlate;
mod grad_weight;
mod spread;

use cubecl::prelude::*;

use super::Buffer;
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

/// Reads the weights of `chunk` input channels from `first` on into shared memory, `[channel, tap,
/// vector]`; those of channels that are not there are 0.
#[cube]
fn stage(
    staged: &mut Shared<[Vector<f32, Const<4>>]>,
    weight: &[f32],
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
                vector.insert(lane, weight[at]);
            }
        }
        staged[i] = vector;
        i += comptime!(CONV_UNITS as usize);
    }
}

/// The slopes of what is read and of the gate: at most one of them matters.
fn slope(operand: &Operand, gate: Option<Gate>) -> f32 {
    operand.slope.or(gate.map(|gate| gate.slope)).unwrap_or(1.0)
}

/// Strides, kernel and shape of the coarse side of a convolution whose fine side is `xs`.
fn coarse([batch, _, d, h, w]: [usize; 5], channels: usize, spec: &ConvSpec) -> [usize; 5] {
    crate::kernel::conv::out_shape([batch, 0, d, h, w], channels, spec)
}
