//! Who is told of calls: for each of them, what happens becomes a row of `webhook_deliveries`, in the order in which it happens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{Key, LogWriter, Stamp, deliveries::NewDelivery, entry::Entry};
use crate::config::CallEvent;

/// One of them.
#[derive(Debug)]
pub struct Listener {
    target: String,
    events: Vec<CallEvent>,
    full: AtomicBool,
    missed: AtomicU64,
}

impl Listener {
    /// A target that is told of these events.
    pub fn new(target: String, events: Vec<CallEvent>) -> Self {
        Self { target, events, full: AtomicBool::new(false), missed: AtomicU64::new(0) }
    }

    /// While too much waits for it already, it is told of nothing new.
    pub fn set_full(&self, full: bool) {
        if self.full.swap(full, Ordering::Relaxed) != full && full {
            tracing::error!(target = self.target, "too much waits for a webhook: it is not told of what happens now");
        }
    }

    /// What it was not told of for that reason.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl LogWriter {
    /// Something happened in a call.
    pub(super) fn tell(&self, call: Key, event: CallEvent, at: Stamp, data: impl FnOnce() -> Value) {
        let told = || self.listeners.iter().filter(|listener| listener.events.contains(&event));
        if told().next().is_none() {
            return;
        }
        let body =
            json!({ "id": Key::new(), "type": event.as_str(), "time": at, "call": call, "data": data() }).to_string();
        for listener in told() {
            if listener.full.load(Ordering::Relaxed) {
                listener.missed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let (target, kind) = (listener.target.clone(), event.as_str().into());
            self.put(Entry::Delivery(Key::new(), NewDelivery { target, call, kind, at, body: body.clone() }));
        }
    }
}
