//! Plain loops compiled for the instruction set of this processor.

use pulp::{Simd, WithSimd};

use crate::kernel::simd::dispatch;

/// Calls `f`, and everything that is inlined into it, with the best instruction set of this
/// processor.
///
/// `f` should be an `#[inline(always)]` closure. It is called through `FnMut` on purpose: the
/// compiler's adapter from such a closure to `FnOnce`, which `pulp` would use, is a function of its
/// own and is compiled for the baseline.
pub(crate) fn vectorize<R>(f: impl FnMut() -> R) -> R {
    dispatch(Loops(f))
}

struct Loops<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Loops<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
