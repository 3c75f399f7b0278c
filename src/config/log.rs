//! `[log]`: what Milo writes to its standard error.

use serde::{Deserialize, Serialize};

use super::Faults;

/// Logging.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`; or a filter such as `info,milo_signaling=debug`.
    pub level: String,
    /// Lines for people (`text`) or for machines (`json`).
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

impl Log {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if let Err(said) = crate::logging::filter(&self.level) {
            faults.add("log.level", said);
        }
    }
}
