//! A text on its way through the translator, piece by piece.

use std::ops::Range;

use super::{
    Job, Part, Translation,
    cohort::{Piece, Whose},
    graph::Model,
};
use crate::{
    engine::EngineError,
    phrases,
    queue::{Class, Job as _},
};

/// A job that is begun, and how far it is.
pub(super) struct Text {
    pub(super) id: u64,
    pub(super) job: Job,
    /// Which pieces each sentence is.
    sentences: Vec<Range<usize>>,
    /// The tokens of those that are still to be begun, and none of the others.
    pieces: Vec<Vec<u32>>,
    /// What became of each; set phrases are there from the beginning.
    told: Vec<Option<Translation>>,
    /// Those before it are begun.
    next: usize,
    /// How many are being translated.
    under_way: usize,
}

impl Text {
    /// Nothing of it is translated yet but the set phrases in it.
    pub(super) fn of(id: u64, job: Job, model: &Model) -> Result<Self, Box<(Job, EngineError)>> {
        let (mut sentences, mut pieces, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for part in &job.parts {
            let Part::Sentence(sentence) = part else { continue };
            let from = pieces.len();
            match phrases::translated(sentence, job.source, job.target) {
                Some(text) => {
                    pieces.push(Vec::new());
                    told.push(Some(Translation { text, confidence: 1.0 }));
                }
                None => match model.pieces(sentence, job.source) {
                    Ok(own) => pieces.extend(own),
                    Err(error) => return Err(Box::new((job, error))),
                },
            }
            told.resize(pieces.len(), None);
            sentences.push(from..pieces.len());
        }
        Ok(Self { id, job, sentences, pieces, told, next: 0, under_way: 0 })
    }

    pub(super) fn class(&self) -> Class {
        self.job.standing.class()
    }

    pub(super) fn is_left(&self) -> bool {
        self.job.is_left()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many tokens the next piece that is to be begun has; none when all are.
    pub(super) fn next_length(&mut self) -> Option<usize> {
        while self.told.get(self.next).is_some_and(Option::is_some) {
            self.next += 1;
        }
        self.pieces.get(self.next).map(Vec::len)
    }

    /// Begins that piece.
    pub(super) fn begin(&mut self) -> Option<Piece> {
        self.next_length()?;
        let whose = Whose { text: self.id, piece: self.next };
        let ids = std::mem::take(self.pieces.get_mut(self.next)?);
        self.next += 1;
        self.under_way += 1;
        Some(Piece { whose, ids, target: self.job.target })
    }

    /// A piece has its translation.
    pub(super) fn told(&mut self, piece: usize, translation: Translation) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(place) = self.told.get_mut(piece) {
            *place = Some(translation);
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.told.iter().all(Option::is_some)
    }

    /// The whole of it: as sure as its least sure piece.
    pub(super) fn whole(self) -> (Job, Translation) {
        let Self { job, sentences, told, .. } = self;
        let told: Vec<Translation> = told.into_iter().flatten().collect();
        let confidence = told.iter().map(|piece| piece.confidence).fold(1.0, f32::min);
        let mut sentences = sentences.into_iter().map(|pieces| {
            let pieces = told.get(pieces).unwrap_or_default();
            pieces.iter().map(|piece| piece.text.as_str()).collect::<Vec<_>>().join(" ")
        });
        let parts = job.parts.iter().map(|part| match part {
            Part::Sentence(_) => sentences.next().unwrap_or_default(),
            Part::Between(between) => between.clone(),
        });
        let text = parts.collect::<String>().trim().to_owned();
        (job, Translation { text, confidence })
    }
}
