//! Gradients of poolings.

use cubecl::prelude::*;

use super::{Pooling, share};
use crate::{
    PoolSpec,
    gpu::{
        Buffer, Extent, UNITS, buffers, cube_sum, cubes, extent, group_len, groups, item, numbers,
        optional_buffers, places,
        reduce::reduce,
        row, tap,
        together::{Task, launch},
        voxel, voxels, window_over,
    },
};

/// The gradients of [`pool`](super::pool) of `x`, given that of the result, `g`, and of `z` if `x` is given for
/// it. Of a maximum `x` is needed in any case; its gradient goes to the first of equal ones.
pub fn pool_gradients(
    g: &Buffer,
    x: Option<&Buffer>,
    xs: [usize; 5],
    spec: PoolSpec,
    z: Option<&Buffer>,
    pooling: Pooling,
    of_z: bool,
) -> (Buffer, Option<Buffer>) {
    let maxima = match (pooling, x) {
        (Pooling::Max, Some(x)) => Some(maxima(x, xs, spec)),
        _ => None,
    };
    let out = g.empty(xs.iter().product());
    let products = x.filter(|_| of_z).map(|x| (x.clone(), g.empty(number(&cubes_of(xs, 1)))));
    let shares = products.as_ref().map(|(_, shares)| shares.clone());
    launch(Gradient {
        g: g.clone(),
        z: z.cloned(),
        maxima,
        out: out.clone(),
        products: products.clone(),
        xs,
        spec,
    });
    (out, shares.map(|shares| reduce(&shares, 1)))
}

fn cubes_of(xs: [usize; 5], tasks: usize) -> CubeCount {
    cubes(voxels(xs), UNITS, xs[0] * xs[1] * tasks)
}

fn number(count: &CubeCount) -> usize {
    match count {
        CubeCount::Static(x, y, z) => *x as usize * *y as usize * *z as usize,
        _ => unreachable!("counted here"),
    }
}

struct Gradient {
    g: Buffer,
    z: Option<Buffer>,
    /// Places of the maxima; none of a mean.
    maxima: Option<Buffer>,
    out: Buffer,
    /// What was pooled, and the shares of its product with its gradient, if they are wanted.
    products: Option<(Buffer, Buffer)>,
    xs: [usize; 5],
    spec: PoolSpec,
}

impl Task for Gradient {
    fn reads(&self) -> Vec<&Buffer> {
        let x = self.products.as_ref().map(|(x, _)| x);
        [&self.g].into_iter().chain(&self.z).chain(&self.maxima).chain(x).collect()
    }

    fn fills(&self) -> Vec<&Buffer> {
        let shares = self.products.as_ref().map(|(_, shares)| shares);
        [&self.out].into_iter().chain(shares).collect()
    }

    fn is_like(&self, other: &Self) -> bool {
        let of = |task: &Self| {
            let given = (task.z.is_some(), task.products.is_some());
            (task.g.id(), task.xs, task.spec, given)
        };
        of(self) == of(other)
    }

    fn launch(tasks: &[&Self]) {
        let Self { g, xs, spec, .. } = tasks[0];
        let (rows, most) = (xs[0] * xs[1], group_len(g, 5, 1));
        for tasks in groups(tasks, most, rows) {
            let places = places(tasks.len(), most);
            // SAFETY: places of windows are inside their volume, those of `x` inside `xs`. Of a mean
            // the places of maxima are numbers as many as there are windows, whose values do not
            // matter.
            unsafe {
                gradient_kernel::launch_unchecked(
                    g.client(),
                    cubes_of(*xs, tasks.len()),
                    CubeDim::new_1d(UNITS),
                    g.arg(),
                    optional_buffers(tasks, places, |task| task.z.as_ref()),
                    buffers(tasks, places, |task| task.maxima.as_ref().unwrap_or(g)),
                    buffers(tasks, places, |task| &task.out),
                    optional_buffers(tasks, places, |task| Some(&task.products.as_ref()?.0)),
                    optional_buffers(tasks, places, |task| Some(&task.products.as_ref()?.1)),
                    numbers(tasks, places, |task| u32::from(task.maxima.is_some())),
                    rows,
                    extent(*xs),
                    extent(spec.out_shape(*xs)),
                    spec.window,
                    spec.stride,
                );
            }
        }
    }
}

/// The gradient of a voxel is gathered from the windows over it.
#[cube(launch_unchecked)]
fn gradient_kernel(
    g: &[f32],
    zs: Sequence<&'static [f32]>,
    maxima: Sequence<&'static [u32]>,
    mut outs: Sequence<&'static mut [f32]>,
    xs: Sequence<&'static [f32]>,
    mut shares: Sequence<&'static mut [f32]>,
    are_maxima: Sequence<u32>,
    rows: usize,
    from: Extent,
    to: Extent,
    #[comptime] window: [usize; 3],
    #[comptime] stride: [usize; 3],
) {
    let place = item();
    let count = from.d * from.h * from.w;
    let (task, row) = (row() / rows, row() % rows);
    let at = row * count + place;
    let mut product = 0.0f32;
    if place < count {
        let (d, h, w) = voxel(place, &from);
        let base = row * to.d * to.h * to.w;
        #[unroll]
        for n in 0..outs.len() {
            if task == n {
                let is_maximum = are_maxima[n] == 1;
                let mut total = 0.0f32;
                #[unroll]
                for i in 0..comptime!(window[0]) {
                    let offset = comptime!(i as i32 - window[0] as i32 / 2);
                    let (zd, in_d) = window_over(d, offset, comptime!(stride[0]), to.d);
                    #[unroll]
                    for j in 0..comptime!(window[1]) {
                        let offset = comptime!(j as i32 - window[1] as i32 / 2);
                        let (zh, in_h) = window_over(h, offset, comptime!(stride[1]), to.h);
                        let line = base + (zd * to.h + zh) * to.w;
                        #[unroll]
                        for k in 0..comptime!(window[2]) {
                            let offset = comptime!(k as i32 - window[2] as i32 / 2);
                            let (zw, in_w) = window_over(w, offset, comptime!(stride[2]), to.w);
                            let by_window = g[line + zw];
                            let is_first = maxima[n][line + zw] as usize == place;
                            let part =
                                share(zd * comptime!(stride[0]), from.d, comptime!(window[0]))
                                    * share(
                                        zh * comptime!(stride[1]),
                                        from.h,
                                        comptime!(window[1]),
                                    )
                                    * share(
                                        zw * comptime!(stride[2]),
                                        from.w,
                                        comptime!(window[2]),
                                    );
                            let goes_here = in_d && in_h && in_w && (is_first || !is_maximum);
                            let factor = select(is_maximum, 1.0f32, part);
                            total += select(goes_here, by_window * factor, 0.0f32);
                        }
                    }
                }
                if comptime!(zs.len() > 0) {
                    let out = &mut outs[n];
                    out[at] = zs[n][0] * total;
                } else {
                    let out = &mut outs[n];
                    out[at] = total;
                }
                // A pooling is linear where it has a gradient: ⟨g, pool(x)⟩ is ⟨gradient of x, x⟩.
                if comptime!(xs.len() > 0) {
                    product = total * xs[n][at];
                }
            }
        }
    }
    if comptime!(shares.len() > 0) {
        let sum = cube_sum(product, UNITS);
        if UNIT_POS == 0 {
            let cube = (CUBE_POS_Z as usize * rows + row) * CUBE_COUNT_X as usize;
            #[unroll]
            for n in 0..shares.len() {
                if task == n {
                    let own = &mut shares[n];
                    own[cube + CUBE_POS_X as usize] = sum;
                }
            }
        }
    }
}

/// The place in its channel of the first maximum of every window, as whole numbers.
fn maxima(x: &Buffer, xs: [usize; 5], spec: PoolSpec) -> Buffer {
    let out = x.empty(spec.out_shape(xs).iter().product());
    launch(Maxima { x: x.clone(), out: out.clone(), xs, spec });
    out
}

struct Maxima {
    x: Buffer,
    out: Buffer,
    xs: [usize; 5],
    spec: PoolSpec,
}

impl Task for Maxima {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.x]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.xs == other.xs && self.spec == other.spec
    }

    fn launch(tasks: &[&Self]) {
        let Self { x, xs, spec, .. } = tasks[0];
        let (ys, most) = (spec.out_shape(*xs), group_len(x, 2, 0));
        let rows = ys[0] * ys[1];
        for tasks in groups(tasks, most, rows) {
            let places = places(tasks.len(), most);
            // SAFETY: places in the window are inside `xs`, and the others inside its result.
            unsafe {
                maxima_kernel::launch_unchecked(
                    x.client(),
                    cubes(voxels(ys), UNITS, rows * tasks.len()),
                    CubeDim::new_1d(UNITS),
                    buffers(tasks, places, |task| &task.x),
                    buffers(tasks, places, |task| &task.out),
                    rows,
                    extent(*xs),
                    extent(ys),
                    spec.window,
                    spec.stride,
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn maxima_kernel(
    xs: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [u32]>,
    rows: usize,
    from: Extent,
    to: Extent,
    #[comptime] window: [usize; 3],
    #[comptime] stride: [usize; 3],
) {
    let place = item();
    let count = to.d * to.h * to.w;
    if place >= count {
        terminate!();
    }
    let (task, row) = (row() / rows, row() % rows);
    let (d, h, w) = voxel(place, &to);
    let base = row * from.d * from.h * from.w;
    let (cd, ch, cw) =
        (d * comptime!(stride[0]), h * comptime!(stride[1]), w * comptime!(stride[2]));
    let (zd, _) = tap(cd, comptime!(-(window[0] as i32 / 2)), from.d);
    let (zh, _) = tap(ch, comptime!(-(window[1] as i32 / 2)), from.h);
    let (zw, _) = tap(cw, comptime!(-(window[2] as i32 / 2)), from.w);
    #[unroll]
    for n in 0..xs.len() {
        if task == n {
            let mut first = (zd * from.h + zh) * from.w + zw;
            let mut largest = xs[n][base + first];
            #[unroll]
            for i in 0..comptime!(window[0]) {
                let (zd, _) = tap(cd, comptime!(i as i32 - window[0] as i32 / 2), from.d);
                #[unroll]
                for j in 0..comptime!(window[1]) {
                    let (zh, _) = tap(ch, comptime!(j as i32 - window[1] as i32 / 2), from.h);
                    let line = (zd * from.h + zh) * from.w;
                    #[unroll]
                    for k in 0..comptime!(window[2]) {
                        let (zw, _) = tap(cw, comptime!(k as i32 - window[2] as i32 / 2), from.w);
                        let value = xs[n][base + line + zw];
                        let is_larger = value > largest;
                        first = select(is_larger, line + zw, first);
                        largest = select(is_larger, value, largest);
                    }
                }
            }
            let out = &mut outs[n];
            out[row * count + place] = first as u32;
        }
    }
}
