//! Windows that are decoded side by side: how they begin, how each chooses its tokens, and what is believed of it at its end.

use std::mem;

use ort::value::DynValue;

use super::{
    ENGINE,
    decode::{Decoder, Heard, REPETITIVE, likelihood},
    hearing::Hearing,
    rules::compression_ratio,
};
use crate::{
    engine::{EngineError, Language},
    onnx::{
        self,
        cohort::{Chooses, Row},
        decoder::Cache,
        failed,
        likelihood::{log_softmax, loops, most_likely},
    },
};

/// How a window begins.
struct Start {
    language: Language,
    language_probability: f32,
    no_speech_prob: f32,
}

/// A window that is being decoded.
pub(super) struct Window {
    pub(super) hearing: Hearing,
    start: Start,
}

pub(super) type Cohort = onnx::cohort::Cohort<Window>;

/// What has become of a window that leaves.
pub(super) enum Left {
    /// It is heard; and what the encoder made of it, where times of words are still to be found in it.
    Heard(Hearing, Heard, Option<DynValue>),
    /// It is decoded alone: what came is poor, or it cannot stand beside others; and what the encoder made of it.
    Alone(Hearing, DynValue),
    Failed(Hearing, EngineError),
}

impl Decoder {
    /// Begins windows that were encoded together: their languages, and the prompt.
    pub(super) fn begin(&mut self, hearings: Vec<Hearing>, hidden: DynValue) -> Result<Cohort, Vec<Left>> {
        let mut cache = Cache::default();
        match self.starts(&hearings, &hidden, &mut cache) {
            Ok(starts) => {
                let rows = hearings.into_iter().zip(starts);
                let rows = rows.map(|(hearing, (start, logits))| Row::new(Window { hearing, start }, logits, None));
                Ok(Cohort::of(rows.collect(), hidden, cache))
            }
            Err(error) => Err(hearings.into_iter().map(|hearing| Left::Failed(hearing, error.clone())).collect()),
        }
    }

    /// As [`Decoder::decode`] begins, for all at once; with the logits of the token that comes first.
    fn starts(
        &mut self,
        hearings: &[Hearing],
        hidden: &DynValue,
        cache: &mut Cache,
    ) -> Result<Vec<(Start, Vec<f32>)>, EngineError> {
        let mut known: Vec<_> = hearings.iter().map(|hearing| hearing.language.map(|known| (known, None))).collect();
        if known.iter().any(Option::is_none) {
            let start = [self.tokens.start];
            let told = self.model.decoder.run_rows(hidden, &vec![&start[..]; hearings.len()], &mut Cache::default())?;
            for (known, row) in known.iter_mut().zip(&told).filter(|(known, _)| known.is_none()) {
                let (language, probability) = self.detect(&row[0])?;
                *known = Some((language, Some(probability)));
            }
        }
        let languages: Vec<_> = known.into_iter().flatten().collect();
        let prompts: Vec<Vec<u32>> =
            languages.iter().map(|(language, _)| self.prompt(*language)).collect::<Result<_, _>>()?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let told = self.model.decoder.run_rows(hidden, &prompts, cache)?;
        let starts = told.into_iter().zip(languages).zip(&prompts).map(|((mut rows, (language, known)), prompt)| {
            let (first, logits) = (rows[0].clone(), rows.pop().unwrap_or_default());
            let language_probability = known.unwrap_or_else(|| self.probability_of(&first, prompt[1]));
            (Start { language, language_probability, no_speech_prob: self.no_speech(&first) }, logits)
        });
        Ok(starts.collect())
    }

    /// Chooses a row's next token; false when it has come to its end.
    fn next_token(&self, row: &mut Row<Window>) -> Result<bool, EngineError> {
        let mut logits = mem::take(&mut row.logits);
        let likelihoods = log_softmax(&logits);
        self.rules.apply(&mut logits, &row.tokens, &self.tokens);
        let token = most_likely(&logits);
        row.sum += likelihood(&likelihoods, &logits, token)?;
        if token == self.tokens.end as usize {
            return Ok(false);
        }
        row.tokens.push(token as u32);
        Ok(row.tokens.len() < self.longest(0) && !loops(&row.tokens))
    }

    /// Whether what came of a row can be believed.
    fn judged(&self, row: Row<Window>, hidden: &dyn Fn() -> ort::Result<DynValue>) -> Left {
        let Row { of: Window { hearing, start }, tokens, sum, .. } = row;
        let Start { language, language_probability, no_speech_prob } = start;
        let text = match self.tokens.text(&tokens) {
            Ok(text) => text,
            Err(error) => return Left::Failed(hearing, error),
        };
        let avg_logprob = sum / (tokens.len() + 1) as f32;
        let repetitive = loops(&tokens) || compression_ratio(&text) > REPETITIVE;
        let is_noise = self.rules.gate.is_noise(no_speech_prob, avg_logprob);
        let is_good = is_noise || (!repetitive && avg_logprob >= self.rules.gate.logprob);
        let heard = Heard { tokens, text, language, language_probability, no_speech_prob, avg_logprob, is_noise };
        if is_good && (is_noise || !hearing.job.words) {
            return Left::Heard(hearing, heard, None);
        }
        match hidden() {
            Ok(hidden) if is_good => Left::Heard(hearing, heard, Some(hidden)),
            Ok(hidden) => Left::Alone(hearing, hidden),
            Err(error) => Left::Failed(hearing, failed(ENGINE, &error)),
        }
    }
}

impl Chooses for Decoder {
    const ENGINE: &'static str = ENGINE;
    type Of = Window;
    type Left = Left;

    fn decoder(&mut self) -> &mut onnx::decoder::Decoder {
        &mut self.model.decoder
    }

    fn next(
        &self,
        mut row: Row<Window>,
        hidden: &dyn Fn() -> ort::Result<DynValue>,
    ) -> Result<Row<Window>, Option<Left>> {
        if row.of.hearing.is_left() {
            return Err(None);
        }
        match self.next_token(&mut row) {
            Ok(true) => Ok(row),
            Ok(false) => Err(Some(self.judged(row, hidden))),
            Err(error) => Err(Some(Self::lost(row.of, error))),
        }
    }

    fn lost(window: Window, error: EngineError) -> Left {
        Left::Failed(window.hearing, error)
    }
}
