//! What `interpret` says of the verbs `dial`, `transfer`, `queue` and `bridge`: what the two speak whom Milo joins.

use milo_models::engine::Language;
use serde::{Deserialize, Serialize};

/// Milo stands between the two: each hears in its own language what the other says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interpret {
    /// What the caller speaks and hears.
    pub caller: Language,
    /// What whoever is called, or is taken by a `bridge`, speaks and hears.
    pub callee: Language,
    /// How each hears the other's own voice: quietly behind the translation, or not at all.
    #[serde(default)]
    pub original: Original,
}

/// What is heard of somebody whose words are translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Original {
    /// Their voice, quietly.
    #[default]
    Quiet,
    /// Nothing but the translation.
    Silent,
}

impl Interpret {
    /// What is impossible about it, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { caller, callee, .. } = self;
        (caller == callee)
            .then(|| format!("interpret: caller and callee both speak {caller}; one of them is to be mg, the other fr"))
    }
}
