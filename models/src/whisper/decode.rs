//! From the encoder's states to tokens: the prompt, the language, and one token after the other.

use ort::value::DynValue;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    ENGINE,
    graph::Model,
    rules::{Rules, compression_ratio},
    tokens::Tokens,
};
use crate::{
    engine::{EngineError, Language},
    onnx::{
        decoder::Cache,
        likelihood::{log_softmax, loops, most_likely},
    },
};

/// Above this compression ratio, or where its log-probability is poor, a hotter attempt is made.
pub(super) const REPETITIVE: f32 = 2.4;
/// Greedy first; a poor answer is tried again with more and more chance.
const TEMPERATURES: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// What one window says.
pub(super) struct Heard {
    /// Tokens after the prompt, time stamps among them, without the end token.
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
    pub(super) language: Language,
    pub(super) language_probability: f32,
    pub(super) no_speech_prob: f32,
    /// Mean log-probability of the tokens and the end token.
    pub(super) avg_logprob: f32,
    /// Most likely no speech, and the words are a guess.
    pub(super) is_noise: bool,
}

/// Tokens without the end token, and their mean log-probability.
pub(super) type Said = (Vec<u32>, f32);

/// A model, its tokens and its rules: all that decoding needs.
pub(super) struct Decoder {
    pub(super) model: Model,
    pub(super) tokens: Tokens,
    pub(super) rules: Rules,
    /// How many beginnings are followed at a time before there is chance in it.
    pub(super) beam: usize,
}

impl Decoder {
    /// Decodes one encoded window behind the tokens `before` it. `None` when `cancelled` says that nobody waits for it any more.
    pub(super) fn decode(
        &mut self,
        hidden: &DynValue,
        language: Option<Language>,
        before: &[u32],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Heard>, EngineError> {
        let (language, known) = match language {
            Some(language) => (language, None),
            None => {
                let rows = self.model.decoder.run(hidden, &[self.tokens.start], &mut Cache::default())?;
                let (language, probability) = self.detect(&rows[0])?;
                (language, Some(probability))
            }
        };
        let own = self.prompt(language)?;
        let prompt = [before, &own].concat();
        let mut cache = Cache::default();
        let rows = self.model.decoder.run(hidden, &prompt, &mut cache)?;
        let (Some(start), Some(first)) = (rows.get(before.len()), rows.last()) else {
            return Err(EngineError::Failed { engine: ENGINE, reason: "the decoder gave no logits".into() });
        };
        let no_speech_prob = self.no_speech(start);
        let language_probability = known.unwrap_or_else(|| self.probability_of(start, own[1]));
        let longest = self.longest(before.len());

        let mut best: Option<Heard> = None;
        for temperature in TEMPERATURES {
            let said = if temperature == 0.0 && self.beam > 1 {
                self.search(hidden, (cache.clone(), first), (self.beam, longest), cancelled)?
            } else {
                self.continue_prompt(hidden, cache.clone(), first, temperature, longest, cancelled)?
            };
            let Some((tokens, avg_logprob)) = said else { return Ok(None) };
            let text = self.tokens.text(&tokens)?;
            let repetitive = loops(&tokens) || compression_ratio(&text) > REPETITIVE;
            let is_noise = self.rules.gate.is_noise(no_speech_prob, avg_logprob);
            let heard = Heard { tokens, text, language, language_probability, no_speech_prob, avg_logprob, is_noise };
            if is_noise || (!repetitive && avg_logprob >= self.rules.gate.logprob) {
                return Ok(Some(heard));
            }
            let better = best.as_ref().is_none_or(|best| avg_logprob > best.avg_logprob);
            if better && (!repetitive || best.is_none()) {
                best = Some(heard);
            }
        }
        Ok(best)
    }

    /// What a transcript in this language begins with.
    pub(super) fn prompt(&self, language: Language) -> Result<Vec<u32>, EngineError> {
        let spoken = self.tokens.language(language).ok_or_else(|| {
            EngineError::Input(format!(
                "this Whisper does not know the language {language}: configure a multilingual one"
            ))
        })?;
        let mut prompt = vec![self.tokens.start, spoken, self.tokens.transcribe];
        if !self.rules.timestamps {
            prompt.push(self.tokens.no_timestamps);
        }
        Ok(prompt)
    }

    /// How many tokens there is room for behind the prompt and as many tokens before it.
    pub(super) fn longest(&self, before: usize) -> usize {
        let prompt = if self.rules.timestamps { 3 } else { 4 };
        self.model.positions().saturating_sub(before + prompt).max(1)
    }

    /// How likely it is that there is no speech at all, by the logits behind the prompt's first token.
    pub(super) fn no_speech(&self, start: &[f32]) -> f32 {
        let id = self.tokens.no_speech;
        id.map_or(0.0, |id| log_softmax(start).get(id as usize).copied().unwrap_or(f32::NEG_INFINITY).exp())
    }

    /// The likelier of Milo's languages, and its probability among all languages that the model knows.
    pub(super) fn detect(&self, row: &[f32]) -> Result<(Language, f32), EngineError> {
        let candidates = [Language::Mg, Language::Fr].into_iter().filter_map(|language| {
            let id = self.tokens.language(language)?;
            Some((language, id, *row.get(id as usize)?))
        });
        let best = candidates.max_by(|a, b| a.2.total_cmp(&b.2));
        let (language, id, _) = best.ok_or_else(|| EngineError::Failed {
            engine: ENGINE,
            reason: "the logits have no place for the language tokens".into(),
        })?;
        Ok((language, self.probability_of(row, id)))
    }

    pub(super) fn probability_of(&self, row: &[f32], language: u32) -> f32 {
        let known: Vec<f32> = self.tokens.languages.iter().filter_map(|id| row.get(*id as usize).copied()).collect();
        let at = self.tokens.languages.iter().position(|id| *id == language);
        at.and_then(|at| log_softmax(&known).get(at).copied()).map_or(0.0, f32::exp)
    }

    /// One attempt; `None` when cancelled.
    pub(super) fn continue_prompt(
        &mut self,
        hidden: &DynValue,
        mut cache: Cache,
        first: &[f32],
        temperature: f32,
        longest: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Said>, EngineError> {
        // Seeded by the temperature: the same audio always gives the same transcript.
        let mut random = StdRng::seed_from_u64(u64::from(temperature.to_bits()));
        let mut tokens = Vec::new();
        let mut logits = first.to_vec();
        let mut sum = 0.0;
        loop {
            // Taken before the rules: a model that would rather say something else is not sure of what it may say.
            let likelihoods = log_softmax(&logits);
            self.rules.apply(&mut logits, &tokens, &self.tokens);
            let token =
                if temperature == 0.0 { most_likely(&logits) } else { drawn(&logits, temperature, random.random()) };
            sum += likelihood(&likelihoods, &logits, token)?;
            if token == self.tokens.end as usize {
                break;
            }
            tokens.push(token as u32);
            if tokens.len() == longest || loops(&tokens) {
                break;
            }
            if cancelled() {
                return Ok(None);
            }
            let mut rows = self.model.decoder.run(hidden, &[token as u32], &mut cache)?;
            logits = rows.pop().unwrap_or_default();
        }
        let mean = sum / (tokens.len() + 1) as f32;
        Ok(Some((tokens, mean)))
    }
}

/// How likely the token is that was chosen of these logits.
pub(super) fn likelihood(likelihoods: &[f32], logits: &[f32], token: usize) -> Result<f32, EngineError> {
    let allowed = logits.get(token).is_some_and(|logit| logit.is_finite());
    likelihoods.get(token).copied().filter(|p| allowed && p.is_finite()).ok_or_else(|| EngineError::Failed {
        engine: ENGINE,
        reason: "the decoder's logits leave no token to choose".into(),
    })
}

/// The token on which `chance` (0 to 1) falls at a temperature.
fn drawn(logits: &[f32], temperature: f32, chance: f32) -> usize {
    let scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
    let likelihoods = log_softmax(&scaled);
    let mut left = chance;
    for (id, likelihood) in likelihoods.iter().enumerate() {
        left -= likelihood.exp();
        if left < 0.0 {
            return id;
        }
    }
    most_likely(&likelihoods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_follows_the_probabilities() {
        let logits = [0.0, f32::NEG_INFINITY, 2.0_f32.ln(), 0.0];
        assert_eq!(drawn(&logits, 1.0, 0.1), 0);
        assert_eq!(drawn(&logits, 1.0, 0.3), 2);
        assert_eq!(drawn(&logits, 1.0, 0.7), 2);
        assert_eq!(drawn(&logits, 1.0, 0.8), 3);
        assert_eq!(drawn(&logits, 0.01, 0.99), 2, "a cold draw is greedy");
        assert_eq!(drawn(&logits, 1.0, 1.0), 2, "rounding never leaves the table");
    }
}
