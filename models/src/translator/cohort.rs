//! Pieces that are translated side by side: one run for the next token of all, which have come equally far, since a decoder has one length
//! of the past for all rows of a run. A row leaves at its end, between two runs. What is shorter than the longest beside it is filled up,
//! and masked: nobody looks at what fills.

use std::mem;

use ort::value::DynValue;

use super::{ENGINE, Translation, graph::Model};
use crate::{
    engine::{EngineError, Language},
    onnx::{
        decoder::Cache,
        likelihood::{log_softmax, loops, most_likely},
        rows,
    },
};

/// Which piece of which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) text: u64,
    pub(super) piece: usize,
}

/// What is to be translated.
pub(super) struct Piece {
    pub(super) whose: Whose,
    /// As the encoder wants it.
    pub(super) ids: Vec<u32>,
    pub(super) target: Language,
}

/// What has become of a piece.
pub(super) type Left = (Whose, Result<Translation, EngineError>);

/// A piece that is being translated.
struct Row {
    whose: Whose,
    /// How many tokens its source has.
    source: usize,
    /// Of the next token.
    logits: Vec<f32>,
    said: Vec<u32>,
    /// Of the tokens' log-probabilities.
    sum: f32,
}

/// Rows that have come equally far.
#[derive(Default)]
pub(super) struct Cohort {
    rows: Vec<Row>,
    /// What the encoder made of each; none without rows.
    encoded: Option<DynValue>,
    cache: Cache,
}

impl Cohort {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many tokens each row has.
    pub(super) fn tokens(&self) -> usize {
        self.rows.first().map_or(0, |row| row.said.len())
    }

    /// Takes in those who have come as far.
    pub(super) fn absorb(&mut self, other: Self) -> Result<(), Box<(Self, EngineError)>> {
        let (Some(own), Some(others)) = (&self.encoded, &other.encoded) else {
            if self.rows.is_empty() {
                *self = other;
            }
            return Ok(());
        };
        let both = || {
            let positions = |encoded: &DynValue| encoded.shape().get(1).copied().unwrap_or(0);
            let widest = usize::try_from(positions(own).max(positions(others))).unwrap_or(0);
            let wide = [rows::widened(own, 1, widest)?, rows::widened(others, 1, widest)?];
            let cache = self.cache.wider(widest)?.beside(&other.cache.wider(widest)?)?;
            Ok((rows::together(&wide.each_ref())?, cache))
        };
        match both() {
            Ok((encoded, cache)) => {
                (self.encoded, self.cache) = (Some(encoded), cache);
                self.rows.extend(other.rows);
                Ok(())
            }
            Err(error) => Err(Box::new((other, failed(&error)))),
        }
    }

    /// Everybody leaves with this error.
    pub(super) fn fail(&mut self, error: &EngineError) -> Vec<Left> {
        mem::take(self).rows.into_iter().map(|row| (row.whose, Err(error.clone()))).collect()
    }

    /// Those rows stay whose index is here.
    fn keep(&mut self, staying: &[usize]) -> Result<(), EngineError> {
        if let Some(encoded) = self.encoded.take().filter(|_| !staying.is_empty()) {
            self.encoded = Some(rows::some(&encoded, staying).map_err(|error| failed(&error))?);
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

impl Model {
    /// Encodes pieces together, and tells the decoder their languages.
    pub(super) fn begin(&mut self, pieces: &[Piece]) -> Result<Cohort, EngineError> {
        let sources: Vec<&[u32]> = pieces.iter().map(|piece| piece.ids.as_slice()).collect();
        let encoded = self.encode(&sources)?;
        let lengths: Vec<usize> = sources.iter().map(|ids| ids.len()).collect();
        let prompts: Vec<Vec<u32>> = pieces.iter().map(|piece| self.prompt(piece.target)).collect();
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let mut cache = Cache::default();
        let told = self.decoder.run_padded((&encoded, &lengths), &prompts, &mut cache)?;
        let rows = pieces.iter().zip(told).map(|(piece, mut told)| {
            let logits = told.pop().unwrap_or_default();
            Row { whose: piece.whose, source: piece.ids.len(), logits, said: Vec::new(), sum: 0.0 }
        });
        Ok(Cohort { rows: rows.collect(), encoded: Some(encoded), cache })
    }

    /// The next token of every row. Who ends with it leaves, and so do those whom nobody wants any more.
    pub(super) fn step(&mut self, cohort: &mut Cohort, is_wanted: &dyn Fn(Whose) -> bool) -> Vec<Left> {
        let (mut left, mut staying, mut going_on) = (Vec::new(), Vec::new(), Vec::new());
        let were = cohort.rows.len();
        for (at, mut row) in mem::take(&mut cohort.rows).into_iter().enumerate() {
            if !is_wanted(row.whose) {
                continue;
            }
            match self.next_token(&mut row).transpose() {
                Some(came) => left.push((row.whose, came)),
                None => {
                    staying.push(at);
                    going_on.push(row);
                }
            }
        }
        let kept = if staying.len() == were { Ok(()) } else { cohort.keep(&staying) };
        cohort.rows = going_on;
        if let Err(error) = kept.and_then(|()| self.told(cohort)) {
            left.extend(cohort.fail(&error));
        }
        left
    }

    /// What follows the last token of each row.
    fn told(&mut self, cohort: &mut Cohort) -> Result<(), EngineError> {
        let Some(encoded) = &cohort.encoded else { return Ok(()) };
        let lengths: Vec<usize> = cohort.rows.iter().map(|row| row.source).collect();
        let last: Vec<[u32; 1]> = cohort.rows.iter().filter_map(|row| row.said.last().map(|last| [*last])).collect();
        let last: Vec<&[u32]> = last.iter().map(<[u32; 1]>::as_slice).collect();
        let told = self.decoder.run_padded((encoded, &lengths), &last, &mut cohort.cache)?;
        for (row, mut told) in cohort.rows.iter_mut().zip(told) {
            row.logits = told.pop().unwrap_or_default();
        }
        Ok(())
    }

    /// Chooses a row's next token; its translation, when it has come to its end.
    fn next_token(&self, row: &mut Row) -> Result<Option<Translation>, EngineError> {
        let mut logits = mem::take(&mut row.logits);
        if logits.iter().any(|logit| logit.is_nan()) {
            let reason = "the decoder gave logits that are no numbers".into();
            return Err(EngineError::Failed { engine: ENGINE, reason });
        }
        // A Marian begins with what fills up, and would go on with it.
        if let Some(id) = self.filling
            && let Some(filling) = logits.get_mut(id as usize)
        {
            *filling = f32::NEG_INFINITY;
        }
        let likelihoods = log_softmax(&logits);
        let token = most_likely(&likelihoods);
        row.sum += likelihoods.get(token).copied().unwrap_or(f32::NEG_INFINITY);
        if token == self.tokens.end as usize {
            let text = self.tokens.text(&row.said)?;
            // A sentence that becomes nothing was not translated.
            let confidence = (row.sum / (row.said.len() + 1) as f32).exp();
            let confidence = if text.is_empty() || !confidence.is_finite() { 0.0 } else { confidence };
            return Ok(Some(Translation { text, confidence }));
        }
        row.said.push(token as u32);
        let finds_no_end = row.said.len() >= self.longest(row.source) || loops(&row.said);
        let cut = || Ok(Translation { text: self.tokens.text(&row.said)?, confidence: 0.0 });
        finds_no_end.then(cut).transpose()
    }
}
