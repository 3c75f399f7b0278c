//! Keys of the API: many, each with a name, what it may do, a tier and perhaps an end. Only hashes are kept.
//!
//! ```text
//! POST /api/v1/keys, milo keys … ──► store: api_keys ──► changes ──► Keys (in memory) ◄── judge ── every request
//!                                                         Redis: revoked ──┘
//! ```
//! The table is the truth; each Milo holds it in memory and hears of changes at once on Postgres (LISTEN), within a second on
//! SQLite. While the database is away the keys of before are in force. With Redis a key that one node revokes is refused by all of them at
//! once, whatever their databases are and do.

pub mod command;
mod refusal;
mod scope;
mod secret;
mod sign_in;
mod tickets;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use subtle::ConstantTimeEq;

pub use refusal::{KeyError, Refusal};
pub use scope::{Scope, Scopes, Tier};
pub(crate) use secret::random_name;
use secret::{Digest, digest};
pub use sign_in::SignIns;
pub use tickets::{LONGEST, Purpose, Tickets};

use crate::{
    config::Secret,
    redis::Redis,
    store::{ApiKeyRow, Key, Stamp, Store, StoreError},
};

/// How often the table learns that a key was used, in milliseconds.
const USED_EVERY_MS: i64 = 60_000;
/// As long as the name of a key may be.
const LONGEST_NAME: usize = 100;

/// Who sent a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The key's identifier; none for `API_KEY`.
    pub id: Option<Key>,
    /// What people call it.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Scopes,
    /// How much of it.
    pub tier: Tier,
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How much of it.
    pub tier: Tier,
    /// When it ends.
    pub expires: Option<Stamp>,
}

/// The keys in force.
pub struct Keys {
    store: Store,
    environment: Option<Digest>,
    book: RwLock<Book>,
    /// Held while the table is read and the book replaced: what was read later is not replaced by what was read before.
    reading: tokio::sync::Mutex<()>,
    redis: Option<Redis>,
    /// What other nodes have revoked, whether or not the table here says so yet; bounded as the list in Redis is.
    revoked: RwLock<HashMap<Key, Stamp>>,
    sign_ins: SignIns,
}

#[derive(Default)]
struct Book {
    /// By the hash of each secret: that in force, and that of before its rotation.
    by_digest: HashMap<Digest, Arc<Entry>>,
    is_empty: bool,
}

struct Entry {
    row: ApiKeyRow,
    bearer: Bearer,
    /// In milliseconds; the table is told now and then.
    used: AtomicI64,
}

impl Book {
    fn of(rows: Vec<ApiKeyRow>) -> Self {
        let is_empty = rows.iter().all(|row| row.revoked.is_some());
        let mut by_digest = HashMap::new();
        for row in rows {
            let (Ok(scopes), Ok(tier)) = (row.scopes.parse(), row.tier.parse()) else {
                tracing::warn!(key = %row.id, scopes = row.scopes, tier = row.tier, "a key of the table is not understood, and not taken");
                continue;
            };
            let bearer = Bearer { id: Some(row.id), name: row.name.as_str().into(), scopes, tier };
            let hashes: Vec<Digest> =
                row.old_hash.iter().chain([&row.hash]).filter_map(|hash| hash.as_slice().try_into().ok()).collect();
            let used = AtomicI64::new(row.used.map_or(0, Stamp::millis));
            let entry = Arc::new(Entry { row, bearer, used });
            by_digest.extend(hashes.into_iter().map(|hash| (hash, Arc::clone(&entry))));
        }
        Self { by_digest, is_empty }
    }

    /// Each key; one that was rotated twice.
    fn rows(&self) -> impl Iterator<Item = &ApiKeyRow> {
        self.by_digest.values().map(|entry| &entry.row)
    }

    /// Those that are revoked, and when.
    fn revoked(&self) -> impl Iterator<Item = (Key, Stamp)> {
        self.rows().filter_map(|row| Some((row.id, row.revoked?)))
    }
}

impl Keys {
    /// Reads the keys of the table; `environment` is that of `API_KEY`. With Redis, what other nodes have revoked as well.
    pub async fn open(store: &Store, environment: Option<&Secret>, redis: Option<Redis>) -> Result<Self, StoreError> {
        let keys = Self {
            store: store.clone(),
            environment: environment.map(|key| digest(key.reveal())),
            book: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            redis,
            revoked: RwLock::default(),
            sign_ins: SignIns::default(),
        };
        keys.reload().await?;
        keys.settle().await;
        Ok(keys)
    }

    /// The links that sign in, and who did.
    pub fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Whether there is a key at all; while there is none, this machine may do everything.
    pub fn any(&self) -> bool {
        self.environment.is_some() || !self.book.read().unwrap_or_else(PoisonError::into_inner).is_empty
    }

    /// Whose key this is. A key is found by its hash, and so compared without telling how much of it was right.
    ///
    /// # Errors
    /// It is none, or none any more.
    pub fn judge(&self, given: &str, now: Stamp) -> Result<Bearer, Refusal> {
        let given = digest(given);
        if self.environment.is_some_and(|key| bool::from(key.ct_eq(&given))) {
            return self.environment().ok_or(Refusal::Unknown);
        }
        let entry = self.book.read().unwrap_or_else(PoisonError::into_inner).by_digest.get(&given).cloned();
        let Some(entry) = entry else {
            return self.sign_ins.judge(&given, now).unwrap_or(Err(Refusal::Unknown));
        };
        self.in_force(&entry, now)?;
        let row = &entry.row;
        if row.hash.as_slice() != given.as_slice()
            && let Some(at) = row.old_until.filter(|at| *at <= now)
        {
            return Err(Refusal::Replaced(at));
        }
        entry.used.fetch_max(now.millis(), Ordering::Relaxed);
        Ok(entry.bearer.clone())
    }

    /// Whoever sends `API_KEY`, where there is one.
    pub(super) fn environment(&self) -> Option<Bearer> {
        let (id, scopes, tier) = (None, Scopes::all(), Tier::Enterprise);
        self.environment.map(|_| Bearer { id, name: "API_KEY".into(), scopes, tier })
    }

    /// Whoever has this key, if it is in force.
    pub(super) fn bearer(&self, id: Key, now: Stamp) -> Result<Bearer, Refusal> {
        let entry = {
            let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
            book.by_digest.values().find(|entry| entry.row.id == id).cloned()
        };
        let Some(entry) = entry else {
            return self.sign_ins.bearer(id, now).unwrap_or(Err(Refusal::Unknown));
        };
        self.in_force(&entry, now)?;
        Ok(entry.bearer.clone())
    }

    fn in_force(&self, entry: &Entry, now: Stamp) -> Result<(), Refusal> {
        let row = &entry.row;
        let elsewhere = || self.revoked.read().unwrap_or_else(PoisonError::into_inner).get(&row.id).copied();
        if let Some(at) = row.revoked.or_else(elsewhere) {
            return Err(Refusal::Revoked(at));
        }
        match row.expires.filter(|at| *at <= now) {
            Some(at) => Err(Refusal::Expired(at)),
            None => Ok(()),
        }
    }

    /// All keys of the table, the oldest first.
    pub async fn list(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.store.api_keys().await
    }

    /// Makes a key; the secret is told now, and never again.
    ///
    /// # Errors
    /// The name or the end cannot be, or the database does not answer.
    pub async fn create(&self, new: NewKey, now: Stamp) -> Result<(ApiKeyRow, Secret), KeyError> {
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(KeyError::Wrong(format!("the name of a key has 1 to {LONGEST_NAME} characters, in one line")));
        }
        if new.expires.is_some_and(|at| at <= now) {
            return Err(KeyError::Wrong("the key would have ended already: its end lies in the past".into()));
        }
        let secret = secret::make();
        let row = ApiKeyRow {
            id: Key::new(),
            name: name.into(),
            hash: digest(secret.reveal()).to_vec(),
            old_hash: None,
            old_until: None,
            scopes: new.scopes.to_string(),
            tier: new.tier.to_string(),
            created: now,
            expires: new.expires,
            revoked: None,
            used: None,
        };
        self.store.insert_api_key(&row).await?;
        self.follow_up().await;
        Ok((row, secret))
    }

    /// Another secret for a key; the one of before is taken until `old_until`. `None`: there is no such key in force.
    pub async fn rotate(&self, id: Key, old_until: Stamp) -> Result<Option<Secret>, StoreError> {
        let secret = secret::make();
        let found = self.store.rotate_api_key(id, &digest(secret.reveal()), old_until).await?;
        self.follow_up().await;
        Ok(found.then_some(secret))
    }

    /// From now on a key is not taken. Says whether it was in force.
    pub async fn revoke(&self, id: Key, now: Stamp) -> Result<bool, StoreError> {
        let found = self.store.revoke_api_key(id, now).await?;
        self.follow_up().await;
        Ok(found)
    }

    /// The table was changed here; should it not be readable just now, it is read again soon.
    async fn follow_up(&self) {
        self.look().await;
        if let Some(redis) = &self.redis {
            redis.keys_changed().await;
        }
    }

    async fn look(&self) {
        if let Err(error) = self.reload().await {
            tracing::warn!(%error, "keys have changed and cannot be read; tried again soon");
        }
    }

    /// Another node has changed its table, which may be this one's.
    pub async fn changed_elsewhere(&self) {
        self.look().await;
    }

    /// Tells Redis, which is there (again), what is revoked here, and learns what others have revoked.
    pub async fn settle(&self) {
        let Some(redis) = &self.redis else { return };
        let mine: Vec<_> = {
            let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
            book.revoked().collect()
        };
        if let Some(all) = redis.revoked(&mine).await {
            self.revoked_elsewhere(&all).await;
        }
    }

    /// Other nodes have revoked these: they are refused from now on, and the table is told so where it has them.
    pub async fn revoked_elsewhere(&self, keys: &[(Key, Stamp)]) {
        let here: Vec<_> = {
            let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
            let in_force: HashSet<Key> = book.rows().filter(|row| row.revoked.is_none()).map(|row| row.id).collect();
            keys.iter().filter(|(key, _)| in_force.contains(key)).copied().collect()
        };
        if here.is_empty() {
            return;
        }
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).extend(here.iter().copied());
        for (key, at) in here {
            if let Err(error) = self.store.revoke_api_key(key, at).await {
                tracing::warn!(%error, %key, "another node has revoked a key, and the table here cannot be told");
            }
        }
        self.look().await;
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let news: Vec<_> = {
            let _reading = self.reading.lock().await;
            let book = Book::of(self.store.api_keys().await?);
            let mut now = self.book.write().unwrap_or_else(PoisonError::into_inner);
            for (digest, entry) in &book.by_digest {
                if let Some(before) = now.by_digest.get(digest) {
                    entry.used.fetch_max(before.used.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            let known: HashSet<Key> = now.revoked().map(|(key, _)| key).collect();
            *now = book;
            now.revoked().filter(|(key, _)| !known.contains(key)).collect()
        };
        // Whoever revoked them, by the API or on the command line: the other nodes are told.
        if let (Some(redis), false) = (&self.redis, news.is_empty()) {
            redis.revoked(&news).await;
        }
        Ok(())
    }

    /// Tells the table which keys were used since it last knew.
    async fn tell_used(&self) -> Result<(), StoreError> {
        let stale: Vec<(Key, Stamp)> = {
            let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
            let used = book.by_digest.values().filter_map(|entry| {
                let used = entry.used.load(Ordering::Relaxed);
                let known = entry.row.used.map_or(0, Stamp::millis);
                (used - known >= USED_EVERY_MS).then(|| (entry.row.id, Stamp::from_millis(used)))
            });
            used.collect()
        };
        for (id, at) in stale {
            self.store.used_api_key(id, at).await?;
        }
        Ok(())
    }
}

/// Follows the table for as long as Milo runs.
pub async fn follow(keys: Arc<Keys>) {
    let mut changes = keys.store.key_changes();
    let mut is_away = false;
    loop {
        changes.next().await;
        let read = keys.reload().await;
        if read.is_ok()
            && let Err(error) = keys.tell_used().await
        {
            tracing::debug!(%error, "when keys were used could not be written");
        }
        match read {
            Err(error) if !is_away => {
                tracing::warn!(%error, "the keys cannot be read; those of before stay in force");
                is_away = true;
            }
            Err(_) => {}
            Ok(()) => is_away = false,
        }
    }
}

#[cfg(test)]
mod tests;
