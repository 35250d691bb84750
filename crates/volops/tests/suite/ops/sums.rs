//! Weighted sums of operations.

use burn::tensor::Tensor;
use proptest::prelude::*;
use volops::{
    AvgPool3d, Concat, Conv3d, ConvSpec, ConvTranspose3d, Depthwise3d, DepthwiseSpec, Kept,
    Kernels, LeakyRelu, MaxPool3d, Normed, Operation, PoolSpec, Term, Upsample, composition,
};

use super::{check, shapes};

/// As between two levels of a network.
const TRANSPOSED: ConvSpec = ConvSpec { kernel: [3; 3], stride: [2; 3], slope: Some(0.01) };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_scaled_sum_equals_its_composition(x in shapes(9)) {
        let z = [1; 5];
        check(
            "add_scaled",
            [x, x, z],
            |[acc, y, z]| volops::add_scaled(Some(acc), y, Some(z.reshape([1]))),
            |[acc, y, z]| composition::add_scaled(Some(acc), y, Some(z.reshape([1]))),
        );
        check(
            "add_scaled",
            [x, z],
            |[y, z]| volops::add_scaled(None, y, Some(z.reshape([1]))),
            |[y, z]| composition::add_scaled(None, y, Some(z.reshape([1]))),
        );
        check(
            "add_scaled",
            [x, x],
            |[acc, y]| volops::add_scaled(Some(acc), y, None),
            |[acc, y]| composition::add_scaled(Some(acc), y, None),
        );
        check(
            "add_scaled",
            [x],
            |[y]| volops::add_scaled(None, y, None),
            |[y]| composition::add_scaled(None, y, None),
        );
    }

    #[test]
    fn a_weighted_sum_of_operations_equals_its_composition(
        [n, c, d, h, w] in shapes(6), kinds in prop::collection::vec((0..5usize, any::<bool>(), any::<bool>()), 1..14),
    ) {
        let x = [n, c, d + 1, h + 1, w + 1];
        let scale = [1, c, 1, 1, 1];
        let dense_spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
        let depthwise_spec = DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.01) };
        let pointwise_spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
        // All inputs have a gradient.
        let kinds: Vec<_> = [(0, false, true), (1, true, true)].into_iter().chain(kinds).collect();
        let sum = |[x, other, dense, depthwise, pointwise, gamma, beta, z]: [Tensor<5>; 8]| {
            let term = |&(kind, of_other, is_weighted): &(usize, bool, bool)| {
                let x = if of_other { other.clone() } else { x.clone() };
                let term = match kind {
                    0 => Term::new(
                        Normed::of(Conv3d(dense_spec)),
                        [x, dense.clone(), gamma.clone(), beta.clone()],
                    ),
                    1 => Term::new(
                        Normed::separable(depthwise_spec),
                        [x, depthwise.clone(), pointwise.clone(), gamma.clone(), beta.clone()],
                    ),
                    2 => Term::new(MaxPool3d(PoolSpec::cube(1)), [x]),
                    3 => Term::new(AvgPool3d(PoolSpec::cube(1)), [x]),
                    _ => Term::identity(x),
                };
                Term { z: is_weighted.then(|| z.clone().reshape([1])), ..term }
            };
            volops::weighted_sum(kinds.iter().map(term).collect())
        };
        let slow = |[x, other, dense, depthwise, pointwise, gamma, beta, z]: [Tensor<5>; 8]| {
            let add = |sum, &(kind, of_other, is_weighted): &(usize, bool, bool)| {
                let x = if of_other { other.clone() } else { x.clone() };
                let norm = |y| composition::instance_norm(y, gamma.clone(), beta.clone());
                let y = match kind {
                    0 => norm(composition::conv3d(x, dense.clone(), dense_spec)),
                    1 => {
                        let y = composition::depthwise3d(x, depthwise.clone(), depthwise_spec);
                        norm(composition::conv3d(y, pointwise.clone(), pointwise_spec))
                    }
                    2 => composition::max_pool3d(x, PoolSpec::cube(1)),
                    3 => composition::avg_pool3d(x, PoolSpec::cube(1)),
                    _ => x,
                };
                let z = is_weighted.then(|| z.clone().reshape([1]));
                Some(composition::add_scaled(sum, y, z))
            };
            kinds.iter().fold(None, add).unwrap()
        };
        check(
            "weighted_sum",
            [x, x, [c, c, 3, 3, 3], [c, 1, 3, 3, 3], [c, c, 1, 1, 1], scale, scale, [1; 5]],
            sum,
            slow,
        );
    }

    #[test]
    fn every_operation_may_be_a_weighted_term([n, c, d, h, w] in shapes(5), kind in 0..7usize) {
        let [x, acc] = [[n, c, d, h, w], if kind < 3 { [n, c, d, h, w] } else { [n, c, 2 * d, 2 * h, 2 * w] }];
        let acc = if kind == 5 { [n, 2 * c, d, h, w] } else if kind == 6 { x } else { acc };
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
        let depthwise = DepthwiseSpec { kernel: [3; 3], dilation: 1, stride: [1; 3], slope: None };
        let weight = [c, if kind == 1 { 1 } else { c }, 3, 3, 3];
        check(
            "weighted_sum",
            [acc, x, weight, [1; 5]],
            |[acc, x, weight, z]| {
                let both = [x.clone(), weight.clone()];
                let term = match kind {
                    0 => Term::new(Conv3d(spec), both),
                    1 => Term::new(Depthwise3d(depthwise), both),
                    2 => Term::new(LeakyRelu { slope: 0.1 }, [x.clone()]),
                    3 => Term::new(ConvTranspose3d(TRANSPOSED), both),
                    4 => Term::new(Upsample { factor: [2; 3] }, [x.clone()]),
                    5 => Term::new(Concat, [x.clone(), x.clone()]),
                    _ => Term::new(MinPool3d, [x.clone()]),
                };
                let term = Term { z: Some(z.reshape([1])), ..term };
                anchored(volops::weighted_sum(vec![Term::identity(acc), term]), x, weight)
            },
            |[acc, x, weight, z]| {
                let of = x.clone();
                let y = match kind {
                    0 => composition::conv3d(of, weight.clone(), spec),
                    1 => composition::depthwise3d(of, weight.clone(), depthwise),
                    2 => composition::leaky_relu(of, 0.1),
                    3 => composition::conv_transpose3d(of, weight.clone(), TRANSPOSED),
                    4 => composition::upsample(of, [2; 3]),
                    5 => Tensor::cat(vec![of.clone(), of], 1),
                    _ => composition::max_pool3d(of.neg(), PoolSpec::cube(1)).neg(),
                };
                let sum = composition::add_scaled(Some(acc), y, Some(z.reshape([1])));
                anchored(sum, x, weight)
            },
        );
    }
}

/// The smallest value in a 3³ window, from stock operations only.
#[derive(Debug)]
struct MinPool3d;

impl Operation for MinPool3d {
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = composition::max_pool3d(inputs[0].clone().neg(), PoolSpec::cube(1)).neg();
        (kernels.add_scaled(sum, y, z), Kept::new())
    }
}

/// `y`, and something of `x` and `weight`, so that both have a gradient whether `y` is of them or
/// not.
fn anchored(y: Tensor<5>, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    y + (x.sum() + weight.sum()).reshape([1; 5])
}
