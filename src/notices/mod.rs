//! Programs of the operator's are told of calls (`[[webhooks]]`): signed POSTs, in order for each call, until they are taken.
//!
//! ```text
//! call ─► LogWriter::tell ─► rows of webhook_deliveries ─► one task a target ─► POST ─► 2xx: the row goes
//!                                                              ▲                 └─► else: a pause, and again; at last a dead letter
//!                                        new rows, pauses over ┘
//! ```
//! The rows are written with those of the call, so that neither a restart nor a database that is away loses one; a target that was
//! told and could not be noted down is told again, under the same `Milo-Delivery`.

mod deliver;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::Uri;
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    config::{CallEvent, WebhookTarget},
    store::{Listener, LogWriter, Stamp, Store, StoreError},
    webhook::Webhooks,
};

/// How long dead letters are kept, how many at most, and how often those beyond are looked for.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
const MOST_DEAD: i64 = 20_000;
const SWEEP: Duration = Duration::from_secs(60);

/// All of them.
#[derive(Debug, Default)]
pub struct Notices(Vec<Arc<Target>>);

/// Somebody who is told.
#[derive(Debug)]
struct Target {
    name: String,
    settings: WebhookTarget,
    uri: Uri,
    client: Webhooks,
    listener: Arc<Listener>,
    seen: Seen,
}

/// How it went so far.
#[derive(Debug, Default)]
struct Seen {
    delivered: AtomicU64,
    failed: AtomicU64,
    buried: AtomicU64,
    waiting: AtomicI64,
    dead: AtomicI64,
    /// Written after a try, read when somebody asks.
    last: Mutex<Last>,
}

#[derive(Clone, Debug, Default)]
struct Last {
    delivered: Option<Stamp>,
    failed: Option<Stamp>,
    error: Option<String>,
}

/// A target, as the API and the metrics show it. Counts are those of this Milo.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = Webhook)]
pub struct TargetReport {
    /// What it is called.
    #[schema(example = "crm")]
    pub name: String,
    /// Where it is told, without passwords.
    #[schema(example = "https://crm.example/milo")]
    pub url: String,
    /// Of what.
    pub events: Vec<CallEvent>,
    /// Whether what it is told is signed.
    pub signed: bool,
    /// Whether it may be at a private address.
    pub allow_private: bool,
    /// `idle` (nothing waits), `delivering`, or `failing` (the last try was in vain).
    #[schema(example = "idle")]
    pub state: &'static str,
    /// What was wrong with the last try that was in vain.
    #[schema(example = "it answers 503")]
    pub last_error: Option<String>,
    /// When that was.
    pub last_failed: Option<Stamp>,
    /// When it was last told something.
    pub last_delivered: Option<Stamp>,
    /// What waits for it.
    pub waiting: i64,
    /// What was given up.
    pub dead: i64,
    /// What it was told since the start.
    pub delivered: u64,
    /// Tries in vain since the start.
    pub failed: u64,
    /// What was given up since the start.
    pub buried: u64,
    /// What it was not told of since too much waited already.
    pub missed: u64,
}

impl Notices {
    /// As the configuration says.
    ///
    /// # Errors
    /// A file of it cannot be read, or is not what it should be.
    pub fn new(targets: &[WebhookTarget]) -> anyhow::Result<Self> {
        let target = |settings: &WebhookTarget| {
            let name = settings.called();
            Ok(Arc::new(Target {
                uri: settings.uri().unwrap_or_default(),
                client: Webhooks::of_target(settings)?,
                listener: Arc::new(Listener::new(name.clone(), settings.events.clone())),
                settings: settings.clone(),
                seen: Seen::default(),
                name,
            }))
        };
        Ok(Self(targets.iter().map(target).collect::<anyhow::Result<_>>()?))
    }

    /// For [`LogWriter::telling`].
    pub fn listeners(&self) -> Vec<Arc<Listener>> {
        self.0.iter().map(|target| Arc::clone(&target.listener)).collect()
    }

    /// Starts a task for each target, and one that deletes old dead letters; they end with the set.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn start(&self, store: &Store, node: &str, log: &LogWriter) -> Result<JoinSet<()>, StoreError> {
        let known: Vec<_> = self.0.iter().map(|target| target.name.clone()).collect();
        store.bury_unknown(node, &known, Stamp::now()).await?;
        let mut tasks = JoinSet::new();
        for target in &self.0 {
            let post = deliver::Post { target: Arc::clone(target), store: store.clone(), node: node.into() };
            tasks.spawn(post.run(log.delivering()));
        }
        tasks.spawn(sweep(store.clone(), node.to_owned()));
        Ok(tasks)
    }

    /// How they are.
    pub fn report(&self) -> Vec<TargetReport> {
        self.0.iter().map(|target| target.report()).collect()
    }
}

/// Deletes dead letters that are old, or too many, also those of targets that are none any more.
async fn sweep(store: Store, node: String) {
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    loop {
        let before = Stamp::from_millis(Stamp::now().millis().saturating_sub(kept));
        if let Err(error) = store.forget_dead(&node, before, MOST_DEAD).await {
            tracing::debug!(%error, "old dead letters cannot be deleted");
        }
        sleep(SWEEP).await;
    }
}

impl Target {
    fn report(&self) -> TargetReport {
        let Self { settings, seen, .. } = self;
        let last = seen.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waiting = seen.waiting.load(Ordering::Relaxed);
        let is_failing = last.failed > last.delivered;
        TargetReport {
            name: self.name.clone(),
            url: settings.url.masked(),
            events: settings.events.clone(),
            signed: settings.secret.is_some() || settings.secret_file.is_some(),
            allow_private: settings.allow_private,
            state: if is_failing {
                "failing"
            } else if waiting > 0 {
                "delivering"
            } else {
                "idle"
            },
            last_error: last.error,
            last_failed: last.failed,
            last_delivered: last.delivered,
            waiting,
            dead: seen.dead.load(Ordering::Relaxed),
            delivered: seen.delivered.load(Ordering::Relaxed),
            failed: seen.failed.load(Ordering::Relaxed),
            buried: seen.buried.load(Ordering::Relaxed),
            missed: self.listener.missed(),
        }
    }

    fn note(&self, at: Stamp, fault: Option<&str>) {
        let mut last = self.seen.last.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            None => {
                last.delivered = Some(at);
                self.seen.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Some(why) => {
                (last.failed, last.error) = (Some(at), Some(why.into()));
                self.seen.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
