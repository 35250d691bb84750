//! What the machine can do at most: the scale that the speed of kernels is told on.
//!
//! Both rates are those of all threads of the current rayon pool together, and the best of a few
//! short measurements: whatever disturbs one only makes it slower. Each takes about 0.1 s.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use crate::kernel::parallel::map_indices;
use crate::kernel::simd::dispatch;

/// Measurements of which the best counts.
const ATTEMPTS: usize = 7;

/// How long one of them lasts.
const ATTEMPT: Duration = Duration::from_millis(15);

/// Independent sums: enough to hide the latency of a multiply-add, few enough for the 16 registers
/// of AVX2.
const SUMS: usize = 12;

/// Multiply-adds of each sum between two looks at the clock.
const ROUNDS: usize = 20_000;

/// Bytes a thread copies at least between two looks at the clock.
const COPY: usize = 1 << 20;

/// Rate of f32 multiply-adds in registers with the instruction set the kernels use, in GFLOP/s; a
/// multiply-add counts as two operations.
pub fn multiply_add_gflops() -> f64 {
    1e-9 * best_rate(|_| dispatch(MultiplyAdds))
}

/// Rate of copying memory, in GB/s (10⁹ bytes), when a copy moves `bytes` in all: half of them are
/// read, half written, and every thread has its share. What fits into a cache is copied at the rate
/// of that cache.
pub fn copy_gb_per_s(bytes: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let len = (bytes / 2).div_ceil(threads).max(1);
    let shares: Vec<_> =
        (0..threads).map(|_| Mutex::new((vec![1_u8; len], vec![0_u8; len]))).collect();
    let copies = COPY.div_ceil(len);
    1e-9 * best_rate(|thread| {
        let mut share = shares[thread].lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = &mut *share;
        for _ in 0..copies {
            black_box(&mut *to).copy_from_slice(black_box(from));
        }
        2 * len * copies
    })
}

/// What `work` does in a second when every thread, whose number it is given, does it again and
/// again. It returns how much it did.
fn best_rate(work: impl Fn(usize) -> usize + Sync) -> f64 {
    let attempt = |_| {
        let start = Instant::now();
        let done = map_indices(rayon::current_num_threads(), usize::MAX, |thread| {
            let start = Instant::now();
            let mut done = 0;
            while start.elapsed() < ATTEMPT {
                done += work(thread);
            }
            done
        });
        done.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64()
    };
    (0..ATTEMPTS).map(attempt).fold(0.0, f64::max)
}

/// Returns the floating-point operations it took.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        // Sums stay finite and normal: each tends to 1.
        let (factor, summand) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(0.5)));
        let mut sums = [simd.splat_f32s(black_box(0.0)); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, summand);
            }
        }
        black_box(sums);
        2 * SUMS * ROUNDS * S::F32_LANES
    }
}
