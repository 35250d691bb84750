//! Kernels for GPUs, written once in [CubeCL](https://github.com/tracel-ai/cubecl) and compiled at
//! run time for the card that there is: by way of Vulkan, Metal, DirectX 12, CUDA or ROCm.
//!
//! They work on plain [`Buffer`]s of `f32` and know no tensors and no autodiff, as those of
//! [`crate::kernel`] work on slices. Each file has a kernel and the function that launches it.
//!
//! A sum over voxels is made in two launches: every cube of units adds up its share in a fixed order
//! and writes it down, and [`reduce`] adds the shares. Nothing is added atomically, so the same
//! card gives the same bits every time.

#![allow(
    clippy::collapsible_if,
    clippy::manual_is_multiple_of,
    reason = "in kernels: what is decided at compile time stands alone, and devices know `%` only"
)]

mod buffer;
pub mod concat;
pub mod conv;
pub mod depthwise;
pub mod elementwise;
pub mod loss;
pub mod many;
pub mod pool;
pub mod reduce;
pub mod sums;
mod together;
pub mod upsample;

use cubecl::prelude::*;

pub use buffer::{Buffer, bytes_given, largest_made};
pub use together::together;

/// Units of a cube, unless a kernel says otherwise. Every device has as many.
const UNITS: u32 = 256;

/// Cubes that keep a large card busy. More do not help a sum over voxels, and each leaves a share to
/// be added up later.
const CUBES: usize = 1024;

/// Most cubes along one axis of a launch, on the least of devices.
const MOST_ALONG: usize = 65_535;

/// How many parts a launch may have that have `buffers` buffers each, besides `more` that they have
/// together.
fn group_len(like: &Buffer, buffers: usize, more: usize) -> usize {
    (bindings(like).saturating_sub(more) / buffers).clamp(1, MOST_PARTS)
}

/// Most buffers of a launch on the device of `like`.
fn bindings(like: &Buffer) -> usize {
    // One more is for the numbers among the arguments.
    (like.client().properties().hardware.max_bindings as usize).saturating_sub(1)
}

/// Most parts of a launch, on a device that could take more: their code is written out for each.
const MOST_PARTS: usize = 16;

/// Places in a launch of `parts` of at most `most`. A kernel is compiled for some numbers of places
/// only, so some may be empty.
fn places(parts: usize, most: usize) -> usize {
    parts.next_power_of_two().min(most)
}

/// A buffer of each of `tasks`, as arguments for so many `places`.
fn buffers<'a, T, B: LaunchArg<RuntimeArg = BufferArg>>(
    tasks: &[&'a T],
    places: usize,
    of: impl Fn(&'a T) -> &'a Buffer,
) -> SequenceArg<B> {
    let given = tasks.iter().map(|task| of(task).arg());
    let empty = tasks.len()..places;
    given.chain(empty.map(|_| of(tasks[0]).unread())).collect()
}

/// [`buffers`] that either all tasks have or none.
fn optional_buffers<'a, T, B: LaunchArg<RuntimeArg = BufferArg>>(
    tasks: &[&'a T],
    places: usize,
    of: impl Fn(&'a T) -> Option<&'a Buffer>,
) -> SequenceArg<B> {
    let given: Vec<&Buffer> = tasks.iter().filter_map(|task| of(task)).collect();
    if given.is_empty() { SequenceArg::new() } else { buffers(&given, places, |buffer| buffer) }
}

/// A number of each of `tasks`, as arguments for so many `places`.
fn numbers<T, N: LaunchArg<RuntimeArg = N>>(
    tasks: &[&T],
    places: usize,
    of: impl Fn(&T) -> N,
) -> SequenceArg<N> {
    (0..places).map(|i| of(tasks[i.min(tasks.len() - 1)])).collect()
}

/// The tasks of each launch, of at most `most`, whose `rows` lie one behind the other.
fn groups<'a, T>(tasks: &'a [&'a T], most: usize, rows: usize) -> std::slice::Chunks<'a, &'a T> {
    tasks.chunks(most.min(MOST_ALONG / rows.max(1)).max(1))
}

/// Extents of a volume: depth, height, width.
#[derive(CubeType, CubeLaunch, Clone, Copy, Debug)]
struct Extent {
    d: usize,
    h: usize,
    w: usize,
}

/// The extents of `shape` as an argument.
fn extent([_, _, d, h, w]: [usize; 5]) -> ExtentLaunch {
    ExtentLaunch::new(d, h, w)
}

/// Voxels of a channel of `shape`.
fn voxels([_, _, d, h, w]: [usize; 5]) -> usize {
    d * h * w
}

/// Cubes of `units` for `items`, once for each of `rows`: [`item`] and [`row`] tell a unit which
/// are its own.
///
/// # Panics
/// If there are more rows than a device has along an axis.
fn cubes(items: usize, units: u32, rows: usize) -> CubeCount {
    assert!(rows <= MOST_ALONG, "{rows} channels of a batch, of at most {MOST_ALONG}");
    let needed = items.div_ceil(units as usize).max(1);
    let deep = needed.div_ceil(MOST_ALONG);
    let wide = needed.div_ceil(deep);
    CubeCount::Static(wide as u32, rows as u32, deep as u32)
}

/// The item of this unit. There may be none of this number.
#[cube]
fn item() -> usize {
    (CUBE_POS_Z * CUBE_COUNT_X + CUBE_POS_X) as usize * CUBE_DIM_X as usize + UNIT_POS_X as usize
}

/// The row of this unit.
#[cube]
fn row() -> usize {
    CUBE_POS_Y as usize
}

/// The voxel at `place`, width fastest: its depth, height and width.
#[cube]
fn voxel(place: usize, within: &Extent) -> (usize, usize, usize) {
    let plane = within.h * within.w;
    let rest = place % plane;
    (place / plane, rest / within.w, rest % within.w)
}

/// Where a tap of a window centred on `at` is, and whether that is on the axis; if not, it is the
/// last voxel on this side.
#[cube]
fn tap(at: usize, offset: i32, extent: usize) -> (usize, bool) {
    let found = at as i32 + offset;
    let last = extent as i32 - 1;
    let inside = found >= 0 && found <= last;
    (clamp(found, 0, last) as usize, inside)
}

/// The window, `stride` apart from the next, whose tap `offset` from its centre is at `at`, and
/// whether there is one among `extent`; if not, it is some other.
#[cube]
fn window_over(at: usize, offset: i32, #[comptime] stride: usize, extent: usize) -> (usize, bool) {
    let centre = at as i32 - offset;
    let last = extent as i32 - 1;
    if comptime!(stride == 1) {
        let inside = centre >= 0 && centre <= last;
        (clamp(centre, 0, last) as usize, inside)
    } else {
        let found = centre / (stride as i32);
        let inside = centre >= 0 && found * (stride as i32) == centre && found <= last;
        (clamp(found, 0, last) as usize, inside)
    }
}

/// LeakyReLU, if there is one.
#[cube]
fn activated(x: f32, slope: f32, #[comptime] is_activated: bool) -> f32 {
    if comptime!(is_activated) { select(x > 0.0, x, x * slope) } else { x }
}

/// `value`, times the gradient of the LeakyReLU that stood before the result of task `n`, if one did.
#[cube]
fn gated(
    value: f32,
    gates: &Sequence<&'static [f32]>,
    #[comptime] n: usize,
    slope: f32,
    at: usize,
) -> f32 {
    if comptime!(gates.len() > 0) {
        select(gates[n][at] > 0.0, value, value * slope)
    } else {
        value
    }
}

/// The sum of the values of all units of a cube, in a fixed order; every unit gets it.
#[cube]
fn cube_sum(value: f32, #[comptime] units: u32) -> f32 {
    let mut shares = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let unit = UNIT_POS as usize;
    shares[unit] = value;
    sync_cube();
    let halvings = comptime!(units.ilog2());
    #[unroll]
    for i in 0..halvings {
        let half = comptime!((units >> (i + 1)) as usize);
        if unit < half {
            let other = shares[unit + half];
            shares[unit] += other;
        }
        sync_cube();
    }
    let sum = shares[0];
    // The memory may be another sum's next.
    sync_cube();
    sum
}

/// What a result is added to.
#[derive(Clone, Debug)]
pub enum Sum {
    /// Nothing.
    None,
    /// What is in the buffer of the result.
    InPlace(Buffer),
    /// What is in another buffer.
    Other(Buffer),
}

impl Sum {
    /// The buffer of the result, of `len` elements and on the device of `like`.
    fn out(&self, like: &Buffer, len: usize) -> Buffer {
        match self {
            Self::InPlace(sum) => sum.clone(),
            Self::None | Self::Other(_) => like.empty(len),
        }
    }

    fn is_in_place(&self) -> bool {
        matches!(self, Self::InPlace(_))
    }

    fn other(&self) -> Option<&Buffer> {
        match self {
            Self::Other(sum) => Some(sum),
            Self::None | Self::InPlace(_) => None,
        }
    }
}

/// What [`Sum`] has at `at`.
#[cube]
fn summed(
    sum: ComptimeOption<&[f32]>,
    out: &mut [f32],
    at: usize,
    #[comptime] in_place: bool,
) -> f32 {
    #[comptime]
    match sum {
        ComptimeOption::Some(sum) => sum[at],
        ComptimeOption::None => {
            if comptime!(in_place) {
                out[at]
            } else {
                0.0f32.runtime()
            }
        }
    }
}

/// The weight of a term, 1 without one.
#[cube]
fn weight_of(z: ComptimeOption<&[f32]>) -> f32 {
    #[comptime]
    match z {
        ComptimeOption::Some(z) => z[0],
        ComptimeOption::None => 1.0f32.runtime(),
    }
}
