//! `[engines.embeddings]`: who says what texts mean.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{path, server};
use crate::config::Faults;

/// `[engines.embeddings]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Embeddings {
    /// The model's name on the server; unset: nobody is asked, and what is known is found by its words.
    pub model: Option<String>,
    /// The server's address; unset: OpenAI's own.
    pub url: Option<String>,
    /// A file whose only line is the key for the server, read in place of the key of `[engines]`.
    pub api_key_file: Option<PathBuf>,
    /// How long an answer may take, in seconds; then words alone find.
    pub timeout_s: f64,
    /// Requests that the server has at once.
    pub parallel: usize,
    /// A piece whose vector is less alike to the question's than this, 0 to 1, is not found by what it means.
    pub min_similarity: f32,
}

impl Default for Embeddings {
    fn default() -> Self {
        Self { model: None, url: None, api_key_file: None, timeout_s: 2.0, parallel: 16, min_similarity: 0.35 }
    }
}

impl Embeddings {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.embeddings.api_key_file", self.api_key_file.as_deref(), faults);
        server("engines.embeddings.url", self.url.as_deref(), faults);
        faults.within("engines.embeddings.timeout_s", self.timeout_s, 0.05..=10.0);
        faults.within("engines.embeddings.parallel", self.parallel, 1..=4_096);
        faults.within("engines.embeddings.min_similarity", self.min_similarity, 0.0..=1.0);
        let Self { model, url, api_key_file, .. } = self;
        if model.is_none() && (url.is_some() || api_key_file.is_some()) {
            faults.add(
                "engines.embeddings.model",
                "is missing: name the model that the server is to be asked for".into(),
            );
        }
    }
}
