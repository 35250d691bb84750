//! The allocator that programs on `volops` should use: one that keeps its pages.
//!
//! Tensors of the same sizes come and go at every step. An allocator that gives their pages back to
//! the system pays for the first touch of fresh ones again and again, which costs more than many
//! kernels: with pages kept, a search step at 40×56×40 takes 7 page faults instead of 3374.

/// For `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;

use std::fs::File;
use std::io::Read as _;

/// `mi_option_purge_delay` of mimalloc 2: milliseconds until freed pages go back to the system, -1
/// for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// `mi_option_arena_reserve` of mimalloc 3: KiB of address space that it asks for at a time.
const ARENA_RESERVE: libmimalloc_sys::mi_option_t = 23;

/// KiB to ask for at a time where address space is limited: the least that mimalloc takes.
const SMALL_RESERVE: core::ffi::c_long = 32 << 10;

/// Reserves less address space ahead where that is limited (`ulimit -v`). Call it first thing in
/// `main`.
pub fn reserve_little() {
    if address_space().is_some() && std::env::var_os("MIMALLOC_ARENA_RESERVE").is_none() {
        // SAFETY: sets one number in mimalloc's options, which it reads atomically; any value is
        // allowed. What ran before `main` may have used the option already, so that a
        // default would come too late.
        unsafe { libmimalloc_sys::mi_option_set(ARENA_RESERVE, SMALL_RESERVE) }
    }
}

/// Keeps the pages that are freed from now on, unless the environment sets `MIMALLOC_PURGE_DELAY`.
/// Call it before the first step, after what is done only once, such as reading the data: its pages
/// go back to the system.
pub fn keep_pages() {
    give_back();
    // SAFETY: sets one number in mimalloc's options, as above.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) }
}

/// Gives pages that were freed before [`keep_pages`] back to the system now rather than later, so
/// that what is allocated next is seen in the process's size.
pub fn give_back() {
    // SAFETY: may be called at any time, from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// The limit on this process's address space in bytes (`RLIMIT_AS`), where there is one and the
/// system tells (Linux).
pub fn address_space() -> Option<u64> {
    // Without a buffer from the allocator, which may not be set up yet.
    let mut text = [0; 4096];
    let mut length = 0;
    let mut file = File::open("/proc/self/limits").ok()?;
    while let Ok(read @ 1..) = file.read(&mut text[length..]) {
        length += read;
    }
    let text = std::str::from_utf8(&text[..length]).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix("Max address space")?.split_whitespace().next()?.parse().ok()
    })
}
