//! Time and peak memory of one search iteration (Θ step and α step), to set beside another implementation's.
//!
//! `cargo run --release -p scnas --example step -- DEPTH HEIGHT WIDTH CHANNELS-OF-THE-STEM [REPETITIONS]`
//! prints one JSON line: median and minimum seconds, peak resident memory in MiB (Linux).

use std::time::Instant;

use rand::RngExt as _;
use scnas::config::Config;
use scnas::data::Batch;
use scnas::network::Size;
use scnas::random::{Stream, rng};
use scnas::search::Searcher;

#[global_allocator]
static ALLOCATOR: volops::memory::Allocator = volops::memory::Allocator;

fn main() {
    volops::memory::keep_pages();
    rayon::scope(|_| measure());
}

fn measure() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let &[d, h, w, width, ref rest @ ..] = numbers.as_slice() else {
        eprintln!("give DEPTH HEIGHT WIDTH CHANNELS-OF-THE-STEM [REPETITIONS]");
        std::process::exit(2);
    };
    let repetitions = rest.first().copied().unwrap_or(5);
    let overrides = ["search.tau=[1.0, 1.0]".to_string(), "network.upsample=\"transposed\"".into(), "search.loss=\"dice\"".into()];
    let config = Config::load("default", None, &overrides).unwrap_or_else(|e| panic!("{e}"));
    let device = volops::device("cpu").unwrap_or_else(|e| panic!("{e}"));
    let size = Size { channels: 1, classes: 2, width };
    let mut searcher = Searcher::new(&config.network.space(), size, config.search, 0, &device);
    let mut random = rng(0, Stream::WeightPatches, 0);
    let voxels = d * h * w;
    let batch = Batch {
        image: (0..voxels).map(|_| random.random_range(-1.0..1.0)).collect(),
        classes: (0..voxels).map(|_| random.random_range(0..2)).collect(),
        shape: [1, 1, d, h, w],
    };
    let mut step = |iteration| {
        let start = Instant::now();
        searcher.iterate(iteration, 1.0, &batch, Some(&batch));
        start.elapsed().as_secs_f64()
    };
    step(0);
    let faults = page_faults();
    let mut seconds: Vec<f64> = (1..=repetitions as u64).map(&mut step).collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "{{\"size\": [{d}, {h}, {w}], \"width\": {width}, \"threads\": {}, \"median_s\": {:.4}, \"min_s\": {:.4}, \"peak_rss_mib\": {:.0}, \"page_faults_per_step\": {:.0}}}",
        rayon::current_num_threads(),
        seconds[seconds.len() / 2],
        seconds[0],
        peak_resident_kib().unwrap_or(f64::NAN) / 1024.0,
        (page_faults().unwrap_or(f64::NAN) - faults.unwrap_or(f64::NAN)) / repetitions as f64
    );
}

fn peak_resident_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches("kB").trim().parse().ok())
}

/// Minor page faults of this process so far.
fn page_faults() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}
