//! Regions, of which each says by itself whether a voxel is inside: the logistic function.

use medvol::ClassMap;

use super::exponential::{exp, sum_of_logarithms};

/// `[regions, voxels]`, the probability of being inside, from the logits of every region,
/// `row(region)`, and Σ -ln of the probability of what is true: `inside` `[regions, voxels]`. The
/// `classes` say which voxels are ignored.
pub(super) fn probabilities<'a>(
    row: impl Fn(usize) -> &'a [f32],
    inside: &[u8],
    classes: &[u8],
) -> (Vec<f32>, f64) {
    let len = classes.len();
    let mut p = vec![0.0_f32; inside.len()];
    let mut surprise = 0.0;
    let mut sum = vec![1.0_f32; len];
    for (region, (p, inside)) in p.chunks_exact_mut(len).zip(inside.chunks_exact(len)).enumerate() {
        let logits = row(region);
        for ((p, sum), &s) in p.iter_mut().zip(&mut sum).zip(logits) {
            // The exponential of what is not positive neither overflows nor loses digits.
            let far = exp(-s.abs());
            *sum = 1.0 + far;
            let top = if s < 0.0 { far } else { 1.0 };
            *p = top / *sum;
        }
        for (v, ((&class, &inside), &s)) in classes.iter().zip(inside).zip(logits).enumerate() {
            if class == ClassMap::IGNORED {
                (p[v], sum[v]) = (0.0, 1.0);
            } else {
                // Inside, -ln p = max(-s, 0) + ln(1 + e^-|s|); outside, that with s for -s.
                let wrong = s * (1.0 - 2.0 * f32::from(inside));
                surprise += f64::from(wrong.max(0.0));
            }
        }
        surprise += sum_of_logarithms(&sum);
    }
    (p, surprise)
}
