//! `[http]`: the web page, the API and the metrics.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use milo_signaling::CertificateFiles;
use serde::{Deserialize, Serialize};

use super::{Faults, Secret, address};

/// The placeholders of the example files, the Python system's and Milo's own; never a key.
const PLACEHOLDERS: [&str; 2] = ["change-me-in-production", "make-one-with-openssl-rand"];

/// A link that signs in is good for a day at most.
const LONGEST_LINK_S: u64 = 86_400;

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
    /// The PEM files of the certificate (those between it and its root after it) and of its private key: with them `listen` is TLS.
    pub tls_cert: Option<PathBuf>,
    /// See `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// The pages from elsewhere that may use the API (CORS), by their origin, like `https://app.example`; `*`: all.
    pub cors_origins: Vec<String>,
    /// For how many seconds the link is good that a start in a terminal prints: it signs in to the web page, once. 0: none is printed.
    pub sign_in_s: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8000).into(),
            api_key: None,
            metrics: true,
            tls_cert: None,
            tls_key: None,
            cors_origins: Vec::new(),
            sign_in_s: 900,
        }
    }
}

impl Http {
    /// The files of the certificate, when there is one.
    pub fn certificate(&self) -> Option<CertificateFiles> {
        let (chain, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(CertificateFiles { chain, key })
    }

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
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            faults.add("http.tls_cert", "and http.tls_key go together: a certificate and its key".into());
        }
        if self.sign_in_s > LONGEST_LINK_S {
            faults.add("http.sign_in_s", format!("is {}; {LONGEST_LINK_S} seconds are the most", self.sign_in_s));
        }
        for origin in &self.cors_origins {
            if origin != "*" && !is_origin(origin) {
                let says = format!(
                    "has {origin:?}, which is no origin: scheme, host and perhaps port, like \"https://app.example\""
                );
                faults.add("http.cors_origins", says);
            } else if origin == "*" && self.cors_origins.len() > 1 {
                faults.add("http.cors_origins", "has \"*\" and others beside it: \"*\" is all of them".into());
            }
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

/// Scheme, host and perhaps port, as browsers write it (RFC 6454 section 6.1).
fn is_origin(text: &str) -> bool {
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    host.is_some_and(|host| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
        !host.is_empty() && host.bytes().all(known)
    })
}
