//! Every kernel against what PyTorch computes (`fixtures/make.py` wrote the fixture and describes
//! its format).

use std::collections::HashMap;

use volops::kernel::Shape;
use volops::kernel::conv::grad_weight::{conv_transpose3d_grad_weight, conv3d_grad_weight};
use volops::kernel::conv::{
    ConvSpec, conv_transpose3d, conv_transpose3d_grad_input, conv3d, conv3d_grad_input,
};
use volops::kernel::depthwise::{
    DepthwiseSpec, depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight,
};
use volops::kernel::elementwise::{leaky_relu, leaky_relu_grad};
use volops::kernel::norm::{instance_norm, instance_norm_grad};
use volops::kernel::pool::{avg_pool3d, avg_pool3d_grad, max_pool3d, max_pool3d_grad};
use volops::kernel::upsample::{upsample2, upsample2_grad};

const INDEX: &str = include_str!("../fixtures/pytorch.txt");
const DATA: &[u8] = include_bytes!("../fixtures/pytorch.bin");
const TENSORS: [&str; 8] = ["x", "w", "b", "y", "gy", "gx", "gw", "gb"];

struct Case {
    kind: &'static str,
    keys: HashMap<&'static str, &'static str>,
    tensors: HashMap<&'static str, (Vec<usize>, Vec<f32>)>,
}

impl Case {
    fn tensor(&self, name: &str) -> &[f32] {
        &self.tensors[name].1
    }

    fn shape(&self, name: &str) -> Shape {
        self.tensors[name].0.as_slice().try_into().unwrap()
    }

    fn number(&self, key: &str) -> usize {
        self.keys[key].parse().unwrap()
    }

    fn kernel(&self) -> [usize; 3] {
        list(self.keys["kernel"]).try_into().unwrap()
    }

    fn slope(&self) -> Option<f32> {
        Some(self.keys["slope"].parse().unwrap()).filter(|&slope| slope != 1.0)
    }

    fn check(&self, name: &str, found: &[f32]) {
        let expected = self.tensor(name);
        assert_eq!(found.len(), expected.len(), "{name} of {} {:?}", self.kind, self.keys);
        let scale = expected.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            let same = (f - e).abs() <= 2e-6 * scale;
            assert!(same, "{name}[{i}] of {} {:?} is {f}, expected {e}", self.kind, self.keys);
        }
    }
}

fn list(text: &str) -> Vec<usize> {
    text.split(',').map(|n| n.parse().unwrap()).collect()
}

fn cases() -> Vec<Case> {
    let mut data = DATA.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let cases: Vec<Case> = INDEX
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let pairs = words.map(|word| word.split_once('=').unwrap());
            let (tensors, keys): (Vec<_>, Vec<_>) =
                pairs.partition(|(name, _)| TENSORS.contains(name));
            let mut load = |(name, shape)| {
                let shape = list(shape);
                let values: Vec<f32> = data.by_ref().take(shape.iter().product()).collect();
                (name, (shape, values))
            };
            Case {
                kind,
                keys: keys.into_iter().collect(),
                tensors: tensors.into_iter().map(&mut load).collect(),
            }
        })
        .collect();
    assert_eq!(data.len(), 0, "the index does not cover the data");
    cases
}

/// Runs `check` on every case of one kind; there is at least one.
fn each(kind: &str, check: impl Fn(&Case)) {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.kind == kind).collect();
    assert!(!cases.is_empty(), "no case of {kind}");
    cases.iter().for_each(check);
}

#[test]
fn convolution_equals_pytorch() {
    each("conv", |case| {
        let spec = ConvSpec {
            kernel: case.kernel(),
            stride: [case.number("stride"); 3],
            slope: case.slope(),
        };
        let (x, xs, w, gy) =
            (case.tensor("x"), case.shape("x"), case.tensor("w"), case.tensor("gy"));
        let out_channels = case.shape("w")[0];
        case.check("y", &conv3d(x, xs, w, out_channels, spec));
        case.check("gx", &conv3d_grad_input(gy, w, x, xs, out_channels, spec));
        case.check("gw", &conv3d_grad_weight(x, xs, gy, out_channels, spec));
    });
}

#[test]
fn transposed_convolution_equals_pytorch() {
    each("conv_transpose", |case| {
        let (x, xs, w, gy) =
            (case.tensor("x"), case.shape("x"), case.tensor("w"), case.tensor("gy"));
        let out_channels = case.shape("w")[1];
        let spec = ConvSpec { kernel: [3; 3], stride: [2; 3], slope: case.slope() };
        case.check("y", &conv_transpose3d(x, xs, w, out_channels, spec));
        case.check("gx", &conv_transpose3d_grad_input(gy, w, x, xs, out_channels, spec));
        case.check("gw", &conv_transpose3d_grad_weight(x, xs, gy, out_channels, spec));
    });
}

#[test]
fn depthwise_convolution_equals_pytorch() {
    each("depthwise", |case| {
        let (dilation, stride) = (case.number("dilation"), [case.number("stride"); 3]);
        let spec = DepthwiseSpec { kernel: case.kernel(), dilation, stride, slope: case.slope() };
        let (x, xs, w, gy) =
            (case.tensor("x"), case.shape("x"), case.tensor("w"), case.tensor("gy"));
        case.check("y", &depthwise3d(x, xs, w, spec));
        case.check("gx", &depthwise3d_grad_input(gy, w, x, xs, spec));
        case.check("gw", &depthwise3d_grad_weight(x, xs, gy, spec));
    });
}

#[test]
fn max_pooling_equals_pytorch_also_where_maxima_are_tied() {
    each("max_pool", |case| {
        let (x, xs, stride) = (case.tensor("x"), case.shape("x"), case.number("stride"));
        case.check("y", &max_pool3d(x, xs, stride));
        case.check("gx", &max_pool3d_grad(case.tensor("gy"), x, xs, stride, 1.0, false).0);
    });
}

#[test]
fn average_pooling_equals_pytorch() {
    each("avg_pool", |case| {
        let (xs, stride) = (case.shape("x"), case.number("stride"));
        case.check("y", &avg_pool3d(case.tensor("x"), xs, stride));
        case.check("gx", &avg_pool3d_grad(case.tensor("gy"), xs, stride, 1.0, None).0);
    });
}

#[test]
fn instance_norm_equals_pytorch() {
    each("instance_norm", |case| {
        let (x, xs, w) = (case.tensor("x"), case.shape("x"), case.tensor("w"));
        let (y, moments) = instance_norm(x, xs, w, case.tensor("b"));
        case.check("y", &y);
        let (gx, gw, gb) = instance_norm_grad(case.tensor("gy"), x, xs, w, &moments);
        case.check("gx", &gx);
        case.check("gw", &gw);
        case.check("gb", &gb);
    });
}

#[test]
fn trilinear_upsampling_equals_pytorch() {
    each("upsample", |case| {
        case.check("y", &upsample2(case.tensor("x"), case.shape("x")));
        case.check("gx", &upsample2_grad(case.tensor("gy"), case.shape("x")));
    });
}

#[test]
fn leaky_relu_equals_pytorch() {
    each("leaky_relu", |case| {
        case.check("y", &leaky_relu(case.tensor("x"), 0.01));
        case.check("gx", &leaky_relu_grad(case.tensor("gy"), case.tensor("x"), 0.01));
    });
}
