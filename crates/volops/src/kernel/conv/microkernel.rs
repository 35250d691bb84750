//! The two inner loops of dense convolution, each a register tile of accumulators updated by
//! broadcast multiply-adds.
//!
//! [`Correlate`] computes `M` output channels at `V` vectors of positions; [`Reduce`] computes `M x
//! N` weight gradients as dot products over positions. Both walk a packed tile (see
//! [`super::tile`]). Tile sizes follow the number of vector registers.

// Indices in lockstep over several arrays that must stay in registers: iterators would hide that.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use crate::kernel::simd::shuffle::sum_lanes;
use crate::kernel::simd::{leaky_select, load, store};

/// One kernel element: where its source element is, relative to the position, and where its weight
/// is.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// Elements behind the position.
    pub source: usize,
    /// Elements behind the weights of the channel.
    pub weight: usize,
}

/// Most rows of a register tile on any instruction set.
pub const MAX_ROWS: usize = 8;

/// The next row count of a register tile when `left` rows are still to do: as even a division as
/// possible.
pub fn next_rows(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

/// The next column count of a register tile when `left` columns are still to do; one of 1, 2, 3, 4,
/// 6.
pub fn next_columns(left: usize, most: usize) -> usize {
    match left {
        5 if most > 2 => 3,
        4 if most < 4 => 2,
        _ => left.min(most),
    }
}

/// Runs the register tiles of so many rows, as one function that they share the call of.
macro_rules! by_rows {
    ($simd:ident, $rows:ident, $tiles:ident $fields:tt) => {
        match $rows {
            1 => $simd.vectorize($tiles::<1> $fields),
            2 => $simd.vectorize($tiles::<2> $fields),
            3 => $simd.vectorize($tiles::<3> $fields),
            4 => $simd.vectorize($tiles::<4> $fields),
            5 => $simd.vectorize($tiles::<5> $fields),
            6 => $simd.vectorize($tiles::<6> $fields),
            7 => $simd.vectorize($tiles::<7> $fields),
            8 => $simd.vectorize($tiles::<8> $fields),
            _ => unreachable!("a register tile has at most 8 rows"),
        }
    };
}

/// `out[m][p] = sum over channels c and taps t of weight[m][c][t] * source[c][p + t]` at vectors of
/// positions.
#[derive(Clone, Copy)]
pub struct Correlate<'a> {
    /// The first position of the first channel.
    pub source: *const f32,
    /// Elements between channels of the source.
    pub source_channel: usize,
    /// Of the source.
    pub channels: usize,
    /// Of the first output channel and the first source channel.
    pub weight: *const f32,
    /// Elements between weights of two output channels.
    pub weight_row: usize,
    /// Elements between weights of two source channels.
    pub weight_channel: usize,
    /// What the sum is over.
    pub taps: &'a [Tap],
    /// The first position of the first output channel.
    pub out: *mut f32,
    /// Elements between output channels.
    pub out_row: usize,
    /// The output is multiplied by the derivative of a LeakyReLU of this slope at these values
    /// (laid out like the output).
    pub derivative: Option<(*const f32, f32)>,
}

impl Correlate<'_> {
    /// Most rows of a register tile.
    pub const fn max_rows<S: Simd>() -> usize {
        if S::REGISTER_COUNT >= 32 { MAX_ROWS } else { 6 }
    }

    /// Most vectors of a register tile with `rows` rows. With 16 registers the compiler needs one
    /// to spare.
    const fn max_columns<S: Simd>(rows: usize) -> usize {
        match (S::REGISTER_COUNT >= 32, rows) {
            (true, ..=4) => 6,
            (true, _) | (false, ..=3) => 3,
            (false, _) => 2,
        }
    }

    /// Computes `rows` output channels at the vectors that start at flat indices `starts`.
    ///
    /// # Safety
    /// For `c < channels`, every tap and every start: `source + c * source_channel + start +
    /// tap.source` must be readable for a vector, `weight + m * weight_row + tap.weight +
    /// c * weight_channel` readable for `m < rows`, and `out + m * out_row + start` writable for a
    /// vector, and as much readable of the values of the derivative.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, simd: S, rows: usize, starts: &[usize]) {
        by_rows!(simd, rows, CorrelateRows { of: *self, starts });
    }

    /// One register tile: `M` output channels at `V` vectors.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const V: usize>(&self, simd: S, starts: [usize; V]) {
        let mut sum = [[simd.splat_f32s(0.0); V]; M];
        // SAFETY: the caller's promise.
        unsafe {
            // Loops, not `array::map`: that is not always inlined.
            let mut source = [self.source; V];
            for v in 0..V {
                source[v] = self.source.add(starts[v]);
            }
            let mut weight = self.weight;
            if let [tap] = self.taps {
                // One loop: with few channels the second costs as much as the products.
                for source in &mut source {
                    *source = source.add(tap.source);
                }
                weight = weight.add(tap.weight);
                let mut at = 0;
                for _ in 0..self.channels {
                    self.multiply_add(simd, &mut sum, &source, at, weight);
                    at += self.source_channel;
                    weight = weight.wrapping_add(self.weight_channel);
                }
            } else {
                for _ in 0..self.channels {
                    for tap in self.taps {
                        self.multiply_add(
                            simd,
                            &mut sum,
                            &source,
                            tap.source,
                            weight.add(tap.weight),
                        );
                    }
                    for source in &mut source {
                        *source = source.wrapping_add(self.source_channel);
                    }
                    weight = weight.wrapping_add(self.weight_channel);
                }
            }
            if let Some((values, slope)) = self.derivative {
                for m in 0..M {
                    for v in 0..V {
                        let value = load(simd, values.add(m * self.out_row + starts[v]));
                        sum[m][v] = leaky_select(simd, value, sum[m][v], simd.splat_f32s(slope));
                    }
                }
            }
            for m in 0..M {
                for v in 0..V {
                    store(simd, self.out.add(m * self.out_row + starts[v]), sum[m][v]);
                }
            }
        }
    }

    /// One channel and tap.
    ///
    /// # Safety
    /// A vector must be readable at `at` from every source, and `M` weights.
    #[inline(always)]
    unsafe fn multiply_add<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        sum: &mut [[S::f32s; V]; M],
        source: &[*const f32; V],
        at: usize,
        weight: *const f32,
    ) {
        let mut x = [simd.splat_f32s(0.0); V];
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..V {
                x[v] = load(simd, source[v].add(at));
            }
            for m in 0..M {
                let w = simd.splat_f32s(*weight.add(m * self.weight_row));
                for v in 0..V {
                    sum[m][v] = simd.mul_add_e_f32s(x[v], w, sum[m][v]);
                }
            }
        }
    }
}

/// [`Correlate::run`] for `M` rows.
struct CorrelateRows<'a, const M: usize> {
    of: Correlate<'a>,
    starts: &'a [usize],
}

impl<const M: usize> WithSimd for CorrelateRows<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, mut starts } = self;
        let most = Correlate::max_columns::<S>(M);
        while !starts.is_empty() {
            let (now, later) = starts.split_at(next_columns(starts.len(), most));
            // SAFETY: `Correlate::run`, the only maker of this type, has promised that all of these
            // are valid.
            unsafe {
                match *now {
                    [a] => of.tile::<S, M, 1>(simd, [a]),
                    [a, b] => of.tile::<S, M, 2>(simd, [a, b]),
                    [a, b, c] if S::REGISTER_COUNT >= 32 || M <= 3 => {
                        of.tile::<S, M, 3>(simd, [a, b, c])
                    }
                    [a, b, c, d] if S::REGISTER_COUNT >= 32 && M <= 4 => {
                        of.tile::<S, M, 4>(simd, [a, b, c, d])
                    }
                    [a, b, c, d, e, f] if S::REGISTER_COUNT >= 32 && M <= 4 => {
                        of.tile::<S, M, 6>(simd, [a, b, c, d, e, f])
                    }
                    _ => unreachable!("no register tile has {} columns", now.len()),
                }
            }
            starts = later;
        }
    }
}

/// A stretch of positions: flat indices in the column operand and in the row operand, and the
/// number of vectors.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Index of the first position in the column operand.
    pub column: usize,
    /// Index of the first position in the row operand.
    pub row: usize,
    /// Vectors of positions.
    pub vectors: usize,
}

/// `out[m][n] += sum over the positions p of runs of row[m][p] * column[p + offset[n]]`.
#[derive(Clone, Copy)]
pub struct Reduce<'a> {
    /// The first row.
    pub row: *const f32,
    /// Elements between rows.
    pub row_stride: usize,
    /// What the offsets are counted from.
    pub column: *const f32,
    /// The positions.
    pub runs: &'a [Run],
    /// The first sum.
    pub out: *mut f32,
    /// Elements between rows of `out`; columns are adjacent.
    pub out_row: usize,
}

impl Reduce<'_> {
    /// Most rows of a register tile.
    pub const fn max_rows<S: Simd>() -> usize {
        if S::REGISTER_COUNT >= 32 { MAX_ROWS } else { 4 }
    }

    /// Most columns of a register tile with `rows` rows.
    const fn max_columns<S: Simd>(rows: usize) -> usize {
        if S::REGISTER_COUNT >= 32 && rows <= 4 { 6 } else { 3 }
    }

    /// Adds to `rows` rows and `offsets.len()` columns of `out`.
    ///
    /// # Safety
    /// All vectors of all runs must be readable in every row and at every offset of the column
    /// operand, and `out + m * out_row + n` writable for every `m < rows`, `n < offsets.len()`.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, simd: S, rows: usize, offsets: &[usize]) {
        by_rows!(simd, rows, ReduceRows { of: *self, offsets });
    }

    /// One register tile: adds to `M` rows and `N` columns of `out`.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(&self, simd: S, offsets: [usize; N]) {
        let mut sum = [[simd.splat_f32s(0.0); N]; M];
        let mut x = [simd.splat_f32s(0.0); N];
        // SAFETY: the caller's promise.
        unsafe {
            for run in self.runs {
                let mut row = self.row.add(run.row);
                let mut column = self.column.add(run.column);
                for _ in 0..run.vectors {
                    for n in 0..N {
                        x[n] = load(simd, column.add(offsets[n]));
                    }
                    for m in 0..M {
                        let g = load(simd, row.add(m * self.row_stride));
                        for n in 0..N {
                            sum[m][n] = simd.mul_add_e_f32s(x[n], g, sum[m][n]);
                        }
                    }
                    row = row.add(S::F32_LANES);
                    column = column.add(S::F32_LANES);
                }
            }
            // A copy: were `sum` itself borrowed, it would not be kept in registers.
            let mut sums = [[simd.splat_f32s(0.0); N]; M];
            for m in 0..M {
                for n in 0..N {
                    sums[m][n] = sum[m][n];
                }
            }
            let mut totals = [[0.0; N]; M];
            sum_lanes(simd, sums.as_flattened(), totals.as_flattened_mut());
            for m in 0..M {
                for n in 0..N {
                    *self.out.add(m * self.out_row + n) += totals[m][n];
                }
            }
        }
    }
}

/// [`Reduce::run`] for `M` rows.
struct ReduceRows<'a, const M: usize> {
    of: Reduce<'a>,
    offsets: &'a [usize],
}

impl<const M: usize> WithSimd for ReduceRows<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut of, mut offsets } = self;
        let most = Reduce::max_columns::<S>(M);
        while !offsets.is_empty() {
            let (now, later) = offsets.split_at(next_columns(offsets.len(), most));
            // SAFETY: `Reduce::run`, the only maker of this type, has promised that all of these
            // are valid.
            unsafe {
                match *now {
                    [a] => of.tile::<S, M, 1>(simd, [a]),
                    [a, b] => of.tile::<S, M, 2>(simd, [a, b]),
                    [a, b, c] => of.tile::<S, M, 3>(simd, [a, b, c]),
                    [a, b, c, d] if S::REGISTER_COUNT >= 32 && M <= 4 => {
                        of.tile::<S, M, 4>(simd, [a, b, c, d])
                    }
                    [a, b, c, d, e, f] if S::REGISTER_COUNT >= 32 && M <= 4 => {
                        of.tile::<S, M, 6>(simd, [a, b, c, d, e, f])
                    }
                    _ => unreachable!("no register tile has {} columns", now.len()),
                }
                of.out = of.out.add(now.len());
            }
            offsets = later;
        }
    }
}
