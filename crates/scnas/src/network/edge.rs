//! How each kind of operation is built: one arm a kind.

use std::fmt;

use burn::tensor::Tensor;
use volops::{AvgPool3d, ConvSpec, DepthwiseSpec, MaxPool3d, PoolSpec, Term};

use crate::network::layers::ConvNorm;
use crate::network::layout::Layout;
use crate::network::weights::Pass;
use crate::space::operation::{Kind, SLOPE};

/// What an operation makes of an input in a node's sum, with the weights of a pass; nothing if it is
/// `zero`, which never runs and whose weight ẑ has no gradient.
type InPass = Box<dyn Fn(&Pass, Tensor<5>) -> Option<Term> + Send + Sync>;

/// A candidate operation of an edge with its weights.
pub(super) struct EdgeOperation(InPass);

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
        let conv = |conv: ConvNorm| -> InPass { Box::new(move |pass, x| Some(conv.term(pass, x))) };
        Self(match kind {
            Kind::Conv { kernel } => {
                let spec = ConvSpec { kernel, stride, slope };
                conv(ConvNorm::dense(layout, name, both, level, spec))
            }
            Kind::Depthwise { kernel, dilation } => {
                let spec = DepthwiseSpec { kernel, dilation, stride, slope };
                conv(ConvNorm::separable(layout, name, channels, level, spec))
            }
            Kind::MaxPool => Box::new(move |_, x| Some(Term::new(MaxPool3d(pool), [x]))),
            Kind::AveragePool => Box::new(move |_, x| Some(Term::new(AvgPool3d(pool), [x]))),
            Kind::Identity if !halves => Box::new(|_, x| Some(Term::identity(x))),
            Kind::Identity => conv(ConvNorm::pointwise(layout, name, both, level, stride)),
            Kind::Zero => Box::new(|_, _| None),
        })
    }

    /// What it makes of `x` in a node's sum, if it runs.
    pub fn term(&self, pass: &Pass, x: Tensor<5>) -> Option<Term> {
        (self.0)(pass, x)
    }
}

impl fmt::Debug for EdgeOperation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("EdgeOperation")
    }
}
