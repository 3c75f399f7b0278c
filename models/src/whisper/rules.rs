//! Which tokens may come next, and the numbers that say whether a transcript can be trusted.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use super::tokens::Tokens;
use crate::onnx::likelihood::{log_softmax, log_sum_exp};

/// What is forbidden, from the tokenizer and the model's own configuration.
pub(super) struct Rules {
    /// Never text, anywhere.
    pub(super) never: Vec<u32>,
    /// Not as the first token.
    pub(super) not_first: Vec<u32>,
    /// Whether time stamps are decoded.
    pub(super) timestamps: bool,
    /// How many of them, from 0.00 s on, may begin the transcript.
    pub(super) first_stamps: usize,
    pub(super) gate: Gate,
}

/// What tells speech from noise; generation_config.json may have both, as Hugging Face names them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Above this probability of no speech, a poor transcript is none.
    pub(super) no_speech: f32,
    /// Below this mean log-probability a transcript is poor.
    pub(super) logprob: f32,
}

impl Gate {
    /// Those of the paper (Radford et al. 2022, section 4.5), where the model has none of its own.
    pub(super) fn of(no_speech: Option<f32>, logprob: Option<f32>) -> Self {
        Self { no_speech: no_speech.unwrap_or(0.6), logprob: logprob.unwrap_or(-1.0) }
    }

    /// True when this is noise: most likely no speech, and the words are a guess.
    pub(super) fn is_noise(self, no_speech: f32, logprob: f32) -> bool {
        no_speech > self.no_speech && logprob < self.logprob
    }
}

impl Rules {
    /// Sets the logits of all tokens that may not follow `so_far` (the tokens after the prompt) to −∞.
    pub(super) fn apply(&self, logits: &mut [f32], so_far: &[u32], tokens: &Tokens) {
        forbid(logits, &self.never);
        if so_far.is_empty() {
            forbid(logits, &self.not_first);
        }
        let Some(first) = tokens.first_timestamp() else { return };
        let count = (first..).map_while(|id| tokens.seconds(id).map(|_| ())).count();
        let stamps = first as usize..(first as usize + count).min(logits.len());
        if self.timestamps {
            timestamp_rules(logits, so_far, stamps, self.first_stamps, tokens.end as usize);
        } else {
            logits.get_mut(stamps).into_iter().flatten().for_each(|logit| *logit = f32::NEG_INFINITY);
        }
    }
}

fn forbid(logits: &mut [f32], ids: &[u32]) {
    for id in ids {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// Time stamps come in pairs (end of one segment, start of the next), never run backwards, begin the transcript, and are
/// taken when together they are likelier than every single word (Radford et al. 2022, section 4.5, and the reference code).
fn timestamp_rules(logits: &mut [f32], so_far: &[u32], stamps: std::ops::Range<usize>, latest: usize, end: usize) {
    let is_stamp = |id: u32| stamps.contains(&(id as usize));
    let last_is = so_far.last().is_some_and(|id| is_stamp(*id));
    let before_is = so_far.len() < 2 || is_stamp(so_far[so_far.len() - 2]);
    let mut close = |range: std::ops::Range<usize>, keep: Option<usize>| {
        for id in range {
            if Some(id) != keep && id < logits.len() {
                logits[id] = f32::NEG_INFINITY;
            }
        }
    };
    let all = stamps.end.max(end + 1);
    if so_far.is_empty() {
        close(0..stamps.start, None);
        close(stamps.start + latest..stamps.end, None);
        close(stamps.end..all, None);
        return;
    }
    if last_is && before_is {
        close(stamps.clone(), None);
    } else if last_is {
        close(0..stamps.start, Some(end));
    }
    if let Some(last) = so_far.iter().rev().find(|id| is_stamp(**id)) {
        // A segment has a length: only a start may repeat the end before it.
        let lowest = *last as usize + usize::from(!last_is || before_is);
        close(stamps.start..lowest.min(stamps.end), None);
    }
    let likelihoods = log_softmax(logits);
    let together = log_sum_exp(&likelihoods[stamps.clone()]);
    let best = likelihoods.iter().enumerate().filter(|(id, _)| !stamps.contains(id)).map(|(_, p)| *p);
    if together > best.fold(f32::NEG_INFINITY, f32::max) {
        for id in (0..logits.len()).filter(|id| !stamps.contains(id)) {
            logits[id] = f32::NEG_INFINITY;
        }
    }
}

/// How much smaller zlib makes a text: above 2.4 it repeats itself.
pub(super) fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.map_or(0.0, |bytes| text.len() as f32 / bytes.len() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: usize = 9;

    /// Words 0 to 8, the end 9, stamps 10 to 19.
    fn allowed(so_far: &[u32], mut logits: Vec<f32>) -> Vec<usize> {
        timestamp_rules(&mut logits, so_far, 10..20, 5, END);
        (0..20).filter(|id| logits[*id] > f32::NEG_INFINITY).collect()
    }

    fn words() -> Vec<f32> {
        let mut logits = vec![0.0; 20];
        logits[..10].fill(5.0);
        logits
    }

    #[test]
    fn the_transcript_begins_with_an_early_stamp() {
        assert_eq!(allowed(&[], words()), (10..15).collect::<Vec<_>>());
    }

    #[test]
    fn a_start_is_followed_by_words_and_an_end_by_a_start_or_the_end() {
        assert_eq!(allowed(&[10], words()), (0..10).collect::<Vec<_>>());
        assert_eq!(allowed(&[10, 1, 13], words()), [9, 13, 14, 15, 16, 17, 18, 19]);
        assert_eq!(allowed(&[10, 1, 13, 13], words()), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn stamps_never_run_backwards_and_win_together() {
        let open: Vec<usize> = (0..10).chain(14..20).collect();
        assert_eq!(allowed(&[10, 1, 13, 13, 2], words()), open);
        assert_eq!(allowed(&[10, 1, 13, 13, 2], vec![0.0; 20]), (14..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_guess_about_a_silent_line_is_noise_and_the_model_says_what_a_guess_is() {
        let usual = Gate::of(None, None);
        assert!(usual.is_noise(0.7, -1.1) && !usual.is_noise(0.5, -1.1) && !usual.is_noise(0.7, -0.9));
        let own = Gate::of(Some(0.0), Some(-0.35));
        assert!(own.is_noise(1e-6, -0.4) && !own.is_noise(0.9, -0.3));
    }

    #[test]
    fn repetition_is_seen() {
        assert!(compression_ratio(&"misaotra ".repeat(40)) > 2.4);
        assert!(compression_ratio("salama tompoko, firy ny vidin'ny kafe") < 2.4);
    }
}
