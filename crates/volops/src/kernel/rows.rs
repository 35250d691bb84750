//! Moving the rows of a plane between their dense form and a padded one.
//!
//! A padded plane keeps its rows `pitch` floats apart, with padding between them, so that a stencil over the whole
//! plane is one loop over consecutive floats, however short the rows are. Rows are copied in whole chunks: a copy may run
//! past the end of its row, into memory that the next row (or the padding written after the row) overwrites.

use std::mem::MaybeUninit;

/// Floats a copy moves at once.
pub(crate) const CHUNK: usize = 8;

/// Spare floats every padded plane needs behind its last row.
pub(crate) const SLACK: usize = 2 * CHUNK;

/// Where the rows of a padded plane are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    /// Index of the first element of the first row.
    pub origin: usize,
    /// Distance between rows.
    pub pitch: usize,
    /// Padding to write behind each row.
    pub gap: usize,
}

/// Number of elements of a dense row of `width` that have an even index, and an odd one.
fn halves(width: usize) -> [usize; 2] {
    [width.div_ceil(2), width / 2]
}

#[inline(always)]
fn write_gap(to: &mut [f32], gap: usize, padding: f32) {
    for chunk in &mut to.as_chunks_mut::<CHUNK>().0[..gap.div_ceil(CHUNK).max(1)] {
        *chunk = [padding; CHUNK];
    }
}

/// `f` of every element. (The standard `map` is not always inlined.)
#[inline(always)]
fn mapped<const N: usize>(mut values: [f32; N], f: &impl Fn(f32) -> f32) -> [f32; N] {
    for value in &mut values {
        *value = f(*value);
    }
    values
}

/// `to[i] = f(from[i])` for the `width` elements of a row, and up to `CHUNK - 1` more.
#[inline(always)]
fn map_row(to: &mut [f32], from: &[f32], width: usize, f: impl Fn(f32) -> f32) {
    let whole = width.next_multiple_of(CHUNK);
    if from.len() >= whole {
        for (to, from) in to[..whole].as_chunks_mut::<CHUNK>().0.iter_mut().zip(from[..whole].as_chunks::<CHUNK>().0) {
            *to = mapped(*from, &f);
        }
    } else {
        for (to, &from) in to[..width].iter_mut().zip(from) {
            *to = f(from);
        }
    }
}

/// Copies a dense plane with rows of `width` into padded rows.
#[inline(always)]
pub(crate) fn pack(to: &mut [f32], rows: Rows, from: &[f32], width: usize, padding: f32, f: impl Fn(f32) -> f32 + Copy) {
    for (r, start) in (0..from.len()).step_by(width).enumerate() {
        let at = rows.origin + r * rows.pitch;
        map_row(&mut to[at..], &from[start..], width, f);
        write_gap(&mut to[at + width..], rows.gap, padding);
    }
}

/// Copies one dense row, its even elements to `even`, its odd ones to `odd`, and `gap` zeros behind each.
#[inline(always)]
pub(crate) fn split_row(even: &mut [f32], odd: &mut [f32], from: &[f32], width: usize, gap: usize, f: impl Fn(f32) -> f32) {
    let [evens, odds] = halves(width);
    let whole = evens.next_multiple_of(CHUNK);
    if from.len() >= 2 * whole {
        let chunks = even[..whole].as_chunks_mut::<CHUNK>().0.iter_mut().zip(odd[..whole].as_chunks_mut::<CHUNK>().0);
        for ((even, odd), from) in chunks.zip(from[..2 * whole].as_chunks::<{ 2 * CHUNK }>().0) {
            let from = mapped(*from, &f);
            for i in 0..CHUNK {
                even[i] = from[2 * i];
                odd[i] = from[2 * i + 1];
            }
        }
    } else {
        for i in 0..evens {
            even[i] = f(from[2 * i]);
        }
        for i in 0..odds {
            odd[i] = f(from[2 * i + 1]);
        }
    }
    write_gap(&mut even[evens..], gap, 0.0);
    write_gap(&mut odd[odds..], gap, 0.0);
}

/// Copies a dense plane of rows of `half` floats to the even columns of the even rows of a padded plane; everything
/// between becomes zero. The padded rows are `width` long (`2 * half` or one less).
#[inline(always)]
pub(crate) fn pack_spread(to: &mut [f32], rows: Rows, from: &[f32], half: usize, width: usize) {
    let whole = half.next_multiple_of(CHUNK);
    for (r, start) in (0..from.len()).step_by(half).enumerate() {
        let row = &mut to[rows.origin + 2 * r * rows.pitch..];
        let from = &from[start..];
        if from.len() >= whole && row.len() >= 2 * whole + rows.gap {
            let chunks = row[..2 * whole].as_chunks_mut::<{ 2 * CHUNK }>().0.iter_mut();
            for (to, from) in chunks.zip(from[..whole].as_chunks::<CHUNK>().0) {
                *to = interleaved(*from, [0.0; CHUNK]);
            }
        } else {
            for (to, &from) in row[..2 * half].as_chunks_mut::<2>().0.iter_mut().zip(from) {
                *to = [from, 0.0];
            }
        }
        write_gap(&mut row[width..], rows.gap + 2 * whole - width, 0.0);
    }
}

#[inline(always)]
fn interleaved(even: [f32; CHUNK], odd: [f32; CHUNK]) -> [f32; 2 * CHUNK] {
    let mut both = [0.0; 2 * CHUNK];
    for i in 0..CHUNK {
        both[2 * i] = even[i];
        both[2 * i + 1] = odd[i];
    }
    both
}

/// Copies padded rows to a dense plane, and returns that plane.
#[inline(always)]
pub(crate) fn unpack<'a>(to: &'a mut [MaybeUninit<f32>], from: &[f32], pitch: usize, width: usize) -> &'a mut [f32] {
    let whole = width.next_multiple_of(CHUNK);
    let len = to.len();
    for (r, at) in (0..len).step_by(width).enumerate() {
        let from = &from[r * pitch..];
        if at + whole <= len && from.len() >= whole {
            for (to, from) in to[at..at + whole].as_chunks_mut::<CHUNK>().0.iter_mut().zip(from.as_chunks::<CHUNK>().0) {
                to.write_copy_of_slice(from);
            }
        } else {
            to[at..at + width].write_copy_of_slice(&from[..width]);
        }
    }
    // SAFETY: the loop wrote `width` elements at every multiple of `width` below `len`, which is a multiple of it.
    unsafe { to.assume_init_mut() }
}

/// Copies the even columns of the even rows of a padded plane to a dense plane with rows of `half` floats.
#[inline(always)]
pub(crate) fn unpack_even<'a>(to: &'a mut [MaybeUninit<f32>], from: &[f32], pitch: usize, half: usize) -> &'a mut [f32] {
    let whole = half.next_multiple_of(CHUNK);
    let len = to.len();
    for (r, at) in (0..len).step_by(half).enumerate() {
        let from = &from[2 * r * pitch..];
        if at + whole <= len && from.len() >= 2 * whole {
            let chunks = to[at..at + whole].as_chunks_mut::<CHUNK>().0.iter_mut();
            for (to, from) in chunks.zip(from.as_chunks::<{ 2 * CHUNK }>().0) {
                let mut even = [0.0; CHUNK];
                for i in 0..CHUNK {
                    even[i] = from[2 * i];
                }
                to.write_copy_of_slice(&even);
            }
        } else {
            for (to, from) in to[at..at + half].iter_mut().zip(from.as_chunks::<2>().0) {
                to.write(from[0]);
            }
        }
    }
    // SAFETY: the loop wrote `half` elements at every multiple of `half` below `len`, which is a multiple of it.
    unsafe { to.assume_init_mut() }
}

/// Interleaves two padded rows into the dense row of `width` floats that `to` begins with. What follows that row may be
/// overwritten, so rows have to be written in ascending order.
#[inline(always)]
pub(crate) fn join_row(to: &mut [MaybeUninit<f32>], width: usize, even: &[f32], odd: &[f32]) {
    let [evens, odds] = halves(width);
    let whole = evens.next_multiple_of(CHUNK);
    if to.len() >= 2 * whole && even.len() >= whole && odd.len() >= whole {
        let chunks = to[..2 * whole].as_chunks_mut::<{ 2 * CHUNK }>().0.iter_mut();
        for ((to, even), odd) in chunks.zip(even.as_chunks::<CHUNK>().0).zip(odd.as_chunks::<CHUNK>().0) {
            to.write_copy_of_slice(&interleaved(*even, *odd));
        }
    } else {
        for i in 0..evens {
            to[2 * i].write(even[i]);
        }
        for i in 0..odds {
            to[2 * i + 1].write(odd[i]);
        }
    }
}
