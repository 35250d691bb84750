//! Parameters and floating-point operations of an architecture (METHOD "Counting"; the columns of
//! the paper's Table 1).

use serde::{Deserialize, Serialize};

use crate::network::cells::Size;
use crate::space::genotype::{Genotype, strided};
use crate::space::operation::Kind;
use crate::space::topology::{CellType, DEPTH, EDGES, NODES, Upsample};

/// Cost of one forward pass over one patch. Convolution weights only; no biases, no norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Convolution weights.
    pub parameters: u64,
    /// Multiply-adds. A table's GFLOPs are twice this × 1e-9.
    pub multiply_adds: u64,
}

impl Cost {
    /// 2 × multiply-adds × 1e-9.
    pub fn gflops(&self) -> f64 {
        2.0 * self.multiply_adds as f64 * 1e-9
    }

    /// Parameters in millions.
    pub fn millions(&self) -> f64 {
        self.parameters as f64 * 1e-6
    }

    /// A convolution with `weights` parameters applied at `voxels` places.
    pub(crate) fn add(&mut self, weights: usize, voxels: usize) {
        self.parameters += weights as u64;
        self.multiply_adds += (weights * voxels) as u64;
    }
}

/// Cost of a network on a patch `[depth, height, width]`. `strided_identity` counts the 1³
/// convolution of an identity with stride 2, which the paper's table appears to leave out.
pub fn count(genotype: &Genotype, size: Size, patch: [usize; 3], strided_identity: bool) -> Cost {
    let Size { channels, classes, width } = size;
    let space = &genotype.space;
    let voxels: [usize; DEPTH + 1] =
        std::array::from_fn(|level| patch.iter().map(|n| n.div_ceil(1 << level)).product());
    let mut cost = Cost::default();
    cost.add(channels * width * 27, voxels[0]);
    let mut inputs = [(width, 0); 2];
    for place in space.cells() {
        let node = (width << place.level) / NODES;
        let target =
            if place.cell_type == CellType::Reduction { place.level - 1 } else { place.level };
        for (from, level) in inputs {
            match (level > target, space.upsample) {
                (true, Upsample::Transposed) => cost.add(from * node * 27, voxels[level]),
                (true, Upsample::Trilinear) => cost.add(from * node, voxels[level]),
                (false, _) => cost.add(from * node, voxels[target]),
            }
        }
        for edge in 0..EDGES {
            match genotype.kind(place.arch, edge) {
                Kind::Conv { kernel } => {
                    cost.add(node * node * kernel.iter().product::<usize>(), voxels[place.level])
                }
                Kind::Depthwise { kernel, .. } => {
                    cost.add(
                        node * kernel.iter().product::<usize>() + node * node,
                        voxels[place.level],
                    );
                }
                Kind::Identity if strided_identity && strided(place.cell_type, edge) => {
                    cost.add(node * node, voxels[place.level])
                }
                _ => {}
            }
        }
        inputs = [inputs[1], (width << place.level, place.level)];
    }
    cost.add(width * classes, voxels[0]);
    cost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::topology::{EDGES, Space};

    const PAPER: Size = Size { channels: 4, classes: 4, width: 32 };

    fn paper_cost(genotype: &Genotype) -> Cost {
        count(genotype, PAPER, [128; 3], false)
    }

    /// The network whose edges are all zero, but for those of `cell` which are `operation`.
    fn one_type(operation: &str, cell: usize) -> Genotype {
        let mut genotype = Genotype::uniform(&Space::paper(), "zero").unwrap();
        genotype.choices[cell] = [genotype.space.operations.index_of(operation).unwrap(); EDGES];
        genotype
    }

    fn per_edge(operation: &str, cell: usize) -> (f64, f64) {
        let base = paper_cost(&Genotype::uniform(&Space::paper(), "zero").unwrap());
        let cost = paper_cost(&one_type(operation, cell));
        ((cost.millions() - base.millions()) / 14.0, (cost.gflops() - base.gflops()) / 14.0)
    }

    fn assert_rounds_to(value: f64, expected: &str) {
        let decimals = expected.split('.').nth(1).map_or(0, str::len);
        assert_eq!(format!("{value:.decimals$}"), expected, "{value}");
    }

    #[test]
    fn what_does_not_depend_on_the_architecture_has_the_documented_cost() {
        let base = paper_cost(&Genotype::uniform(&Space::paper(), "zero").unwrap());
        assert_rounds_to(base.millions(), "0.952");
        assert_rounds_to(base.gflops(), "55.8");
    }

    #[test]
    fn each_edge_adds_its_documented_cost() {
        for cell in [0, 1, 2] {
            let (parameters, gflops) = per_edge("conv3", cell);
            assert_rounds_to(parameters, "0.145");
            assert_rounds_to(gflops, "6.34");
            let (parameters, gflops) = per_edge("dil3", cell);
            assert_rounds_to(parameters, "0.0084");
            assert_rounds_to(gflops, "0.53");
        }
        let (parameters, gflops) = per_edge("conv3", 3);
        assert_rounds_to(parameters, "0.036");
        assert_rounds_to(gflops, "12.68");
        let (parameters, gflops) = per_edge("dil2", 3);
        assert_rounds_to(parameters, "0.0029");
        assert_rounds_to(gflops, "1.66");
    }

    #[test]
    fn the_largest_network_has_the_documented_cost() {
        let cost = paper_cost(&Genotype::uniform(&Space::paper(), "conv3").unwrap());
        assert_rounds_to(cost.millions(), "7.56");
        assert_rounds_to(cost.gflops(), "500");
    }

    #[test]
    fn random_networks_have_the_documented_average_cost() {
        let n = 400;
        let costs: Vec<Cost> =
            (0..n).map(|seed| paper_cost(&Genotype::random(&Space::paper(), seed))).collect();
        let mean = |f: fn(&Cost) -> f64| costs.iter().map(f).sum::<f64>() / n as f64;
        assert!((mean(Cost::millions) - 1.93).abs() < 0.05, "{}", mean(Cost::millions));
        assert!((mean(Cost::gflops) - 128.0).abs() < 3.0, "{}", mean(Cost::gflops));
    }
}
