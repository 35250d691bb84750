//! The allocator, told to keep its pages. Tensors of the same sizes come and go at every step, and the first touch of fresh pages
//! costs more than many kernels do.

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h: milliseconds until free pages go back to the system, -1 for never.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    /// Of the mimalloc that is linked in. Leaves an option alone that the environment (`MIMALLOC_PURGE_DELAY`) sets.
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Keeps free pages until the end of the process. Call it first.
pub fn keep_pages() {
    // SAFETY: takes plain integers, may be called at any time; an unknown option would be ignored.
    unsafe { mi_option_set_default(PURGE_DELAY, -1) }
}
