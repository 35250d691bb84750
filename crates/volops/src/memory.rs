//! The allocator that programs on `volops` should use: one that keeps its pages.
//!
//! Tensors of the same sizes come and go at every step. An allocator that gives their pages back to the system pays for the first
//! touch of fresh ones again and again, which costs more than many kernels: with pages kept, a search step at 40×56×40 takes 7 page
//! faults instead of 3374.

/// For `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of mimalloc 2: milliseconds until freed pages go back to the system, -1 for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed pages for the life of the process, unless the environment sets `MIMALLOC_PURGE_DELAY`. Call it first thing in `main`.
pub fn keep_pages() {
    // SAFETY: sets one number in mimalloc's options, which it reads atomically; any value is allowed.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) }
}
