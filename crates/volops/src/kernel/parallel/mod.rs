//! Cutting one kernel call into pieces of work, and the scratch memory of a piece.
//!
//! An output is cut by volume (one channel of one batch entry) and, where volumes are few, into
//! slabs of depth. Every output element is computed by the same operations whatever the cut, so the
//! cut may follow the number of threads. Sums over many elements must not: they use a partition of
//! their own that depends on the shape only.

pub mod threads;

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use crate::kernel::parallel::threads::for_each;
use crate::kernel::simd::{SharedOut, grow, with_scratch};

/// Below this estimate of serial time, handing work to other threads costs more than it saves.
const FORK_NANOSECONDS: usize = 4_000;

/// Depth planes `start..end` of one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slab {
    /// `batch_index * channels + channel`.
    pub volume: usize,
    /// The first plane.
    pub start: usize,
    /// One behind the last.
    pub end: usize,
}

/// Whether `nanoseconds` of work are worth more than one thread.
pub(crate) fn worth_forking(nanoseconds: usize) -> bool {
    nanoseconds >= FORK_NANOSECONDS && rayon::current_num_threads() > 1
}

/// Time until the last of some threads is done with `items` that take one of them `item` each.
/// Cores are never equally fast, so at the end one waits for a part of an item: of divisions that
/// come out the same, the one into smaller items is the better.
pub(crate) fn makespan(items: usize, threads: usize, item: usize) -> usize {
    items.div_ceil(threads) * item + item / 4
}

/// Allocates `[volumes, depth, plane]` and lets `fill` write it as [`for_slabs`] does.
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
    for_slabs(
        &mut out.spare_capacity_mut()[..len],
        [volumes, depth, plane],
        halo,
        nanoseconds,
        fill,
    );
    // SAFETY: the slabs cover the first `len` elements, and the caller promises that `fill` writes
    // them all.
    unsafe { out.set_len(len) };
    out
}

/// Lets `fill` write `out`, `[volumes, depth, plane]`, slab by slab.
///
/// `halo` is the number of planes a slab has to prepare besides its own: slabs are kept at least
/// twice as deep. `nanoseconds` is a rough estimate of the serial time of the whole call.
pub(crate) fn for_slabs(
    out: &mut [MaybeUninit<f32>],
    [volumes, depth, plane]: [usize; 3],
    halo: usize,
    nanoseconds: usize,
    fill: impl Fn(Slab, &mut [MaybeUninit<f32>]) + Sync,
) {
    assert_eq!(
        out.len(),
        volumes * depth * plane,
        "{volumes} volumes of {depth} planes of {plane} elements"
    );
    if out.is_empty() {
        return;
    }
    let threads = if worth_forking(nanoseconds) { rayon::current_num_threads() } else { 1 };
    let most = (depth / (2 * halo + 1)).max(1);
    let cuts = if threads == 1 { 1 } else { (2 * threads).div_ceil(volumes).min(most) };
    let thickness = depth.div_ceil(cuts);
    let cuts = depth.div_ceil(thickness);
    let to = SharedOut::new(out.as_mut_ptr());
    let work = |item: usize| {
        let (volume, start) = (item / cuts, item % cuts * thickness);
        let end = depth.min(start + thickness);
        let first = (volume * depth + start) * plane;
        // SAFETY: inside of `out`, as it is asserted above; no two items share a plane.
        let part =
            unsafe { std::slice::from_raw_parts_mut(to.ptr().add(first), (end - start) * plane) };
        fill(Slab { volume, start, end }, part);
    };
    if threads == 1 {
        (0..volumes * cuts).for_each(work);
    } else {
        for_each(volumes * cuts, work);
    }
}

/// Floats as a place for others to be written to.
pub(crate) fn uninit(floats: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same layout; nobody writes anything uninitialised to it.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// `f(0), f(1), .. f(n - 1)`, on the threads of the current rayon pool where `nanoseconds`, an
/// estimate for all of them on one thread, make that worthwhile. Cheaper to start than rayon's own
/// iterators by tens of microseconds.
pub fn map_indices<T: Send + Sync>(
    n: usize,
    nanoseconds: usize,
    f: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    if n < 2 || !worth_forking(nanoseconds) {
        return (0..n).map(f).collect();
    }
    let results: Vec<OnceLock<T>> = (0..n).map(|_| OnceLock::new()).collect();
    for_each(n, |i| _ = results[i].set(f(i)));
    results.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Lends `f` a buffer of `len` floats with unspecified contents that the thread keeps for its next
/// piece of work. `f` must not fork.
pub(crate) fn with_floats<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_scratch(|scratch| {
        grow(&mut scratch.source, len);
        f(&mut scratch.source[..len])
    })
}
