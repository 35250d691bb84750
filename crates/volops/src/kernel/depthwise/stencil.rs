//! The inner loops of a depthwise convolution over runs of floats.
//!
//! A plane without padding between its rows is one run of floats, and a shift by whole rows or
//! planes is a shift of that run: however short the rows are, every lane has work. A shift along
//! the width would mix the ends of neighbouring rows. So the taps of each column of the kernel are
//! summed apart, and only the few column sums are shifted along the width and masked. Every float
//! loaded serves all columns; nothing but the column sums is stored on the way.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;

use crate::kernel::simd::{
    leaky_select, load, load_first, load_some, prefetch, store, store_first,
};

/// Runs are padded to multiples of this, the longest vector of any instruction set.
pub(crate) const LANES: usize = 16;

/// One row of a kernel: its first weight, and where the run it meets begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Index of the row's first weight.
    pub weights: usize,
    /// Index of the run's first float.
    pub source: usize,
}

/// Runs for the columns of the kernel, `pitch` floats apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnRuns {
    /// Floats before and behind each run, a multiple of `LANES`.
    pub margin: usize,
    /// Floats from one run to the next.
    pub pitch: usize,
}

/// Calls a function with the columns in groups that share their loads: all of a kernel of three
/// columns (of which the outer two meet the same part of the source), or one at a time. `$call` is
/// generic in the size of the group, and in whether the middle column meets another part than the
/// outer two.
macro_rules! by_columns {
    ($parts:expr, |$first:ident, $part:ident| $call:ident :: < $S:ty > $args:tt) => {
        match *$parts {
            [outer, middle, last] if outer == last => {
                let ($first, $part) = (0, [middle, outer]);
                if middle == outer { $call::<$S, 3, false> $args } else { $call::<$S, 3, true> $args }
            }
            _ => {
                for ($first, &part) in $parts.iter().enumerate() {
                    let $part = [part; 2];
                    $call::<$S, 1, false> $args;
                }
            }
        }
    };
}

/// Sums over the rows of the kernel, for each column `k`:
/// `sums[k][i] = sum over taps of kernel[tap.weights + k] * source[tap.source + parts[k] + i]`, `i
/// < len`. Up to `LANES - 1` elements behind each run of sums are overwritten. `join` is called for
/// consecutive ranges, which begin at multiples of a vector, when the sums up to `runs.margin`
/// further are there: its loads and stores wait while the next sums are computed.
#[inline(always)]
pub(crate) fn column_sums<S: Simd>(
    simd: S,
    (sums, runs, len): (&mut [f32], ColumnRuns, usize),
    (taps, kernel): (&[Tap], &[f32]),
    (source, parts): (&[f32], &[usize]),
    next: &[f32],
    mut join: impl FnMut(&[f32], Range<usize>),
) {
    let n = parts.len();
    by_columns!(parts, |first, part| sums_of::<S>(
        simd,
        (sums, runs, len),
        (taps, kernel),
        (source, part),
        (first, n),
        next,
        &mut join
    ));
}

#[inline(always)]
fn sums_of<S: Simd, const K: usize, const SPLIT: bool>(
    simd: S,
    (sums, runs, len): (&mut [f32], ColumnRuns, usize),
    (taps, kernel): (&[Tap], &[f32]),
    (source, parts): (&[f32], [usize; 2]),
    (first, columns): (usize, usize),
    next: &[f32],
    join: &mut impl FnMut(&[f32], Range<usize>),
) {
    let whole = len.next_multiple_of(LANES);
    let start = runs.margin + first * runs.pitch;
    let kernel = &kernel[first..];
    assert!(start + (K - 1) * runs.pitch + whole <= sums.len(), "sums too short");
    let last = parts[0].max(parts[1]) + whole;
    assert!(
        taps.iter().all(|tap| tap.source + last <= source.len() && tap.weights + K <= kernel.len()),
        "source too short"
    );
    let complete = first + K == columns;
    let vectors = len.div_ceil(S::F32_LANES);
    let (mut at, mut joined) = (0, 0);
    while at < vectors {
        let ready = (at * S::F32_LANES).saturating_sub(runs.margin);
        let to = [start + at * S::F32_LANES, runs.pitch];
        let parts = parts.map(|part| part + at * S::F32_LANES);
        // SAFETY: the two assertions above; `at + V` vectors are at most `whole` floats.
        at += unsafe {
            // As many as leave a register for each sum, a row of weights, and the element; evenly,
            // so that no lone vector is left.
            let (left, most) = (vectors - at, if S::REGISTER_COUNT >= 32 { 7 } else { 4 });
            match left.div_ceil(left.div_ceil(most)) {
                1 => block::<S, K, 1, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
                2 => block::<S, K, 2, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
                3 => block::<S, K, 3, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
                4 => block::<S, K, 4, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
                5 => block::<S, K, 5, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
                6 => block::<S, K, 6, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
                _ => block::<S, K, 7, SPLIT>(simd, sums, to, (taps, kernel), source, parts),
            }
        };
        if complete {
            prefetch(next, ready..at * S::F32_LANES);
        }
        if complete && ready > joined {
            join(sums, joined..ready);
            joined = ready;
        }
    }
    if complete {
        join(sums, joined..len);
    }
}

/// `V` vectors of `K` column sums; returns `V`.
///
/// # Safety
/// All of the vectors must be inside the slices.
#[inline(always)]
unsafe fn block<S: Simd, const K: usize, const V: usize, const SPLIT: bool>(
    simd: S,
    sums: &mut [f32],
    [to, pitch]: [usize; 2],
    (taps, kernel): (&[Tap], &[f32]),
    source: &[f32],
    [middle, outer]: [usize; 2],
) -> usize {
    let mut values = [[simd.splat_f32s(0.0); V]; K];
    for tap in taps {
        // SAFETY: the caller's promise.
        let from = unsafe { source.as_ptr().add(tap.source) };
        let weights: [_; K] = std::array::from_fn(|k| {
            // SAFETY: the caller's promise.
            let weight = unsafe { *kernel.as_ptr().add(tap.weights + k) };
            simd.splat_f32s(weight)
        });
        for v in 0..V {
            // SAFETY: the caller's promise.
            let x = unsafe { load(simd, from.add(middle + v * S::F32_LANES)) };
            let other = if SPLIT {
                // SAFETY: the caller's promise.
                unsafe { load(simd, from.add(outer + v * S::F32_LANES)) }
            } else {
                x
            };
            for (k, values) in values.iter_mut().enumerate() {
                values[v] =
                    simd.mul_add_e_f32s(if k == 1 { x } else { other }, weights[k], values[v]);
            }
        }
    }
    for (k, values) in values.iter().enumerate() {
        for (v, &value) in values.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { store(simd, sums.as_mut_ptr().add(to + k * pitch + v * S::F32_LANES), value) };
        }
    }
    V
}

/// The transpose in the weights: for each column `k` and every tap, adds to the `LANES` sums of
/// weight `tap.weights + k`, lane by lane, `factors[shifts[k].start + i] * source[tap.source +
/// parts[k] + i]` where the mask is set, `i < len`. The factors go on with zeros up to whole
/// `LANES`.
#[inline(always)]
pub(crate) fn add_dots<S: Simd>(
    simd: S,
    (sums, taps): (&mut [[f32; LANES]], &[Tap]),
    (factors, shifts, len): (&[f32], &[Shifted], usize),
    (source, parts): (&[f32], &[usize]),
) {
    by_columns!(parts, |first, part| dots_of::<S>(
        simd,
        (sums, taps),
        (factors, &shifts[first..], len),
        (source, part),
        first
    ));
}

#[inline(always)]
fn dots_of<S: Simd, const K: usize, const SPLIT: bool>(
    simd: S,
    (sums, taps): (&mut [[f32; LANES]], &[Tap]),
    (factors, shifts, len): (&[f32], &[Shifted], usize),
    (source, parts): (&[f32], [usize; 2]),
    first: usize,
) {
    let whole = len.next_multiple_of(LANES);
    let sums = &mut sums[first..];
    let shifts: [Shifted; K] = std::array::from_fn(|k| shifts[k]);
    assert!(
        shifts.iter().all(|run| run.start + whole <= factors.len() && whole <= run.mask.len()),
        "factors too short"
    );
    let last = parts[0].max(parts[1]) + whole;
    assert!(
        taps.iter().all(|tap| tap.source + last <= source.len() && tap.weights + K <= sums.len()),
        "source too short"
    );
    let mut rest = taps;
    while !rest.is_empty() {
        // SAFETY: the two assertions above.
        let done = unsafe {
            match rest.len() {
                9.. if S::REGISTER_COUNT >= 32 => dots_block::<S, K, 9, SPLIT>(
                    simd,
                    sums,
                    rest,
                    (factors, &shifts, whole),
                    source,
                    parts,
                ),
                3.. => dots_block::<S, K, 3, SPLIT>(
                    simd,
                    sums,
                    rest,
                    (factors, &shifts, whole),
                    source,
                    parts,
                ),
                _ => dots_block::<S, K, 1, SPLIT>(
                    simd,
                    sums,
                    rest,
                    (factors, &shifts, whole),
                    source,
                    parts,
                ),
            }
        };
        rest = &rest[done..];
    }
}

/// The first `T` taps of `K` columns; returns `T`.
///
/// # Safety
/// All of the runs must be inside the slices, and there must be `T` taps.
#[inline(always)]
unsafe fn dots_block<S: Simd, const K: usize, const T: usize, const SPLIT: bool>(
    simd: S,
    sums: &mut [[f32; LANES]],
    taps: &[Tap],
    (factors, shifts, len): (&[f32], &[Shifted; K], usize),
    source: &[f32],
    [middle, outer]: [usize; 2],
) -> usize {
    // SAFETY: the caller's promise.
    let sum_at = |t: usize, k: usize| unsafe { taps.get_unchecked(t).weights } + k;
    // SAFETY: the caller's promise.
    let sources: [_; T] =
        std::array::from_fn(|t| unsafe { source.as_ptr().add(taps.get_unchecked(t).source) });
    let mut values = [[simd.splat_f32s(0.0); K]; T];
    for (t, values) in values.iter_mut().enumerate() {
        for (k, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *value = unsafe { load(simd, sums.as_ptr().add(sum_at(t, k)).cast()) };
        }
    }
    let mut i = 0;
    while i < len {
        // SAFETY: the caller's promise.
        let factors: [_; K] =
            std::array::from_fn(|k| unsafe { masked(simd, factors, &shifts[k], i) });
        for (source, values) in sources.iter().zip(&mut values) {
            // SAFETY: the caller's promise.
            let x = unsafe { load(simd, source.add(middle + i)) };
            // SAFETY: the caller's promise.
            let other = if SPLIT { unsafe { load(simd, source.add(outer + i)) } } else { x };
            for k in 0..K {
                values[k] =
                    simd.mul_add_e_f32s(if k == 1 { x } else { other }, factors[k], values[k]);
            }
        }
        i += S::F32_LANES;
    }
    for (t, values) in values.iter().enumerate() {
        for (k, &value) in values.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { store(simd, sums.as_mut_ptr().add(sum_at(t, k)).cast(), value) };
        }
    }
    T
}

/// A run shifted along the width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shifted<'a> {
    /// Where the element is that meets the first of the output.
    pub start: usize,
    /// All bits set where the shifted element belongs to the same row.
    pub mask: &'a [u32],
}

/// The vector at `i` of a shifted run, zeros where its mask is not set.
///
/// # Safety
/// The vector must be inside the slice, and inside the mask.
#[inline(always)]
unsafe fn masked<S: Simd>(simd: S, floats: &[f32], run: &Shifted, i: usize) -> S::f32s {
    // SAFETY: the caller's promise; a `S::u32s` is plain data of as many lanes.
    let (value, mask) = unsafe {
        (
            load(simd, floats.as_ptr().add(run.start + i)),
            run.mask.as_ptr().add(i).cast::<S::u32s>().read_unaligned(),
        )
    };
    simd.transmute_f32s_u32s(simd.and_u32s(simd.transmute_u32s_f32s(value), mask))
}

/// `out[i] = sum over runs of sums[run.start + i]` where the run's mask is set, for `i` in a range,
/// times the derivative of a LeakyReLU of some slope at given values, laid out like `out`.
#[inline(always)]
pub(crate) fn join_columns<S: Simd>(
    simd: S,
    out: &mut [MaybeUninit<f32>],
    (sums, runs): (&[f32], &[Shifted]),
    range: Range<usize>,
    derivative: Option<(&[f32], f32)>,
) {
    let whole = range.end.next_multiple_of(LANES);
    assert!(
        runs.iter().all(|run| run.start + whole <= sums.len() && whole <= run.mask.len()),
        "runs too short"
    );
    assert!(derivative.is_none_or(|(x, _)| range.end <= x.len()), "values too short");
    if runs.is_empty() {
        out[range.clone()].fill(MaybeUninit::new(0.0));
    }
    let out = &mut out[..range.end];
    for (i, some) in runs.chunks(3).enumerate() {
        let (start, add) = (range.start, i > 0);
        let derivative = derivative.filter(|_| 3 * i + some.len() == runs.len());
        match *some {
            [a, b, c] => join::<S, 3>(simd, out, (sums, [a, b, c]), start, add, derivative),
            [a, b] => join::<S, 2>(simd, out, (sums, [a, b]), start, add, derivative),
            [a] => join::<S, 1>(simd, out, (sums, [a]), start, add, derivative),
            _ => {}
        }
    }
}

#[inline(always)]
fn join<S: Simd, const K: usize>(
    simd: S,
    out: &mut [MaybeUninit<f32>],
    (sums, runs): (&[f32], [Shifted; K]),
    start: usize,
    add: bool,
    derivative: Option<(&[f32], f32)>,
) {
    let to = out.as_mut_ptr().cast::<f32>();
    for i in (start..out.len()).step_by(S::F32_LANES) {
        let left = out.len() - i;
        // SAFETY: `join_columns` has checked that runs and masks are as long as the output, in
        // whole `LANES`. The output has been written before if it is added to.
        unsafe {
            let mut value =
                if add { load_first(simd, to.add(i), left) } else { simd.splat_f32s(0.0) };
            for run in &runs {
                value = simd.add_f32s(value, masked(simd, sums, run, i));
            }
            if let Some((x, slope)) = derivative {
                value = leaky_select(simd, load_some(simd, x, i), value, simd.splat_f32s(slope));
            }
            if left >= S::F32_LANES {
                store(simd, to.add(i), value);
            } else {
                store_first(simd, to.add(i), value, left);
            }
        }
    }
}
