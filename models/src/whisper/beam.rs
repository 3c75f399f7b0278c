//! Beam search: the few likeliest beginnings are followed side by side, so that a first word that seemed likely and leads nowhere is
//! left behind.
//!
//! What has ended is weighed by its mean log-probability, so that short is not better than right (a length penalty of 1, as
//! transformers has it); the search goes on while a beginning may still be better than what has ended.

use ort::value::DynValue;

use super::{
    ENGINE,
    decode::{Decoder, Said},
};
use crate::{
    engine::EngineError,
    onnx::{
        decoder::Cache,
        likelihood::{log_softmax, loops},
    },
};

/// A beginning, and what the decoder says of its next token.
struct Beam {
    tokens: Vec<u32>,
    sum: f32,
    cache: Cache,
    logits: Vec<f32>,
}

/// A beginning's next token, and the log-probability of all so far.
struct Candidate {
    beam: usize,
    token: u32,
    sum: f32,
}

struct Ended {
    tokens: Vec<u32>,
    sum: f32,
    /// The mean over all tokens, the end token among them.
    score: f32,
}

impl Decoder {
    /// The likeliest tokens behind a prompt, of `width` beginnings at a time; `None` when cancelled.
    pub(super) fn search(
        &mut self,
        hidden: &DynValue,
        (cache, first): (Cache, &[f32]),
        (width, longest): (usize, usize),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Said>, EngineError> {
        let mut beams = vec![Beam { tokens: Vec::new(), sum: 0.0, cache, logits: first.to_vec() }];
        let mut ended: Vec<Ended> = Vec::new();
        for length in 1..=longest {
            let mut going = Vec::new();
            for (rank, candidate) in self.candidates(&mut beams, width).into_iter().enumerate() {
                let mut tokens = beams[candidate.beam].tokens.clone();
                let is_end = candidate.token == self.tokens.end;
                if !is_end {
                    tokens.push(candidate.token);
                }
                if is_end || length == longest || loops(&tokens) {
                    // Those behind the first only make sure that enough go on.
                    if rank < width {
                        ended.push(Ended { tokens, sum: candidate.sum, score: candidate.sum / length as f32 });
                    }
                } else if going.len() < width {
                    going.push((tokens, candidate));
                }
            }
            ended.sort_by(|a, b| b.score.total_cmp(&a.score));
            ended.truncate(width);
            let best = going.first().map(|(_, candidate)| candidate.sum / length as f32);
            let worst = ended.last().filter(|_| ended.len() == width).map(|ended| ended.score);
            if best.is_none_or(|best| worst.is_some_and(|worst| best <= worst)) {
                break;
            }
            let mut next = Vec::with_capacity(going.len());
            for (tokens, Candidate { beam, token, sum }) in going {
                if cancelled() {
                    return Ok(None);
                }
                let mut cache = beams[beam].cache.clone();
                let mut rows = self.model.decoder.run(hidden, &[token], &mut cache)?;
                next.push(Beam { tokens, sum, cache, logits: rows.pop().unwrap_or_default() });
            }
            beams = next;
        }
        let best = ended.into_iter().next().ok_or_else(|| EngineError::Failed {
            engine: ENGINE,
            reason: "the decoder's logits leave no token to choose".into(),
        })?;
        let mean = best.sum / (best.tokens.len() + 1) as f32;
        Ok(Some((best.tokens, mean)))
    }

    /// The likeliest next tokens of all beginnings, twice as many as go on: half of them may be ends.
    fn candidates(&self, beams: &mut [Beam], width: usize) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (at, beam) in beams.iter_mut().enumerate() {
            // Taken before the rules, as without a beam.
            let likelihoods = log_softmax(&beam.logits);
            self.rules.apply(&mut beam.logits, &beam.tokens, &self.tokens);
            let allowed = beam.logits.iter().zip(&likelihoods).enumerate();
            let mut next: Vec<Candidate> = allowed
                .filter(|(_, (logit, likelihood))| logit.is_finite() && likelihood.is_finite())
                .map(|(token, (_, likelihood))| Candidate { beam: at, token: token as u32, sum: beam.sum + likelihood })
                .collect();
            let kept = 2 * width;
            if next.len() > kept {
                next.select_nth_unstable_by(kept, likelier);
                next.truncate(kept);
            }
            all.append(&mut next);
        }
        all.sort_by(likelier);
        all.truncate(2 * width);
        all
    }
}

/// The likelier first, of equals the first, as torch and numpy choose.
fn likelier(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.sum.total_cmp(&a.sum).then_with(|| (a.beam, a.token).cmp(&(b.beam, b.token)))
}
