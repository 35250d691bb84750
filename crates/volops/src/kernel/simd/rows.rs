//! Taking the rows of a plane apart by the parity of their columns, and putting them together
//! again.
//!
//! Rows are written in whole vectors: a row may run past its end, into memory that the next row
//! overwrites.

use std::mem::MaybeUninit;

use pulp::Simd;

use crate::kernel::simd::shuffle::{even, interleave, odd};
use crate::kernel::simd::{MAX_LANES, load_some, load_two, store, store_first};

/// Spare floats that a plane which rows are written to needs behind its last row.
pub(crate) const SLACK: usize = MAX_LANES;

/// Writes `f` of the even elements of a row to `evens`, of the odd ones to `odds`, which are as
/// many: the last may be padding.
#[inline(always)]
pub(crate) fn split_row<S: Simd>(
    simd: S,
    [evens, odds]: [&mut [f32]; 2],
    from: &[f32],
    padding: f32,
    f: impl Fn(S::f32s) -> S::f32s,
) {
    let (lanes, pairs) = (S::F32_LANES, from.len().div_ceil(2));
    assert!(
        pairs.next_multiple_of(lanes) <= evens.len().min(odds.len()),
        "no room for whole vectors"
    );
    for i in (0..pairs).step_by(lanes) {
        let [first, second] = load_two(simd, from, 2 * i);
        // SAFETY: there is room for whole vectors.
        unsafe {
            store(simd, evens.as_mut_ptr().add(i), f(even(simd, first, second)));
            store(simd, odds.as_mut_ptr().add(i), f(odd(simd, first, second)));
        }
    }
    if from.len() % 2 == 1 {
        odds[pairs - 1] = padding;
    }
}

/// Interleaves two rows into the dense row of `width` floats that `to` begins with. What follows
/// that row may be overwritten, so rows have to be written in ascending order.
#[inline(always)]
pub(crate) fn join_row<S: Simd>(
    simd: S,
    to: &mut [MaybeUninit<f32>],
    width: usize,
    [evens, odds]: [&[f32]; 2],
) {
    let (lanes, pairs) = (S::F32_LANES, width.div_ceil(2));
    assert!(width <= to.len() && pairs <= evens.len() && width / 2 <= odds.len(), "rows too short");
    for i in (0..pairs).step_by(lanes) {
        let joined = interleave(simd, load_some(simd, evens, i), load_some(simd, odds, i));
        for (vector, at) in
            joined.into_iter().zip([2 * i, 2 * i + lanes]).take_while(|(_, at)| *at < width)
        {
            let left = to.len() - at;
            let start = to.as_mut_ptr().wrapping_add(at).cast();
            // SAFETY: only as many elements are written as are left.
            unsafe {
                if left >= lanes {
                    store(simd, start, vector);
                } else {
                    store_first(simd, start, vector, left);
                }
            }
        }
    }
}
