//! Planes between margins, and the one loop that everything about pooling consists of.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use pulp::{MemMask, Simd};

use crate::kernel::Shape;
use crate::kernel::simd::rows::{SLACK, join_row, split_row};
use crate::kernel::simd::{load, store};

/// Sizes of a pooled tensor and of its planes. With stride 2, a quarter is the part of a plane with
/// rows of one parity and columns of one parity; all four are as large as the largest.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) volumes: usize,
    pub(super) depth: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) stride: usize,
    /// Depth, height and width of the output, and so of a quarter.
    pub(super) out: [usize; 3],
}

impl Grid {
    pub(super) fn new([batch, channels, depth, height, width]: Shape, stride: usize) -> Self {
        assert!(matches!(stride, 1 | 2), "stride must be 1 or 2, found {stride}");
        let out = [depth, height, width].map(|n| n.div_ceil(stride));
        Self { volumes: batch * channels, depth, height, width, stride, out }
    }

    pub(super) fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Length of a plane of the output.
    pub(super) fn part(&self) -> usize {
        self.out[1] * self.out[2]
    }

    pub(super) fn frames<'a>(&self, scratch: &'a mut [f32]) -> Frames<'a> {
        let margin = 2 * self.out[2];
        Frames {
            cells: Cell::from_mut(scratch).as_slice_of_cells(),
            margin,
            part: self.part(),
            pitch: self.pitch(),
        }
    }

    /// Distance between frames.
    pub(super) fn pitch(&self) -> usize {
        self.part() + 4 * self.out[2] + SLACK
    }

    /// Plane `d` of a volume of a tensor of this size.
    pub(super) fn plane_of<'a>(&self, tensor: &'a [f32], volume: usize, d: usize) -> &'a [f32] {
        &tensor[(volume * self.depth + d) * self.plane()..][..self.plane()]
    }

    /// The same of a tensor of the size of the output.
    pub(super) fn part_of<'a>(&self, tensor: &'a [f32], volume: usize, d: usize) -> &'a [f32] {
        &tensor[(volume * self.out[0] + d) * self.part()..][..self.part()]
    }

    /// Splits a plane into four frames, in the order of (row parity, column parity). Rows and
    /// columns that it has not are padding.
    #[inline(always)]
    pub(super) fn split<S: Simd>(
        &self,
        simd: S,
        frames: Frames,
        first: usize,
        plane: &[f32],
        padding: f32,
    ) {
        for parity in 0..2 {
            // SAFETY: two different frames; nobody else has a reference to them.
            let [even, odd] =
                [0, 1].map(|column| unsafe { frames.floats_mut(first + 2 * parity + column) });
            let mut at = 0;
            for row in (parity..self.height).step_by(2) {
                let row = &plane[row * self.width..][..self.width];
                split_row(simd, [&mut even[at..], &mut odd[at..]], row, padding, |v| v);
                at += self.out[2];
            }
            even[at..].fill(padding);
            odd[at..].fill(padding);
        }
    }

    /// Interleaves the columns of frames, `[even, odd]` for each parity of rows, to a plane.
    #[inline(always)]
    pub(super) fn join<S: Simd>(
        &self,
        simd: S,
        out: &mut [MaybeUninit<f32>],
        frames: Frames,
        [even_rows, odd_rows]: [[usize; 2]; 2],
    ) {
        // SAFETY: nobody has a mutable reference to them.
        let rows = [even_rows, odd_rows]
            .map(|columns| columns.map(|index| unsafe { frames.floats(index) }));
        for row in 0..self.height {
            let [even, odd] = rows[row % 2];
            let at = row / 2 * self.out[2];
            join_row(simd, &mut out[row * self.width..], self.width, [&even[at..], &odd[at..]]);
        }
    }
}

/// Planes with two rows of padding above and below.
#[derive(Clone, Copy)]
pub(super) struct Frames<'a> {
    cells: &'a [Cell<f32>],
    margin: usize,
    part: usize,
    pitch: usize,
}

impl<'a> Frames<'a> {
    /// Fills a frame.
    #[inline(always)]
    pub(super) fn fill(self, index: usize, value: f32) {
        self.out(index).iter().for_each(|cell| cell.set(value));
    }

    /// Fills what is around a frame.
    #[inline(always)]
    pub(super) fn fill_margins(self, index: usize, value: f32) {
        let (before, rest) = self.cells[index * self.pitch..][..self.pitch].split_at(self.margin);
        before.iter().chain(&rest[self.part..]).for_each(|cell| cell.set(value));
    }

    /// A frame, shifted by rows or columns.
    #[inline(always)]
    pub(super) fn at(self, index: usize, shift: isize) -> Run<'a> {
        let start = (index * self.pitch + self.margin).wrapping_add_signed(shift);
        let cells = &self.cells[start..][..self.part];
        Run { start: cells.as_ptr().cast(), len: self.part, lives: PhantomData }
    }

    #[inline(always)]
    pub(super) fn get(self, index: usize) -> Run<'a> {
        self.at(index, 0)
    }

    #[inline(always)]
    pub(super) fn out(self, index: usize) -> &'a [Cell<f32>] {
        &self.cells[index * self.pitch + self.margin..][..self.part]
    }

    /// A frame from its first row on.
    ///
    /// # Safety
    /// No reference to the frame may be in use that allows to write to it.
    #[inline(always)]
    pub(super) unsafe fn floats(self, index: usize) -> &'a [f32] {
        let cells = &self.cells[index * self.pitch + self.margin..(index + 1) * self.pitch];
        // SAFETY: a cell has the layout of what is in it.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    /// # Safety
    /// No other reference to the frame may be in use.
    #[inline(always)]
    pub(super) unsafe fn floats_mut(self, index: usize) -> &'a mut [f32] {
        let cells = &self.cells[index * self.pitch + self.margin..(index + 1) * self.pitch];
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(cells.as_ptr().cast_mut().cast(), cells.len()) }
    }
}

/// Floats to read, of a tensor or a frame.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    start: *const f32,
    len: usize,
    lives: PhantomData<&'a [Cell<f32>]>,
}

impl<'a> From<&'a [f32]> for Run<'a> {
    #[inline(always)]
    fn from(floats: &'a [f32]) -> Self {
        Self { start: floats.as_ptr(), len: floats.len(), lives: PhantomData }
    }
}

impl Run<'_> {
    /// What is where something is to be written to.
    ///
    /// # Safety
    /// It must have been written before.
    #[inline(always)]
    pub(super) unsafe fn of(out: &impl Out) -> Self {
        Self { start: out.start(), len: out.len(), lives: PhantomData }
    }
}

/// Floats to write.
pub(super) trait Out {
    fn start(&self) -> *mut f32;
    fn len(&self) -> usize;
}

impl Out for &[Cell<f32>] {
    #[inline(always)]
    fn start(&self) -> *mut f32 {
        self.as_ptr().cast_mut().cast()
    }

    #[inline(always)]
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
}

impl Out for &mut [f32] {
    #[inline(always)]
    fn start(&self) -> *mut f32 {
        self.as_ptr().cast_mut()
    }

    #[inline(always)]
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
}

impl Out for &mut [MaybeUninit<f32>] {
    #[inline(always)]
    fn start(&self) -> *mut f32 {
        self.as_ptr().cast_mut().cast()
    }

    #[inline(always)]
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
}

/// `out[i] = f(from[0][i], from[1][i], ..)`.
#[inline(always)]
pub(super) fn zip<S: Simd, const N: usize>(
    simd: S,
    out: impl Out,
    from: [Run; N],
    f: impl Fn([S::f32s; N]) -> S::f32s,
) {
    let (to, len) = (out.start(), out.len());
    assert!(from.iter().all(|run| run.len >= len), "runs too short");
    let mut values = [simd.splat_f32s(0.0); N];
    let mut i = 0;
    // SAFETY: all runs have `len` elements; what a run of cells holds is not referred to by
    // anybody.
    unsafe {
        while i + S::F32_LANES <= len {
            for (value, run) in values.iter_mut().zip(&from) {
                *value = load(simd, run.start.add(i));
            }
            store(simd, to.add(i), f(values));
            i += S::F32_LANES;
        }
        if i < len {
            let rest = MemMask::new(simd.mask_between_m32s(0, (len - i) as u32).mask());
            for (value, run) in values.iter_mut().zip(&from) {
                *value = simd.mask_load_ptr_f32s(rest, run.start.add(i));
            }
            simd.mask_store_ptr_f32s(rest, to.add(i), f(values));
        }
    }
}
