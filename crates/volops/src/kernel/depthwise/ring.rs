//! Planes of one volume packed for a stencil, and the columns of its taps.

use pulp::Simd;

use crate::kernel::depthwise::stencil::{ColumnRuns, LANES, Shifted};
use crate::kernel::simd::rows::split_row;
use crate::kernel::simd::{activate, copy};

/// Floats of a run that are worked on at a time: its column sums stay in the first-level cache.
const RUN: usize = 1024;

/// A ring of planes of one volume, packed when they are first needed: activated, with rows of zeros
/// above and below. With stride 2 a plane has four parts, by the parity of (padded row, column);
/// else one.
pub(super) struct Ring {
    pub(super) stride: usize,
    /// Rows of zeros above and below.
    pub(super) padding: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Length of the rows of a part.
    pub(super) pitch: usize,
    /// Length of a part.
    pub(super) part: usize,
    pub(super) slots: usize,
}

impl Ring {
    /// `out` is the height and width of the planes that are computed from those of the ring.
    pub(super) fn new(
        [height, width]: [usize; 2],
        out: [usize; 2],
        stride: usize,
        padding: usize,
        slots: usize,
    ) -> Self {
        let rows = if stride == 1 { height.max(out[0]) + 2 * padding } else { out[0] + padding };
        let part = (rows * out[1]).next_multiple_of(LANES) + LANES;
        Self { stride, padding, height, width, pitch: out[1], part, slots }
    }

    pub(super) fn slot_len(&self) -> usize {
        self.part * self.stride * self.stride
    }

    pub(super) fn len(&self) -> usize {
        self.slots * self.slot_len()
    }

    /// Where the plane `index` is; `plane` is packed, through a LeakyReLU if there is a slope, if
    /// it is not there yet. `holds` is the index in each slot.
    #[inline(always)]
    pub(super) fn load<S: Simd>(
        &self,
        simd: S,
        (ring, holds): (&mut [f32], &mut [usize]),
        index: usize,
        plane: &[f32],
        slope: Option<f32>,
    ) -> usize {
        let slot = index % self.slots;
        let start = slot * self.slot_len();
        if holds[slot] != index {
            holds[slot] = index;
            let to = &mut ring[start..][..self.slot_len()];
            if self.stride == 1 {
                let (above, rest) = to.split_at_mut(self.padding * self.pitch);
                above.fill(0.0);
                copy(simd, plane, slope, rest);
                rest[plane.len()..].fill(0.0);
            } else {
                self.split(simd, to, plane, slope);
            }
        }
        start
    }

    #[inline(always)]
    fn split<S: Simd>(&self, simd: S, to: &mut [f32], plane: &[f32], slope: Option<f32>) {
        for (parity, to) in to.chunks_exact_mut(2 * self.part).enumerate() {
            let (even, odd) = to.split_at_mut(self.part);
            let first = (self.padding + parity) % 2;
            let mut at = (self.padding + first) / 2 * self.pitch;
            even[..at].fill(0.0);
            odd[..at].fill(0.0);
            for row in (first..self.height).step_by(2) {
                let row = &plane[row * self.width..][..self.width];
                split_row(simd, [&mut even[at..], &mut odd[at..]], row, 0.0, |v| {
                    activate(simd, v, slope)
                });
                at += self.pitch;
            }
            even[at..].fill(0.0);
            odd[at..].fill(0.0);
        }
    }

    /// Where, in a packed plane, the row of taps begins that is `row` padded rows below the first
    /// one of the first output.
    pub(super) fn row(&self, row: usize) -> usize {
        row % self.stride * 2 * self.part + row / self.stride * self.pitch
    }
}

/// Columns of taps, and what keeps a run of rows shifted by them from mixing its rows.
pub(super) struct Columns {
    pub(super) shifts: Vec<isize>,
    pub(super) masks: Vec<Vec<u32>>,
    /// Rows that are worked on at a time.
    pub(super) rows: usize,
    pub(super) runs: ColumnRuns,
}

impl Columns {
    /// For planes of `height` rows of `width`.
    pub(super) fn new(shifts: Vec<isize>, width: usize, height: usize) -> Self {
        let rows = (RUN / width).min(height).max(1);
        let len = (rows * width).next_multiple_of(LANES);
        let mask = |&shift: &isize| {
            let inside = |column: usize| {
                column.checked_add_signed(shift).is_some_and(|column| column < width)
            };
            let row: Vec<u32> =
                (0..width).map(|column| if inside(column) { u32::MAX } else { 0 }).collect();
            let mut mask = vec![0; len];
            mask.chunks_mut(width).for_each(|to| to.copy_from_slice(&row[..to.len()]));
            mask
        };
        let masks = shifts.iter().map(mask).collect();
        let margin = shifts
            .iter()
            .map(|shift| shift.unsigned_abs())
            .max()
            .unwrap_or(0)
            .next_multiple_of(LANES);
        Self { shifts, masks, rows, runs: ColumnRuns { margin, pitch: margin + len + margin } }
    }

    pub(super) fn len(&self) -> usize {
        self.shifts.len() * self.runs.pitch
    }

    /// The shifted columns, in runs that are so far apart.
    pub(super) fn shifted(&self, pitch: usize) -> Vec<Shifted<'_>> {
        let start = |k: usize| (self.runs.margin + k * pitch).wrapping_add_signed(self.shifts[k]);
        self.masks.iter().enumerate().map(|(k, mask)| Shifted { start: start(k), mask }).collect()
    }
}
