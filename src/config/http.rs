//! `[http]`: the web page, the API and the metrics.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Faults, Secret, address};

/// The placeholders of the example files, the Python system's and Milo's own; never a key.
const PLACEHOLDERS: [&str; 2] = ["change-me-in-production", "make-one-with-openssl-rand"];

/// What answers over HTTP, and to whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// Where to listen. Port 0 lets the system choose.
    #[serde(deserialize_with = "address::listen")]
    pub listen: SocketAddr,
    /// The key that opens the call log and the metrics to others than this machine (`Authorization: Bearer KEY`).
    pub api_key: Option<Secret>,
    /// Whether `/metrics` answers.
    pub metrics: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8000).into(), api_key: None, metrics: true }
    }
}

impl Http {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        let key = self.api_key.as_ref().map(Secret::reveal);
        match key {
            Some(key) if key.trim() != key || key.is_empty() => {
                faults.add("http.api_key", "is empty or has spaces around it".into());
            }
            Some(key) if !key.bytes().all(|b| b.is_ascii_graphic()) => {
                faults
                    .add("http.api_key", "may hold visible ASCII characters only: it travels in an HTTP header".into());
            }
            _ => {}
        }
        if !self.listen.ip().is_loopback() && key.is_none_or(|key| key.len() < 16 || PLACEHOLDERS.contains(&key)) {
            faults.add(
                "http.listen",
                format!(
                    "{} can be reached from other machines, which needs a key of at least 16 characters of your own: set \
                     API_KEY (or [http] api_key), for example to the output of `openssl rand -hex 24`, or listen on 127.0.0.1",
                    self.listen
                ),
            );
        }
    }
}
