//! `[redis]`: where several Milos keep what they share.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Faults, SecretUrl};

/// The Redis that nodes share.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Redis {
    /// `redis://:PASSWORD@HOST:PORT/DATABASE`, `rediss://…` for TLS, `redis+unix:///SOCKET`; unset: nothing is shared.
    pub url: Option<SecretUrl>,
    /// The authorities that are believed for `rediss://`, a PEM file; unset: those of the system.
    pub ca: Option<PathBuf>,
}

impl Redis {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        let Some(url) = &self.url else { return };
        let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
        if !known.iter().any(|begin| url.reveal().starts_with(begin)) {
            faults.add("redis.url", "begins with none of redis://, rediss:// and redis+unix://".into());
        } else if url.reveal().ends_with("#insecure") {
            let says = "asks to believe whoever answers, which Milo does not do: name the authority in redis.ca";
            faults.add("redis.url", says.into());
        } else if ::redis::Client::open(url.reveal()).is_err() {
            // The library's own words may hold a part of the address.
            faults.add("redis.url", "is no address of a Redis, such as redis://:PASSWORD@HOST:6379/0".into());
        }
    }
}
