//! The endpoint's side of registrations: says how things stand.

use std::{collections::HashMap, time::Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    account::{Account, RegistrationState, Standing},
    core::{CallKey, Core},
};

/// The registrations of an endpoint as its task sees them.
#[derive(Debug, Default)]
pub(super) struct Registrars {
    known: HashMap<CallKey, Known>,
}

#[derive(Debug)]
struct Known {
    name: String,
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
        let name = account.name.clone();
        let (state, watched) = watch::channel(RegistrationState::UNKNOWN);
        let key = core.register(now, account);
        self.known.insert(key, Known { name, state });
        watched
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
