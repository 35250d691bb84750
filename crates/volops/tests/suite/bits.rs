//! What must be the same bits is: every kernel's results for any number of threads, on each
//! instruction set this machine has; and between instruction sets those of kernels that only
//! compare and copy. All others may differ there: instruction sets round a multiply-add once or
//! twice, and add up as many lanes as a vector has.

use std::process::Command;

use volops::kernel::Shape;
use volops::kernel::conv::grad_weight::{conv_transpose3d_grad_weight, conv3d_grad_weight};
use volops::kernel::conv::{
    ConvSpec, conv_transpose3d, conv_transpose3d_grad_input, conv3d, conv3d_grad_input,
};
use volops::kernel::depthwise::{
    DepthwiseSpec, depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight,
};
use volops::kernel::elementwise::{AdamStep, adam, dot};
use volops::kernel::norm::{instance_norm, instance_norm_grad};
use volops::kernel::pool::{avg_pool3d, avg_pool3d_grad, max_pool3d, max_pool3d_grad};
use volops::kernel::upsample::{upsample2, upsample2_grad};

use crate::values::values;

/// Kernels that only compare and copy.
const EXACT: [&str; 1] = ["max_pool"];

const ADAM: AdamStep = AdamStep {
    lr: 0.003,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.01,
    bias1: 0.1,
    bias2: 0.001,
};

/// FNV-1a over the bits.
fn digest(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|v| v.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn digests() -> Vec<(&'static str, u64)> {
    const CHANNELS: usize = 12;
    // One shape for the direct kernels, one for Winograd filtering, both with borders that no tile
    // fits.
    let small: Shape = [2, CHANNELS, 5, 7, 9];
    let large: Shape = [1, 16, 13, 18, 21];
    let mut all = Vec::new();
    for (shape, names) in [
        (small, ["conv", "conv_grad_input", "conv_grad_weight"]),
        (large, ["large", "large_grad_input", "large_grad_weight"]),
    ] {
        let (spec, channels) =
            (ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) }, shape[1]);
        let (x, w) = (values(shape.iter().product(), 1), values(channels * channels * 27, 1));
        let y = conv3d(&x, shape, &w, channels, spec);
        all.push((names[0], digest(&y)));
        all.push((names[1], digest(&conv3d_grad_input(&y, &w, &x, shape, channels, spec))));
        all.push((names[2], digest(&conv3d_grad_weight(&x, shape, &y, channels, spec))));
    }
    let (x, w) = (values(small.iter().product(), 1), values(CHANNELS * CHANNELS * 27, 1));
    let transposed = ConvSpec { kernel: [3; 3], stride: [2; 3], slope: Some(0.01) };
    let y = conv_transpose3d(&x, small, &w, CHANNELS, transposed);
    all.push(("transposed", digest(&y)));
    all.push((
        "transposed_grad_input",
        digest(&conv_transpose3d_grad_input(&y, &w, &x, small, CHANNELS, transposed)),
    ));
    all.push((
        "transposed_grad_weight",
        digest(&conv_transpose3d_grad_weight(&x, small, &y, CHANNELS, transposed)),
    ));
    let spec = DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.01) };
    let y = depthwise3d(&x, small, &w[..CHANNELS * 27], spec);
    all.push(("depthwise", digest(&y)));
    all.push((
        "depthwise_grad_input",
        digest(&depthwise3d_grad_input(&y, &w[..CHANNELS * 27], &x, small, spec)),
    ));
    all.push(("depthwise_grad_weight", digest(&depthwise3d_grad_weight(&x, small, &y, spec))));
    let (y, moments) = instance_norm(&x, small, &w[..CHANNELS], &w[CHANNELS..2 * CHANNELS]);
    all.push(("norm", digest(&y)));
    let (gx, gamma, beta) = instance_norm_grad(&y, &x, small, &w[..CHANNELS], &moments);
    all.push(("norm_grad", digest(&[gx, gamma, beta].concat())));
    all.push(("max_pool", digest(&max_pool3d(&x, small, 1))));
    all.push(("max_pool_grad", digest(&max_pool3d_grad(&y, &x, small, 1, 1.0, false).0)));
    all.push(("avg_pool", digest(&avg_pool3d(&x, small, 1))));
    all.push(("avg_pool_grad", digest(&avg_pool3d_grad(&y, small, 1, 1.0, None).0)));
    let wide = upsample2(&x, small);
    all.push(("upsample", digest(&wide)));
    all.push(("upsample_grad", digest(&upsample2_grad(&wide, small))));
    all.push(("dot", digest(&[dot(&x, &y)])));
    let (mut p, mut m, mut v) = (x.clone(), vec![0.0; x.len()], vec![0.0; x.len()]);
    adam(&mut p, &y, &mut m, &mut v, &ADAM);
    all.push(("adam", digest(&[p, m, v].concat())));
    all
}

/// Names the child process in which the instruction set is chosen by hand.
const CHILD: &str = "VOLOPS_TEST_BITS";

/// Begins the lines in which a child says what it found.
const MARK: &str = "digest";

#[test]
fn results_are_the_same_bits_wherever_they_must_be() {
    if std::env::var_os(CHILD).is_some() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(digests)
        };
        let one = on(1);
        for threads in [2, 3] {
            assert_eq!(on(threads), one, "{threads} threads");
        }
        for (name, digest) in one {
            println!("{MARK} {name} {digest:x}");
        }
        return;
    }
    // Where there is no AVX2, that is the best there is once more.
    let sets = ["scalar", "avx2", "best"].map(|set| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "bits::results_are_the_same_bits_wherever_they_must_be",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("VOLOPS_SIMD", set)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{set}: {text}{errors}");
        let found = |line: &str| line.split_once(MARK).map(|(_, found)| found.to_string());
        let found: Vec<String> = text.lines().filter_map(found).collect();
        assert_eq!(found.len(), digests().len(), "{set}: {text}");
        found
    });
    for name in EXACT {
        let of = |set: &Vec<String>| {
            set.iter().find(|line| line.starts_with(&format!(" {name} "))).cloned().unwrap()
        };
        let [scalar, others @ ..] = sets.each_ref().map(of);
        assert!(others.iter().all(|other| *other == scalar), "{name}: {scalar}, {others:?}");
    }
}
