//! Splitting vectors into even and odd elements and putting these together again, which `pulp`
//! offers only in a scrambled order.

use pulp::Simd;

use crate::kernel::simd::MAX_LANES;

/// Elements 0, 2, 4, .. of `first` followed by `second`.
#[inline(always)]
pub fn even<S: Simd>(simd: S, first: S::f32s, second: S::f32s) -> S::f32s {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        // SAFETY: on x86-64 only AVX-512 has 16 lanes and only AVX2 has 8, and `S` is proof that
        // the processor has it.
        unsafe {
            if S::F32_LANES == 16 {
                let index =
                    _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                return same(_mm512_permutex2var_ps(same(first), index, same(second)));
            }
            if S::F32_LANES == 8 {
                let pairs: __m256 = _mm256_shuffle_ps::<0b10_00_10_00>(same(first), same(second));
                return same(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(pairs)));
            }
        }
    }
    let mut result = simd.splat_f32s(0.0);
    let both = [first, second];
    let from: &[f32] = bytemuck::cast_slice(&both);
    let to: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut result));
    for (to, from) in to.iter_mut().zip(from.iter().step_by(2)) {
        *to = *from;
    }
    result
}

/// Elements 1, 3, 5, .. of `first` followed by `second`.
#[inline(always)]
pub fn odd<S: Simd>(simd: S, first: S::f32s, second: S::f32s) -> S::f32s {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        // SAFETY: as in `even`.
        unsafe {
            if S::F32_LANES == 16 {
                let index =
                    _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
                return same(_mm512_permutex2var_ps(same(first), index, same(second)));
            }
            if S::F32_LANES == 8 {
                let pairs: __m256 = _mm256_shuffle_ps::<0b11_01_11_01>(same(first), same(second));
                return same(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(pairs)));
            }
        }
    }
    let mut result = simd.splat_f32s(0.0);
    let both = [first, second];
    let from: &[f32] = bytemuck::cast_slice(&both);
    let to: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut result));
    for (to, from) in to.iter_mut().zip(from.iter().skip(1).step_by(2)) {
        *to = *from;
    }
    result
}

/// Sums of the lanes of each vector, in order.
///
/// Adding even and odd lanes of two vectors at a time is several times cheaper than summing each
/// vector by itself.
#[inline(always)]
pub fn sum_lanes<S: Simd>(simd: S, vectors: &[S::f32s], totals: &mut [f32]) {
    let zero = simd.splat_f32s(0.0);
    for (vectors, totals) in vectors.chunks(S::F32_LANES).zip(totals.chunks_mut(S::F32_LANES)) {
        let mut level = [zero; MAX_LANES];
        level[..vectors.len()].copy_from_slice(vectors);
        let mut count = vectors.len();
        let mut width = S::F32_LANES;
        while width > 1 {
            let half = count.div_ceil(2);
            for i in 0..half {
                let (a, b) =
                    (level[2 * i], if 2 * i + 1 < count { level[2 * i + 1] } else { zero });
                level[i] = simd.add_f32s(even(simd, a, b), odd(simd, a, b));
            }
            (count, width) = (half, width / 2);
        }
        totals.copy_from_slice(&bytemuck::cast_slice(&level[..1])[..totals.len()]);
    }
}

/// `even[0], odd[0], even[1], odd[1], ..` in two vectors.
#[inline(always)]
pub fn interleave<S: Simd>(simd: S, even: S::f32s, odd: S::f32s) -> [S::f32s; 2] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        // SAFETY: as in `even`.
        unsafe {
            if S::F32_LANES == 16 {
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high =
                    _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                let (even, odd): (__m512, __m512) = (same(even), same(odd));
                return [
                    same(_mm512_permutex2var_ps(even, low, odd)),
                    same(_mm512_permutex2var_ps(even, high, odd)),
                ];
            }
            if S::F32_LANES == 8 {
                let (even, odd): (__m256, __m256) = (same(even), same(odd));
                let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
                return [
                    same(_mm256_permute2f128_ps::<0x20>(low, high)),
                    same(_mm256_permute2f128_ps::<0x31>(low, high)),
                ];
            }
        }
    }
    let mut result = [simd.splat_f32s(0.0); 2];
    let (even, odd) = ([even], [odd]);
    let (even, odd): (&[f32], &[f32]) = (bytemuck::cast_slice(&even), bytemuck::cast_slice(&odd));
    let to: &mut [f32] = bytemuck::cast_slice_mut(&mut result);
    for (i, (&even, &odd)) in even.iter().zip(odd).enumerate() {
        to[2 * i] = even;
        to[2 * i + 1] = odd;
    }
    result
}

/// A vector under the other name of its type.
///
/// # Safety
/// Both types must be plain vectors of the same number of `f32`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn same<A: Copy, B: Copy>(vector: A) -> B {
    assert!(size_of::<A>() == size_of::<B>());
    // SAFETY: same size (checked) and plain data (promised).
    unsafe { std::mem::transmute_copy(&vector) }
}
