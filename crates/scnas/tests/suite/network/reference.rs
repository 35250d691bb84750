//! A network of cells, wired by hand from a table.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use scnas::network::mixture::{Entry, Mixture};
use scnas::space::operation::{Kind, SLOPE};
use scnas::space::topology::{CELLS, DecoderOrder, Share, Space, Upsample};
use volops::composition as slow;
use volops::{ConvSpec, DepthwiseSpec, PoolSpec};

use super::{Grids, PATCH};

/// Per cell: letter, level, index of older and newer input, index of the encoder output added to
/// its own. Index 0 is the stem, cell n is n + 1.
type Wiring<const N: usize> = [(char, usize, usize, usize, Option<usize>); N];

const ENCODER: Wiring<6> = [
    ('R', 1, 0, 0, None),
    ('N', 1, 0, 1, None),
    ('R', 2, 1, 2, None),
    ('N', 2, 2, 3, None),
    ('R', 3, 3, 4, None),
    ('N', 3, 4, 5, None),
];

const NORMAL_FIRST: Wiring<{ CELLS - 6 }> = [
    ('D', 3, 5, 6, None),
    ('E', 2, 6, 7, Some(4)),
    ('D', 2, 7, 8, None),
    ('E', 1, 8, 9, Some(2)),
    ('D', 1, 9, 10, None),
    ('E', 0, 10, 11, Some(0)),
];

const EXPANSION_FIRST: Wiring<{ CELLS - 6 }> = [
    ('E', 2, 5, 6, Some(4)),
    ('D', 2, 6, 7, None),
    ('E', 1, 7, 8, Some(2)),
    ('D', 1, 8, 9, None),
    ('E', 0, 9, 10, Some(0)),
    ('D', 0, 10, 11, None),
];

/// The weights by name, leaves of a tape.
pub(super) struct Reference<'a> {
    pub space: &'a Space,
    pub grids: Grids,
    pub weights: BTreeMap<String, Tensor<5>>,
}

impl Reference<'_> {
    fn w(&self, name: String) -> Tensor<5> {
        self.weights[&name].clone()
    }

    fn norm(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        slow::instance_norm(x, self.w(format!("{name}.gamma")), self.w(format!("{name}.beta")))
    }

    fn conv(
        &self,
        name: &str,
        x: Tensor<5>,
        kernel: [usize; 3],
        stride: [usize; 3],
        slope: Option<f32>,
    ) -> Tensor<5> {
        self.norm(
            name,
            slow::conv3d(x, self.w(format!("{name}.weight")), ConvSpec { kernel, stride, slope }),
        )
    }

    /// What is left of a kernel at a level.
    fn flat(&self, level: usize, kernel: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| kernel[axis].min(self.grids.1[level][axis]))
    }

    fn edge(
        &self,
        name: &str,
        kind: Kind,
        x: Tensor<5>,
        (level, halves): (usize, bool),
    ) -> Option<Tensor<5>> {
        let stride = if halves { self.grids.0[level - 1] } else { [1; 3] };
        let pool = PoolSpec { window: self.flat(level, [3; 3]), stride };
        Some(match kind {
            Kind::Zero => return None,
            Kind::Identity if !halves => x,
            Kind::Identity => self.conv(name, x, [1; 3], stride, Some(SLOPE)),
            Kind::MaxPool => slow::max_pool3d(x, pool),
            Kind::AveragePool => slow::avg_pool3d(x, pool),
            Kind::Conv { kernel } => {
                self.conv(name, x, self.flat(level, kernel), stride, Some(SLOPE))
            }
            Kind::Depthwise { kernel, dilation } => {
                let kernel = self.flat(level, kernel);
                let spec = DepthwiseSpec { kernel, dilation, stride, slope: Some(SLOPE) };
                let y = slow::depthwise3d(x, self.w(format!("{name}.depthwise")), spec);
                let pointwise = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
                self.norm(name, slow::conv3d(y, self.w(format!("{name}.pointwise")), pointwise))
            }
        })
    }

    fn input(&self, name: &str, x: Tensor<5>, level: usize, target: usize) -> Tensor<5> {
        match (level as isize - target as isize, self.space.upsample) {
            (1, Upsample::Transposed) => {
                let (kernel, stride) = (self.flat(target, [3; 3]), self.grids.0[target]);
                let spec = ConvSpec { kernel, stride, slope: Some(SLOPE) };
                let weight = self.w(format!("{name}.weight"));
                self.norm(name, slow::conv_transpose3d(x, weight, spec))
            }
            (1, Upsample::Trilinear) => {
                let y = self.conv(name, x, [1; 3], [1; 3], Some(SLOPE));
                slow::upsample(y, self.grids.0[target])
            }
            (0, _) => self.conv(name, x, [1; 3], [1; 3], Some(SLOPE)),
            (-1, _) => self.conv(name, x, [1; 3], self.grids.0[level], Some(SLOPE)),
            (d, _) => panic!("inputs are at most one level away, found {d}"),
        }
    }

    pub fn forward(&self, x: Tensor<5>, mixture: &Mixture) -> Tensor<5> {
        let decoder = match self.space.decoder_order {
            DecoderOrder::NormalFirst => NORMAL_FIRST,
            DecoderOrder::ExpansionFirst => EXPANSION_FIRST,
        };
        let mut outputs = vec![(self.conv("stem", x, self.flat(0, [3; 3]), [1; 3], None), 0)];
        for (index, (letter, level, older, newer, skip)) in
            ENCODER.into_iter().chain(decoder).enumerate()
        {
            let arch = match self.space.share {
                Share::Type => "RNDE".find(letter).unwrap(),
                Share::Cell => index,
            };
            let target = if letter == 'R' { level - 1 } else { level };
            let mut nodes: Vec<Tensor<5>> = [older, newer]
                .iter()
                .enumerate()
                .map(|(i, &o)| {
                    let (x, l) = outputs[o].clone();
                    self.input(&format!("cells.{index:02}.input{i}"), x, l, target)
                })
                .collect();
            let [batch, channels, ..] = nodes[0].dims();
            let [d, h, w] = [0, 1, 2].map(|axis| {
                let strides = self.grids.0[..level].iter();
                strides.fold(PATCH[axis], |extent, stride| extent / stride[axis])
            });
            let mut edge = 0;
            for _ in 0..4 {
                let mut sum = Tensor::zeros([batch, channels, d, h, w], &nodes[0].device());
                for (source, x) in nodes.clone().into_iter().enumerate() {
                    let place = (level, letter == 'R' && source < 2);
                    for Entry { operation, z } in &mixture.architecture(arch)[edge] {
                        let operation = self.space.operations.get(*operation);
                        let name = format!("cells.{index:02}.edge{edge:02}.{operation}");
                        if let Some(y) = self.edge(&name, operation.kind, x.clone(), place) {
                            sum = sum + slow::add_scaled(None, y, z.clone());
                        }
                    }
                    edge += 1;
                }
                nodes.push(sum);
            }
            let mut y = Tensor::cat(nodes.split_off(2), 1);
            if self.space.residual {
                let (x, from) = outputs[newer].clone();
                y = y + self.shortcut(&format!("cells.{index:02}.shortcut"), x, from, level);
            }
            if let Some(skip) = skip {
                y = y + outputs[skip].0.clone();
            }
            outputs.push((y, level));
        }
        let logits = self.map("out", outputs[12].0.clone());
        if !self.space.maps {
            return logits;
        }
        // The last outputs of the decoder at 1/4 and 1/2 of the size.
        let [quarter, half] = match self.space.decoder_order {
            DecoderOrder::NormalFirst => [9, 11],
            DecoderOrder::ExpansionFirst => [8, 10],
        };
        let quarter = self.map("map.2", outputs[quarter].0.clone());
        let half = self.map("map.1", outputs[half].0.clone());
        let [to_half, to_quarter, _] = self.grids.0;
        logits + slow::upsample(half + slow::upsample(quarter, to_quarter), to_half)
    }

    fn map(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        let spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: Some(SLOPE) };
        slow::conv3d(x, self.w(format!("{name}.weight")), spec) + self.w(format!("{name}.bias"))
    }

    fn shortcut(&self, name: &str, x: Tensor<5>, from: usize, to: usize) -> Tensor<5> {
        match to as isize - from as isize {
            0 => x,
            1 => self.conv(name, x, [1; 3], self.grids.0[from], Some(SLOPE)),
            _ => {
                let y = self.conv(name, x, [1; 3], [1; 3], Some(SLOPE));
                slow::upsample(y, self.grids.0[to])
            }
        }
    }
}
