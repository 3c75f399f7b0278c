//! The one task that writes the call log, and the handles through which calls reach it.
//!
//! A call never waits for the database: its rows go into one bounded queue, and a task of their own writes what has come, a
//! transaction at a time. While the database is away the queue is the memory: the task tries again, ever more slowly, and the
//! rows behind wait in order. What may enter depends on how full it is, so that what matters most is lost last:
//!
//! | the queue is | events | turns, messages | beginnings and ends of calls, deeds |
//! |---|---|---|---|
//! | less than half full | enter | enter | enter |
//! | less than three quarters full | lost, counted | enter | enter |
//! | less than full | lost, counted | lost, counted | enter |
//! | full (some 5,000 calls without a database) | lost, counted | lost, counted | lost, counted, and logged as an error |
//!
//! Rows that wait when the process is killed are lost with it; a journal on disk is the next step.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Batch, CallKey, CallLog, DayCount, Ending, Key, NewCall, NewDeed, NewMessage, NewTurn, RecordingState, Stamp,
    Store, Whose, error,
};
use crate::traces::Traces;

/// Rows that may wait.
const CAPACITY: usize = 65_536;
/// Rows of one transaction.
const BATCH: usize = 256;
/// The least time between two transactions: what comes within it shares the next one. The first row after a rest waits for
/// nothing.
const TOGETHER: Duration = Duration::from_millis(50);
/// The first and the longest pause before a failed write is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A database that takes longer for one transaction is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of a number or a Call-ID, and of what was said, that are kept: they come from the wire, and may be anything.
const LONGEST_NAME: usize = 1_024;
pub(super) const LONGEST_TEXT: usize = 16_384;

/// One row, or change of a row.
#[derive(Debug)]
pub(super) enum Entry {
    Began(Key, NewCall),
    Placed(Key, String),
    Answered(Key, Stamp),
    Turn(Key, i32, NewTurn),
    Event(Key, i32, Stamp, String, Value),
    Ended(Key, Ending),
    Recording(Key, String),
    Recorded(Key, RecordingState),
    Counted(Whose, DayCount),
    Asked(CallKey),
    Message(Key, NewMessage),
    Settled(Key, &'static str, Option<u16>),
    Done(Key, NewDeed),
    /// Everything before this has been written.
    Flushed(oneshot::Sender<()>),
}

/// What the log's writer can say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Why rows cannot be written now; none while all is well.
    pub fault: Option<String>,
    /// Rows that wait.
    pub waiting: usize,
    /// Events that were lost since the start.
    pub lost_events: u64,
    /// Turns and messages that were lost since the start.
    pub lost_turns: u64,
    /// Beginnings, answers and ends of calls that were lost since the start.
    pub lost_calls: u64,
}

#[derive(Debug, Default)]
struct Lost {
    events: AtomicU64,
    turns: AtomicU64,
    calls: AtomicU64,
}

/// The way into the log. Cheap to clone; the task ends after the last clone and the last [`CallLog`] are gone.
#[derive(Clone, Debug)]
pub struct LogWriter {
    queue: mpsc::Sender<Entry>,
    lost: Arc<Lost>,
    pub(super) fault: watch::Receiver<Option<String>>,
    pub(super) keeps_words: bool,
    traces: Option<Traces>,
}

impl LogWriter {
    /// Starts the task, on the current runtime. `node` is [`Node::id`](super::Node::id).
    pub fn start(store: Store, node: &str) -> (Self, JoinHandle<()>) {
        Self::with_capacity(store, node, CAPACITY)
    }

    pub(super) fn with_capacity(store: Store, node: &str, capacity: usize) -> (Self, JoinHandle<()>) {
        let (queue, entries) = mpsc::channel(capacity);
        let (said, fault) = watch::channel(None);
        let lost = Arc::new(Lost::default());
        let task = Task { store, node: node.into(), said, lost: Arc::clone(&lost) };
        (Self { queue, lost, fault, keeps_words: true, traces: None }, tokio::spawn(task.run(entries)))
    }

    /// The same, and turns keep their times only: neither what was heard nor what was said.
    pub fn without_words(self) -> Self {
        Self { keeps_words: false, ..self }
    }

    /// The same, and calls leave traces besides.
    pub fn with_traces(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// A call begins. Its row is written at once, so that a crash leaves a trace of it.
    pub fn begin(&self, mut call: NewCall) -> CallLog {
        let key = Key::new();
        for text in [&mut call.call_id, &mut call.from, &mut call.to] {
            tidy(text, LONGEST_NAME);
        }
        let trace = self.traces.as_ref().map(|traces| traces.call(key, &call));
        self.put(Entry::Began(key, call));
        CallLog::new(key, self.clone(), trace)
    }

    /// Waits until all rows that were handed over before are written, at most so long. Says whether they are.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        let all = async { self.queue.send(Entry::Flushed(done)).await.is_ok() && flushed.await.is_ok() };
        timeout(limit, all).await.unwrap_or(false)
    }

    /// A recording ended, perhaps after its call.
    pub fn recording_ended(&self, call: Key, state: RecordingState) {
        self.put(Entry::Recorded(call, state));
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
        self.put(Entry::Settled(key, result, sip_status));
    }

    /// Something was done by those who run Milo.
    pub fn done(&self, mut deed: NewDeed) {
        for text in [&mut deed.target, &mut deed.detail].into_iter().flatten() {
            tidy(text, LONGEST_NAME);
        }
        self.put(Entry::Done(Key::new(), deed));
    }

    /// How the log is doing.
    pub fn state(&self) -> LogState {
        LogState {
            fault: self.fault.borrow().clone(),
            waiting: self.queue.max_capacity() - self.queue.capacity(),
            lost_events: self.lost.events.load(Ordering::Relaxed),
            lost_turns: self.lost.turns.load(Ordering::Relaxed),
            lost_calls: self.lost.calls.load(Ordering::Relaxed),
        }
    }

    /// Never waits. See the table above.
    pub(super) fn put(&self, entry: Entry) {
        let free = self.queue.capacity();
        let (reserve, lost) = match entry {
            Entry::Event(..) | Entry::Counted(..) => (self.queue.max_capacity() / 2, &self.lost.events),
            Entry::Turn(..) | Entry::Message(..) | Entry::Settled(..) => {
                (self.queue.max_capacity() / 4, &self.lost.turns)
            }
            _ => (0, &self.lost.calls),
        };
        let important = reserve == 0;
        if (free <= reserve || self.queue.try_send(entry).is_err()) && lost.fetch_add(1, Ordering::Relaxed) == 0 {
            if important {
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

struct Task {
    store: Store,
    node: String,
    said: watch::Sender<Option<String>>,
    lost: Arc<Lost>,
}

impl Task {
    async fn run(self, mut entries: mpsc::Receiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = Instant::now();
        while entries.recv_many(&mut batch, BATCH).await > 0 {
            let is_awaited = |batch: &[Entry]| batch.iter().any(|entry| matches!(entry, Entry::Flushed(_)));
            while batch.len() < BATCH && !is_awaited(&batch) {
                let room = BATCH - batch.len();
                match timeout_at(next, entries.recv_many(&mut batch, room)).await {
                    Ok(more) if more > 0 => {}
                    // The time is over, or nobody is left who could send more.
                    _ => break,
                }
            }
            let mut pause = PAUSES.0;
            while let Err(fault) = self.write(&batch).await {
                if error::is_hopeless(&fault) {
                    self.write_singly(&mut batch).await;
                    continue;
                }
                self.fail(error::reason(&fault));
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            if self.said.send_replace(None).is_some() {
                tracing::info!("the call log is written again");
            }
            for entry in batch.drain(..) {
                if let Entry::Flushed(done) = entry {
                    done.send(()).ok();
                }
            }
            next = Instant::now() + TOGETHER;
        }
    }

    fn fail(&self, reason: String) {
        if self.said.borrow().as_ref() != Some(&reason) {
            tracing::warn!(database = self.store.place(), reason, "the call log cannot be written; rows wait");
        }
        self.said.send_replace(Some(reason));
    }

    /// All or nothing. Rows of an earlier attempt whose answer was lost are left as they are.
    async fn write(&self, batch: &[Entry]) -> Result<(), sqlx::Error> {
        let all = async {
            let mut rows = self.store.begin().await?;
            for entry in batch {
                self.put(&mut rows, entry).await?;
            }
            rows.commit().await
        };
        timeout(PATIENCE, all).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// A row that no database will ever take must not hold up the others: leaves the good ones in the batch.
    async fn write_singly(&self, batch: &mut Vec<Entry>) {
        let mut n = 0;
        while n < batch.len() {
            match self.write(&batch[n..=n]).await {
                Err(fault) if error::is_hopeless(&fault) => {
                    let lost = match batch.remove(n) {
                        Entry::Event(..) | Entry::Counted(..) => &self.lost.events,
                        Entry::Turn(..) | Entry::Message(..) | Entry::Settled(..) => &self.lost.turns,
                        _ => &self.lost.calls,
                    };
                    lost.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        reason = error::reason(&fault),
                        "a row of the call log is refused by the database, and lost"
                    );
                }
                _ => n += 1,
            }
        }
    }

    async fn put(&self, rows: &mut Batch, entry: &Entry) -> Result<(), sqlx::Error> {
        match entry {
            Entry::Began(key, call) => rows.insert_call(&self.node, *key, call).await,
            Entry::Placed(key, call_id) => rows.place_call(*key, call_id).await,
            Entry::Answered(key, at) => rows.answer_call(*key, *at).await,
            Entry::Turn(key, number, turn) => rows.insert_turn(*key, *number, turn).await,
            Entry::Event(key, number, at, kind, detail) => rows.insert_event(*key, *number, *at, kind, detail).await,
            Entry::Ended(key, ending) => rows.end_call(*key, ending).await,
            Entry::Recording(key, name) => rows.begin_recording(*key, name).await,
            Entry::Recorded(key, state) => rows.end_recording(*key, *state).await,
            Entry::Counted(whose, so_far) => rows.set_day(&self.node, whose, so_far).await,
            Entry::Message(key, message) => rows.insert_message(&self.node, *key, message).await,
            Entry::Settled(key, result, status) => rows.settle_message(*key, result, *status).await,
            Entry::Done(key, deed) => rows.insert_deed(&self.node, *key, deed).await,
            Entry::Asked(key) => rows.set_call_key(&self.node, key).await,
            Entry::Flushed(_) => Ok(()),
        }
    }
}
