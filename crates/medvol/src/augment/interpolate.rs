//! Between the voxels of a volume: linear interpolation of values, and the class with the largest
//! share of the same weights.

/// The grid of a volume, of which a box is at hand.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// (depth, height, width)
    shape: [usize; 3],
    /// The box's first voxel.
    start: [usize; 3],
    /// Voxels of the box.
    len: usize,
    /// Distances in memory of neighbours along each axis.
    strides: [usize; 3],
}

/// A place between eight voxels, some or all of which may lie outside the grid.
pub(super) struct Place {
    grid: Grid,
    /// The lowest of the eight.
    voxel: [i32; 3],
    /// How far beyond it, 0 to less than 1.
    beyond: [f32; 3],
    /// Where it is in memory, if all eight are inside.
    inside: Option<usize>,
}

impl Grid {
    /// Of a volume of `shape`, of which the box at `start` of size `held` is at hand.
    pub fn new(shape: [usize; 3], start: [usize; 3], held: [usize; 3]) -> Self {
        let strides = [held[1] * held[2], held[2], 1];
        Self { shape, start, len: held.iter().product(), strides }
    }

    /// Voxels at hand.
    pub fn len(self) -> usize {
        self.len
    }

    /// The place at voxel coordinates (depth, height, width).
    pub fn place(self, at: [f32; 3]) -> Place {
        let voxel = at.map(floor);
        let beyond = [0, 1, 2].map(|axis| at[axis] - voxel[axis] as f32);
        let inside =
            (0..3).all(|axis| voxel[axis] >= 0 && (voxel[axis] as usize) + 1 < self.shape[axis]);
        let index = || (0..3).map(|a| (voxel[a] as usize - self.start[a]) * self.strides[a]).sum();
        Place { grid: self, voxel, beyond, inside: inside.then(index) }
    }
}

/// The largest integer not above `v`. The library's needs an instruction that not every machine
/// has.
fn floor(v: f32) -> i32 {
    let towards_zero = v as i32;
    if towards_zero as f32 > v { towards_zero - 1 } else { towards_zero }
}

impl Place {
    /// The value here of a volume whose box is at hand; 0 outside the volume.
    pub fn value(&self, volume: &[f32]) -> f32 {
        let Some(first) = self.inside else {
            return self.corners().map(|(voxel, weight)| weight * volume[voxel]).sum();
        };
        let ([plane, row, _], [z, y, x]) = (self.grid.strides, self.beyond);
        let between = |a: f32, b: f32, t: f32| a + t * (b - a);
        let pair = |from: usize| between(volume[from], volume[from + 1], x);
        let square = |from: usize| between(pair(from), pair(from + row), y);
        between(square(first), square(first + plane), z)
    }

    /// The class here of a class map whose box is at hand; the lower one in a tie, and 0 outside the
    /// map.
    pub fn class(&self, classes: &[u8]) -> u8 {
        if let Some(first) = self.inside {
            let [plane, row, _] = self.grid.strides;
            let same = classes[first];
            let pair = |from: usize| classes[from] == same && classes[from + 1] == same;
            if pair(first) && pair(first + row) && pair(first + plane) && pair(first + plane + row)
            {
                return same;
            }
        }
        let mut votes = [(0_u8, 0.0_f32); 8];
        let mut outside = 1.0;
        for ((voxel, weight), vote) in self.corners().zip(&mut votes) {
            *vote = (classes[voxel], weight);
            outside -= weight;
        }
        let share =
            |class: u8| votes.iter().filter(|vote| vote.0 == class).map(|vote| vote.1).sum::<f32>();
        let background = (0, share(0) + outside);
        let best = votes.iter().fold(background, |best, &(class, _)| {
            let votes = if class == 0 { background.1 } else { share(class) };
            if votes > best.1 || (votes == best.1 && class < best.0) {
                (class, votes)
            } else {
                best
            }
        });
        best.0
    }

    /// Those of the eight that are inside, with their weights.
    fn corners(&self) -> impl Iterator<Item = (usize, f32)> {
        (0..8).filter_map(|corner| {
            let (mut index, mut weight) = (0, 1.0);
            for axis in 0..3 {
                let upper = corner >> (2 - axis) & 1;
                let voxel = usize::try_from(self.voxel[axis].saturating_add(upper)).ok()?;
                if voxel >= self.grid.shape[axis] {
                    return None;
                }
                index += (voxel - self.grid.start[axis]) * self.grid.strides[axis];
                weight *= if upper == 1 { self.beyond[axis] } else { 1.0 - self.beyond[axis] };
            }
            Some((index, weight))
        })
    }
}
