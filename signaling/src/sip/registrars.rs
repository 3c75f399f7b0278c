//! The endpoint's side of registrations: finds the registrars' addresses beside its task, and says how things stand.

use std::{collections::HashMap, time::Instant};

use tokio::{sync::watch, task::JoinSet};
use tracing::{info, warn};

use super::{
    core::{CallKey, Core},
    destination::{Destination, destination},
    registration::{Account, RegistrationState, Standing},
    resolver::Resolver,
    tls::Trust,
    uri::Uri,
};

/// Whose address was found, and where.
pub(super) type Located = (CallKey, Result<Destination, String>);

/// The registrations of an endpoint as its task sees them.
#[derive(Debug, Default)]
pub(super) struct Registrars {
    known: HashMap<CallKey, Known>,
    /// One a registrar at most: a name server that does not answer delays its own trunk only.
    lookups: JoinSet<Located>,
}

#[derive(Debug)]
struct Known {
    name: String,
    trust: Option<Trust>,
    state: watch::Sender<RegistrationState>,
}

impl Registrars {
    /// Registers an account from now on.
    pub(super) fn register(
        &mut self,
        now: Instant,
        account: Account,
        core: &mut Core,
    ) -> watch::Receiver<RegistrationState> {
        let (name, trust) = (account.name.clone(), account.trust.clone());
        let (state, watched) = watch::channel(RegistrationState::UNKNOWN);
        let key = core.register(now, account);
        self.known.insert(key, Known { name, trust, state });
        watched
    }

    /// Looks for a registrar's address; `trust` is what holds where its account has none.
    pub(super) fn locate(&mut self, key: CallKey, registrar: Uri, resolver: Resolver, trust: Option<Trust>) {
        let own = self.known.get(&key).and_then(|known| known.trust.clone());
        let trust = own.or(trust);
        self.lookups.spawn(async move { (key, destination(&registrar, &resolver, trust).await) });
    }

    /// The next address that was found; never when none is looked for. Cancel safe.
    pub(super) async fn located(&mut self) -> Located {
        loop {
            match self.lookups.join_next().await {
                Some(Ok(located)) => return located,
                // None is aborted but with this; one that panicked has said so.
                Some(Err(_)) => {}
                None => return std::future::pending().await,
            }
        }
    }

    /// The state of a registration has changed.
    pub(super) fn tell(&self, key: CallKey, state: RegistrationState) {
        let Some(Known { name, state: told, .. }) = self.known.get(&key) else { return };
        let fault = state.fault.as_deref().unwrap_or_default();
        let is_news = state.standing != told.borrow().standing || state.fault != told.borrow().fault;
        match state.standing {
            Standing::Registering => {}
            _ if !is_news => {}
            Standing::Registered => {
                info!(trunk = name, expires_s = state.granted.map(|time| time.as_secs()), "registered")
            }
            Standing::Failed => warn!(trunk = name, fault, "not registered; it is tried again"),
            Standing::Unregistered => info!(trunk = name, "no longer registered"),
        }
        told.send_replace(state);
    }
}
