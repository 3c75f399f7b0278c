//! The handles through which calls reach the log.
//!
//! A call never waits for the database: its rows go into one bounded queue, and a task of their own ([`Scribe`]) writes what has
//! come, a transaction at a time. While the database is away the rows go on into the journal, a file, in order, and from there
//! into the database when it is back. What may enter the queue, and the journal, depends on how full it is, so that what matters
//! most is lost last:
//!
//! | the queue or the journal is | events | turns, messages, analyses | beginnings and ends of calls, requests, deeds |
//! |---|---|---|---|
//! | less than half full | enter | enter | enter |
//! | less than three quarters full | lost, counted | enter | enter |
//! | less than full | lost, counted | lost, counted | enter |
//! | full | lost, counted | lost, counted | lost, counted, and logged as an error |
//!
//! The queue fills when the disk is too slow for the journal, or takes none of it, and the database is away as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    CallKey, CallLog, DayCount, Journal, Key, Listener, NewCall, NewDeed, NewMessage, RecordingState, Stamp, Store,
    Whose,
    call_log::Parties,
    entry::{Entry, Weight},
    scribe::Scribe,
};
use crate::{config::CallEvent, traces::Traces};

/// Rows that may wait.
const CAPACITY: usize = 65_536;
/// Characters of a number or a Call-ID, and of what was said, that are kept: they come from the wire, and may be anything.
pub(super) const LONGEST_NAME: usize = 1_024;
pub(super) const LONGEST_TEXT: usize = 16_384;

/// What the log's writer can say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Why rows cannot be written now; none while all is well.
    pub fault: Option<String>,
    /// Rows that wait, those in the journal among them.
    pub waiting: usize,
    /// Those in the journal.
    pub journal_entries: u64,
    /// The journal's length.
    pub journal_bytes: u64,
    /// Rows that have come into the database from the journal since the start.
    pub replayed: u64,
    /// Events that were lost since the start.
    pub lost_events: u64,
    /// Turns, messages and analyses that were lost since the start.
    pub lost_turns: u64,
    /// Beginnings, answers and ends of calls that were lost since the start.
    pub lost_calls: u64,
}

/// What is counted on the way, since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    events: AtomicU64,
    turns: AtomicU64,
    calls: AtomicU64,
    /// Changes when something new for webhooks is in the database.
    pub(super) deliveries: watch::Sender<u64>,
    /// The journal, now.
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) replayed: AtomicU64,
}

impl Counts {
    pub(super) fn new_deliveries(&self) {
        self.deliveries.send_modify(|times| *times += 1);
    }

    /// An entry found no room, or the database refuses it.
    pub(super) fn lost(&self, weight: Weight) {
        let (counter, is_call) = match weight {
            Weight::Event => (&self.events, false),
            Weight::Turn => (&self.turns, false),
            Weight::Call => (&self.calls, true),
        };
        if counter.fetch_add(1, Ordering::Relaxed) == 0 {
            if is_call {
                tracing::error!(
                    "the call log is full: from now on calls are missing from it until the database answers"
                );
            } else {
                tracing::warn!(
                    "the call log fills up: from now on it keeps less of each call until the database answers"
                );
            }
        }
    }
}

/// The way into the log. Cheap to clone; the task ends after the last clone and the last [`CallLog`] are gone.
#[derive(Clone, Debug)]
pub struct LogWriter {
    queue: mpsc::Sender<Entry>,
    counts: Arc<Counts>,
    pub(super) fault: watch::Receiver<Option<String>>,
    pub(super) keeps_words: bool,
    traces: Option<Traces>,
    pub(super) listeners: Arc<[Arc<Listener>]>,
}

impl LogWriter {
    /// Starts the task, on the current runtime. `node` is [`Node::id`](super::Node::id); without a journal, what waits while the
    /// database is away waits in memory.
    pub fn start(store: Store, node: &str, journal: Option<Journal>) -> (Self, JoinHandle<()>) {
        Self::with_capacity(store, node, journal, CAPACITY)
    }

    pub(super) fn with_capacity(
        store: Store,
        node: &str,
        journal: Option<Journal>,
        capacity: usize,
    ) -> (Self, JoinHandle<()>) {
        let (queue, entries) = mpsc::channel(capacity);
        let (said, fault) = watch::channel(None);
        let counts = Arc::new(Counts::default());
        let scribe = Scribe::new(store, node.into(), journal, (said, Arc::clone(&counts)));
        let writer = Self { queue, counts, fault, keeps_words: true, traces: None, listeners: Arc::default() };
        (writer, tokio::spawn(scribe.run(entries)))
    }

    /// The same, and turns keep their times only: neither what was heard nor what was said.
    pub fn without_words(self) -> Self {
        Self { keeps_words: false, ..self }
    }

    /// The same, and calls leave traces besides.
    pub fn with_traces(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// The same, and these are told of calls.
    pub fn telling(self, listeners: Vec<Arc<Listener>>) -> Self {
        Self { listeners: listeners.into(), ..self }
    }

    /// A call begins. Its row is written at once, so that a crash leaves a trace of it.
    pub fn begin(&self, mut call: NewCall) -> CallLog {
        let key = Key::new();
        for text in [&mut call.call_id, &mut call.from, &mut call.to] {
            tidy(text, LONGEST_NAME);
        }
        let trace = self.traces.as_ref().map(|traces| traces.call(key, &call));
        let parties = Parties { incoming: call.incoming, from: call.from.clone(), to: call.to.clone() };
        let (at, data) = (
            call.started,
            json!({
                "direction": parties.direction(),
                "from": call.from,
                "to": call.to,
                "sip_call_id": call.call_id,
                "dialplan": call.dialplan,
                "language": call.language,
            }),
        );
        self.put(Entry::Began(key, call));
        self.tell(key, CallEvent::Started, at, || data);
        CallLog::new(key, parties, self.clone(), trace)
    }

    /// Waits until all rows that were handed over before are written, at most so long. Says whether they are.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        let all = async { self.queue.send(Entry::Flushed(done)).await.is_ok() && flushed.await.is_ok() };
        timeout(limit, all).await.unwrap_or(false)
    }

    /// The recording of this name ended, perhaps after its call.
    pub fn recording_ended(&self, call: Key, name: &str, state: RecordingState) {
        self.put(Entry::Recorded(call, state));
        let data = || json!({ "recording": name, "state": state.as_str() });
        self.tell(call, CallEvent::RecordingReady, Stamp::now(), data);
    }

    /// A call was asked for under this idempotency key.
    pub fn call_key(&self, key: CallKey) {
        self.put(Entry::Asked(key));
    }

    /// So much was counted within a day.
    pub fn day(&self, whose: &Whose, so_far: DayCount) {
        self.put(Entry::Counted(whose.clone(), so_far));
    }

    /// A text comes or goes. Returns its key.
    pub fn message(&self, mut message: NewMessage) -> Key {
        let key = Key::new();
        for text in [&mut message.from, &mut message.to] {
            tidy(text, LONGEST_NAME);
        }
        tidy(&mut message.text, LONGEST_TEXT);
        self.put(Entry::Message(key, message));
        key
    }

    /// What became of a text that was to be sent, and the SIP status that said so.
    pub fn message_settled(&self, key: Key, result: &'static str, sip_status: Option<u16>) {
        self.put(Entry::Settled(key, result.into(), sip_status));
    }

    /// Something was done by those who run Milo.
    pub fn done(&self, mut deed: NewDeed) {
        for text in [&mut deed.target, &mut deed.detail].into_iter().flatten() {
            tidy(text, LONGEST_NAME);
        }
        self.put(Entry::Done(Key::new(), deed));
    }

    /// Changes when there may be something new for webhooks.
    pub fn delivering(&self) -> watch::Receiver<u64> {
        self.counts.deliveries.subscribe()
    }

    /// There is.
    pub fn look_for_deliveries(&self) {
        self.counts.new_deliveries();
    }

    /// How the log is doing.
    pub fn state(&self) -> LogState {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let journal_entries = read(&self.counts.entries);
        let queued = self.queue.max_capacity() - self.queue.capacity();
        LogState {
            fault: self.fault.borrow().clone(),
            waiting: queued.saturating_add(usize::try_from(journal_entries).unwrap_or(usize::MAX)),
            journal_entries,
            journal_bytes: read(&self.counts.bytes),
            replayed: read(&self.counts.replayed),
            lost_events: read(&self.counts.events),
            lost_turns: read(&self.counts.turns),
            lost_calls: read(&self.counts.calls),
        }
    }

    /// Never waits. See the table above.
    pub(super) fn put(&self, entry: Entry) {
        let weight = entry.weight();
        let (all, free) = (self.queue.max_capacity() as u64, self.queue.capacity() as u64);
        if all - free >= weight.share(all) || self.queue.try_send(entry).is_err() {
            self.counts.lost(weight);
        }
    }
}

/// Postgres keeps no NUL in a text; and a queue of a bounded number of rows is bounded in memory only if each row is.
pub(super) fn tidy(text: &mut String, longest: usize) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    if let Some((cut, _)) = text.char_indices().nth(longest) {
        text.truncate(cut);
    }
}

pub(super) fn tidy_json(value: &mut Value) {
    match value {
        Value::String(text) => tidy(text, LONGEST_TEXT),
        Value::Array(items) => items.iter_mut().for_each(tidy_json),
        Value::Object(fields) => fields.values_mut().for_each(tidy_json),
        _ => {}
    }
}
