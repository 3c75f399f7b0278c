//! What becomes of the servers that are asked: counted, said in the log, and kept for health.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use milo_models::engine::{EngineError, RemoteFault};
use tokio::time::Instant;

use super::breaker::{Breaker, News};
use crate::metrics::Metrics;

/// The server's places are all taken: nothing is wrong with it.
const FULL: &str = "full";
/// The request was not right: nothing is wrong with the server either.
const UNFIT: &str = "unfit";

/// It failed again and again, and is not asked for a while.
pub(super) const RESTING: &str = "resting";

/// It has cost today what it may.
pub(super) const SPENT: &str = "spent";

/// The local engine's first word came before its own.
pub(super) const OUTRUN: &str = "outrun";

/// Why a server did not do what it was asked, or was not asked.
pub const REASONS: [&str; 10] = ["down", "late", "refused", UNFIT, "busy", "broken", FULL, RESTING, OUTRUN, SPENT];

/// Why a server did not do what it was asked, one of [`REASONS`].
fn reason(error: &EngineError) -> &'static str {
    match error {
        EngineError::Remote { fault, .. } => fault.name(),
        EngineError::Overloaded { .. } => FULL,
        EngineError::Stopped { .. } => RemoteFault::Down.name(),
        _ => RemoteFault::Broken.name(),
    }
}

/// The account of one server; clones share it.
#[derive(Clone)]
pub(super) struct Told {
    /// `llm`, `stt`, `tts` or `turn`.
    job: &'static str,
    metrics: Arc<Metrics>,
    /// What was wrong when it was asked last. Held for a look, once a request.
    fault: Arc<Mutex<Option<String>>>,
    /// How often the local engine stood in for it.
    stood_in: Arc<AtomicU64>,
    breaker: Arc<Breaker>,
}

impl Told {
    pub(super) fn new(job: &'static str, metrics: Arc<Metrics>, breaker: Breaker) -> Self {
        Self { job, metrics, fault: Arc::default(), stood_in: Arc::default(), breaker: Arc::new(breaker) }
    }

    pub(super) fn job(&self) -> &'static str {
        self.job
    }

    /// Whether the server is asked; where it is left alone, the local engine stands in, and that is counted.
    pub(super) fn may_ask(&self) -> bool {
        let may = self.breaker.may_ask(Instant::now());
        if !may {
            self.instead(RESTING);
        }
        may
    }

    /// It has cost today what it may, and is not asked.
    pub(super) fn spent(&self) {
        self.instead(SPENT);
    }

    /// The local engine stands in for it.
    fn instead(&self, reason: &'static str) {
        self.metrics.fell_back(self.job, reason);
        self.stood_in.fetch_add(1, Ordering::Relaxed);
    }

    /// The local engine was quicker, before the server said a word: one that always is so late is not waited for either.
    pub(super) fn outrun(&self) {
        self.instead(OUTRUN);
        tracing::info!(server = self.job, "the local engine was quicker than a server");
        self.strike();
    }

    /// Whether it failed so often that it is not asked.
    pub(super) fn is_resting(&self) -> bool {
        self.breaker.is_open()
    }

    /// It answered.
    pub(super) fn answered(&self) {
        self.set(None);
        if self.breaker.answered() == Some(News::Back) {
            tracing::info!(server = self.job, "a server answers again and is asked as ever");
        }
    }

    /// It did not answer, and the local engine does; says why, one of [`REASONS`].
    pub(super) fn fell_back(&self, error: &EngineError) -> &'static str {
        let reason = reason(error);
        self.instead(reason);
        tracing::warn!(%error, "a server did not answer; the local engine does");
        self.judged(error);
        reason
    }

    /// It did not answer, and nobody does.
    pub(super) fn unanswered(&self, error: EngineError) -> EngineError {
        self.metrics.fell_back(self.job, reason(&error));
        tracing::warn!(%error, "a server did not answer, and the local engine cannot");
        self.judged(&error);
        error
    }

    /// An engine that waits for the server of its graph has asked nobody, and tells health itself why.
    fn judged(&self, error: &EngineError) {
        let reason = reason(error);
        if reason != FULL && reason != UNFIT && !matches!(error, EngineError::Stopped { .. }) {
            self.failed(error);
        }
    }

    /// How often the local engine has stood in for it.
    pub(super) fn stood_in(&self) -> u64 {
        self.stood_in.load(Ordering::Relaxed)
    }

    /// It found a request unfit, and whoever asked is told so.
    pub(super) fn unfit(&self, error: &EngineError) {
        self.metrics.fell_back(self.job, UNFIT);
        tracing::info!(%error, "a server does not take a request; its asker is told");
    }

    /// It broke off what it had begun.
    pub(super) fn failed(&self, error: &EngineError) {
        self.set(Some(error.to_string()));
        // One that asks for some rest gets it anyway (`Retry-After`), and is not broken.
        let is_busy = matches!(error, EngineError::Remote { fault: RemoteFault::Busy, .. });
        if !is_busy {
            self.strike();
        }
    }

    fn strike(&self) {
        if let Some(News::Rests(rest)) = self.breaker.failed(Instant::now()) {
            let rest_s = rest.as_secs();
            tracing::warn!(server = self.job, rest_s, "a server failed again and again, and is left alone");
        }
    }

    fn set(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What was wrong when it was asked last; nothing where it answered.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
