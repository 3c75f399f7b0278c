//! Pieces that are translated side by side: how they begin, and how each chooses its tokens.

use std::mem;

use ort::value::DynValue;

use super::{ENGINE, Translation, graph::Model, text::Text};
use crate::{
    engine::{EngineError, Language},
    onnx::{
        self,
        cohort::{Chooses, Row},
        decoder::{Cache, Decoder},
        likelihood::{log_softmax, loops, most_likely},
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

/// A piece that is being translated, and how many tokens its source has.
pub(super) type Cohort = onnx::cohort::Cohort<(Whose, usize)>;

/// What has become of a piece.
pub(super) type Left = (Whose, Result<Translation, EngineError>);

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
        let rows = pieces.iter().zip(lengths).zip(told).map(|((piece, length), mut told)| {
            Row::new((piece.whose, length), told.pop().unwrap_or_default(), Some(length))
        });
        Ok(Cohort::of(rows.collect(), encoded, cache))
    }

    /// Chooses a row's next token; its translation, when it has come to its end.
    fn next_token(&self, row: &mut Row<(Whose, usize)>) -> Result<Option<Translation>, EngineError> {
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
            let text = self.tokens.text(&row.tokens)?;
            // A sentence that becomes nothing was not translated.
            let confidence = (row.sum / (row.tokens.len() + 1) as f32).exp();
            let confidence = if text.is_empty() || !confidence.is_finite() { 0.0 } else { confidence };
            return Ok(Some(Translation { text, confidence }));
        }
        row.tokens.push(token as u32);
        let finds_no_end = row.tokens.len() >= self.longest(row.of.1) || loops(&row.tokens);
        let cut = || Ok(Translation { text: self.tokens.text(&row.tokens)?, confidence: 0.0 });
        finds_no_end.then(cut).transpose()
    }
}

/// A model at work for texts: a piece whose text is none of them any more is nobody's.
pub(super) struct Translating<'a> {
    pub(super) model: &'a mut Model,
    pub(super) texts: &'a [Text],
}

impl Chooses for Translating<'_> {
    const ENGINE: &'static str = ENGINE;
    type Of = (Whose, usize);
    type Left = Left;

    fn decoder(&mut self) -> &mut Decoder {
        &mut self.model.decoder
    }

    fn next(
        &self,
        mut row: Row<Self::Of>,
        _encoded: &dyn Fn() -> ort::Result<DynValue>,
    ) -> Result<Row<Self::Of>, Option<Left>> {
        let (whose, _) = row.of;
        if !self.texts.iter().any(|text| text.id == whose.text) {
            return Err(None);
        }
        match self.model.next_token(&mut row).transpose() {
            Some(came) => Err(Some((whose, came))),
            None => Ok(row),
        }
    }

    fn lost((whose, _): Self::Of, error: EngineError) -> Left {
        (whose, Err(error))
    }
}
