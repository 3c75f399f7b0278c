//! One call's way into the log.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use serde_json::{Value, json};

use super::{
    Ending, HangupBy, Key, NewTurn, Stamp,
    entry::Entry,
    writer::{LONGEST_TEXT, LogWriter, tidy, tidy_json},
};
use crate::{config::CallEvent, traces::CallTrace};

/// The events that say what came of a transfer: one of Milo's plan, and one that a party asked for.
const TRANSFERS: [&str; 2] = ["transferred", "referred"];

/// Between whom it is.
#[derive(Debug)]
pub(super) struct Parties {
    pub(super) incoming: bool,
    pub(super) from: String,
    pub(super) to: String,
}

impl Parties {
    pub(super) fn direction(&self) -> &'static str {
        if self.incoming { "in" } else { "out" }
    }
}

/// One call's way into the log. Dropped without an end (its task was cut off), it closes the row with that reason.
#[derive(Debug)]
pub struct CallLog {
    key: Key,
    parties: Parties,
    writer: LogWriter,
    trace: Option<CallTrace>,
    turns: AtomicI32,
    events: AtomicI32,
    ended: AtomicBool,
}

impl CallLog {
    pub(super) fn new(key: Key, parties: Parties, writer: LogWriter, trace: Option<CallTrace>) -> Self {
        Self {
            key,
            parties,
            writer,
            trace,
            turns: AtomicI32::new(0),
            events: AtomicI32::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// The call's identifier, in the log and in the API.
    pub fn key(&self) -> Key {
        self.key
    }

    pub(super) fn writer(&self) -> &LogWriter {
        &self.writer
    }

    /// Whether the log keeps what was heard and said.
    pub fn keeps_words(&self) -> bool {
        self.writer.keeps_words
    }

    /// An INVITE with this Call-ID has left for it.
    pub fn placed(&self, call_id: &str) {
        self.writer.put(Entry::Placed(self.key, call_id.into()));
    }

    /// The call was answered.
    pub fn answered(&self, at: Stamp) {
        self.trace.iter().for_each(|trace| trace.answered(at));
        self.writer.put(Entry::Answered(self.key, at));
        let Parties { from, to, .. } = &self.parties;
        let data = || json!({ "direction": self.parties.direction(), "from": from, "to": to });
        self.writer.tell(self.key, CallEvent::Answered, at, data);
    }

    /// The call is recorded into this file of the folder of recordings; [`LogWriter::recording_ended`] follows.
    pub fn recording(&self, name: &str) {
        self.writer.put(Entry::Recording(self.key, name.into()));
    }

    /// A turn is over. Returns its number.
    pub fn turn(&self, mut turn: NewTurn) -> i32 {
        if !self.writer.keeps_words {
            (turn.heard, turn.said, turn.said_heard) = (None, None, None);
        }
        for text in [&mut turn.heard, &mut turn.said, &mut turn.said_heard].into_iter().flatten() {
            tidy(text, LONGEST_TEXT);
        }
        let number = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        self.trace.iter().for_each(|trace| trace.turn(number, &turn));
        self.writer.tell(self.key, CallEvent::Turn, turn.at, || {
            json!({
                "number": number,
                "heard": turn.heard,
                "said": turn.said,
                "said_heard": turn.said_heard,
                "said_by": turn.said_by,
                "heard_from": turn.heard_from,
                "said_in": turn.said_in,
                "interrupted": turn.interrupted,
                "confidence": turn.confidence,
                "language": turn.language,
                "mode": turn.mode,
                "total_ms": turn.stages.total_ms,
            })
        });
        self.writer.put(Entry::Turn(self.key, number, Box::new(turn)));
        number
    }

    /// Something happened. `kind` is a short name such as `digit` or `engine.failed`.
    pub fn event(&self, at: Stamp, kind: &str, detail: Value) {
        self.event_and(at, kind, detail, Value::Null);
    }

    /// The same; whoever is told of it is told these fields besides, which the log has elsewhere.
    pub fn event_and(&self, at: Stamp, kind: &str, mut detail: Value, mut more: Value) {
        tidy_json(&mut detail);
        tidy_json(&mut more);
        self.trace.iter().for_each(|trace| trace.event(at, kind));
        let number = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        if TRANSFERS.contains(&kind) {
            self.writer.tell(self.key, CallEvent::Transferred, at, || with(detail.clone(), more));
        }
        self.writer.put(Entry::Event(self.key, number, at, kind.into(), detail));
    }

    /// The call ended.
    pub fn end(&self, ending: Ending) {
        self.ended.store(true, Ordering::Relaxed);
        self.close(ending);
    }

    fn close(&self, ending: Ending) {
        self.trace.iter().for_each(|trace| trace.end(&ending));
        let Parties { from, to, .. } = &self.parties;
        self.writer.tell(self.key, CallEvent::Ended, ending.at, || {
            json!({
                "direction": self.parties.direction(),
                "from": from,
                "to": to,
                "reason": ending.reason,
                "hangup_by": ending.by.as_str(),
                "language": ending.language,
                "outcome": ending.outcome.map(|(outcome, _)| outcome.as_str()),
                "sip_status": ending.outcome.and_then(|(_, status)| status),
                "quality": ending.quality,
            })
        });
        self.writer.put(Entry::Ended(self.key, ending));
    }
}

/// An object with the fields of another one besides.
fn with(mut detail: Value, more: Value) -> Value {
    if let (Some(detail), Value::Object(more)) = (detail.as_object_mut(), more) {
        detail.extend(more);
    }
    detail
}

impl Drop for CallLog {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            let reason = "the call's task was cut off".into();
            let ending =
                Ending { at: Stamp::now(), reason, by: HangupBy::Milo, language: None, quality: None, outcome: None };
            self.close(ending);
        }
    }
}
