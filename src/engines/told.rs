//! What becomes of the servers that are asked: counted, said in the log, and kept for health.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use milo_models::engine::{EngineError, RemoteFault};

use crate::metrics::Metrics;

/// The server's places are all taken: nothing is wrong with it.
const FULL: &str = "full";
/// The request was not right: nothing is wrong with the server either.
const UNFIT: &str = "unfit";

/// Why a server did not do what it was asked.
pub const REASONS: [&str; 7] = ["down", "late", "refused", UNFIT, "busy", "broken", FULL];

/// The account of one server; clones share it.
#[derive(Clone)]
pub(super) struct Told {
    /// `llm`, `stt` or `tts`.
    job: &'static str,
    metrics: Arc<Metrics>,
    /// What was wrong when it was asked last. Held for a look, once a request.
    fault: Arc<Mutex<Option<String>>>,
    /// How often the local engine stood in for it.
    stood_in: Arc<AtomicU64>,
}

impl Told {
    pub(super) fn new(job: &'static str, metrics: Arc<Metrics>) -> Self {
        Self { job, metrics, fault: Arc::default(), stood_in: Arc::default() }
    }

    /// It answered.
    pub(super) fn answered(&self) {
        self.set(None);
    }

    /// It did not answer, and the local engine does.
    pub(super) fn fell_back(&self, error: &EngineError) {
        let reason = match error {
            EngineError::Remote { fault, .. } => fault.name(),
            EngineError::Overloaded { .. } => FULL,
            _ => RemoteFault::Broken.name(),
        };
        self.metrics.fell_back(self.job, reason);
        self.stood_in.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "a server did not answer; the local engine does");
        if reason != FULL && reason != UNFIT {
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
