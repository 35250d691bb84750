//! The weights that a network declares when it is built: their names, shapes and beginnings, and
//! where its convolutions run.

use crate::space::grid::Grid;

/// Index of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeightId(pub(super) usize);

impl WeightId {
    /// Position in the order in which the weights were declared.
    pub fn index(self) -> usize {
        self.0
    }
}

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with variance `2 / ((1 + slope²) · fan_in)` (He et al. 2015).
    He {
        /// Inputs that an output is summed up from.
        fan_in: usize,
    },
    /// All elements the same.
    Constant(f32),
}

/// What a weight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Of a convolution, which uses every scalar once a voxel of the grid at this level: the grid of
    /// its output, or, if it is transposed, that of its input.
    Convolution {
        /// How often the patch was halved.
        level: usize,
    },
    /// A norm's or a bias, which parameters and GFLOPs leave out.
    PerChannel,
}

/// A weight without its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Its identity in checkpoints and models.
    pub name: String,
    /// Convolutions are `[out, in, depth, height, width]` (transposed: `[in, out, …]`), norms and
    /// biases `[1, channels, 1, 1, 1]`.
    pub shape: [usize; 5],
    /// How it starts.
    pub init: Init,
    /// What it is for.
    pub role: Role,
}

impl Declared {
    /// Number of scalars.
    pub fn scalars(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The weights of a network in the order they were declared, and the grids that it is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    first: usize,
    declared: Vec<Declared>,
    grid: Grid,
}

impl Layout {
    /// An empty layout of a network on these grids.
    pub fn new(grid: Grid) -> Self {
        Self::after(0, grid)
    }

    /// A layout of weights that come after `count` others.
    pub fn after(count: usize, grid: Grid) -> Self {
        Self { first: count, declared: Vec::new(), grid }
    }

    /// The grids of the levels.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Adds a weight.
    pub fn declare(&mut self, name: String, shape: [usize; 5], init: Init, role: Role) -> WeightId {
        self.declared.push(Declared { name, shape, init, role });
        WeightId(self.first + self.declared.len() - 1)
    }

    /// All weights.
    pub fn iter(&self) -> impl Iterator<Item = &Declared> {
        self.declared.iter()
    }

    /// Number of scalars, norms and biases included.
    pub fn scalars(&self) -> usize {
        self.iter().map(Declared::scalars).sum()
    }
}
