//! How a trunk is, for the API, the metrics and the health report.

use std::{net::SocketAddr, sync::atomic::Ordering};

use milo_signaling::Standing;
use serde::Serialize;

use super::Trunk;
use crate::config;

/// A trunk: its settings, secrets masked, and how it is now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrunkReport {
    /// What is configured.
    #[serde(flatten)]
    pub settings: config::Trunk,
    /// `registering`, `registered`, `failed`, `unregistered`; `by address` where Milo does not register.
    pub state: &'static str,
    /// The registrar's address, once it was found.
    pub registrar_address: Option<SocketAddr>,
    /// For how many seconds the registrar has granted the registration.
    pub granted_s: Option<u64>,
    /// What failed last, as a sentence; it stays readable when all is well again.
    pub last_error: Option<String>,
    /// Calls that are up now.
    pub calls_live: usize,
    /// Calls that came over it since the start.
    pub calls_in: u64,
    /// Calls that went out over it.
    pub calls_out: u64,
    /// Calls in that its limits refused.
    pub refused_in: u64,
    /// Calls out that its limits refused.
    pub refused_out: u64,
}

impl TrunkReport {
    /// 1 or 0 where Milo registers: whether it is registered now.
    pub fn registered(&self) -> Option<i64> {
        self.settings.register.then(|| i64::from(self.state == "registered"))
    }

    /// What is wrong with it now, as a sentence.
    pub fn complaint(&self) -> Option<String> {
        let fault = self.last_error.as_ref().filter(|_| self.state == "failed")?;
        Some(format!("The trunk {:?} is not registered: {fault}.", self.settings.name))
    }
}

impl Trunk {
    /// How it is now.
    pub fn report(&self) -> TrunkReport {
        let registration = self.registration.as_ref().map(|state| state.borrow().clone());
        let state = match registration.as_ref().map(|state| state.standing) {
            None => "by address",
            Some(Standing::Registering) => "registering",
            Some(Standing::Registered) => "registered",
            Some(Standing::Failed) => "failed",
            Some(Standing::Unregistered) => "unregistered",
        };
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        TrunkReport {
            settings: self.settings.clone(),
            state,
            registrar_address: registration.as_ref().and_then(|state| state.registrar),
            granted_s: registration.as_ref().and_then(|state| Some(state.granted?.as_secs())),
            last_error: registration.and_then(|state| state.fault),
            calls_live: self.limit.live(),
            calls_in: count(&self.inbound.carried),
            calls_out: count(&self.outbound.carried),
            refused_in: count(&self.inbound.refused),
            refused_out: count(&self.outbound.refused),
        }
    }
}
