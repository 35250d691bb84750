//! The Adam update.

use burn::tensor::Tensor;

use crate::{AdamStep, backend::kernels_of};

/// A tensor on its way through an Adam update.
#[derive(Debug)]
pub struct AdamUpdate {
    /// Parameters.
    pub p: Tensor<5>,
    /// Their gradient; shaped as they are.
    pub g: Tensor<5>,
    /// Running mean of the gradient; shaped as they are.
    pub m: Tensor<5>,
    /// Running mean of its square; shaped as they are.
    pub v: Tensor<5>,
    /// What the update does.
    pub step: AdamStep,
}

/// One Adam update of the parameters `p` with gradient `g` and moments `m` and `v`: the new `(p, m,
/// v)`.
///
/// Nothing is recorded for autodiff. The results reuse the memory of `p`, `m`, `v` if nothing else
/// refers to it, where there are kernels for it.
///
/// # Panics
/// If the shapes differ.
pub fn adam(
    p: Tensor<5>,
    g: Tensor<5>,
    m: Tensor<5>,
    v: Tensor<5>,
    step: &AdamStep,
) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
    let is_autodiff = p.is_autodiff();
    let kernels = kernels_of(&p);
    let [p, g, m, v] = [p, g, m, v].map(Tensor::without_autodiff);
    let (p, m, v) = kernels.adam(p, g, m, v, step);
    let [p, m, v] = [p, m, v].map(|tensor| if is_autodiff { tensor.autodiff() } else { tensor });
    (p, m, v)
}

/// [`adam`] of many tensors of one device without autodiff, their gradients times `scale` first.
///
/// # Panics
/// If the shapes of an update differ.
pub fn adam_all(
    updates: Vec<AdamUpdate>,
    scale: Option<f64>,
) -> Vec<(Tensor<5>, Tensor<5>, Tensor<5>)> {
    match updates.first() {
        Some(first) => kernels_of(&first.p).adam_all(updates, scale),
        None => Vec::new(),
    }
}

/// The sum of the squares of all elements of tensors of one device without autodiff.
pub fn squared_norm(tensors: &[Tensor<5>]) -> f64 {
    tensors.first().map_or(0.0, |first| kernels_of(first).squared_norm(tensors))
}
