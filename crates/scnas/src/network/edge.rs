//! How each kind of operation is built: one arm a kind.

use std::sync::Arc;

use volops::{AvgPool3d, ConvSpec, DepthwiseSpec, MaxPool3d, Operation, PoolSpec, Term};

use crate::network::layers::ConvNorm;
use crate::network::layout::Layout;
use crate::network::medium::Medium;
use crate::space::operation::{Kind, SLOPE};

/// A candidate operation of an edge with its weights.
#[derive(Debug)]
pub(super) enum EdgeOperation {
    /// A convolution.
    Conv(ConvNorm),
    /// An operation without weights.
    Bare(Arc<dyn Operation>),
    /// The input as it is.
    Identity,
    /// What never runs; its weight ẑ has no gradient.
    Zero,
}

impl EdgeOperation {
    /// Declares the weights of an operation of `kind` that keeps the number of channels, with its
    /// output at `level` and, if it `halves` the grid, its input a level above.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        kind: Kind,
        channels: usize,
        level: usize,
        halves: bool,
    ) -> Self {
        let slope = Some(SLOPE);
        let grid = *layout.grid();
        let stride = if halves { grid.stride(level) } else { [1; 3] };
        let pool = PoolSpec { window: grid.kernel(level, [3; 3]), stride };
        let both = [channels; 2];
        match kind {
            Kind::Conv { kernel } => {
                let spec = ConvSpec { kernel, stride, slope };
                Self::Conv(ConvNorm::dense(layout, name, both, level, spec))
            }
            Kind::Depthwise { kernel, dilation } => {
                let spec = DepthwiseSpec { kernel, dilation, stride, slope };
                Self::Conv(ConvNorm::separable(layout, name, channels, level, spec))
            }
            Kind::MaxPool => Self::Bare(Arc::new(MaxPool3d(pool))),
            Kind::AveragePool => Self::Bare(Arc::new(AvgPool3d(pool))),
            Kind::Identity if !halves => Self::Identity,
            Kind::Identity => Self::Conv(ConvNorm::pointwise(layout, name, both, level, stride)),
            Kind::Zero => Self::Zero,
        }
    }

    /// What it makes of `x` in a node's sum, if it runs.
    pub fn term<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> Option<Term<M::Volume>> {
        match self {
            Self::Conv(conv) => Some(conv.term(medium, x)),
            Self::Bare(operation) => {
                Some(Term { operation: operation.clone(), inputs: vec![x], z: None })
            }
            Self::Identity => Some(Term::identity(x)),
            Self::Zero => None,
        }
    }
}
