//! Sums of the shares that cubes left, and of products.

use cubecl::prelude::*;

use super::{
    Buffer, CUBES, UNITS, buffers, cube_sum, group_len, groups, numbers, places, row,
    together::{Task, launch},
};

/// Sums that a cube makes side by side, if there are as many: the units read whole lines of memory.
const SIDE_BY_SIDE: usize = 16;

/// The sums of `shares`, `[share, len]`, over their first axis.
pub fn reduce(shares: &Buffer, len: usize) -> Buffer {
    let out = shares.empty(len);
    launch(Shares { shares: shares.clone(), out: out.clone(), len });
    out
}

struct Shares {
    shares: Buffer,
    out: Buffer,
    len: usize,
}

impl Shares {
    fn side_by_side(&self) -> usize {
        if self.len == 1 { 1 } else { SIDE_BY_SIDE }
    }
}

impl Task for Shares {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.shares]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.side_by_side() == other.side_by_side()
    }

    fn launch(tasks: &[&Self]) {
        let (like, sums) = (&tasks[0].shares, tasks[0].side_by_side());
        let most = group_len(like, 2, 0);
        for tasks in groups(tasks, most, 1) {
            let places = places(tasks.len(), most);
            let longest = tasks.iter().map(|task| task.len).max().unwrap_or(0);
            // SAFETY: the kernel stays within `len` sums of `shares.len() / len` shares.
            unsafe {
                reduce_kernel::launch_unchecked(
                    like.client(),
                    CubeCount::Static(longest.div_ceil(sums) as u32, tasks.len() as u32, 1),
                    CubeDim::new_1d(UNITS),
                    buffers(tasks, places, |task| &task.shares),
                    buffers(tasks, places, |task| &task.out),
                    numbers(tasks, places, |task| task.len),
                    numbers(tasks, places, |task| task.shares.len() / task.len),
                    sums,
                );
            }
        }
    }
}

/// Several units share in each of the `sums` that a cube makes.
#[cube(launch_unchecked)]
fn reduce_kernel(
    shares: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    lens: Sequence<usize>,
    counts: Sequence<usize>,
    #[comptime] sums: usize,
) {
    let slices = comptime!(UNITS as usize / sums);
    let mut parts = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    let slice = unit / sums;
    let at = CUBE_POS_X as usize * sums + unit % sums;
    let mut part = 0.0f32;
    #[unroll]
    for n in 0..shares.len() {
        if row() == n && at < lens[n] {
            let mut share = slice;
            while share < counts[n] {
                part += shares[n][share * lens[n] + at];
                share += slices;
            }
        }
    }
    parts[unit] = part;
    sync_cube();
    if slice == 0 {
        let mut sum = 0.0f32;
        for i in 0..slices {
            sum += parts[unit + i * sums];
        }
        #[unroll]
        for n in 0..outs.len() {
            if row() == n && at < lens[n] {
                let out = &mut outs[n];
                out[at] = sum;
            }
        }
    }
}

/// The sum of the products of the elements.
pub fn dot(a: &Buffer, b: &Buffer) -> Buffer {
    let shares = shares(a.len());
    let out = a.empty(shares);
    launch(Dot { a: a.clone(), b: b.clone(), out: out.clone() });
    if shares == 1 { out } else { reduce(&out, 1) }
}

/// Shares of a product of so many elements.
fn shares(len: usize) -> usize {
    len.div_ceil(8 * UNITS as usize).clamp(1, CUBES)
}

struct Dot {
    a: Buffer,
    b: Buffer,
    /// Shares.
    out: Buffer,
}

impl Task for Dot {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.a, &self.b]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.a.len() == other.a.len()
    }

    fn launch(tasks: &[&Self]) {
        let like = &tasks[0].a;
        let most = group_len(like, 3, 0);
        for tasks in groups(tasks, most, 1) {
            let places = places(tasks.len(), most);
            // SAFETY: the kernel stays within the elements and as many shares as cubes.
            unsafe {
                dot_kernel::launch_unchecked(
                    like.client(),
                    CubeCount::Static(shares(like.len()) as u32, tasks.len() as u32, 1),
                    CubeDim::new_1d(UNITS),
                    buffers(tasks, places, |task| &task.a),
                    buffers(tasks, places, |task| &task.b),
                    buffers(tasks, places, |task| &task.out),
                    like.len(),
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn dot_kernel(
    lefts: Sequence<&'static [f32]>,
    rights: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    len: usize,
) {
    let mut at = CUBE_POS_X as usize * comptime!(UNITS as usize) + UNIT_POS as usize;
    let step = CUBE_COUNT_X as usize * comptime!(UNITS as usize);
    let mut sum = 0.0f32;
    #[unroll]
    for n in 0..lefts.len() {
        if row() == n {
            while at < len {
                sum += lefts[n][at] * rights[n][at];
                at += step;
            }
        }
    }
    let sum = cube_sum(sum, UNITS);
    if UNIT_POS == 0 {
        #[unroll]
        for n in 0..outs.len() {
            if row() == n {
                let out = &mut outs[n];
                out[CUBE_POS_X as usize] = sum;
            }
        }
    }
}
