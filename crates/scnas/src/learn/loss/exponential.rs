//! Exponentials and logarithms of many elements.

/// Logits are told apart as far as this below the largest: e^-50 changes no sum, and its products
/// stay in the normal range of `f32`.
const FARTHEST: f32 = -50.0;

/// e^x for x of at most 0, to within 2e-7 of the value: plain arithmetic, which the compiler can do
/// for many elements at a time. What is below [`FARTHEST`] is taken for that.
pub(super) fn exp(x: f32) -> f32 {
    /// Adding this rounds to an integer, which the lowest bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(FARTHEST);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with few enough bits for an exact product.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let value = series.iter().fold(0.0, |value, c| value * r + c);
    value * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// Σ ln of values between 1 and 256: sixteen of them can be multiplied before the logarithm is
/// taken.
pub(super) fn sum_of_logarithms(values: &[f32]) -> f64 {
    values
        .chunks(16)
        .map(|values| values.iter().map(|&value| f64::from(value)).product::<f64>().ln())
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_equals_that_of_the_standard_library() {
        for i in 0..=100_000 {
            let x = FARTHEST * i as f32 / 100_000.0;
            let expected = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) - expected).abs() <= 2e-7 * expected,
                "{x}: {} instead of {expected}",
                exp(x)
            );
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-21 && exp(-1e30) < 1e-21);
    }
}
