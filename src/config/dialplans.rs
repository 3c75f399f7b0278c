//! `[dialplans]`: which call is treated how.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The folder of dialplans.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dialplans {
    /// A folder with `*.toml` and `personas/`; unset, the dialplan that ships with Milo.
    pub path: Option<PathBuf>,
}
