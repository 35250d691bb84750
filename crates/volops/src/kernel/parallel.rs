//! Cutting one kernel call into pieces of work for rayon, and the scratch memory of a piece.
//!
//! An output is cut by volume (one channel of one batch entry) and, where volumes are few, into slabs of depth. Every
//! output element is computed by the same operations whatever the cut, so the cut may follow the number of threads.
//! Sums over many elements must not: they use a partition of their own that depends on the shape only.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::simd::{grow, with_scratch};

/// Below this estimate of serial time, waking other threads costs more than it saves.
const FORK_NANOSECONDS: usize = 25_000;

/// Depth planes `start..end` of one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slab {
    /// `batch_index * channels + channel`.
    pub volume: usize,
    pub start: usize,
    pub end: usize,
}

/// Whether `nanoseconds` of work are worth more than one thread.
pub(crate) fn worth_forking(nanoseconds: usize) -> bool {
    nanoseconds >= FORK_NANOSECONDS && rayon::current_num_threads() > 1
}

/// Allocates `[volumes, depth, plane]` and lets `fill` write it, slab by slab.
///
/// `halo` is the number of planes a slab has to prepare besides its own: slabs are kept at least twice as deep.
/// `nanoseconds` is a rough estimate of the serial time of the whole call.
///
/// # Safety
/// `fill` must initialise every element of the slice it is given.
pub(crate) unsafe fn collect_slabs(
    [volumes, depth, plane]: [usize; 3],
    halo: usize,
    nanoseconds: usize,
    fill: impl Fn(Slab, &mut [MaybeUninit<f32>]) + Sync,
) -> Vec<f32> {
    let len = volumes * depth * plane;
    let mut out = Vec::with_capacity(len);
    if len == 0 {
        return out;
    }
    let fork = worth_forking(nanoseconds);
    let cuts = if fork { (2 * rayon::current_num_threads()).div_ceil(volumes).min(depth / (2 * halo + 1)) } else { 1 };
    let thickness = depth.div_ceil(cuts.max(1));
    let work = out.spare_capacity_mut()[..len].chunks_mut(depth * plane).enumerate().flat_map(|(volume, whole)| {
        whole.chunks_mut(thickness * plane).enumerate().map(move |(i, part)| {
            let start = i * thickness;
            (Slab { volume, start, end: start + part.len() / plane }, part)
        })
    });
    if fork {
        work.collect::<Vec<_>>().into_par_iter().for_each(|(slab, part)| fill(slab, part));
    } else {
        work.for_each(|(slab, part)| fill(slab, part));
    }
    // SAFETY: the chunks above cover the first `len` elements, and the caller promises that `fill` writes them all.
    unsafe { out.set_len(len) };
    out
}

/// `f(0), f(1), .. f(n - 1)`, in parallel where `nanoseconds` (for all of them) make it worthwhile.
pub(crate) fn map_indices<T: Send>(n: usize, nanoseconds: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if n > 1 && worth_forking(nanoseconds) { (0..n).into_par_iter().map(&f).collect() } else { (0..n).map(f).collect() }
}

/// Lends `f` a buffer of `len` floats with unspecified contents that the thread keeps for its next piece of work.
/// `f` must not fork.
pub(crate) fn with_floats<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_scratch(|scratch| {
        grow(&mut scratch.source, len);
        f(&mut scratch.source[..len])
    })
}
