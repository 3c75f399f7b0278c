//! From logits to the next token, and what says that a decoder has lost its way.

/// Logarithms of the probabilities.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let total = log_sum_exp(logits);
    logits.iter().map(|logit| logit - total).collect()
}

/// The logarithm of the sum of exponentials.
pub(crate) fn log_sum_exp(logits: &[f32]) -> f32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if highest == f32::NEG_INFINITY {
        return highest;
    }
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut sums = [0.0_f64; LANES];
    for chunk in chunks {
        for (sum, logit) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(exp(logit - highest));
        }
    }
    let rest: f64 = rest.iter().map(|logit| f64::from(exp(logit - highest))).sum();
    highest + (sums.iter().sum::<f64>() + rest).ln() as f32
}

/// How many are computed side by side.
const LANES: usize = 8;

/// The exponential of what is not above 0, to the last digit or two of an f32. The standard library's takes half a millisecond for a row
/// of Whisper's logits, one after the other; this one the compiler does several at a time. What is no number stays none.
fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: a number of this size has its whole part in its last bits.
    const WHOLE: f32 = 12_582_912.0;
    /// ln 2 in two parts, of which whole multiples of the first are exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let whole = shifted - WHOLE;
    let r = x - whole * LN_2.0 - whole * LN_2.1;
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    series * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// True when the tokens end in the same one to eight tokens over and over: at least eight times and over 24 tokens, which
/// no caller says (a number read digit by digit has other digits).
pub(crate) fn loops(tokens: &[u32]) -> bool {
    (1..=8).any(|period| {
        let span = (8 * period).max(24);
        tokens.len() >= span + period && {
            let tail = &tokens[tokens.len() - span - period..];
            tail.iter().zip(&tail[period..]).all(|(a, b)| a == b)
        }
    })
}

/// The likeliest token: the first of equals, as torch and numpy choose.
pub(crate) fn most_likely(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one() {
        let sum: f32 = log_softmax(&[1.0, -3.0, 700.0, f32::NEG_INFINITY]).iter().map(|p| p.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for step in 0..87_000 {
            let x = -(step as f32) / 1_000.0;
            let expected = x.exp();
            assert!((exp(x) - expected).abs() <= 4.0 * f32::EPSILON * expected, "{x}: {} is not {expected}", exp(x));
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::NAN).is_nan());
        assert!(log_sum_exp(&[1.0, f32::NAN]).is_nan());
    }

    #[test]
    fn the_first_of_equals_is_taken() {
        assert_eq!(most_likely(&[1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn repetition_is_seen() {
        assert!(loops(&[1, 2].repeat(20)) && loops(&[7; 30]));
        assert!(!loops(&[1, 2, 3, 4]) && !loops(&[5; 10]));
        assert!(!loops(&(0..60).map(|n| n % 9).collect::<Vec<_>>()));
    }
}
