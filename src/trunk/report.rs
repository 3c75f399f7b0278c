//! How a trunk is, for the API, the metrics and the health report.

use std::{net::SocketAddr, sync::atomic::Ordering};

use milo_signaling::Standing;
use serde::Serialize;

use super::Trunk;
use crate::{config, store::Stamp};

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
    /// Whether it answers to OPTIONS; none where it is not asked, or not yet.
    pub reachable: Option<bool>,
    /// How long it took to answer last, in milliseconds.
    pub options_ms: Option<u64>,
    /// Why it counts as not reachable.
    pub unreachable: Option<String>,
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
    /// Calls that went out over it today (UTC).
    pub calls_today: u64,
    /// Their minutes, also of those that are up; one that has begun counts.
    pub minutes_today: u64,
}

impl TrunkReport {
    /// 1 or 0 where Milo registers: whether it is registered now.
    pub fn registered(&self) -> Option<i64> {
        self.settings.register.then(|| i64::from(self.state == "registered"))
    }

    /// What is wrong with it now, as a sentence.
    pub fn complaint(&self) -> Option<String> {
        if let Some(why) = &self.unreachable {
            return Some(format!("The trunk {:?} is not called over: {why}.", self.settings.name));
        }
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
        let reach = self.reach.borrow().clone();
        let today = self.day.counted(Stamp::now());
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        TrunkReport {
            settings: self.settings.clone(),
            state,
            registrar_address: registration.as_ref().and_then(|state| state.registrar),
            granted_s: registration.as_ref().and_then(|state| Some(state.granted?.as_secs())),
            last_error: registration.and_then(|state| state.fault),
            reachable: reach.reachable(),
            options_ms: reach.took.map(|took| took.as_millis() as u64),
            unreachable: reach.fault,
            calls_live: self.limit.live(),
            calls_in: count(&self.inbound.carried),
            calls_out: count(&self.outbound.carried),
            refused_in: count(&self.inbound.refused),
            refused_out: count(&self.outbound.refused),
            calls_today: today.calls,
            minutes_today: today.seconds.div_ceil(60),
        }
    }
}
