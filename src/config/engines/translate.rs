//! `[engines.translate]`: who translates.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::path;
use crate::config::Faults;

/// `[engines.translate]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Translate {
    /// A folder with a Hugging Face export of NLLB-200 or M2M100 (encoder, decoder, tokenizer.json). It translates all that the set
    /// phrases do not; the small one that ships only what no language model can.
    pub path: Option<PathBuf>,
    /// In its place, a folder with a Marian (Opus-MT) from Malagasy into French, with the tokenizer.json that
    /// models/training/marian_tokenizer.py writes.
    pub mg_fr: Option<PathBuf>,
    /// The same from French into Malagasy.
    pub fr_mg: Option<PathBuf>,
    /// Sentences that are translated side by side at most, of one text or of several; 1: one after the other.
    pub batch: usize,
    /// Threads a forward pass may use; 0 takes half of the machine's cores, at least one.
    pub threads: usize,
    /// A translation less sure than this, 0 to 1, is none. The one that ships has a limit of its own and may be given a higher one.
    pub min_confidence: f32,
}

impl Default for Translate {
    fn default() -> Self {
        Self { path: None, mg_fr: None, fr_mg: None, batch: 8, threads: 0, min_confidence: 0.0 }
    }
}

impl Translate {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.translate.path", self.path.as_deref(), faults);
        let ways = [
            ("engines.translate.mg_fr", &self.mg_fr, &self.fr_mg),
            ("engines.translate.fr_mg", &self.fr_mg, &self.mg_fr),
        ];
        for (key, folder, back) in ways {
            path(key, folder.as_deref(), faults);
            if folder.is_some() && self.path.is_some() {
                faults.add(key, "stands beside `path`: name one model for both ways, or one for each".into());
            }
            if folder.is_none() && back.is_some() {
                faults.add(key, "is missing: a model of one way wants one that translates back".into());
            }
        }
        faults.within("engines.translate.batch", self.batch, 1..=64);
        faults.within("engines.translate.threads", self.threads, 0..=512);
        faults.within("engines.translate.min_confidence", self.min_confidence, 0.0..=1.0);
    }
}
