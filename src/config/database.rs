//! `[database]`: where the call log is kept.

use serde::{Deserialize, Serialize};

use super::{Faults, SecretUrl};

/// The database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// `postgres://USER:PASSWORD@HOST/NAME` or `sqlite:FILE`; unset, `milo.db` in the data folder.
    pub url: Option<SecretUrl>,
}

impl Database {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if let Some(url) = &self.url {
            let known = ["postgres://", "postgresql://", "sqlite:"];
            if !known.iter().any(|begin| url.reveal().starts_with(begin)) {
                faults.add("database.url", "begins neither with postgres:// nor with sqlite:".into());
            }
        }
    }
}
