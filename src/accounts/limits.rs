//! What an account may call and how much, and how much it has: as trunks have it for their calls out.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use milo_signaling::TextPace;
use serde::Serialize;

use crate::{
    config::AccountLimits,
    store::{LogWriter, Stamp, Store, Whose},
    trunk::{Day, Denied, Destinations, Limit, Place},
};

/// Calls to emergency numbers that an account with limits may have up at once.
const CALLS_FOR_HELP: usize = 4;

/// The accounts that have limits. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Allowances {
    limits: Arc<[AccountLimits]>,
    /// Also those that were accounts before the file was read anew: their calls may still be up.
    of: Arc<HashMap<String, Arc<Allowance>>>,
}

/// Where it stands what was counted of a day, and where what is counted goes.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// What was counted.
    pub store: Store,
    /// By this one of those who write there.
    pub node: String,
    /// What is counted.
    pub log: LogWriter,
}

#[derive(Debug)]
struct Allowance {
    settings: AccountLimits,
    limit: Limit,
    /// Its calls for help, which count among no others.
    urgent: Limit,
    destinations: Destinations,
    day: Arc<Day>,
    refused: AtomicU64,
}

/// The limits of an account, and how much of them is used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Allowance)]
pub struct AllowanceReport {
    /// What is configured.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    settings: AccountLimits,
    /// Calls of it that are up now.
    #[schema(example = 1)]
    calls_live: usize,
    /// Calls of it today (UTC).
    #[schema(example = 4)]
    calls_today: u64,
    /// Their minutes, also of those that are up; one that has begun counts.
    #[schema(example = 9)]
    minutes_today: u64,
    /// Calls of it that were turned away since the start.
    #[schema(example = 0)]
    refused: u64,
}

/// How many texts accounts may send.
pub(super) fn text_pace(all: &[AccountLimits]) -> TextPace {
    let mut pace = TextPace::default();
    for limits in all {
        match limits.texts_per_minute {
            Some(most) if limits.account == AccountLimits::OTHERS => pace.others = Some(most),
            Some(most) => drop(pace.own.insert(limits.account.clone(), most)),
            // With limits of its own it has none of the others'.
            None if limits.account != AccountLimits::OTHERS => drop(pace.own.insert(limits.account.clone(), u32::MAX)),
            None => {}
        }
    }
    pace
}

/// What a telephone is told whose account has no call left.
pub fn phrase(denied: Denied) -> &'static str {
    match denied {
        Denied::CallsOfDay => "The Account Has Had Its Calls Of Today",
        Denied::MinutesOfDay => "The Account Has Had Its Minutes Of Today",
        _ => "The Account Has As Many Calls As It May",
    }
}

impl Allowances {
    /// Those of the configuration, for these accounts, with what was counted today.
    ///
    /// # Errors
    /// They name an account that there is not; what was counted cannot be read.
    pub async fn read(limits: &[AccountLimits], names: &[String], ledger: &Ledger) -> Result<Self> {
        for limits in limits.iter().filter(|limits| limits.account != AccountLimits::OTHERS) {
            let account = &limits.account;
            ensure!(names.contains(account), "[[sip.account_limits]]: {account:?} is no account of [sip] accounts");
        }
        Self { limits: limits.into(), of: Arc::default() }.with(names, ledger).await
    }

    /// The same for these accounts, of whom some may be new.
    ///
    /// # Errors
    /// What was counted of a new one cannot be read.
    pub(super) async fn with(&self, names: &[String], ledger: &Ledger) -> Result<Self> {
        let (limits, today) = (&self.limits, Stamp::now().day());
        let mut all = HashMap::clone(&self.of);
        for name in names.iter().filter(|name| !self.of.contains_key(*name)) {
            let own = limits.iter().find(|limits| limits.account == *name);
            let Some(limits) = own.or_else(|| limits.iter().find(|limits| limits.account == AccountLimits::OTHERS))
            else {
                continue;
            };
            let whose = Whose::Account(name.clone());
            let known = ledger.store.day(&ledger.node, &whose, &today).await?;
            let most = (limits.calls_per_day, limits.minutes_per_day);
            let allowance = Allowance {
                settings: limits.clone(),
                limit: Limit::new(limits.max_calls, None),
                urgent: Limit::new(Some(CALLS_FOR_HELP), None),
                destinations: Destinations::new(limits.allow.clone(), limits.deny.clone()),
                day: Arc::new(Day::new(whose, most, known, ledger.log.clone())),
                refused: AtomicU64::new(0),
            };
            all.insert(name.clone(), Arc::new(allowance));
        }
        Ok(Self { limits: Arc::clone(limits), of: all.into() })
    }

    /// A place for a call of this account that begins now; none where it has no limits.
    ///
    /// # Errors
    /// It has none left.
    pub fn admit(&self, account: &str) -> Result<Option<Place>, Denied> {
        let Some(allowance) = self.of.get(account) else { return Ok(None) };
        let place = allowance.limit.take(Duration::ZERO).and_then(|place| place.counted(&allowance.day));
        if place.is_err() {
            allowance.refused.fetch_add(1, Ordering::Relaxed);
        }
        place.map(Some)
    }

    /// A place for a further party of a call that has one: of the day's calls, and beyond those at once.
    ///
    /// # Errors
    /// The day has none left.
    pub fn admit_further(&self, account: &str) -> Result<Option<Place>, Denied> {
        let Some(allowance) = self.of.get(account) else { return Ok(None) };
        let place = allowance.limit.take_anyway().counted(&allowance.day);
        if place.is_err() {
            allowance.refused.fetch_add(1, Ordering::Relaxed);
        }
        place.map(Some)
    }

    /// The database learns what calls that are up have talked so far.
    pub(super) fn note_days(&self) {
        self.of.values().for_each(|allowance| allowance.day.note());
    }

    /// A place for a call to an emergency number, whatever the other limits: some at once are enough for whoever needs help, and
    /// more are somebody else's doing.
    ///
    /// # Errors
    /// As many are up.
    pub fn admit_for_help(&self, account: &str) -> Result<Option<Place>, Denied> {
        let Some(allowance) = self.of.get(account) else { return Ok(None) };
        let place = allowance.urgent.take(Duration::ZERO);
        if place.is_err() {
            allowance.refused.fetch_add(1, Ordering::Relaxed);
        }
        place.map(Some)
    }

    /// Whether this number may be called for the account over a trunk.
    pub fn may_call(&self, account: &str, number: &str) -> bool {
        self.of.get(account).is_none_or(|allowance| allowance.destinations.holds(number))
    }

    /// The limits of an account, and how much of them is used.
    pub fn report(&self, account: &str) -> Option<AllowanceReport> {
        let allowance = self.of.get(account)?;
        let today = allowance.day.counted(Stamp::now());
        Some(AllowanceReport {
            settings: allowance.settings.clone(),
            calls_live: allowance.limit.live(),
            calls_today: today.calls,
            minutes_today: today.seconds.div_ceil(60),
            refused: allowance.refused.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretUrl;

    #[tokio::test]
    async fn calls_for_help_pass_every_limit_but_their_own() {
        let folder = std::env::temp_dir().join(format!("milo-allowances-{}", crate::store::Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let (log, _) = LogWriter::start(store.clone(), "n", None);
        let ledger = Ledger { store, node: "n".into(), log };
        let limits = AccountLimits {
            account: "rina".into(),
            max_calls: Some(1),
            calls_per_day: Some(1),
            ..AccountLimits::default()
        };
        let allowances = Allowances::read(&[limits], &["rina".into()], &ledger).await.unwrap();
        let own = allowances.admit("rina").unwrap().unwrap();
        assert!(allowances.admit("rina").is_err());
        let mut urgent = Vec::new();
        for _ in 0..CALLS_FOR_HELP {
            urgent.push(allowances.admit_for_help("rina").unwrap().unwrap());
        }
        assert!(allowances.admit_for_help("rina").is_err(), "more are somebody else's doing");
        urgent.pop();
        assert!(allowances.admit_for_help("rina").is_ok_and(|place| place.is_some()), "its place has come back");
        let report = allowances.report("rina").unwrap();
        assert_eq!((report.calls_live, report.calls_today), (1, 1), "they count among no others");
        drop((own, urgent));
        assert!(allowances.admit_for_help("nobody").unwrap().is_none(), "an account without limits");
        std::fs::remove_dir_all(folder).ok();
    }
}
