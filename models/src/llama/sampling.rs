//! From a row of logits to a token, and from the bytes of tokens to whole characters.

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{ENGINE, grammar::Grammar};
use crate::{engine::EngineError, onnx::likelihood::log_sum_exp};

/// A token that is less likely than the likeliest one by this factor is never drawn: it keeps rare nonsense out.
const LEAST_SHARE: f32 = 0.05;

/// Chooses tokens for one reply.
#[derive(Debug)]
pub(super) struct Chooser {
    temperature: f32,
    random: StdRng,
}

impl Chooser {
    pub(super) fn new(temperature: f32, seed: u64) -> Self {
        Self { temperature, random: StdRng::seed_from_u64(seed) }
    }

    /// The next token of a reply, and how likely the model found it (see [`logprob`]), whatever the grammar says that the reply is held to.
    /// The grammar has accepted it, unless it is the end.
    pub(super) fn next(
        &mut self,
        logits: &[f32],
        grammar: Option<&mut Grammar>,
        model: &LlamaModel,
    ) -> Result<(LlamaToken, f32), EngineError> {
        let failed = |reason: &str| EngineError::Failed { engine: ENGINE, reason: reason.into() };
        let nonsense = || failed("its output is not a number");
        let mut token = self.choose(logits).ok_or_else(nonsense)?;
        if let Some(grammar) = grammar {
            // Most of what a model says fits; the whole row is looked at only where it does not.
            if !grammar.allows(model, token) {
                let allowed = self.choose(&grammar.mask(model, logits));
                token = allowed.ok_or_else(|| failed("its grammar allows nothing that it can say"))?;
            }
            if !model.vocab().is_eog(LlamaToken(token as i32)) {
                grammar.accept(LlamaToken(token as i32))?;
            }
        }
        Ok((LlamaToken(token as i32), logprob(logits, token).ok_or_else(nonsense)?))
    }

    /// The token chosen; `None` if the row has no finite maximum, that is, if the model computed nonsense or nothing is allowed.
    fn choose(&mut self, logits: &[f32]) -> Option<usize> {
        let (likeliest, &top) = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        if !top.is_finite() {
            return None;
        }
        Some(if self.temperature > 0.0 { self.draw(logits, top, likeliest) } else { likeliest })
    }

    fn draw(&mut self, logits: &[f32], top: f32, likeliest: usize) -> usize {
        let weight = |logit: f32| {
            if (logit - top).exp() < LEAST_SHARE { 0.0 } else { ((logit - top) / self.temperature).exp() }
        };
        let total: f32 = logits.iter().map(|&logit| weight(logit)).sum();
        let mut left = self.random.random::<f32>() * total;
        for (token, &logit) in logits.iter().enumerate() {
            left -= weight(logit);
            if left < 0.0 {
                return token;
            }
        }
        likeliest
    }
}

/// The natural logarithm of a token's probability (at temperature 1) in a row that nothing was forbidden in; `None` if the model
/// computed nonsense.
fn logprob(logits: &[f32], token: usize) -> Option<f32> {
    Some(logits.get(token)? - log_sum_exp(logits)).filter(|logprob| logprob.is_finite())
}

/// Puts the bytes of tokens together to text; a character may begin in one token and end in the next.
#[derive(Debug, Default)]
pub(super) struct Text {
    waiting: Vec<u8>,
    begun: bool,
}

impl Text {
    /// The text that is whole now. Bytes that can never become a character come out as U+FFFD; blanks before the first
    /// character are dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        let mut whole = String::new();
        loop {
            match std::str::from_utf8(&self.waiting) {
                Ok(text) => {
                    whole.push_str(text);
                    self.waiting.clear();
                    break;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    whole.push_str(&String::from_utf8_lossy(&self.waiting[..valid]));
                    let Some(broken) = error.error_len() else {
                        self.waiting.drain(..valid);
                        break;
                    };
                    whole.push(char::REPLACEMENT_CHARACTER);
                    self.waiting.drain(..valid + broken);
                }
            }
        }
        if !self.begun {
            whole = whole.trim_start().to_owned();
            self.begun = !whole.is_empty();
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_temperature_0_the_likeliest_token_wins_and_its_probability_is_told() {
        let row = [0.0, 2.0, 1.0];
        assert_eq!(Chooser::new(0.0, 1).choose(&row), Some(1));
        let logprob = logprob(&row, 1).expect("finite");
        let expected = 2.0 - (0f32.exp() + 2f32.exp() + 1f32.exp()).ln();
        assert!((logprob - expected).abs() < 1e-6, "{logprob} is not {expected}");
    }

    #[test]
    fn a_seed_repeats_its_choices_and_the_unlikely_is_never_drawn() {
        let logits = [1.0, 1.2, -9.0];
        let draw = |seed| {
            let mut chooser = Chooser::new(1.0, seed);
            (0..200).map(|_| chooser.choose(&logits).expect("finite")).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert_eq!(drawn, draw(7));
        assert!(drawn.contains(&0) && drawn.contains(&1) && !drawn.contains(&2));
    }

    #[test]
    fn nonsense_from_the_model_is_no_token() {
        assert_eq!(Chooser::new(0.0, 1).choose(&[f32::NAN, 0.0]), None);
        assert_eq!(Chooser::new(1.0, 1).choose(&[f32::NEG_INFINITY; 3]), None);
        assert_eq!(Chooser::new(1.0, 1).choose(&[]), None);
        assert_eq!(logprob(&[0.0, f32::INFINITY], 0), None);
        assert_eq!(logprob(&[0.0, f32::NAN], 0), None);
    }

    #[test]
    fn a_character_split_over_tokens_comes_out_whole() {
        let mut text = Text::default();
        let bytes = " é😀".as_bytes();
        let pieces: Vec<String> = bytes.iter().map(|&byte| text.push(&[byte])).collect();
        assert_eq!(pieces.concat(), "é😀");
        assert_eq!(pieces.iter().filter(|piece| !piece.is_empty()).count(), 2);
    }

    #[test]
    fn bytes_that_are_no_character_do_not_stop_the_text() {
        let mut text = Text::default();
        assert_eq!(text.push(b"a\xffb\xe2\x82"), "a\u{fffd}b");
        assert_eq!(text.push(b"\xac c"), "€ c");
    }
}
