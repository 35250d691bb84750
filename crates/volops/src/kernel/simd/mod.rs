//! Instruction-set choice at run time, and raw vector access.
//!
//! Every kernel is one source, generic over [`pulp::Simd`]; [`dispatch`] picks AVX-512, AVX2 + FMA,
//! NEON or the plain scalar fallback once per process.

pub(crate) mod rows;
pub(crate) mod shuffle;
pub(crate) mod vectorize;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use pulp::{Arch, MemMask, Simd, WithSimd};

/// Most lanes of any instruction set in use.
pub const MAX_LANES: usize = 16;

/// Runs `op` compiled for the best instruction set of this processor.
///
/// Code inside `op` is compiled for that instruction set only where the compiler inlines it: mark
/// helpers `#[inline(always)]`, and pass no closures to functions that are not.
///
/// `VOLOPS_SIMD=scalar` or `VOLOPS_SIMD=avx2` in the environment lowers the choice, so that the
/// tests can be run on every code path of one machine.
pub fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(choose_arch).dispatch(op)
}

fn choose_arch() -> Arch {
    match std::env::var("VOLOPS_SIMD").as_deref() {
        Ok("scalar") => return Arch::Scalar,
        #[cfg(target_arch = "x86_64")]
        Ok("avx2") => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Arch::V3(simd);
            }
        }
        _ => {}
    }
    Arch::new()
}

/// A pointer into an output that several work items fill at disjoint places.
pub struct SharedOut<T = f32>(*mut T);

// SAFETY: a `SharedOut` is only a pointer; every use of it is an unsafe block that states why its
// range is touched by one work item alone.
unsafe impl<T: Send> Send for SharedOut<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Send> Sync for SharedOut<T> {}

impl<T> Clone for SharedOut<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedOut<T> {}

impl<T> SharedOut<T> {
    /// Shares what `out` points to.
    pub fn new(out: *mut T) -> Self {
        Self(out)
    }

    /// Where to write.
    pub fn ptr(self) -> *mut T {
        self.0
    }
}

/// Per-thread buffer that lives as long as the thread, so that a call costs no allocation and no
/// page fault.
#[derive(Default)]
pub struct Scratch {
    /// What is lent.
    pub source: Vec<f32>,
}

/// Lends this thread's buffer to `work`, which must not fork (a stolen item would find it taken).
pub fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work)
}

/// Makes `buffer` at least `len` long; the contents are unspecified but initialised.
pub fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

/// Loads one vector starting at `ptr`, which need not be aligned.
///
/// # Safety
/// `ptr` must be readable for `S::F32_LANES` elements.
#[inline(always)]
pub unsafe fn load<S: Simd>(_simd: S, ptr: *const f32) -> S::f32s {
    // SAFETY: the caller promises readability; a `S::f32s` is plain data of `F32_LANES` floats.
    unsafe { ptr.cast::<S::f32s>().read_unaligned() }
}

/// Stores one vector at `ptr`, which need not be aligned.
///
/// # Safety
/// `ptr` must be writable for `S::F32_LANES` elements.
#[inline(always)]
pub unsafe fn store<S: Simd>(_simd: S, ptr: *mut f32, value: S::f32s) {
    // SAFETY: the caller promises writability; a `S::f32s` is plain data of `F32_LANES` floats.
    unsafe { ptr.cast::<S::f32s>().write_unaligned(value) }
}

/// Loads the first `count` lanes of a vector, zeros for the others.
///
/// # Safety
/// `ptr` must be readable for `min(count, S::F32_LANES)` elements.
#[inline(always)]
pub unsafe fn load_first<S: Simd>(simd: S, ptr: *const f32, count: usize) -> S::f32s {
    // A mask made anew, because pulp's own way to load with a `mask_between` is a call of a
    // function.
    let mask = MemMask::new(simd.mask_between_m32s(0, count.min(S::F32_LANES) as u32).mask());
    // SAFETY: only lanes below `count` are read.
    unsafe { simd.mask_load_ptr_f32s(mask, ptr) }
}

/// The vector that begins at an index of a slice, zeros where the slice ends.
#[inline(always)]
pub fn load_some<S: Simd>(simd: S, from: &[f32], index: usize) -> S::f32s {
    let (start, left) = (from.as_ptr().wrapping_add(index), from.len().saturating_sub(index));
    // SAFETY: no more is read than is left.
    unsafe { if left >= S::F32_LANES { load(simd, start) } else { load_first(simd, start, left) } }
}

/// The two vectors that begin at an index of a slice, zeros where the slice ends.
#[inline(always)]
pub fn load_two<S: Simd>(simd: S, from: &[f32], index: usize) -> [S::f32s; 2] {
    let lanes = S::F32_LANES;
    if index + 2 * lanes <= from.len() {
        // SAFETY: so much is left.
        [0, lanes].map(|ahead| unsafe { load(simd, from.as_ptr().add(index + ahead)) })
    } else {
        [0, lanes].map(|ahead| load_some(simd, from, index + ahead))
    }
}

/// Stores the first `count` lanes of a vector.
///
/// # Safety
/// `ptr` must be writable for `min(count, S::F32_LANES)` elements.
#[inline(always)]
pub unsafe fn store_first<S: Simd>(simd: S, ptr: *mut f32, value: S::f32s, count: usize) {
    let mask = MemMask::new(simd.mask_between_m32s(0, count.min(S::F32_LANES) as u32).mask());
    // SAFETY: only lanes below `count` are written.
    unsafe { simd.mask_store_ptr_f32s(mask, ptr, value) }
}

/// `value` where `x > 0`, `slope * value` elsewhere: LeakyReLU when `x` is `value`, its derivative
/// times `value` in general.
#[inline(always)]
pub fn leaky_select<S: Simd>(simd: S, x: S::f32s, value: S::f32s, slope: S::f32s) -> S::f32s {
    let positive = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
    simd.select_f32s(positive, value, simd.mul_f32s(slope, value))
}

/// LeakyReLU, if there is a slope.
#[inline(always)]
pub fn activate<S: Simd>(simd: S, value: S::f32s, slope: Option<f32>) -> S::f32s {
    match slope {
        Some(slope) => leaky_select(simd, value, value, simd.splat_f32s(slope)),
        None => value,
    }
}

/// `to = from`, activated, and zeros for the rest of the last vector.
#[inline(always)]
pub fn copy<S: Simd>(simd: S, from: &[f32], slope: Option<f32>, to: &mut [f32]) {
    let (lanes, count) = (S::F32_LANES, from.len());
    assert!(count.next_multiple_of(lanes) <= to.len());
    let (from, to) = (from.as_ptr(), to.as_mut_ptr());
    let mut done = 0;
    // SAFETY: vectors are read whole only where `lanes` elements are left; `to` is long enough for
    // whole vectors.
    unsafe {
        while done + lanes <= count {
            store(simd, to.add(done), activate(simd, load(simd, from.add(done)), slope));
            done += lanes;
        }
        if done < count {
            store(
                simd,
                to.add(done),
                activate(simd, load_first(simd, from.add(done), count - done), slope),
            );
        }
    }
}

/// Asks for the part of a slice that is in a range to be brought into the cache.
#[inline(always)]
pub fn prefetch(slice: &[f32], range: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for i in range.step_by(MAX_LANES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every processor of this architecture has the instruction, and it may be given any
        // address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(slice.as_ptr().wrapping_add(i).cast()) };
    }
}
