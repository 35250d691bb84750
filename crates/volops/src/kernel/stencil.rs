//! The two inner loops of a depthwise convolution over padded planes: a weighted sum of shifted planes, and its transpose
//! in the weights, the products of shifted planes with others.
//!
//! Loads bound both, so every element of the shifted plane is used for up to three others once it is in a register:
//! one plane of the input contributes to as many planes of the output as the kernel is deep.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, load, store};

/// Lengths of planes are rounded up to this, the longest vector of any instruction set.
const LANES: usize = 16;

/// The in-plane taps of a kernel, and the layout of a ring of planes that meet the shifted plane.
pub(crate) struct Stencil {
    /// Distance, in the shifted plane, of each tap.
    pub offsets: Vec<usize>,
    /// Length of a plane of the ring that counts.
    len: usize,
    /// Distance between the planes of the ring.
    pub slot_len: usize,
}

/// Layer `k` of the kernel meets the plane in `slot` of the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub k: usize,
    pub slot: usize,
}

impl Stencil {
    /// For planes of `len` floats that need `slack` more.
    pub(crate) fn new(offsets: Vec<usize>, len: usize, slack: usize) -> Self {
        let len = len.next_multiple_of(LANES);
        Self { offsets, len, slot_len: len + slack }
    }

    /// Length a shifted plane must have.
    pub(crate) fn source_len(&self) -> usize {
        self.offsets.iter().max().unwrap_or(&0) + self.len
    }

    /// `sums[slot][i] += sum over taps of kernel[k][tap] * plane[i + offset of tap]` for all `reached` (slots differ).
    pub(crate) fn add_weighted(&self, sums: &mut [f32], reached: &[Reach], kernel: &[f32], plane: &[f32]) {
        for group in reached.chunks(3) {
            match *group {
                [a, b, c] => self.add_weighted_to(sums, [a, b, c], kernel, plane),
                [a, b] => self.add_weighted_to(sums, [a, b], kernel, plane),
                [a] => self.add_weighted_to(sums, [a], kernel, plane),
                _ => {}
            }
        }
    }

    fn add_weighted_to<const M: usize>(&self, sums: &mut [f32], to: [Reach; M], kernel: &[f32], plane: &[f32]) {
        assert!(plane.len() >= self.source_len(), "shifted plane too short");
        let slots = to.map(|Reach { slot, .. }| slot * self.slot_len..slot * self.slot_len + self.len);
        let sums = sums.get_disjoint_mut(slots).expect("distinct slots of the ring");
        let taps = self.offsets.len();
        let weights = to.map(|Reach { k, .. }| &kernel[k * taps..][..taps]);
        dispatch(AddWeighted { sums, weights, plane, offsets: &self.offsets });
    }

    /// `sums[k][tap] += sum over i of ring[slot][i] * plane[i + offset of tap]` for all `reached` (the `k` differ).
    pub(crate) fn add_dots(&self, sums: &mut [f64], reached: &[Reach], ring: &[f32], plane: &[f32]) {
        for group in reached.chunks(3) {
            match *group {
                [a, b, c] => self.add_dots_to(sums, [a, b, c], ring, plane),
                [a, b] => self.add_dots_to(sums, [a, b], ring, plane),
                [a] => self.add_dots_to(sums, [a], ring, plane),
                _ => {}
            }
        }
    }

    fn add_dots_to<const M: usize>(&self, sums: &mut [f64], to: [Reach; M], ring: &[f32], plane: &[f32]) {
        assert!(plane.len() >= self.source_len(), "shifted plane too short");
        let factors = to.map(|Reach { slot, .. }| &ring[slot * self.slot_len..][..self.len]);
        let taps = self.offsets.len();
        let mut at = 0;
        while at < taps {
            let at_each = to.map(|Reach { k, .. }| k * taps + at);
            let offsets = &self.offsets[at..];
            // As many taps at a time as leave a register for each sum, but enough that additions need not wait.
            at += match (M, offsets.len()) {
                (1, 9..) => add_dots_of::<M, 9>(sums, at_each, factors, plane, offsets),
                (_, 3..) => add_dots_of::<M, 3>(sums, at_each, factors, plane, offsets),
                _ => add_dots_of::<M, 1>(sums, at_each, factors, plane, offsets),
            };
        }
    }
}

/// Adds the products with the first `T` taps to `sums`, the first of each layer at `at`; returns `T`.
fn add_dots_of<const M: usize, const T: usize>(
    sums: &mut [f64],
    at: [usize; M],
    factors: [&[f32]; M],
    plane: &[f32],
    offsets: &[usize],
) -> usize {
    let mut taps = [0; T];
    taps.copy_from_slice(&offsets[..T]);
    let dots = dispatch(Dots { factors, plane, offsets: taps });
    for (at, dots) in at.into_iter().zip(dots) {
        for (sum, dot) in sums[at..].iter_mut().zip(dots) {
            *sum += f64::from(dot);
        }
    }
    T
}

/// `sums[m][i] += sum over taps of weights[m][tap] * plane[i + offsets[tap]]`; [`Stencil`] has checked the lengths.
struct AddWeighted<'a, const M: usize> {
    sums: [&'a mut [f32]; M],
    weights: [&'a [f32]; M],
    plane: &'a [f32],
    offsets: &'a [usize],
}

impl<const M: usize> WithSimd for AddWeighted<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let len = self.sums[0].len();
        let mut i = 0;
        // As many vectors at a time as leave a register for each sum, each element of the plane, and a weight.
        while i < len {
            let vectors = (len - i) / S::F32_LANES;
            i += S::F32_LANES
                * match M {
                    1 if vectors >= 8 => self.run::<S, 8>(simd, i),
                    2 if vectors >= 4 => self.run::<S, 4>(simd, i),
                    _ if vectors >= 3 => self.run::<S, 3>(simd, i),
                    _ => self.run::<S, 1>(simd, i),
                };
        }
    }
}

impl<const M: usize> AddWeighted<'_, M> {
    /// Finishes `V` vectors of each of the sums, from element `i` on; returns `V`.
    #[inline(always)]
    fn run<S: Simd, const V: usize>(&mut self, simd: S, i: usize) -> usize {
        let at = |v: usize| i + v * S::F32_LANES;
        let mut values = [[simd.splat_f32s(0.0); V]; M];
        for (values, sums) in values.iter_mut().zip(&self.sums) {
            for (v, value) in values.iter_mut().enumerate() {
                // SAFETY: `V` vectors from `i` on are inside the sums, which have one length.
                *value = unsafe { load(simd, sums.as_ptr().add(at(v))) };
            }
        }
        for (tap, offset) in self.offsets.iter().enumerate() {
            let mut shifted = [simd.splat_f32s(0.0); V];
            for (v, shifted) in shifted.iter_mut().enumerate() {
                // SAFETY: `Stencil` checked that the shifted plane is as long as the sums.
                *shifted = unsafe { load(simd, self.plane.as_ptr().add(offset + at(v))) };
            }
            for (values, weights) in values.iter_mut().zip(&self.weights) {
                let weight = simd.splat_f32s(weights[tap]);
                for (value, &shifted) in values.iter_mut().zip(&shifted) {
                    *value = simd.mul_add_e_f32s(shifted, weight, *value);
                }
            }
        }
        for (values, sums) in values.iter().zip(&mut self.sums) {
            for (v, &value) in values.iter().enumerate() {
                // SAFETY: as for the loads.
                unsafe { store(simd, sums.as_mut_ptr().add(at(v)), value) };
            }
        }
        V
    }
}

/// The products of each factor with the plane shifted by each offset.
struct Dots<'a, const M: usize, const T: usize> {
    factors: [&'a [f32]; M],
    plane: &'a [f32],
    offsets: [usize; T],
}

impl<const M: usize, const T: usize> WithSimd for Dots<'_, M, T> {
    type Output = [[f32; T]; M];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [[f32; T]; M] {
        let len = self.factors[0].len();
        assert!(len.is_multiple_of(S::F32_LANES) && self.factors.iter().all(|factor| factor.len() == len));
        assert!(self.offsets.iter().all(|offset| offset + len <= self.plane.len()));
        let mut sums = [[simd.splat_f32s(0.0); T]; M];
        for i in (0..len).step_by(S::F32_LANES) {
            let mut factors = [simd.splat_f32s(0.0); M];
            for (factor, plane) in factors.iter_mut().zip(&self.factors) {
                // SAFETY: the factors have the length `len`, a multiple of the vector's.
                *factor = unsafe { load(simd, plane.as_ptr().add(i)) };
            }
            for (t, offset) in self.offsets.iter().enumerate() {
                // SAFETY: `len` elements from every offset on are inside the plane.
                let shifted = unsafe { load(simd, self.plane.as_ptr().add(offset + i)) };
                for (sums, &factor) in sums.iter_mut().zip(&factors) {
                    sums[t] = simd.mul_add_e_f32s(shifted, factor, sums[t]);
                }
            }
        }
        let mut totals = [[0.0; T]; M];
        for m in 0..M {
            for t in 0..T {
                totals[m][t] = simd.reduce_sum_f32s(sums[m][t]);
            }
        }
        totals
    }
}
