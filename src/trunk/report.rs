//! How a trunk is, for the API, the metrics and the health report.

use std::{net::SocketAddr, sync::atomic::Ordering};

use serde::Serialize;

use super::{RegistrationReport, Trunk, registrar::Registrar};
use crate::{config, store::Stamp};

/// A trunk: its settings, secrets masked, and how it is now.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = Trunk)]
pub struct TrunkReport {
    /// What is configured.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub settings: config::Trunk,
    /// `registered` (at one of its registrars at least), `failed`, `registering`, `unregistered`; `by address` where Milo does
    /// not register.
    #[schema(example = "registered")]
    pub state: &'static str,
    /// The registrar's address, once it was found: of several the one that calls out go by.
    #[schema(value_type = Option<String>, example = "198.51.100.7:5060")]
    pub registrar_address: Option<SocketAddr>,
    /// For how many seconds it has granted the registration.
    #[schema(example = 600)]
    pub granted_s: Option<u64>,
    /// What failed last, as a sentence, of a registration or else of a call out; it stays readable when all is well again.
    #[schema(example = "the registrar answers 503")]
    pub last_error: Option<String>,
    /// Each of its registrations.
    pub registrations: Vec<RegistrationReport>,
    /// What is unsafe about its settings.
    #[schema(example = "tls_verify is off: whoever answers is believed")]
    pub warning: Option<&'static str>,
    /// Whether it answers to OPTIONS; none where it is not asked, or not yet.
    pub reachable: Option<bool>,
    /// How long it took to answer last, in milliseconds.
    #[schema(example = 12)]
    pub options_ms: Option<u64>,
    /// Why it counts as not reachable.
    #[schema(example = "it does not answer to OPTIONS")]
    pub unreachable: Option<String>,
    /// Calls that are up now.
    #[schema(example = 2)]
    pub calls_live: usize,
    /// Calls that came over it since the start.
    #[schema(example = 41)]
    pub calls_in: u64,
    /// Calls that went out over it.
    #[schema(example = 7)]
    pub calls_out: u64,
    /// Calls in that its limits refused.
    pub refused_in: u64,
    /// Calls out that its limits refused.
    pub refused_out: u64,
    /// Calls that went out over it today (UTC).
    #[schema(example = 5)]
    pub calls_today: u64,
    /// Their minutes, also of those that are up; one that has begun counts.
    #[schema(example = 18)]
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
        let failed = self.registrations.iter().filter(|one| one.state == "failed");
        let faults = failed.filter_map(|one| Some((one.registrar.as_str(), one.last_error.as_deref()?)));
        let faults: Vec<_> = faults.map(|(registrar, fault)| format!("at {registrar}: {fault}")).collect();
        let elsewhere = if self.state == "registered" { " at all of its registrars" } else { "" };
        (!faults.is_empty())
            .then(|| format!("The trunk {:?} is not registered{elsewhere}: {}.", self.settings.name, faults.join("; ")))
    }
}

impl Trunk {
    /// How it is now.
    pub fn report(&self) -> TrunkReport {
        let registrations: Vec<_> = self.registrars.iter().filter_map(Registrar::report).collect();
        let in_state = |state: &str| registrations.iter().find(|one| one.state == state);
        let states = ["registered", "failed", "registering", "unregistered"];
        let (state, first) =
            states.into_iter().find_map(|state| Some((state, Some(in_state(state)?)))).unwrap_or(("by address", None));
        let faults = || registrations.iter().filter_map(|one| one.last_error.clone());
        let last_error = first.and_then(|one| one.last_error.clone()).or_else(|| faults().next());
        let reach = self.reach.borrow().clone();
        let today = self.day.counted(Stamp::now());
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        TrunkReport {
            settings: self.settings.clone(),
            state,
            registrar_address: first.and_then(|one| one.address),
            granted_s: first.and_then(|one| one.granted_s),
            last_error: last_error.or_else(|| self.fault.borrow().clone()),
            registrations,
            warning: self
                .is_unverified
                .then_some("its certificate is not verified: whoever answers in its place is believed"),
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
