//! Campaigns: lists of numbers that Milo calls by itself, within hours, not too many at once, again where nobody came.
//!
//! ```text
//! POST /api/v1/campaigns ─► list.rs, order.rs: right? ─► rows ─► run.rs: due? open? room? ─► claim ─► CallsOut ─► a call
//!                           pause, resume, cancel ─────────▲                                                       │ over
//!                                                          └──────── attempt.rs: what came of it, called again? ◄──┘
//! ```
//! The rows say who is to be called and who was: after a crash or a restart it goes on where it stopped. A row is claimed in the
//! database before it is called, with a lease, so that several Milos on one Postgres call nobody twice.

mod attempt;
mod back;
mod list;
mod number;
mod opening;
mod order;
mod outcome;
mod run;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

pub use back::Wish;
pub use order::{Order, Retries};
pub use outcome::Outcome;

use crate::{
    call::{CallsOut, a_day_before, print},
    config,
    metrics::Metrics,
    store::{CampaignKey, Key, LogWriter, NewCampaign, NewUnwanted, Stamp, Store, StoreError, Unwanted},
};
use number::Numbers;

/// Why a campaign, or a number that nobody is to call, is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Untaken {
    /// It holds what cannot be done.
    #[error("{0}")]
    Wrong(String),
    /// There is no room for it now.
    #[error("{0}")]
    Full(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A campaign that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its identifier.
    pub id: Key,
    /// How many numbers it has.
    pub total: usize,
    /// It was asked for before, under the same idempotency key.
    pub is_again: bool,
}

/// The campaigns of this Milo. Cheap to clone.
#[derive(Clone)]
pub struct Campaigns {
    store: Store,
    node: Arc<str>,
    log: LogWriter,
    calls_out: CallsOut,
    metrics: Arc<Metrics>,
    campaigns: config::Campaigns,
    numbers: Numbers,
    /// Something is to be looked at now.
    changed: Arc<Notify>,
    /// What each that runs waits for. The lock is taken at each look and when somebody asks; nothing waits under it.
    waits: Arc<Mutex<HashMap<Key, String>>>,
    /// Held while one is counted and added, so that two at once are not one too many.
    adding: Arc<tokio::sync::Mutex<()>>,
}

impl Campaigns {
    /// `calls_out` places their calls.
    pub fn new(
        config: &config::Config,
        (store, node): (Store, &str),
        (log, metrics): (LogWriter, Arc<Metrics>),
        calls_out: CallsOut,
    ) -> Self {
        Self {
            store,
            node: node.into(),
            log,
            calls_out,
            metrics,
            numbers: Numbers::new(&config.campaigns.country),
            campaigns: config.campaigns.clone(),
            changed: Arc::default(),
            waits: Arc::default(),
            adding: Arc::default(),
        }
    }

    /// Takes a campaign of somebody, whole or not at all; or finds the one that was taken for the same order under the same
    /// idempotency key, on whichever Milo.
    ///
    /// # Errors
    /// [`Untaken`].
    pub async fn add(&self, mut order: Order, who: &str, key: Option<&str>) -> Result<Taken, Untaken> {
        // The list may have megabytes.
        let printed = match key {
            Some(key) => {
                let printing = tokio::task::spawn_blocking(move || (print(&order), order));
                let (printed, same) =
                    printing.await.map_err(|_| Untaken::Wrong("the list could not be read".into()))?;
                order = same;
                Some((key, printed))
            }
            None => None,
        };
        let key = printed;
        if let Some(taken) = self.asked_before(key).await? {
            return Ok(taken);
        }
        if let Some(fault) = order.fault(self.calls_out.limit()) {
            return Err(Untaken::Wrong(fault));
        }
        let csv = std::mem::take(&mut order.list);
        if csv.is_empty() && !order.standing {
            return Err(Untaken::Wrong("list: it is empty; it is CSV whose head has a column `number`".into()));
        }
        self.calls_out
            .knows(order.plan.as_deref(), order.trunk.as_ref())
            .map_err(|why| Untaken::Wrong(why.says().into()))?;
        let (this, wished) = (self.clone(), order.clone());
        let read = tokio::task::spawn_blocking(move || {
            let bounds = (this.campaigns.lines, &this.numbers, wished.open.zone());
            if csv.is_empty() {
                return Ok(list::List::default());
            }
            list::read(csv.as_bytes(), bounds, |to, variables| {
                let wanted = wished.wanted(to.to_owned(), variables.clone());
                this.calls_out.check(&wanted).map_err(|why| why.says().to_owned())
            })
        });
        let mut read =
            read.await.unwrap_or_else(|_| Err("the list could not be read".into())).map_err(Untaken::Wrong)?;
        // Whoever comes into it later has its own.
        if order.standing && !read.zones.iter().any(|zone| zone == order.open.zone()) {
            read.zones.push(order.open.zone().to_owned());
        }
        let _one_at_a_time = self.adding.lock().await;
        // Perhaps by somebody who was quicker.
        if let Some(taken) = self.asked_before(key).await? {
            return Ok(taken);
        }
        let open = self.store.open_campaigns().await?;
        if open >= self.campaigns.open {
            return Err(Untaken::Full(format!("{open} campaigns have not ended; wait for one, or cancel it")));
        }
        if order.standing && self.store.standing_campaign(order.name.trim()).await?.is_some() {
            return Err(Untaken::Wrong(format!(
                "name: a campaign {:?} stands already; cancel it, or take another name",
                order.name.trim()
            )));
        }
        let (id, total, created) = (Key::new(), read.rows.len(), Stamp::now());
        let new = NewCampaign {
            id,
            name: order.name.trim().to_owned(),
            who: who.to_owned(),
            paused: order.paused,
            standing: order.standing,
            settings: serde_json::to_value(&order).unwrap_or_default(),
            columns: read.columns,
            zones: read.zones,
            created,
            rows: read.rows,
        };
        let kept = key.map(|(key, print)| CampaignKey {
            key: key.to_owned(),
            print,
            campaign: id,
            total: i64::try_from(total).unwrap_or(i64::MAX),
            at: created,
        });
        let since = a_day_before(created);
        if !self.store.add_campaign(&new, kept.as_ref().map(|kept| (kept, since))).await? {
            let says = "a campaign was added under this idempotency key by another Milo just now: ask again";
            return self.asked_before(key).await?.ok_or_else(|| Untaken::Full(says.into()));
        }
        self.changed.notify_one();
        Ok(Taken { id, total, is_again: false })
    }

    /// The campaign that was taken under this key within the last day, which is to be the print of the same order.
    async fn asked_before(&self, key: Option<(&str, i64)>) -> Result<Option<Taken>, Untaken> {
        let Some((key, print)) = key else { return Ok(None) };
        match self.store.campaign_key(key, a_day_before(Stamp::now())).await? {
            None => Ok(None),
            Some(known) if known.print == print => {
                let total = usize::try_from(known.total).unwrap_or_default();
                Ok(Some(Taken { id: known.campaign, total, is_again: true }))
            }
            Some(_) => Err(Untaken::Wrong(
                "this idempotency key stands for another campaign; each campaign has its own".into(),
            )),
        }
    }

    /// Pauses a campaign that runs, or has a paused one run. Calls that are up go on. False when it is neither.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn pause(&self, id: Key, paused: bool) -> Result<bool, StoreError> {
        let is_done = self.store.pause_campaign(id, paused).await?;
        self.changed.notify_one();
        Ok(is_done)
    }

    /// Cancels what is left of a campaign. Calls that are up go on. False when it has ended already.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn cancel(&self, id: Key) -> Result<bool, StoreError> {
        self.store.cancel_campaign(id, Stamp::now()).await
    }

    /// Why one that runs calls nobody now, as this Milo last saw it.
    pub fn waits(&self, id: Key) -> Option<String> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// No campaign calls this number any more. Returns it as the list has it, and whether it is new there.
    ///
    /// # Errors
    /// [`Untaken`].
    pub async fn forbid(&self, number: &str, note: Option<&str>, who: &str) -> Result<(Unwanted, bool), Untaken> {
        let wrong = |(field, fault): (&str, String)| Untaken::Wrong(format!("{field}: {fault}"));
        let entry = list::entry(number, note, &self.numbers).map_err(wrong)?;
        loop {
            let added = Stamp::now();
            if self.store.add_unwanted(std::slice::from_ref(&entry), who, added).await? > 0 {
                let NewUnwanted { id, number, note, .. } = entry;
                return Ok((Unwanted { id, number, note, who: who.to_owned(), added }, true));
            }
            if let Some(known) = self.store.known_unwanted(&entry.target).await? {
                return Ok((known, false));
            }
            // Somebody took it off in between.
        }
    }

    /// The same for a list in CSV, whole or not at all. Returns how many numbers it has, and how many are new.
    ///
    /// # Errors
    /// [`Untaken`].
    pub async fn forbid_all(&self, csv: Vec<u8>, who: &str) -> Result<(usize, u64), Untaken> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || list::unwanted(&csv, this.campaigns.lines, &this.numbers));
        let read = read.await.unwrap_or_else(|_| Err("the list could not be read".into())).map_err(Untaken::Wrong)?;
        let new = self.store.add_unwanted(&read, who, Stamp::now()).await?;
        Ok((read.len(), new))
    }

    /// Campaigns may call this number again. False when it was not on the list.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn allow(&self, number: &str) -> Result<bool, StoreError> {
        let Ok(number) = number::written(number) else { return Ok(false) };
        self.store.remove_unwanted(&self.numbers.target(&number)).await
    }

    /// The form in which a number is compared, however it is written.
    pub fn target(&self, number: &str) -> String {
        self.numbers.target(&number::written(number).unwrap_or_else(|_| number.to_owned()))
    }
}
