//! What a network costs.

use std::fmt;

use crate::memory;

/// What a network costs: what can be counted, and what was weighed, where that was worth it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Convolution weights.
    pub parameters: u64,
    /// Of a patch.
    pub gflops: f64,
    /// Of the prediction of the largest training case.
    pub seconds: Option<f64>,
    /// Bytes of a process that predicts that case and does nothing else.
    pub memory: Option<u64>,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { parameters, gflops, seconds, memory } = self;
        write!(f, "{parameters} parameters, {gflops:.3} GFLOPs")?;
        if let Some(seconds) = seconds {
            write!(f, ", {seconds:.2} s for the largest training case")?;
        }
        memory.map_or(Ok(()), |bytes| write!(f, ", {}", memory::text(bytes)))
    }
}
