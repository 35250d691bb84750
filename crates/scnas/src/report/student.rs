//! Student's t: for means of few values.

/// The two-sided p value of `t` with `df` degrees of freedom, which is above 0.
pub fn two_sided(t: f64, df: f64) -> f64 {
    incomplete_beta(df / (df + t * t), df / 2.0, 0.5)
}

/// The value that |t| with `df` degrees of freedom stays below with a probability of 95 %.
pub fn within_95(df: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, df) > 0.05 {
        (low, high) = (high, 2.0 * high);
    }
    // Down to the last bit.
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if two_sided(middle, df) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// The regularised incomplete beta function I_x(a, b) for x from 0 to 1.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    // The continued fraction converges fast on one side, and the function is symmetric.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    if x <= 0.0 {
        return 0.0;
    }
    let front =
        (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp();
    // 1 / (1 + d₁ / (1 + d₂ / (1 + …))), from inside.
    let coefficient = |n: usize| {
        let m = (n / 2) as f64;
        if n.is_multiple_of(2) {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }
    };
    let fraction = (1..=300).rev().fold(1.0, |inner, n| 1.0 + coefficient(n) / inner);
    front / (a * fraction)
}

/// The logarithm of the gamma function of a positive number (Stirling's series).
fn ln_gamma(x: f64) -> f64 {
    if x < 12.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_the_closed_forms() {
        for t in [0.1_f64, 0.7, 1.0, 2.5, 12.7, 300.0] {
            // One degree: Cauchy's law. Two: an algebraic one.
            let one = 1.0 - 2.0 / std::f64::consts::PI * t.atan();
            assert!((two_sided(t, 1.0) - one).abs() < 1e-11, "{t}: {}", two_sided(t, 1.0));
            let two = 1.0 - t / (2.0 + t * t).sqrt();
            assert!((two_sided(t, 2.0) - two).abs() < 1e-11, "{t}: {}", two_sided(t, 2.0));
        }
        assert!((two_sided(0.0, 5.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn limits_are_those_of_printed_tables() {
        for (df, limit) in [
            (1.0, 12.706),
            (2.0, 4.303),
            (4.0, 2.776),
            (9.0, 2.262),
            (30.0, 2.042),
            (1000.0, 1.962),
        ] {
            assert!((within_95(df) - limit).abs() < 6e-4, "{df}: {}", within_95(df));
        }
    }
}
