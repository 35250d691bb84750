//! Volumes read with other steps and in another order of axes, and the way back: what brings an
//! operation whose axes differ to one whose axes are alike.

use std::borrow::Cow;

use crate::kernel::Shape;

/// Which elements of a volume are read, and in which order: element `[i, j, k]` is the one at
/// `i · steps[0] + j · steps[1] + k · steps[2]`. None is read twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Elements of the volume that is read.
    volume: usize,
    extents: [usize; 3],
    steps: [usize; 3],
}

impl View {
    /// Every `stride`-th element along the axes in this `order`, of volumes of these extents.
    pub fn new(extents: [usize; 3], stride: [usize; 3], order: [usize; 3]) -> Self {
        let [d, h, w] = extents;
        let dense = [h * w, w, 1];
        Self {
            volume: d * h * w,
            extents: order.map(|axis| extents[axis].div_ceil(stride[axis])),
            steps: order.map(|axis| dense[axis] * stride[axis]),
        }
    }

    /// Every `stride`-th element of tensors of this shape.
    pub fn thinned([_, _, d, h, w]: Shape, stride: [usize; 3]) -> Self {
        Self::new([d, h, w], stride, [0, 1, 2])
    }

    /// Whether everything is read as it lies there.
    pub fn is_identity(&self) -> bool {
        let [_, h, w] = self.extents;
        self.extents.iter().product::<usize>() == self.volume && self.steps == [h * w, w, 1]
    }

    /// What is read of each of the volumes of `x`.
    pub fn read(&self, x: &[f32]) -> Vec<f32> {
        let [_, _, step] = self.steps;
        let mut read = Vec::with_capacity(x.len() / self.volume.max(1) * self.len());
        for volume in x.chunks_exact(self.volume.max(1)) {
            for start in self.rows() {
                let row = volume[start..].iter().step_by(step);
                read.extend(row.take(self.extents[2]));
            }
        }
        read
    }

    /// The adjoint of [`Self::read`]: volumes with `g` where it would be read, zeros elsewhere.
    pub fn write(&self, g: &[f32]) -> Vec<f32> {
        let [_, _, step] = self.steps;
        let volumes = g.len() / self.len().max(1);
        let mut written = vec![0.0; volumes * self.volume];
        let mut rows = g.chunks_exact(self.extents[2].max(1));
        for volume in written.chunks_exact_mut(self.volume.max(1)) {
            for (start, row) in self.rows().zip(&mut rows) {
                let places = volume[start..].iter_mut().step_by(step);
                places.zip(row).for_each(|(to, from)| *to = *from);
            }
        }
        written
    }

    /// Elements read of a volume.
    fn len(&self) -> usize {
        self.extents.iter().product()
    }

    /// Where in the volume each row that is read begins.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let Self { extents: [d, h, _], steps: [across_planes, across_rows, _], .. } = *self;
        (0..d).flat_map(move |i| (0..h).map(move |j| i * across_planes + j * across_rows))
    }
}

/// An operation that acts along some axes and leaves the others, done by one that acts along all
/// three: the axes that are left become channels, and there is one element along the axes that take
/// their place.
#[derive(Clone, Copy, Debug)]
pub struct Alike {
    /// From the input to what the operation reads.
    enter: View,
    /// Shape of what the operation reads.
    pub shape: Shape,
    /// From what the operation makes to the result.
    leave: View,
}

impl Alike {
    /// For an input of the shape `xs`: the operation acts along the axes that `acts` names and makes
    /// `made(extent)` of an extent. Of what it makes, and of the axes that are left, every
    /// `stride`-th element is kept.
    pub fn new(
        xs: Shape,
        acts: [bool; 3],
        stride: [usize; 3],
        made: impl Fn(usize) -> usize,
    ) -> Self {
        let [batch, channels, d, h, w] = xs;
        // Those that are left come first; the others keep their order.
        let mut order = [0, 1, 2];
        order.sort_by_key(|&axis| acts[axis]);
        let left = acts.iter().filter(|acts| !**acts).count();
        let before = [0, 1, 2].map(|axis| if acts[axis] { 1 } else { stride[axis] });
        let enter = View::new([d, h, w], before, order);

        let mut shape = [batch, channels, 1, 1, 1];
        let (mut extents, mut steps, mut step) = ([0; 3], [0; 3], 1);
        for place in (0..3).rev() {
            let extent = enter.extents[place];
            if place + 1 == left {
                // Of the elements that the operation makes of a single one the first is kept.
                step *= made(1).pow(left as u32);
            }
            let axis = order[place];
            steps[axis] = step * if acts[axis] { stride[axis] } else { 1 };
            let (to, result) = if acts[axis] { (2 + place, made(extent)) } else { (1, extent) };
            shape[to] *= extent;
            step *= result;
            extents[axis] = if acts[axis] { result.div_ceil(stride[axis]) } else { result };
        }
        Self { enter, shape, leave: View { volume: step, extents, steps } }
    }

    /// What the operation reads.
    pub fn enter<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        match self.enter.is_identity() {
            true => x.into(),
            false => self.enter.read(x).into(),
        }
    }

    /// The result, of what the operation made.
    pub fn leave(&self, y: Vec<f32>) -> Vec<f32> {
        if self.leave.is_identity() { y } else { self.leave.read(&y) }
    }

    /// The gradient of what the operation made, of that of the result.
    pub fn enter_back<'a>(&self, g: &'a [f32]) -> Cow<'a, [f32]> {
        match self.leave.is_identity() {
            true => g.into(),
            false => self.leave.write(g).into(),
        }
    }

    /// The gradient of the input, of that of what the operation read.
    pub fn leave_back(&self, g: Vec<f32>) -> Vec<f32> {
        if self.enter.is_identity() { g } else { self.enter.write(&g) }
    }
}
