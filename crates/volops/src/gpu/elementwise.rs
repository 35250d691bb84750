//! LeakyReLU, sums and scaled sums.

use cubecl::prelude::*;

use super::{
    Buffer, Sum, UNITS, bindings,
    buffer::optional,
    buffers, cubes, group_len, groups, item, numbers, places, row, summed,
    together::{Task, launch},
    weight_of,
};

/// `x` where positive, `slope · x` elsewhere.
pub fn leaky_relu(x: &Buffer, slope: f32) -> Buffer {
    leaky_relu_gradient(x, x, slope)
}

/// The gradient of [`leaky_relu`]: `g` where `x` was positive, `slope · g` elsewhere.
pub fn leaky_relu_gradient(g: &Buffer, x: &Buffer, slope: f32) -> Buffer {
    let out = x.empty(x.len());
    // SAFETY: the kernel stays within `x.len()` elements.
    unsafe {
        leaky_relu_kernel::launch_unchecked(
            x.client(),
            cubes(x.len(), UNITS, 1),
            CubeDim::new_1d(UNITS),
            g.arg(),
            x.arg(),
            out.arg(),
            x.len(),
            slope,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn leaky_relu_kernel(g: &[f32], x: &[f32], out: &mut [f32], len: usize, slope: f32) {
    let at = item();
    if at >= len {
        terminate!();
    }
    out[at] = select(x[at] > 0.0, g[at], g[at] * slope);
}

/// `z · y`.
pub fn scaled(y: &Buffer, z: &Buffer) -> Buffer {
    let out = y.empty(y.len());
    launch(Scaled { y: y.clone(), z: z.clone(), out: out.clone() });
    out
}

struct Scaled {
    y: Buffer,
    z: Buffer,
    out: Buffer,
}

impl Task for Scaled {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.y, &self.z]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.y.len() == other.y.len()
    }

    fn launch(tasks: &[&Self]) {
        let like = &tasks[0].y;
        let most = group_len(like, 3, 0);
        for tasks in groups(tasks, most, 1) {
            let places = places(tasks.len(), most);
            // SAFETY: the kernel stays within the elements.
            unsafe {
                scaled_kernel::launch_unchecked(
                    like.client(),
                    cubes(like.len(), UNITS, tasks.len()),
                    CubeDim::new_1d(UNITS),
                    buffers(tasks, places, |task| &task.y),
                    buffers(tasks, places, |task| &task.z),
                    buffers(tasks, places, |task| &task.out),
                    like.len(),
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn scaled_kernel(
    ys: Sequence<&'static [f32]>,
    zs: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    len: usize,
) {
    let at = item();
    #[unroll]
    for n in 0..ys.len() {
        if row() == n && at < len {
            let out = &mut outs[n];
            out[at] = zs[n][0] * ys[n][at];
        }
    }
}

/// The sum of `terms`, of which there is one at least, all of one length.
pub fn added(terms: &[Buffer]) -> Buffer {
    let (first, rest) = terms.split_first().expect("a sum has at least one term");
    let mut sum = first.clone();
    // One of the buffers is the sum's, and the first term may be a sum itself.
    let most = MOST_ADDED.min(bindings(first) - 1);
    for more in rest.chunks(most - 1) {
        let terms: Vec<Buffer> = [&sum].into_iter().chain(more).cloned().collect();
        let out = first.empty(first.len());
        launch(Added { terms, out: out.clone() });
        sum = out;
    }
    sum
}

/// Most terms of a task.
const MOST_ADDED: usize = 16;

struct Added {
    terms: Vec<Buffer>,
    out: Buffer,
}

impl Task for Added {
    fn reads(&self) -> Vec<&Buffer> {
        self.terms.iter().collect()
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    /// Whatever their lengths.
    fn is_like(&self, _: &Self) -> bool {
        true
    }

    fn launch(mut tasks: &[&Self]) {
        let like = &tasks[0].out;
        let most = bindings(like);
        while !tasks.is_empty() {
            let mut bound = 0;
            let fitting = tasks.iter().take_while(|task| {
                bound += task.terms.len() + 1;
                bound <= most
            });
            let (now, later) = tasks.split_at(fitting.count().max(1));
            launch_sums(now, most);
            tasks = later;
        }
    }
}

fn launch_sums(tasks: &[&Added], most: usize) {
    let (like, terms) = (&tasks[0].out, tasks.iter().flat_map(|task| &task.terms));
    let terms: Vec<&Buffer> = terms.collect();
    let sums = places(tasks.len(), most - terms.len());
    let ends = tasks.iter().scan(0, |end, task| {
        *end += task.terms.len();
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let ends: Vec<&usize> = ends.iter().collect();
    let longest = tasks.iter().map(|task| task.out.len()).max().unwrap_or(0);
    // SAFETY: the kernel stays within the elements of each sum, which its terms have as well.
    unsafe {
        added_kernel::launch_unchecked(
            like.client(),
            cubes(longest, UNITS, tasks.len()),
            CubeDim::new_1d(UNITS),
            buffers(&terms, places(terms.len(), most - sums), |term| term),
            buffers(tasks, sums, |task| &task.out),
            numbers(&ends, sums, |end| *end),
            numbers(tasks, sums, |task| task.out.len()),
        );
    }
}

/// A row of cubes for each sum, whose terms are those before its end and not before that of the sum
/// before it.
#[cube(launch_unchecked)]
fn added_kernel(
    terms: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    ends: Sequence<usize>,
    lens: Sequence<usize>,
) {
    let at = item();
    let mut first = 0usize;
    let mut end = 0usize;
    let mut len = 0usize;
    #[unroll]
    for n in 0..ends.len() {
        if row() == n {
            end = ends[n];
            len = lens[n];
        } else if row() > n {
            first = ends[n];
        }
    }
    if at >= len {
        terminate!();
    }
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..terms.len() {
        if first <= i && end > i {
            sum += terms[i][at];
        }
    }
    #[unroll]
    for n in 0..outs.len() {
        if row() == n {
            let out = &mut outs[n];
            out[at] = sum;
        }
    }
}

/// `sum + z · y`.
pub fn add_scaled(sum: Sum, y: &Buffer, z: Option<&Buffer>) -> Buffer {
    let out = sum.out(y, y.len());
    // SAFETY: the kernel stays within `y.len()` elements.
    unsafe {
        add_scaled_kernel::launch_unchecked(
            y.client(),
            cubes(y.len(), UNITS, 1),
            CubeDim::new_1d(UNITS),
            y.arg(),
            optional(z),
            optional(sum.other()),
            out.arg(),
            y.len(),
            sum.is_in_place(),
        );
    }
    out
}

#[cube(launch_unchecked)]
fn add_scaled_kernel(
    y: &[f32],
    z: ComptimeOption<&[f32]>,
    sum: ComptimeOption<&[f32]>,
    out: &mut [f32],
    len: usize,
    #[comptime] in_place: bool,
) {
    let at = item();
    if at >= len {
        terminate!();
    }
    let before = summed(sum, out, at, in_place);
    out[at] = before + weight_of(z) * y[at];
}
