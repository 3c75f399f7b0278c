//! `[webhook]`: whom plans may ask by HTTP.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Faults, Secret};

/// What the verb `webhook` may reach, and how it proves who asks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhook {
    /// The hosts that may be asked, with a port or without one.
    pub hosts: Vec<String>,
    /// The networks within which a host may be at a private address.
    pub private: Vec<IpNet>,
    /// What requests are signed with.
    pub secret: Option<Secret>,
    /// A file that holds it, read in place of it.
    pub secret_file: Option<PathBuf>,
    /// The authorities that are believed, a PEM file; unset: those of the system.
    pub ca: Option<PathBuf>,
}

impl Webhook {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        let wrong = |host: &&String| {
            host.is_empty() || host.contains(['/', '@', '*', '?', '#']) || host.chars().any(char::is_whitespace)
        };
        if let Some(host) = self.hosts.iter().find(wrong) {
            faults.add("webhook.hosts", format!(": {host:?} is no host, such as crm.example.com or 10.0.0.5:8080"));
        }
        if self.secret.as_ref().is_some_and(|secret| secret.reveal().len() < 16) {
            faults.add("webhook.secret", "is shorter than 16 characters".into());
        }
    }
}
