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
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    highest + sum.ln() as f32
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
