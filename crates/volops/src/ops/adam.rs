//! The Adam update.

use burn::tensor::Tensor;

use crate::{AdamStep, backend::kernels_of};

/// One Adam update of the parameters `p` with gradient `g` and moments `m` and `v`: the new `(p, m,
/// v)`.
///
/// Nothing is recorded for autodiff. On the CPU the results reuse the memory of `p`, `m`, `v` if
/// nothing else refers to it.
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
