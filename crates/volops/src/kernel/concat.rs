//! Copying several tensors into one.

use crate::kernel::parallel::threads::for_each;
use crate::kernel::parallel::worth_forking;
use crate::kernel::simd::SharedOut;

/// Floats a thread copies at a time.
const BLOCK: usize = 1 << 14;

/// Tensors of `batch` entries each, entry by entry one after the other.
pub fn concat(parts: &[&[f32]], batch: usize) -> Vec<f32> {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let to = SharedOut::new(out.as_mut_ptr());
    // Pieces: where they come from and where they go.
    let mut pieces: Vec<(&[f32], usize)> = Vec::new();
    let mut at = 0;
    for entry in 0..batch {
        for part in parts {
            let own = part.len() / batch;
            for piece in part[entry * own..(entry + 1) * own].chunks(BLOCK) {
                pieces.push((piece, at));
                at += piece.len();
            }
        }
    }
    let copy = |i: usize| {
        let (from, at) = pieces[i];
        // SAFETY: pieces follow each other inside of the capacity.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.ptr().add(at), from.len()) };
    };
    if worth_forking(len / 8) {
        for_each(pieces.len(), copy);
    } else {
        (0..pieces.len()).for_each(copy);
    }
    // SAFETY: the pieces cover the output: `at` has reached the sum of the parts, each a multiple
    // of the batch.
    unsafe { out.set_len(at) };
    out
}
