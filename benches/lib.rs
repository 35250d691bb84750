//! Measures the kernels of `volops` with criterion and sets each beside what the machine can do:
//! multiply-adds beside the rate of multiply-adds in registers, memory traffic beside the rate of
//! copying between as many bytes.
//!
//! ```sh
//! cargo bench --manifest-path benches/Cargo.toml                                 # everything, about four minutes
//! cargo bench --manifest-path benches/Cargo.toml --bench convolution -- 16x64    # one family, names that contain a text
//! RAYON_NUM_THREADS=1 cargo bench --manifest-path benches/Cargo.toml             # one thread
//! ```
//!
//! Floating-point operations are those of the definition, padding included: a fast algorithm that
//! does fewer can be above 100 %. Bytes are the least that have to move: every operand read once,
//! every result written once. Operands that a cache holds are compared with copying within the same
//! cache; a kernel that mostly reads can be above 100 %.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};

#[path = "../crates/volops/src/kernel/mod.rs"]
pub mod kernel;
#[path = "../crates/volops/src/machine.rs"]
pub mod machine;
#[path = "../crates/volops/src/memory.rs"]
pub mod memory;

use kernel::{Shape, numel};

#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::Allocator;

/// Tensors of a search: large patches, and the levels of a small one.
pub const SHAPES: [Shape; 9] = [
    [1, 16, 64, 64, 64],
    [1, 32, 64, 64, 64],
    [1, 16, 32, 32, 32],
    [1, 32, 32, 32, 32],
    [1, 16, 20, 28, 20],
    [1, 32, 16, 16, 16],
    [1, 64, 8, 8, 8],
    [1, 16, 10, 14, 10],
    [1, 32, 5, 7, 5],
];

/// Criterion's measurements of a kernel.
const SAMPLES: usize = 10;

/// What a call of a kernel has to do.
#[derive(Clone, Copy)]
pub struct Work {
    /// Floating-point operations, two for a multiply-add; 0 where memory is all that matters.
    pub operations: usize,
    /// Floats read and written.
    pub floats: usize,
    /// Floats in all operands and results, which is less where a result replaces an operand.
    pub held: usize,
}

impl Work {
    /// Operands are read and results written elsewhere, `floats` in all.
    pub fn new(operations: usize, floats: usize) -> Self {
        Self { operations, floats, held: floats }
    }
}

/// The benches of one family of kernels.
pub struct Family {
    name: &'static str,
    criterion: Criterion,
    peak: f64,
    /// Rate of copying where from and to are so many bytes together.
    copy: BTreeMap<usize, f64>,
    rows: Vec<[String; 6]>,
}

/// Runs the benches that `measure` adds and prints the table of the family.
pub fn family(name: &'static str, measure: impl FnOnce(&mut Family) + Send) {
    memory::keep_pages();
    // Inside the pool, as the program runs.
    rayon::scope(|_| {
        let criterion = Criterion::default()
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(300))
            .nresamples(2_000)
            .configure_from_args();
        let peak = machine::multiply_add_gflops();
        let mut family = Family { name, criterion, peak, copy: BTreeMap::new(), rows: Vec::new() };
        measure(&mut family);
        family.print();
    });
}

impl Family {
    /// Measures `kernel`, which is called `operation` and given a tensor of shape `shape`.
    pub fn bench<R>(
        &mut self,
        operation: &str,
        shape: Shape,
        work: Work,
        mut kernel: impl FnMut() -> R,
    ) {
        let [_, channels, d, h, w] = shape;
        let shape = if d == h && h == w {
            format!("{channels}x{d}^3")
        } else {
            format!("{channels}x{d}x{h}x{w}")
        };
        let mut seconds = Vec::new();
        let mut group = self.criterion.benchmark_group(self.name);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("{operation}/{shape}"), |bencher| {
            bencher.iter_custom(|calls| {
                let start = Instant::now();
                for _ in 0..calls {
                    black_box(kernel());
                }
                let elapsed = start.elapsed();
                seconds.push(elapsed.as_secs_f64() / calls as f64);
                elapsed
            });
        });
        group.finish();

        // The last are criterion's samples, those before its warm-up. There are none where a filter
        // left the bench out.
        let mut samples = seconds.split_off(seconds.len().saturating_sub(SAMPLES));
        samples.sort_by(f64::total_cmp);
        let Some(&median) = samples.get(samples.len() / 2) else { return };
        let held = 4 * work.held;
        let copy = *self.copy.entry(held).or_insert_with(|| machine::copy_gb_per_s(held));
        let rate = |amount: usize, most: f64| {
            let rate = amount as f64 * 1e-9 / median;
            if amount == 0 {
                ["–".into(), "–".into()]
            } else {
                [format!("{rate:.1}"), format!("{:.0} %", 100.0 * rate / most)]
            }
        };
        let [gflops, of_peak] = rate(work.operations, self.peak);
        let [gb, of_copy] = rate(4 * work.floats, copy);
        let time = format!("{:.1}", median * 1e6);
        let arithmetic = if work.operations == 0 {
            String::new()
        } else {
            format!("{gflops} GFLOP/s, {of_peak} of peak; ")
        };
        println!("                        {arithmetic}{gb} GB/s, {of_copy} of copying as much\n");
        self.rows.push([format!("{operation} {shape}"), time, gflops, of_peak, gb, of_copy]);
    }

    fn print(&self) {
        let threads = rayon::current_num_threads();
        println!("{}: {threads} threads, peak {:.0} GFLOP/s", self.name, self.peak);
        let again = machine::multiply_add_gflops();
        if (again / self.peak - 1.0).abs() > 0.1 {
            println!(
                "The machine was busy: a peak of {again:.0} GFLOP/s at the end. Measure again."
            );
        }
        let head = ["kernel", "µs", "GFLOP/s", "of peak", "GB/s", "of copy"].map(String::from);
        for [name, cells @ ..] in std::iter::once(&head).chain(&self.rows) {
            println!(
                "{name:<36}{}",
                cells.iter().map(|cell| format!("{cell:>11}")).collect::<String>()
            );
        }
    }
}

/// A tensor of `shape` with values from -1 to 1.
pub fn tensor(shape: Shape) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..numel(shape)).map(|_| next()).collect()
}
