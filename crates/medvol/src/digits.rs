//! Numbers in messages: short, and never so short that they say nothing.

/// A number with so many significant digits (at least 1), without zeros at its end: `0.0002`,
/// `1.316`, `240`. Digits before the point are all shown; what is very large or small is shown as
/// `1.2e-9`.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = i32::try_from(digits.max(1)).unwrap_or(i32::MAX);
    let exponent = value.abs().log10().floor() as i32;
    let (text, power) = match exponent {
        -5..=9 => {
            let decimals = digits.saturating_sub(1 + exponent).max(0);
            (format!("{value:.*}", decimals as usize), None)
        }
        _ => {
            let text = format!("{value:.*e}", digits as usize - 1);
            let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
            (mantissa.to_string(), Some(format!("e{power}")))
        }
    };
    let short = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{short}{}", power.unwrap_or_default())
}

/// Spacings, or other lengths along three axes, in mm: `10 x 1.316 x 1.316 mm`.
pub fn lengths_mm(lengths: [f64; 3]) -> String {
    format!("{} mm", lengths.map(|mm| significant(mm, 4)).join(" x "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_short_and_say_something() {
        for (value, digits, text) in [
            (0.000_199_99, 2, "0.0002"),
            (1.315_790_057, 4, "1.316"),
            (240.0, 2, "240"),
            (-0.5, 3, "-0.5"),
            (9.996, 3, "10"),
            (0.0, 3, "0"),
            (1.26e-9, 2, "1.3e-9"),
            (3e12, 3, "3e12"),
            (f64::NAN, 3, "NaN"),
            (f64::INFINITY, 3, "inf"),
        ] {
            assert_eq!(significant(value, digits), text);
        }
        assert_eq!(lengths_mm([10.0, 1.315_79, 0.000_8]), "10 x 1.316 x 0.0008 mm");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_near_what_is_meant(value in prop::num::f64::NORMAL, digits in 1..8_usize) {
            let shown: f64 = significant(value, digits).parse().unwrap();
            let tolerance = 0.500_001 * 10_f64.powi(1 - digits as i32) * value.abs();
            prop_assert!((shown - value).abs() <= tolerance * 1.000_001, "{value} {shown}");
            prop_assert_ne!(shown, 0.0);
        }
    }
}
