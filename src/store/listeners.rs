//! Who is told of calls and campaigns: for each of them, what happens becomes a row of `webhook_deliveries`, in the order in which it
//! happens.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::{Key, LogWriter, Stamp, deliveries::NewDelivery, entry::Entry};
use crate::config::CallEvent;

/// What it is about that is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    Call(Key),
    Campaign(Key),
}

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
        for (key, delivery) in self.notices(About::Call(call), event, at, data) {
            self.put(Entry::Delivery(key, delivery));
        }
    }

    /// What is to be told to those who want to know that this happened, one each.
    pub(super) fn notices(
        &self,
        about: About,
        event: CallEvent,
        at: Stamp,
        data: impl FnOnce() -> Value,
    ) -> Vec<(Key, NewDelivery)> {
        let told = || self.listeners.iter().filter(|listener| listener.events.contains(&event));
        if told().next().is_none() {
            return Vec::new();
        }
        let (name, key) = match about {
            About::Call(call) => ("call", call),
            About::Campaign(campaign) => ("campaign", campaign),
        };
        let body =
            json!({ "id": Key::new(), "type": event.as_str(), "time": at, (name): key, "data": data() }).to_string();
        let notice = |listener: &Arc<Listener>| {
            if listener.full.load(Ordering::Relaxed) {
                listener.missed.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            let (target, kind) = (listener.target.clone(), event.as_str().into());
            let (call, campaign) = match about {
                About::Call(call) => (Some(call), None),
                About::Campaign(campaign) => (None, Some(campaign)),
            };
            Some((Key::new(), NewDelivery { target, call, campaign, kind, at, body: body.clone() }))
        };
        told().filter_map(notice).collect()
    }
}
