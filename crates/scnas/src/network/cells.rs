//! The network of cells: stem, twelve cells, head (paper section 3.1). One type serves the search
//! (every candidate on every edge has weights, a [`Mixture`] says which run) and a fixed
//! architecture (one candidate per edge).
//!
//! Shapes: `w` is the width; output 0, the stem's, is `[batch, w, depth, height, width]`, the output
//! of a cell at level `l` `[batch, w << l, depth, height, width]` on the grid of that level.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use volops::ConvSpec;

use crate::network::cell::Cell;
use crate::network::layers::{ConvNorm, Head};
use crate::network::layout::Layout;
use crate::network::medium::Medium;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::space::genotype::Genotype;
use crate::space::topology::{CELLS, Space};

/// A network without its weights' values.
#[derive(Debug)]
pub struct Network {
    space: Space,
    layout: Layout,
    stem: ConvNorm,
    cells: Vec<Cell>,
    head: Head,
    operations_run: AtomicU64,
}

impl Network {
    /// The network of the search: every candidate of every edge.
    pub fn supernet(space: &Space, size: Size) -> Self {
        Self::build(space, size, None)
    }

    /// The network of one architecture.
    pub fn fixed(genotype: &Genotype, size: Size) -> Self {
        Self::build(&genotype.space, size, Some(genotype))
    }

    fn build(space: &Space, size: Size, fixed: Option<&Genotype>) -> Self {
        let Size { channels, classes, width, grid } = size;
        let mut layout = Layout::new(grid);
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: None };
        let stem = ConvNorm::dense(&mut layout, "stem", [channels, width], 0, spec);
        let cells =
            (0..CELLS).map(|cell| Cell::new(&mut layout, space, cell, width, fixed)).collect();
        let head = match space.maps {
            false => Head::new(&mut layout, "out", [width, classes], CELLS, 0),
            true => Head::of_several(&mut layout, classes, map_outputs(space, width)),
        };
        Self { space: space.clone(), layout, stem, cells, head, operations_run: AtomicU64::new(0) }
    }

    /// The weights it declared.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Logits `[batch, classes, depth, height, width]` of `x` `[batch, channels, depth, height,
    /// width]`, whose extents the grids must divide, with the operations of `mixture` on the edges.
    ///
    /// # Panics
    /// If shapes do not fit, or the mixture names an operation that the network was built without.
    pub fn forward<M: Medium + ?Sized>(
        &self,
        medium: &M,
        x: M::Volume,
        mixture: &Mixture,
    ) -> M::Volume {
        let read = self.outputs_for(&[&self.head], medium, x, mixture);
        self.head.forward(medium, self.head.reads().map(|output| read[&output].clone()))
    }

    /// The outputs that the `heads` read, by their numbers.
    pub(crate) fn outputs_for<M: Medium + ?Sized>(
        &self,
        heads: &[&Head],
        medium: &M,
        x: M::Volume,
        mixture: &Mixture,
    ) -> BTreeMap<usize, M::Volume> {
        let mut read = BTreeMap::new();
        self.outputs(medium, x, mixture, |output, y| {
            if heads.iter().any(|head| head.reads().any(|of| of == output)) {
                read.insert(output, y.clone());
            }
        });
        read
    }

    /// Runs stem and cells. `seen` is shown every output with its number as soon as it is made;
    /// it is dropped after the last cell that reads it.
    pub(crate) fn outputs<M: Medium + ?Sized>(
        &self,
        medium: &M,
        x: M::Volume,
        mixture: &Mixture,
        mut seen: impl FnMut(usize, &M::Volume),
    ) {
        let stem = self.stem(medium, x);
        seen(0, &stem);
        let mut kept = vec![Some(stem)];
        for cell in 0..self.cells.len() {
            let inputs = self.reads(cell).map(|output| {
                kept[output]
                    .clone()
                    .unwrap_or_else(|| unreachable!("output {output} is kept while cells read it"))
            });
            let y = self.cell(cell, medium, inputs.collect(), mixture);
            seen(cell + 1, &y);
            for (output, volume) in kept.iter_mut().enumerate() {
                if !(cell + 1..self.cells.len()).any(|later| self.reads(later).any(|o| o == output))
                {
                    *volume = None;
                }
            }
            kept.push(Some(y));
        }
    }

    /// The outputs that `cell` reads.
    pub(crate) fn reads(&self, cell: usize) -> impl Iterator<Item = usize> {
        self.cells[cell].place.reads()
    }

    /// Output 0 from the image `x`.
    pub(crate) fn stem<M: Medium + ?Sized>(&self, medium: &M, x: M::Volume) -> M::Volume {
        self.stem.forward(medium, x)
    }

    /// Output `cell + 1` from the outputs that [`Self::reads`] names.
    pub(crate) fn cell<M: Medium + ?Sized>(
        &self,
        cell: usize,
        medium: &M,
        inputs: Vec<M::Volume>,
        mixture: &Mixture,
    ) -> M::Volume {
        let cell = &self.cells[cell];
        let edges = mixture.architecture(cell.place.arch);
        cell.forward(medium, inputs, edges, &self.operations_run)
    }

    /// What says the network's logits.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// The space the network is from.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Operations that ran on edges since the network was made, `zero` not counted.
    pub fn operations_run(&self) -> u64 {
        self.operations_run.load(Ordering::Relaxed)
    }
}

/// The outputs of the decoder that have a class map, from coarse to fine: name of the map, channels,
/// number and level.
fn map_outputs(space: &Space, width: usize) -> Vec<(String, usize, usize, usize)> {
    let coarse = [2, 1].into_iter().filter_map(|level| {
        Some((format!("map.{level}"), width << level, space.decoder_output(level)?, level))
    });
    coarse.chain([("out".into(), width, CELLS, 0)]).collect()
}
