//! Classes that exclude each other: the softmax.

use medvol::ClassMap;

use super::exponential::{exp, sum_of_logarithms};

/// `[outputs, voxels]`, the softmax of the logits of every class, `row(class)`, and Σ -ln of the
/// probability of the true class.
pub(super) fn probabilities<'a>(
    outputs: usize,
    row: impl Fn(usize) -> &'a [f32],
    classes: &[u8],
) -> (Vec<f32>, f64) {
    let len = classes.len();
    let mut p = vec![0.0_f32; outputs * len];
    let mut max = row(0).to_vec();
    for c in 1..outputs {
        max.iter_mut().zip(row(c)).for_each(|(m, s)| *m = m.max(*s));
    }
    let mut sum = vec![0.0_f32; len];
    for (c, p) in p.chunks_exact_mut(len).enumerate() {
        for (((p, s), m), sum) in p.iter_mut().zip(row(c)).zip(&max).zip(&mut sum) {
            *p = exp(s - m);
            *sum += *p;
        }
    }
    for p in p.chunks_exact_mut(len) {
        p.iter_mut().zip(&sum).for_each(|(p, sum)| *p /= sum);
    }
    let mut surprise = 0.0;
    for (v, &class) in classes.iter().enumerate() {
        if class == ClassMap::IGNORED {
            sum[v] = 1.0;
            p.iter_mut().skip(v).step_by(len).for_each(|p| *p = 0.0);
        } else {
            // From the logits themselves: finite also where the probability underflows.
            surprise += f64::from(max[v] - row(usize::from(class))[v]);
        }
    }
    (p, surprise + sum_of_logarithms(&sum))
}

/// Of every voxel Σ p · dL/dp over the classes, from the rows of both.
pub(super) fn means<'a>(
    rows: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    voxels: usize,
) -> Vec<f32> {
    let mut mean = vec![0.0_f32; voxels];
    for (p, dp) in rows {
        mean.iter_mut().zip(p).zip(dp).for_each(|((mean, p), dp)| *mean += p * dp);
    }
    mean
}
