//! Taking the rows of a plane apart by the parity of their columns, and putting them together again.
//!
//! Rows are copied in whole chunks: a copy may run past the end of its row, into memory that the next row overwrites.

use std::mem::MaybeUninit;

/// Floats a copy moves at once.
pub(crate) const CHUNK: usize = 8;

/// Spare floats a plane needs behind its last row.
pub(crate) const SLACK: usize = 2 * CHUNK;

/// Number of elements of a dense row of `width` that have an even index, and an odd one.
fn halves(width: usize) -> [usize; 2] {
    [width.div_ceil(2), width / 2]
}

/// Copies one dense row, its even elements to `even`, its odd ones to `odd`, and a chunk of padding behind each.
#[inline(always)]
pub(crate) fn split_row(even: &mut [f32], odd: &mut [f32], from: &[f32], width: usize, padding: f32, f: impl Fn(f32) -> f32) {
    let [evens, odds] = halves(width);
    let whole = evens.next_multiple_of(CHUNK);
    if from.len() >= 2 * whole {
        let pairs = from[..2 * whole].as_chunks::<2>().0;
        for ((even, odd), pair) in even[..whole].iter_mut().zip(&mut odd[..whole]).zip(pairs) {
            let [first, second] = separated(*pair);
            *even = f(first);
            *odd = f(second);
        }
    } else {
        for i in 0..evens {
            even[i] = f(from[2 * i]);
        }
        for i in 0..odds {
            odd[i] = f(from[2 * i + 1]);
        }
    }
    even[evens..][..CHUNK].fill(padding);
    odd[odds..][..CHUNK].fill(padding);
}

/// The two numbers, by way of an integer twice as wide: from a loop of these, compilers make good vector code.
#[inline(always)]
fn separated(pair: [f32; 2]) -> [f32; 2] {
    // SAFETY: plain data of the same size.
    let pair = u64::from_le(unsafe { std::mem::transmute::<[f32; 2], u64>(pair) });
    [f32::from_bits(pair as u32), f32::from_bits((pair >> 32) as u32)]
}

/// `[even[0], odd[0], even[1], odd[1], ..]`, by way of integers, as in [`separated`].
#[inline(always)]
fn interleave(to: &mut [[MaybeUninit<f32>; 2]], even: &[f32], odd: &[f32]) {
    for ((to, even), odd) in to.iter_mut().zip(even).zip(odd) {
        let pair = u64::from(even.to_bits()) | u64::from(odd.to_bits()) << 32;
        // SAFETY: eight bytes, all of them initialised.
        *to = unsafe { std::mem::transmute::<u64, [MaybeUninit<f32>; 2]>(pair.to_le()) };
    }
}

/// Interleaves two rows into the dense row of `width` floats that `to` begins with. What follows that row may be
/// overwritten, so rows have to be written in ascending order.
#[inline(always)]
pub(crate) fn join_row(to: &mut [MaybeUninit<f32>], width: usize, even: &[f32], odd: &[f32]) {
    let [evens, odds] = halves(width);
    let whole = evens.next_multiple_of(CHUNK);
    if to.len() >= 2 * whole && even.len() >= whole && odd.len() >= whole {
        interleave(&mut to.as_chunks_mut::<2>().0[..whole], &even[..whole], &odd[..whole]);
    } else {
        for i in 0..evens {
            to[2 * i].write(even[i]);
        }
        for i in 0..odds {
            to[2 * i + 1].write(odd[i]);
        }
    }
}
