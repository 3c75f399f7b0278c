//! Windows that are decoded side by side: one run for the next token of all, which have come equally far, since a decoder has one length
//! of the past for all rows of a run. A row leaves at its end, between two runs.

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
        decoder::Cache,
        likelihood::{log_softmax, loops, most_likely},
        rows,
    },
};

/// How a window begins.
struct Start {
    language: Language,
    language_probability: f32,
    no_speech_prob: f32,
    /// Of the token that comes first.
    logits: Vec<f32>,
}

/// A window that is being decoded.
struct Row {
    hearing: Hearing,
    start: Start,
    /// Of the next token.
    logits: Vec<f32>,
    tokens: Vec<u32>,
    /// Of the tokens' log-probabilities.
    sum: f32,
}

/// What has become of a row that leaves.
pub(super) enum Left {
    /// It is heard; and what the encoder made of it, where times of words are still to be found in it.
    Heard(Hearing, Heard, Option<DynValue>),
    /// It is decoded alone: what came is poor, or it cannot stand beside others; and what the encoder made of it.
    Alone(Hearing, DynValue),
    Failed(Hearing, EngineError),
}

/// Rows that have come equally far.
#[derive(Default)]
pub(super) struct Cohort {
    rows: Vec<Row>,
    /// What the encoder made of each; none without rows.
    hidden: Option<DynValue>,
    cache: Cache,
}

impl Cohort {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whose the rows are.
    pub(super) fn hearings(&self) -> impl Iterator<Item = &Hearing> {
        self.rows.iter().map(|row| &row.hearing)
    }

    /// How many tokens each row has.
    pub(super) fn tokens(&self) -> usize {
        self.rows.first().map_or(0, |row| row.tokens.len())
    }

    /// Takes in those who have come as far.
    pub(super) fn absorb(&mut self, other: Self) -> Result<(), Box<(Self, EngineError)>> {
        let (Some(own), Some(others)) = (&self.hidden, &other.hidden) else {
            if self.rows.is_empty() {
                *self = other;
            }
            return Ok(());
        };
        let both = rows::together(&[own, others]).and_then(|hidden| Ok((hidden, self.cache.beside(&other.cache)?)));
        match both {
            Ok((hidden, cache)) => {
                (self.hidden, self.cache) = (Some(hidden), cache);
                self.rows.extend(other.rows);
                Ok(())
            }
            Err(error) => Err(Box::new((other, failed(&error)))),
        }
    }

    /// Everybody leaves with this error.
    pub(super) fn fail(&mut self, error: &EngineError) -> Vec<Left> {
        let rows = mem::take(self).rows;
        rows.into_iter().map(|row| Left::Failed(row.hearing, error.clone())).collect()
    }

    /// Those rows stay whose index is here.
    fn keep(&mut self, staying: &[usize]) -> Result<(), EngineError> {
        if let Some(hidden) = self.hidden.take().filter(|_| !staying.is_empty()) {
            self.hidden = Some(rows::some(&hidden, staying).map_err(|error| failed(&error))?);
            self.cache = self.cache.some(staying).map_err(|error| failed(&error))?;
        } else {
            self.cache = Cache::default();
        }
        Ok(())
    }
}

fn failed(error: &ort::Error) -> EngineError {
    EngineError::Failed { engine: ENGINE, reason: error.to_string() }
}

impl Decoder {
    /// Begins windows that were encoded together: their languages, and the prompt.
    pub(super) fn begin(&mut self, hearings: Vec<Hearing>, hidden: DynValue) -> Result<Cohort, Vec<Left>> {
        let mut cache = Cache::default();
        match self.starts(&hearings, &hidden, &mut cache) {
            Ok(starts) => {
                let rows = hearings.into_iter().zip(starts).map(|(hearing, mut start)| {
                    let logits = mem::take(&mut start.logits);
                    Row { hearing, start, logits, tokens: Vec::new(), sum: 0.0 }
                });
                Ok(Cohort { rows: rows.collect(), hidden: Some(hidden), cache })
            }
            Err(error) => Err(hearings.into_iter().map(|hearing| Left::Failed(hearing, error.clone())).collect()),
        }
    }

    /// As [`Decoder::decode`] begins, for all at once.
    fn starts(
        &mut self,
        hearings: &[Hearing],
        hidden: &DynValue,
        cache: &mut Cache,
    ) -> Result<Vec<Start>, EngineError> {
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
            Start { language, language_probability, no_speech_prob: self.no_speech(&first), logits }
        });
        Ok(starts.collect())
    }

    /// The next token of every row. Who ends with it leaves, and so do those for whom nobody waits any more.
    pub(super) fn step(&mut self, cohort: &mut Cohort) -> Vec<Left> {
        let (mut left, mut staying, mut going_on) = (Vec::new(), Vec::new(), Vec::new());
        for (at, mut row) in mem::take(&mut cohort.rows).into_iter().enumerate() {
            if row.hearing.is_left() {
                continue;
            }
            match self.next_token(&mut row) {
                Ok(true) => {
                    staying.push(at);
                    going_on.push(row);
                }
                Ok(false) => left.push(self.judged(row, at, cohort.hidden.as_ref())),
                Err(error) => left.push(Left::Failed(row.hearing, error)),
            }
        }
        let were = cohort.hidden.as_ref().and_then(|hidden| hidden.shape().first().copied()).unwrap_or(0);
        let kept = if staying.len() as i64 == were { Ok(()) } else { cohort.keep(&staying) };
        cohort.rows = going_on;
        if let Err(error) = kept.and_then(|()| self.told(cohort)) {
            left.extend(cohort.fail(&error));
        }
        left
    }

    /// What follows the last token of each row.
    fn told(&mut self, cohort: &mut Cohort) -> Result<(), EngineError> {
        let Some(hidden) = &cohort.hidden else { return Ok(()) };
        let last: Vec<[u32; 1]> = cohort.rows.iter().filter_map(|row| row.tokens.last().map(|last| [*last])).collect();
        let last: Vec<&[u32]> = last.iter().map(<[u32; 1]>::as_slice).collect();
        let told = self.model.decoder.run_rows(hidden, &last, &mut cohort.cache)?;
        for (row, mut told) in cohort.rows.iter_mut().zip(told) {
            row.logits = told.pop().unwrap_or_default();
        }
        Ok(())
    }

    /// Chooses a row's next token; false when it has come to its end.
    fn next_token(&self, row: &mut Row) -> Result<bool, EngineError> {
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
    fn judged(&self, row: Row, at: usize, hidden: Option<&DynValue>) -> Left {
        let Row { hearing, start, tokens, sum, .. } = row;
        let Start { language, language_probability, no_speech_prob, .. } = start;
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
        match hidden.map(|hidden| rows::some(hidden, &[at])) {
            Some(Ok(hidden)) if is_good => Left::Heard(hearing, heard, Some(hidden)),
            Some(Ok(hidden)) => Left::Alone(hearing, hidden),
            Some(Err(error)) => Left::Failed(hearing, failed(&error)),
            None => Left::Failed(hearing, failed(&ort::Error::new("what was encoded is lost"))),
        }
    }
}
