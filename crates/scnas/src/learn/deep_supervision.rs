//! Deep supervision (Lee et al. 2015, in the form of nnU-Net): in training, the decoder's outputs
//! at 1/2 and 1/4 of the size get heads too, whose logits are judged by labels on their grids. These
//! heads are not part of the trained model.

use crate::network::Head;
use crate::network::cells::Network;
use crate::network::layout::Layout;
use crate::network::size::Size;
use crate::network::weights::Weights;

/// Levels whose outputs are judged, level `l` with half the weight of level `l - 1`.
const LEVELS: [usize; 2] = [1, 2];

/// The additional heads of a network of cells.
#[derive(Debug)]
pub struct DeepSupervision {
    pub(crate) heads: Vec<Head>,
    /// Weights of the network itself.
    own: usize,
}

impl DeepSupervision {
    /// Adds its weights to those of `network`.
    pub fn new(network: &Network, size: Size, weights: &mut Weights) -> Self {
        let own = weights.count();
        let mut layout = Layout::after(own, size.grid);
        let heads = LEVELS.into_iter().filter_map(|level| {
            let output = network.space().decoder_output(level)?;
            let channels = [size.width << level, size.classes];
            Some(Head::new(&mut layout, &format!("supervision.{level}"), channels, output, level))
        });
        let heads = heads.collect();
        weights.extend(&layout);
        Self { heads, own }
    }

    /// Weight of the loss at `level`; with level 0 they sum to 1.
    pub(crate) fn share(&self, level: usize) -> f64 {
        let weight = |level: usize| 0.5_f64.powi(level as i32);
        weight(level) / (1.0 + self.heads.iter().map(|head| weight(head.level())).sum::<f64>())
    }

    /// Takes its weights away from those of the network again.
    pub fn remove_from(&self, weights: &mut Weights) {
        weights.truncate(self.own);
    }
}

/// Class indices `[batch, depth, height, width]` on a coarser grid: of each block of `factor` voxels
/// the one at its centre (its lower corner's side). `shape` is `[depth, height, width]`, divisible
/// by `factor`.
pub(crate) fn coarse_classes(
    classes: &[u8],
    [depth, height, width]: [usize; 3],
    factor: [usize; 3],
) -> Vec<u8> {
    let centres = |length: usize, step: usize| ((step - 1) / 2..length).step_by(step);
    let mut coarse = Vec::with_capacity(classes.len() / factor.iter().product::<usize>());
    for case in classes.chunks_exact(depth * height * width) {
        for z in centres(depth, factor[0]) {
            for y in centres(height, factor[1]) {
                let row = &case[(z * height + y) * width..][..width];
                coarse.extend(centres(width, factor[2]).map(|x| row[x]));
            }
        }
    }
    coarse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::genotype::Genotype;
    use crate::space::topology::{DecoderOrder, Space};

    #[test]
    fn coarse_classes_are_those_of_blocks_that_have_one_class() {
        // Two cases, blocks of 4³ of a class each.
        let shape = [8, 4, 12];
        let class = |case: usize, z: usize, x: usize| (case * 100 + z / 4 * 10 + x / 4) as u8;
        let mut classes = Vec::new();
        for case in 0..2 {
            for z in 0..8 {
                for _ in 0..4 {
                    classes.extend((0..12).map(|x| class(case, z, x)));
                }
            }
        }
        assert_eq!(
            coarse_classes(&classes, shape, [4; 3]),
            [0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112]
        );
        assert_eq!(coarse_classes(&classes, shape, [2; 3]).len(), 2 * 4 * 2 * 6);
        assert_eq!(coarse_classes(&classes, shape, [1; 3]), classes);
        assert_eq!(coarse_classes(&classes, shape, [8, 4, 2])[..6], [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn both_decoder_orders_are_judged_at_both_levels_and_its_weights_go_as_they_came() {
        let size = Size::isotropic(1, 3, 4);
        for decoder_order in [DecoderOrder::NormalFirst, DecoderOrder::ExpansionFirst] {
            let genotype = Genotype::random(&Space { decoder_order, ..Space::paper() }, 1);
            let network = Network::fixed(&genotype, size);
            let device = volops::device("cpu").unwrap();
            let mut weights = Weights::new(&device, 0, network.layout());
            let before = weights.count();
            let supervision = DeepSupervision::new(&network, size, &mut weights);
            assert_eq!(supervision.heads.iter().map(Head::level).collect::<Vec<_>>(), LEVELS);
            assert_eq!(weights.count(), before + 4);
            assert!(
                (supervision.share(0) + supervision.share(1) + supervision.share(2) - 1.0).abs()
                    < 1e-12
            );
            supervision.remove_from(&mut weights);
            assert_eq!(weights.count(), before);
        }
    }
}
