//! The telephones that are registered here, for whoever calls them and whoever asks about them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::registrar::Registered;

/// By account. Cheap to clone; all clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Telephones {
    /// The lock is held for one look, or one change of one account.
    of: Arc<Mutex<HashMap<String, Arc<[Registered]>>>>,
}

impl Telephones {
    /// Those of an account that are registered now.
    pub fn of(&self, account: &str) -> Arc<[Registered]> {
        self.known().get(account).cloned().unwrap_or_default()
    }

    /// Those of an account are these now; how many there were.
    pub(super) fn change(&self, account: String, telephones: Arc<[Registered]>) -> usize {
        let mut known = self.known();
        let before = if telephones.is_empty() { known.remove(&account) } else { known.insert(account, telephones) };
        before.map_or(0, |before| before.len())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<[Registered]>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
