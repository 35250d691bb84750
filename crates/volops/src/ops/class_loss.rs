//! The loss of logits against the class of each voxel, where the device can compute it.

use burn::tensor::Tensor;

use crate::backend::kernels_of;

/// Soft Dice over the classes but the first, and cross-entropy, each with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassLoss {
    /// Weight of one minus the mean, over those classes that occur in the batch, of
    /// `(2 Σ p·t + smooth) / (Σ p + Σ t + smooth)`.
    pub dice: f32,
    /// Weight of the mean over voxels of -ln p of the true class.
    pub cross_entropy: f32,
    /// See `dice`.
    pub smooth: f32,
    /// A gradient of less is 0.
    pub least: f32,
}

/// The gradient of `loss` of logits `[batch, outputs, depth, height, width]` with respect to them,
/// and its value, both left on the device. `classes` is the true class of each voxel, `[batch,
/// depth, height, width]`; voxels of a class that is no output are ignored. None where no kernel
/// computes it: then it is for the caller to do.
///
/// # Panics
/// If there is not a class for each voxel.
pub fn class_loss(
    logits: &Tensor<5>,
    classes: &[u8],
    loss: &ClassLoss,
) -> Option<(Tensor<5>, Tensor<1>)> {
    kernels_of(logits).class_loss(&logits.clone().without_autodiff(), classes, loss)
}
