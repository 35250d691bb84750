//! How fast the operations are on a device, beside the rate at which it copies.
//!
//! ```sh
//! cargo run --release -p volops --features gpu --example rates -- gpu
//! ```
//!
//! Every time is the median of twenty repetitions, with the wait for the device at the end: forward,
//! and forward with backward. The shares of the copy rate are those of the bytes that the kernels are
//! given, each launch's buffers once. On the CPU these are not counted.

use std::{env, error::Error, time::Instant};

use burn::tensor::{Device, Distribution, Tensor};
use volops::{
    AvgPool3d, Conv3d, ConvSpec, Depthwise3d, DepthwiseSpec, MaxPool3d, Normed, Operation,
    PoolSpec, Term, count_work, device, weighted_sum,
};

/// Channels and edge of the volumes.
const SIZES: [(usize, usize); 4] = [(8, 128), (16, 64), (32, 32), (8, 40)];
const REPETITIONS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().nth(1).unwrap_or_else(|| "cpu".into());
    let device = device(&name)?;
    for (channels, edge) in SIZES {
        let shape = [1, channels, edge, edge, edge];
        let random = |shape| Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let x = random(shape);
        let half = Tensor::<1>::full([1], 0.5, &device);
        let (copy, bytes) = median(&device, || {
            drop(volops::add_scaled(None, x.clone(), Some(half.clone())));
        });
        let bytes = bytes.max(8 * x.dims().iter().product::<usize>() as u64);
        let rate = bytes as f64 / copy;
        println!(
            "\n{channels} channels of {edge}³: copies {:.0} GB/s, {:.0} µs",
            rate / 1e9,
            copy * 1e6
        );
        println!("{:12}{:>12}{:>8}{:>12}{:>8}", "", "forward µs", "share", "both µs", "share");
        for (what, weights, operation) in operations(channels) {
            let weights: Vec<_> = weights.into_iter().map(random).collect();
            let forward = |x: &Tensor<5>, weights: &[Tensor<5>]| {
                let inputs: Vec<_> = [x].into_iter().chain(weights).cloned().collect();
                let mut term = Term::identity(x.clone());
                term.inputs = inputs;
                term.operation = operation.clone();
                weighted_sum(vec![term])
            };
            let ahead = median(&device, || drop(forward(&x, &weights)));
            let both = median(&device, || {
                let tracked = |x: &Tensor<5>| Tensor::from_inner(x.clone()).require_grad();
                let y = forward(&tracked(&x), &weights.iter().map(tracked).collect::<Vec<_>>());
                drop((y * Tensor::from_inner(x.clone())).sum().backward());
            });
            print!("{what:12}");
            for (seconds, bytes) in [ahead, both] {
                let share = 100.0 * bytes as f64 / seconds / rate;
                print!("{:12.1}{share:7.0}%", seconds * 1e6);
            }
            println!();
        }
    }
    Ok(())
}

/// Name, shapes of the weights, operation.
type Case = (&'static str, Vec<[usize; 5]>, std::sync::Arc<dyn Operation>);

fn operations(c: usize) -> Vec<Case> {
    let conv = |kernel| ConvSpec { kernel, stride: [1; 3], slope: Some(0.01) };
    let depthwise =
        DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.01) };
    let scale = [1, c, 1, 1, 1];
    vec![
        ("conv 3³", vec![[c, c, 3, 3, 3]], std::sync::Arc::new(Conv3d(conv([3; 3])))),
        ("conv 1³", vec![[c, c, 1, 1, 1]], std::sync::Arc::new(Conv3d(conv([1; 3])))),
        ("depthwise", vec![[c, 1, 3, 3, 3]], std::sync::Arc::new(Depthwise3d(depthwise))),
        ("max pool", vec![], std::sync::Arc::new(MaxPool3d(PoolSpec::cube(1)))),
        ("mean pool", vec![], std::sync::Arc::new(AvgPool3d(PoolSpec::cube(1)))),
        (
            "conv, norm",
            vec![[c, c, 3, 3, 3], scale, scale],
            std::sync::Arc::new(Normed::of(Conv3d(conv([3; 3])))),
        ),
    ]
}

/// Seconds of `f`, in the middle of all, and the bytes that its kernels are given.
fn median(device: &Device, mut f: impl FnMut()) -> (f64, u64) {
    let mut run = || {
        let start = Instant::now();
        let ((), work) = count_work(&mut f);
        device.sync().unwrap_or_else(|error| panic!("the device: {error}"));
        (start.elapsed().as_secs_f64(), work.bytes)
    };
    (0..3).for_each(|_| {
        run();
    });
    let mut times: Vec<(f64, u64)> = (0..REPETITIONS).map(|_| run()).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    times[REPETITIONS / 2]
}
