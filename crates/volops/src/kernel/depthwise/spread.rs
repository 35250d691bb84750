//! The gradient of a stride-2 depthwise convolution with respect to its input.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::ring::{Columns, Ring};
use super::stencil::{Shifted, Tap, column_sums, join_columns};
use super::{DepthwiseSpec, with_aligned};
use crate::kernel::parallel::{Slab, collect_slabs, uninit};
use crate::kernel::simd::dispatch;
use crate::kernel::simd::rows::join_row;
use crate::kernel::{Shape, numel};

/// The transpose of the stride-2 convolution. The elements of the input with one parity of (depth,
/// height, width) are a correlation of `g` with the taps that reach them; eight such correlations
/// are interleaved.
pub(super) fn spread(
    g: &[f32],
    xs: Shape,
    w: &[f32],
    spec: DepthwiseSpec,
    derivative: Option<(&[f32], f32)>,
) -> Vec<f32> {
    let [batch, channels, depth, height, width] = xs;
    let [.., oh, ow] = spec.out_shape(xs);
    let [pd, ph, pw] = spec.padding();
    let offsets = || (0..spec.kernel[2]).map(|k| k * spec.dilation);
    // Each column of taps reaches columns of one parity.
    let reached = |parity: usize| offsets().map(move |offset| reach(parity, pw, offset));
    let shifts = reached(0).zip(reached(1)).map(|(even, odd)| even.or(odd).unwrap_or(0)).collect();
    let columns = Columns::new(shifts, ow, oh);
    let all = columns.shifted(columns.runs.pitch);
    let shifted = [0, 1].map(|parity| {
        all.iter().zip(reached(parity)).filter_map(|(&run, reach)| reach.map(|_| run)).collect()
    });
    let layout = Ring::new([oh, ow], [oh, ow], 1, ph.div_ceil(2), pd + 1);
    let scratch_len = layout.len() + columns.len() + 4 * columns.runs.pitch;
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>]| {
        let kernel = &w[slab.volume % channels * spec.taps()..][..spec.taps()];
        with_aligned(scratch_len, |scratch| {
            let (layout, columns, shifted) = (&layout, &columns, &shifted);
            dispatch(Spread {
                spec,
                shape: xs,
                layout,
                columns,
                shifted,
                kernel,
                g,
                slab,
                out,
                scratch,
                derivative,
            });
        });
    };
    // SAFETY: every row of the slab is written.
    unsafe { collect_slabs([batch * channels, depth, height * width], pd, numel(xs), fill) }
}

/// One slab of [`spread`].
struct Spread<'a> {
    spec: DepthwiseSpec,
    shape: Shape,
    /// Planes of the gradient.
    layout: &'a Ring,
    columns: &'a Columns,
    /// The columns of taps that reach even and odd columns of the output.
    shifted: &'a [Vec<Shifted<'a>>; 2],
    kernel: &'a [f32],
    g: &'a [f32],
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
    derivative: Option<(&'a [f32], f32)>,
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            spec,
            shape,
            layout,
            columns,
            shifted,
            kernel,
            g,
            slab,
            out,
            scratch,
            derivative,
        } = self;
        let [.., depth, height, width] = shape;
        let [.., od, oh, ow] = spec.out_shape(shape);
        let ([pd, ph, _], [kd, kh, kw]) = (spec.padding(), spec.kernel);
        let (rows, parts) = (columns.rows, vec![0; kw]);
        let mut taps = [const { vec![] }; 2];
        let mut holds = vec![usize::MAX; layout.slots];
        let (ring, scratch) = scratch.split_at_mut(layout.len());
        let (sums, quarters) = scratch.split_at_mut(columns.len());
        let quarter = quarters.len() / 4;
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(height * width)) {
            taps.iter_mut().for_each(Vec::clear);
            for k in 0..kd {
                let source = reach(d % 2, pd, k * spec.dilation)
                    .and_then(|ahead| (d / 2).checked_add_signed(ahead));
                let Some(source) = source.filter(|&source| source < od) else { continue };
                let plane = &g[(slab.volume * od + source) * oh * ow..][..oh * ow];
                let start = layout.load(simd, (ring, &mut holds), source, plane, None);
                for (parity, taps) in taps.iter_mut().enumerate() {
                    for i in 0..kh {
                        if let Some(row) = reach(parity, ph + 2 * layout.padding, i * spec.dilation)
                        {
                            taps.push(Tap {
                                weights: (k * kh + i) * kw,
                                source: start + row.unsigned_abs() * ow,
                            });
                        }
                    }
                }
            }
            for (i, out) in out.chunks_mut(2 * rows * width).enumerate() {
                let len = rows.min(oh - i * rows) * ow;
                for (taps, halves) in taps.iter().zip(quarters.chunks_exact_mut(2 * quarter)) {
                    if taps.is_empty() {
                        halves.fill(0.0);
                        continue;
                    }
                    let [even, odd] = shifted;
                    let (to_even, to_odd) = halves.split_at_mut(quarter);
                    column_sums(
                        simd,
                        (sums, columns.runs, len),
                        (taps, kernel),
                        (&ring[i * rows * ow..], &parts),
                        &[],
                        #[inline(always)]
                        |sums, range| {
                            join_columns(
                                simd,
                                uninit(&mut to_even[..len]),
                                (sums, even),
                                range.clone(),
                                None,
                            );
                            join_columns(
                                simd,
                                uninit(&mut to_odd[..len]),
                                (sums, odd),
                                range,
                                None,
                            );
                        },
                    );
                }
                for r in 0..out.len() / width {
                    let (even, odd) =
                        quarters[r % 2 * 2 * quarter..][..2 * quarter].split_at(quarter);
                    join_row(
                        simd,
                        &mut out[r * width..],
                        width,
                        [&even[r / 2 * ow..], &odd[r / 2 * ow..]],
                    );
                }
            }
            if let Some((x, slope)) = derivative {
                // SAFETY: every row was joined.
                let gradient = unsafe { out.assume_init_mut() };
                for (gradient, &x) in
                    gradient.iter_mut().zip(&x[(slab.volume * depth + d) * height * width..])
                {
                    *gradient *= if x > 0.0 { 1.0 } else { slope };
                }
            }
        }
    }
}

/// Along one axis, the element of this parity of pair `i` is reached by the tap at `offset` from
/// output `i + reach`, if at all.
fn reach(parity: usize, padding: usize, offset: usize) -> Option<isize> {
    let twice = (parity + padding) as isize - offset as isize;
    (twice % 2 == 0).then_some(twice / 2)
}
