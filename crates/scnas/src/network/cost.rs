//! Parameters and floating-point operations of a network (the columns of the paper's Table 1), from
//! the weights that it declared.

use serde::{Deserialize, Serialize};

use crate::network::layout::{Layout, Role};

/// Cost of one forward pass over one patch. Convolution weights only; no biases, no norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Convolution weights.
    pub parameters: u64,
    /// Multiply-adds. A table's GFLOPs are twice this × 1e-9.
    pub multiply_adds: u64,
}

impl Cost {
    /// Cost of the network of this layout on a patch `[depth, height, width]` of one image.
    pub fn of(layout: &Layout, patch: [usize; 3]) -> Self {
        let voxels = |level| layout.grid().extents(patch, level).iter().product::<usize>();
        let mut cost = Self::default();
        for weight in layout.iter() {
            match weight.role {
                Role::Convolution { level } => {
                    cost.parameters += weight.scalars() as u64;
                    cost.multiply_adds += (weight.scalars() * voxels(level)) as u64;
                }
                Role::PerChannel => {}
            }
        }
        cost
    }

    /// 2 × multiply-adds × 1e-9.
    pub fn gflops(&self) -> f64 {
        2.0 * self.multiply_adds as f64 * 1e-9
    }

    /// Parameters in millions.
    pub fn millions(&self) -> f64 {
        self.parameters as f64 * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::architecture::Architecture;
    use crate::network::size::Size;
    use crate::space::genotype::Genotype;
    use crate::space::topology::{EDGES, Space};

    const ALL_DESIGNS: [&str; 3] = [
        r#"{"u": {"channels": [6, 10, 16, 20], "encoder": [1, 2, 3, 4], "gates": false}}"#,
        r#"{"u": {"channels": [8, 8, 8, 8], "block": "plain", "maps": false, "upsample": "trilinear"}}"#,
        r#"{"u": {"channels": [4, 8, 16, 32], "decoder": [3, 2, 1], "block": "separable"}}"#,
    ];
    const PAPER: Size = Size::isotropic(4, 4, 32);

    fn paper_cost(genotype: Genotype) -> Cost {
        Architecture::Cells(genotype).cost(PAPER, [128; 3])
    }

    fn uniform(operation: &str) -> Genotype {
        Genotype::uniform(&Space::paper(), operation).unwrap()
    }

    /// The network whose edges are all zero, but for those of `cell` which are `operation`.
    fn one_type(operation: &str, cell: usize) -> Genotype {
        let mut genotype = uniform("zero");
        genotype.choices[cell] = [genotype.space.operations.index_of(operation).unwrap(); EDGES];
        genotype
    }

    fn per_edge(operation: &str, cell: usize) -> (f64, f64) {
        let (base, cost) = (paper_cost(uniform("zero")), paper_cost(one_type(operation, cell)));
        ((cost.millions() - base.millions()) / 14.0, (cost.gflops() - base.gflops()) / 14.0)
    }

    fn assert_rounds_to(value: f64, expected: &str) {
        let decimals = expected.split('.').nth(1).map_or(0, str::len);
        assert_eq!(format!("{value:.decimals$}"), expected, "{value}");
    }

    #[test]
    fn what_does_not_depend_on_the_architecture_has_the_documented_cost() {
        let base = paper_cost(uniform("zero"));
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
        let cost = paper_cost(uniform("conv3"));
        assert_rounds_to(cost.millions(), "7.56");
        assert_rounds_to(cost.gflops(), "500");
    }

    #[test]
    fn an_identity_costs_something_only_where_it_halves_the_grid() {
        assert_eq!(per_edge("identity", 1), (0.0, 0.0));
        // 1³ convolutions of 16, 32 and 64 channels on the eight edges from a reduction cell's
        // inputs.
        let cost = paper_cost(one_type("identity", 0));
        let added = cost.parameters - paper_cost(uniform("zero")).parameters;
        assert_eq!(added, 8 * (16 * 16 + 32 * 32 + 64 * 64));
    }

    #[test]
    fn random_networks_have_the_documented_average_cost() {
        let n = 400;
        let costs: Vec<Cost> =
            (0..n).map(|seed| paper_cost(Genotype::random(&Space::paper(), seed))).collect();
        let mean = |f: fn(&Cost) -> f64| costs.iter().map(f).sum::<f64>() / n as f64;
        assert!((mean(Cost::millions) - 1.93).abs() < 0.05, "{}", mean(Cost::millions));
        assert!((mean(Cost::gflops) - 128.0).abs() < 3.0, "{}", mean(Cost::gflops));
    }

    #[test]
    fn what_is_counted_are_the_convolution_weights_of_every_network() {
        let all = r#"["conv3", "conv1x3x3", "sep3", "dil2", "max3", "avg3", "identity", "zero"]"#;
        let space = Space { operations: serde_json::from_str(all).unwrap(), ..Space::paper() };
        let genotypes = (0..4).map(|seed| {
            let (residual, maps) = (seed % 2 == 1, seed > 1);
            let space = Space { residual, maps, ..space.clone() };
            Architecture::Cells(Genotype::random(&space, seed))
        });
        let size = Size::isotropic(2, 3, 8);
        let designs = ALL_DESIGNS.map(|text| serde_json::from_str(text).unwrap());
        let designed =
            [Architecture::UResNet, Architecture::UResNetHalf].into_iter().chain(designs);
        for architecture in genotypes.chain(designed) {
            let network = architecture.build(size);
            let counted = network.layout().iter().filter(|weight| {
                ["weight", "depthwise", "pointwise"].iter().any(|end| weight.name.ends_with(end))
            });
            let scalars: u64 = counted.map(|weight| weight.scalars() as u64).sum();
            assert_eq!(architecture.cost(size, [16; 3]).parameters, scalars);
        }
    }

    #[test]
    fn shortcuts_and_class_maps_cost_what_their_1_cubed_convolutions_do() {
        let cost = |residual, maps| {
            let space = Space { residual, maps, ..Space::paper() };
            Architecture::Cells(Genotype::random(&space, 1)).cost(PAPER, [128; 3])
        };
        let plain = cost(false, false);
        // Each runs on the smaller of its two grids, so that pairs of channels and voxels repeat.
        let steps: [(u64, u64); 3] =
            [(32 * 64, 64_u64.pow(3)), (64 * 128, 32_u64.pow(3)), (128 * 256, 16_u64.pow(3))];
        let residual = cost(true, false);
        assert_eq!(
            residual.parameters - plain.parameters,
            2 * steps.iter().map(|(weights, _)| weights).sum::<u64>()
        );
        assert_eq!(
            residual.multiply_adds - plain.multiply_adds,
            2 * steps.iter().map(|(weights, voxels)| weights * voxels).sum::<u64>()
        );
        let maps = cost(false, true);
        assert_eq!(maps.parameters - plain.parameters, 4 * (64 + 128));
        let added = 4 * (64 * 64_u64.pow(3) + 128 * 32_u64.pow(3));
        assert_eq!(maps.multiply_adds - plain.multiply_adds, added);
    }

    #[test]
    fn the_u_resnet_has_the_documented_size_and_cost() {
        let cost = Architecture::UResNet.cost(PAPER, [128; 3]);
        assert_eq!(format!("{:.2} M, {:.0} G", cost.millions(), cost.gflops()), "7.67 M, 875 G");
    }
}
