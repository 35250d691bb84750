//! The scalar kernels give the same bits in every build (debug or release) on every machine: what
//! they gave once is written here. Whoever changes what a kernel computes writes down its new
//! value; whoever changes how it is compiled must not have to.

#[path = "support/values.rs"]
mod values;

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

use values::values;

const RECORDED: [(&str, u64); 22] = [
    ("conv", 0xe089_34ec_da06_0618),
    ("conv_grad_input", 0x1b06_98ad_1348_08b4),
    ("conv_grad_weight", 0xf230_6174_7b6a_a18c),
    ("large", 0x912f_0bd2_b943_3d92),
    ("large_grad_input", 0xaf9f_83c6_424c_d44a),
    ("large_grad_weight", 0x99b9_5cf5_6206_4924),
    ("transposed", 0x58fb_dc8a_73b4_c75e),
    ("transposed_grad_input", 0x75e6_ae48_119c_5470),
    ("transposed_grad_weight", 0xba74_9a91_0f64_c450),
    ("depthwise", 0xed2f_e083_fec9_2075),
    ("depthwise_grad_input", 0x10d8_7ae7_59fc_a933),
    ("depthwise_grad_weight", 0x7622_89f7_5397_2800),
    ("norm", 0xb1da_c139_6fd3_221f),
    ("norm_grad", 0x7a13_3099_c349_9e83),
    ("max_pool", 0x23e7_82b0_81f8_6ca1),
    ("max_pool_grad", 0xaf3e_cf91_2ffc_b3d8),
    ("avg_pool", 0xe33e_63cf_2f7a_4eff),
    ("avg_pool_grad", 0x577d_7861_347e_b704),
    ("upsample", 0x62f2_ae19_f956_442e),
    ("upsample_grad", 0xb221_b380_61fa_6809),
    ("dot", 0x90c6_f3e1_a90a_65f6),
    ("adam", 0xcea8_1795_ae7d_d9b3),
];

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
            (ConvSpec { kernel: [3; 3], stride: 1, slope: Some(0.01) }, shape[1]);
        let (x, w) = (values(shape.iter().product(), 1), values(channels * channels * 27, 1));
        let y = conv3d(&x, shape, &w, channels, spec);
        all.push((names[0], digest(&y)));
        all.push((names[1], digest(&conv3d_grad_input(&y, &w, &x, shape, channels, spec))));
        all.push((names[2], digest(&conv3d_grad_weight(&x, shape, &y, channels, spec))));
    }
    let (x, w) = (values(small.iter().product(), 1), values(CHANNELS * CHANNELS * 27, 1));
    let y = conv_transpose3d(&x, small, &w, CHANNELS, Some(0.01));
    all.push(("transposed", digest(&y)));
    all.push((
        "transposed_grad_input",
        digest(&conv_transpose3d_grad_input(&y, &w, &x, small, CHANNELS, Some(0.01))),
    ));
    all.push((
        "transposed_grad_weight",
        digest(&conv_transpose3d_grad_weight(&x, small, &y, CHANNELS, Some(0.01))),
    ));
    let spec = DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: 1, slope: Some(0.01) };
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

#[test]
fn the_scalar_kernels_give_the_recorded_bits() {
    if std::env::var_os(CHILD).is_some() {
        assert_eq!(digests(), RECORDED);
        return;
    }
    let test = std::env::current_exe().unwrap();
    let test_name = ["--exact", "the_scalar_kernels_give_the_recorded_bits"];
    let output = Command::new(test)
        .args(test_name)
        .env(CHILD, "1")
        .env("VOLOPS_SIMD", "scalar")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
