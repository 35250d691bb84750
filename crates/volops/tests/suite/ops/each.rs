//! One operation at a time.

use std::array;

use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;
use volops::{AdamStep, ConvSpec, DepthwiseSpec, PoolSpec, composition};

use super::{check, shapes, tolerance};
use crate::support::{assert_close, devices, inputs, random, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn conv3d_equals_its_composition(
        x in shapes(9), co in 1..6usize, kernel in kernels(), stride in strides(), slope in slopes(),
    ) {
        let weight = [co, x[1], kernel[0], kernel[1], kernel[2]];
        let spec = ConvSpec { kernel, stride, slope };
        check(
            "conv3d",
            [x, weight],
            |[x, w]| volops::conv3d(x, w, spec),
            |[x, w]| composition::conv3d(x, w, spec),
        );
    }

    #[test]
    fn conv_transpose3d_equals_its_composition(
        x in shapes(6), co in 1..6usize, kernel in kernels(), stride in strides(), slope in slopes(),
    ) {
        let spec = ConvSpec { kernel, stride, slope };
        check(
            "conv_transpose3d",
            [x, [x[1], co, kernel[0], kernel[1], kernel[2]]],
            |[x, w]| volops::conv_transpose3d(x, w, spec),
            |[x, w]| composition::conv_transpose3d(x, w, spec),
        );
    }

    #[test]
    fn depthwise3d_equals_its_composition(
        x in shapes(11), kernel in kernels(), dilation in 1..=4usize, stride in strides(), slope in slopes(),
    ) {
        let spec = DepthwiseSpec { kernel, dilation, stride, slope };
        check(
            "depthwise3d",
            [x, [x[1], 1, kernel[0], kernel[1], kernel[2]]],
            |[x, w]| volops::depthwise3d(x, w, spec),
            |[x, w]| composition::depthwise3d(x, w, spec),
        );
    }

    #[test]
    fn max_pool3d_equals_its_composition(x in shapes(11), spec in pools()) {
        check(
            "max_pool3d",
            [x],
            |[x]| volops::max_pool3d(x, spec),
            |[x]| composition::max_pool3d(x, spec),
        );
    }

    #[test]
    fn avg_pool3d_equals_its_composition(x in shapes(11), spec in pools()) {
        check(
            "avg_pool3d",
            [x],
            |[x]| volops::avg_pool3d(x, spec),
            |[x]| composition::avg_pool3d(x, spec),
        );
    }

    #[test]
    fn upsample_equals_its_composition(x in shapes(9), factor in strides()) {
        check(
            "upsample",
            [x],
            |[x]| volops::upsample(x, factor),
            |[x]| composition::upsample(x, factor),
        );
    }

    #[test]
    fn leaky_relu_equals_its_composition(x in shapes(9), slope in 0.0..1.0f32) {
        check(
            "leaky_relu",
            [x],
            |[x]| volops::leaky_relu(x, slope),
            |[x]| composition::leaky_relu(x, slope),
        );
    }

    #[test]
    fn instance_norm_equals_its_composition([n, c, d, h, w] in shapes(9)) {
        // Fewer voxels leave a variance so small that both are mostly rounding.
        let x = [n, c, d + 1, h + 1, w + 1];
        let scale = [1, c, 1, 1, 1];
        check(
            "instance_norm",
            [x, scale, scale],
            |[x, gamma, beta]| volops::instance_norm(x, gamma, beta),
            |[x, gamma, beta]| composition::instance_norm(x, gamma, beta),
        );
    }

    #[test]
    fn concat_equals_the_stock_operation([n, c, d, h, w] in shapes(9), more in 0..3usize) {
        let parts = array::from_fn::<_, 4, _>(|i| [n, c + i * more, d, h, w]);
        check("concat", parts, volops::concat, |parts| Tensor::cat(parts.to_vec(), 1));
    }
}

#[test]
fn adam_is_the_textbook_loop() {
    let step = AdamStep {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.1,
        bias1: 1.0 - 0.9f32.powi(3),
        bias2: 1.0 - 0.99f32.powi(3),
    };
    let shape = [3, 5, 2, 3, 1];
    let [p, g, m, v] = array::from_fn(|i| values(90, i));
    let v: Vec<f32> = v.into_iter().map(f32::abs).collect();
    let mut expected = [p.clone(), m.clone(), v.clone()];
    for (i, &g) in g.iter().enumerate() {
        let [p, m, v] = expected.each_mut().map(|values| &mut values[i]);
        *m = step.beta1 * *m + (1.0 - step.beta1) * g;
        *v = step.beta2 * *v + (1.0 - step.beta2) * g * g;
        *p -= step.lr * step.weight_decay * *p;
        *p -= step.lr * (*m / step.bias1) / ((*v / step.bias2).sqrt() + step.eps);
    }
    for device in devices() {
        let on_device = |values: &Vec<f32>| {
            Tensor::<5>::from_data(TensorData::new(values.clone(), shape), &device)
        };
        for update in [volops::adam, composition::adam] {
            let [p, g, m, v] = [&p, &g, &m, &v].map(on_device);
            let (p, m, v) = update(p, g, m, v, &step);
            for (found, expected) in [p, m, v].into_iter().zip(&expected) {
                assert_close(
                    &format!("adam on {device:?}"),
                    found,
                    on_device(expected),
                    tolerance("adam", &device),
                );
            }
        }
    }
}

#[test]
fn other_element_types_take_the_composition() {
    let double = |seed| random([1, 2, 4, 5, 3], seed, &Device::flex()).cast(DType::F64);
    let y =
        volops::add_scaled(Some(volops::max_pool3d(double(0), PoolSpec::cube(1))), double(1), None);
    assert_eq!(y.dtype(), DType::F64);
    assert_close(
        "add_scaled",
        y,
        composition::max_pool3d(double(0), PoolSpec::cube(1)) + double(1),
        0.0,
    );
}

#[test]
#[should_panic(expected = "weights [out, in, kd, kh, kw] for an input [1, 2, 4, 4, 4]")]
fn weights_that_do_not_fit_the_input_are_refused() {
    let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: None };
    let [x, w] = inputs([[1, 2, 4, 4, 4], [2, 3, 3, 3, 3]], &Device::flex());
    volops::conv3d(x, w, spec);
}

fn kernels() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![Just([3, 3, 3]), Just([1, 1, 1]), Just([1, 3, 3]), Just([3, 1, 1])]
}

/// Half of them the same along all axes.
fn strides() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![(1..=2usize).prop_map(|stride| [stride; 3]), prop::array::uniform3(1..=2usize)]
}

/// Poolings over cubes, and those whose axes differ.
fn pools() -> impl Strategy<Value = PoolSpec> {
    let windows =
        prop_oneof![Just([3; 3]), prop::array::uniform3(prop::sample::select(vec![1, 3usize])),];
    (windows, strides()).prop_map(|(window, stride)| PoolSpec { window, stride })
}

fn slopes() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![Just(None), Just(Some(0.01))]
}
