//! Linear resampling to twice the grid, along all axes or some.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, Step,
    node::{Kept, Undone, alone},
};

/// Linear resampling of the axes by a `factor` of 1 or 2 each, voxel centres kept in place
/// (`align_corners = false`): along an axis that is doubled every new voxel takes ¾ of the voxel it
/// lies in and ¼ of the nearest other one; beyond the border the last voxel goes on.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, factor·depth, factor·height, factor·width]`
pub fn upsample(x: Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
    alone(Upsample { factor }, [x])
}

/// [`upsample`] as an operation. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    /// Along depth, height and width: 1 or 2 each.
    pub factor: [usize; 3],
}

impl Operation for Upsample {
    fn hands_on(&self) -> bool {
        true
    }

    fn steps(&self) -> Option<Vec<Step>> {
        Some(vec![Step::Upsample { factor: self.factor }])
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = kernels.upsample(&inputs[0], self.factor);
        (kernels.add_scaled(sum, y, z), Kept::new())
    }

    fn reads(&self, _: &[bool], wants_z: bool) -> Vec<bool> {
        vec![wants_z]
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        if term.wanted[0] {
            found(0, term.kernels.upsample_gradient(&term.unweighted(), self.factor));
        }
        term.by_weight(|| term.kernels.upsample(term.inputs[0].value(), self.factor))
    }
}
