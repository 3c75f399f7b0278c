//! Rows that are decoded side by side: one run for the next token of all, which have come equally far, since a decoder has one length of
//! the past for all rows of a run. A row leaves at its end, between two runs. What was encoded of it may be shorter than what was of
//! another: it is filled up, and masked, and nobody looks at what fills.
//!
//! ```text
//!  encoded together ─► their prompts ─► level with the rest ─► one token for all, and again ─► leaves at its end
//! ```

use std::mem;

use ort::value::DynValue;

use super::{
    decoder::{Cache, Decoder},
    failed, rows,
};
use crate::engine::EngineError;

/// Whoever comes joins rows that have so few tokens: so much is caught up with while those stand still.
const CATCH_UP: usize = 4;

/// A row that is being decoded.
pub(crate) struct Row<T> {
    /// Of what it is.
    pub(crate) of: T,
    /// Of the next token.
    pub(crate) logits: Vec<f32>,
    pub(crate) tokens: Vec<u32>,
    /// Of the tokens' log-probabilities.
    pub(crate) sum: f32,
    /// How many positions were encoded of it; none: nothing is filled up.
    positions: Option<usize>,
}

impl<T> Row<T> {
    /// Nothing is chosen yet; these logits followed the prompt. So many positions were encoded of it, or as many as of all others.
    pub(crate) fn new(of: T, logits: Vec<f32>, positions: Option<usize>) -> Self {
        Self { of, logits, tokens: Vec::new(), sum: 0.0, positions }
    }
}

/// Rows that have come equally far.
pub(crate) struct Cohort<T> {
    rows: Vec<Row<T>>,
    /// What the encoder made of each; none without rows.
    encoded: Option<DynValue>,
    cache: Cache,
}

/// Who chooses the tokens of rows.
pub(crate) trait Chooses {
    /// Its engine, in errors.
    const ENGINE: &'static str;
    /// Of what the rows are.
    type Of;
    /// What has become of a row that leaves.
    type Left;

    fn decoder(&mut self) -> &mut Decoder;

    /// Chooses a row's next token, and gives it back; not where it leaves, or where nobody waits for it any more. `encoded` is what was
    /// encoded of it, alone.
    fn next(
        &self,
        row: Row<Self::Of>,
        encoded: &dyn Fn() -> ort::Result<DynValue>,
    ) -> Result<Row<Self::Of>, Option<Self::Left>>;

    /// A row that leaves with a fault that is not its own.
    fn lost(of: Self::Of, error: EngineError) -> Self::Left;
}

impl<T> Default for Cohort<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), encoded: None, cache: Cache::default() }
    }
}

impl<T> Cohort<T> {
    /// Rows whose prompts were read.
    pub(crate) fn of(rows: Vec<Row<T>>, encoded: DynValue, cache: Cache) -> Self {
        Self { rows, encoded: Some(encoded), cache }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Of what its rows are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|row| &row.of)
    }

    /// How many tokens each row has.
    fn tokens(&self) -> usize {
        self.rows.first().map_or(0, |row| row.tokens.len())
    }

    /// Whether others may come to it.
    pub(crate) fn may_be_joined(&self) -> bool {
        self.tokens() <= CATCH_UP
    }

    /// Brings others as far as these are, and takes them in.
    pub(crate) fn join<C: Chooses<Of = T>>(&mut self, mut come: Self, by: &mut C) -> Vec<C::Left> {
        let mut left = Vec::new();
        while come.len() > 0 && come.tokens() < self.tokens() {
            left.extend(come.step(by));
        }
        match self.both(&come) {
            Ok(Some((encoded, cache))) => {
                (self.encoded, self.cache) = (Some(encoded), cache);
                self.rows.extend(come.rows);
            }
            Ok(None) if self.rows.is_empty() => *self = come,
            Ok(None) => {}
            Err(error) => left.extend(come.lost::<C>(&failed(C::ENGINE, &error))),
        }
        left
    }

    /// What was encoded and is kept of these and others; none, where either are none.
    fn both(&self, others: &Self) -> ort::Result<Option<(DynValue, Cache)>> {
        let (Some(own), Some(other)) = (&self.encoded, &others.encoded) else { return Ok(None) };
        let positions = |encoded: &DynValue| {
            encoded.shape().get(1).and_then(|positions| usize::try_from(*positions).ok()).unwrap_or(0)
        };
        let widest = positions(own).max(positions(other));
        let wider = |encoded| (positions(encoded) < widest).then(|| rows::widened(encoded, 1, widest)).transpose();
        let (own_wide, other_wide) = (wider(own)?, wider(other)?);
        let encoded = rows::together(&[own_wide.as_ref().unwrap_or(own), other_wide.as_ref().unwrap_or(other)])?;
        Ok(Some((encoded, self.cache.wider(widest)?.beside(&others.cache.wider(widest)?)?)))
    }

    /// The next token of every row. Who ends with it leaves, and so do those for whom nobody waits any more.
    pub(crate) fn step<C: Chooses<Of = T>>(&mut self, by: &mut C) -> Vec<C::Left> {
        let mut left = Vec::new();
        let chosen = self.choose(by, &mut left).map_err(|error| failed(C::ENGINE, &error));
        if let Err(error) = chosen.and_then(|()| self.run(by.decoder())) {
            left.extend(mem::take(self).lost::<C>(&error));
        }
        left
    }

    fn choose<C: Chooses<Of = T>>(&mut self, by: &C, left: &mut Vec<C::Left>) -> ort::Result<()> {
        let Some(encoded) = self.encoded.take() else { return Ok(()) };
        let (were, mut staying) = (self.rows.len(), Vec::new());
        for (at, row) in mem::take(&mut self.rows).into_iter().enumerate() {
            match by.next(row, &|| rows::some(&encoded, &[at])) {
                Ok(row) => {
                    staying.push(at);
                    self.rows.push(row);
                }
                Err(leaves) => left.extend(leaves),
            }
        }
        if staying.is_empty() {
            self.cache = Cache::default();
        } else if staying.len() == were {
            self.encoded = Some(encoded);
        } else {
            self.encoded = Some(rows::some(&encoded, &staying)?);
            self.cache = self.cache.some(&staying)?;
        }
        Ok(())
    }

    /// What follows the last token of each row.
    fn run(&mut self, decoder: &mut Decoder) -> Result<(), EngineError> {
        let Some(encoded) = &self.encoded else { return Ok(()) };
        let positions: Vec<usize> = self.rows.iter().map(|row| row.positions.unwrap_or(usize::MAX)).collect();
        let last = self.rows.iter().filter_map(|row| row.tokens.last_chunk::<1>());
        let last: Vec<&[u32]> = last.map(<[u32; 1]>::as_slice).collect();
        let told = decoder.run_padded((encoded, &positions), &last, &mut self.cache)?;
        for (row, mut told) in self.rows.iter_mut().zip(told) {
            row.logits = told.pop().unwrap_or_default();
        }
        Ok(())
    }

    /// Everybody leaves with this error.
    fn lost<C: Chooses<Of = T>>(self, error: &EngineError) -> impl Iterator<Item = C::Left> {
        self.rows.into_iter().map(|row| C::lost(row.of, error.clone()))
    }
}
