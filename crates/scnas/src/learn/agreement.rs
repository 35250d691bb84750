//! How sure a search is: whether two halves of what its gradients said say the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::message::Agreement;

/// Sums of the gradients of α, those of every second step apart. Where gradients are noise, the
/// halves know nothing of each other, however far α has moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Halves([Vec<f64>; 2]);

impl Halves {
    /// Takes in the gradient of the α step `index`, in the order of
    /// [`Alpha::values_mut`](crate::learn::relaxation::Alpha::values_mut).
    pub fn add(&mut self, index: usize, gradient: &[f64]) {
        let sum = &mut self.0[index % 2];
        sum.resize(gradient.len(), 0.0);
        sum.iter_mut().zip(gradient).for_each(|(sum, by_logit)| *sum += by_logit);
    }

    /// Whether they say the same of edges with so many operations; `None` until both were told
    /// something.
    pub fn agreement(&self, operations: usize) -> Option<Agreement> {
        let known = self.0.iter().all(|sum| !sum.is_empty());
        known.then(|| agreement(self.0.each_ref().map(Vec::as_slice), operations))
    }
}

/// The agreement of what two halves say of so many operations an edge, edge after edge. What is
/// lower is better; the mean over the operations of an edge is 0.
pub(super) fn agreement(halves: [&[f64]; 2], operations: usize) -> Agreement {
    let best = |effects: &[f64]| {
        (0..effects.len()).min_by(|&a, &b| effects[a].total_cmp(&effects[b])).unwrap_or(0)
    };
    let chosen = halves.map(|half| half.chunks(operations).map(best).collect::<Vec<_>>());
    let edges = chosen[0].len();
    let same = chosen[0].iter().zip(&chosen[1]).filter(|(a, b)| a == b).count();
    let shares = chosen.map(|chosen| {
        let mut counts = BTreeMap::new();
        chosen.into_iter().for_each(|op| *counts.entry(op).or_insert(0.0) += 1.0);
        counts
    });
    let both = shares[0].iter().filter_map(|(op, n)| Some(n * shares[1].get(op)?));
    let by_chance = both.sum::<f64>() / edges as f64;
    Agreement { r: correlation(halves), same, by_chance, edges }
}

/// Pearson's correlation of values whose means are 0; 0 where one of the two does not vary.
fn correlation([a, b]: [&[f64]; 2]) -> f64 {
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let scale = (product(a, a) * product(b, b)).sqrt();
    if scale > 0.0 { product(a, b) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::random::{Stream, rng};

    /// Gradients of 56 edges with 8 operations: `signal` times one truth, and noise of variance 1/12.
    fn halves(signal: f64, steps: usize) -> Halves {
        let centred = |substream| {
            let mut rng = rng(5, Stream::Sampling, substream);
            let values: Vec<f64> = (0..56 * 8).map(|_| rng.random::<f64>() - 0.5).collect();
            let centred = values.chunks(8).flat_map(|edge| {
                let mean = edge.iter().sum::<f64>() / 8.0;
                edge.iter().map(move |value| value - mean)
            });
            centred.collect::<Vec<f64>>()
        };
        let truth = centred(0);
        let mut halves = Halves::default();
        for step in 0..steps {
            let noise = centred(1 + step as u64);
            let gradient: Vec<f64> =
                truth.iter().zip(&noise).map(|(truth, noise)| signal * truth + noise).collect();
            halves.add(step, &gradient);
        }
        halves
    }

    #[test]
    fn halves_of_noise_agree_by_chance_and_those_of_a_signal_as_it_stands_out() {
        let noise = halves(0.0, 200).agreement(8).unwrap();
        assert!(noise.r.abs() < 0.15 && noise.edges == 56, "{noise:?}");
        assert!((noise.same as f64 - noise.by_chance).abs() < 8.0, "{noise:?}");
        // Of a half, the variance of the signal is 100² s², that of the noise 100: r = 100 s² / (1 + 100 s²).
        let weak = halves(0.1, 200).agreement(8).unwrap();
        assert!((weak.r - 0.5).abs() < 0.1, "{weak:?}");
        let strong = halves(1.0, 200).agreement(8).unwrap();
        assert!(strong.r > 0.98 && strong.same > 38 && strong.by_chance < 12.0, "{strong:?}");
    }

    #[test]
    fn one_half_alone_agrees_with_nothing() {
        assert_eq!(halves(1.0, 1).agreement(8), None);
    }
}
