//! The one task that writes the call log: into the database, and into the journal while that is away.
//!
//! ```text
//! queue ─► a transaction ──────────────────► database
//!             │ fails, or takes long                 ▲
//!             └─► journal ─► a step of the replay ───┤ until all of it is there; then the journal goes
//! queue ────────► journal      again and again ──────┘
//! ```

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{
    Journal, Store,
    entry::Entry,
    error, journal,
    replay::{self, PATIENCE, Step},
    writer::Counts,
};

/// Rows of one transaction, and of one sync of the journal.
const BATCH: usize = 256;
/// The least time between two transactions: what comes within it shares the next one. The first row after a rest waits for
/// nothing.
const TOGETHER: Duration = Duration::from_millis(50);
/// After so long without an answer rows go into the journal: what a killed Milo had in memory is lost.
const SOON: Duration = Duration::from_secs(1);
/// The first and the longest pause before a failed write is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Before a disk that did not take the journal is tried again.
const DISK: Duration = Duration::from_secs(1);

/// A step of the replay that is under way.
type Stepping = Pin<Box<dyn Future<Output = Result<Step, sqlx::Error>> + Send>>;

pub(super) struct Scribe {
    store: Store,
    node: String,
    journal: Option<Journal>,
    said: watch::Sender<Option<String>>,
    counts: Arc<Counts>,
}

impl Scribe {
    pub(super) fn new(
        store: Store,
        node: String,
        journal: Option<Journal>,
        (said, counts): (watch::Sender<Option<String>>, Arc<Counts>),
    ) -> Self {
        Self { store, node, journal, said, counts }
    }

    /// Ends when nobody is left who could log something. What then waits in the journal is read at the next start.
    pub(super) async fn run(mut self, mut entries: mpsc::Receiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = Instant::now();
        while gather(&mut entries, &mut batch, next).await {
            if let Some(flushes) = self.write(&mut batch).await
                && self.replay(flushes, &mut batch, &mut entries).await
            {
                return;
            }
            next = Instant::now() + TOGETHER;
        }
    }

    /// Writes a batch into the database, or into the journal: then says who wants to know when it is in the database.
    async fn write(&mut self, batch: &mut Vec<Entry>) -> Option<Vec<Flush>> {
        let mut pause = PAUSES.0;
        loop {
            let patience = if self.journal.is_some() { SOON } else { PATIENCE };
            match self.try_write(batch, patience).await {
                Ok(()) => break,
                Err(fault) if error::is_hopeless(&fault) => self.write_singly(batch, patience).await,
                Err(fault) => {
                    let mut flushes = Vec::new();
                    if self.keep(batch, &mut flushes).await {
                        return Some(flushes);
                    }
                    self.fail(error::reason(&fault));
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
        self.well();
        if batch.iter().any(|entry| matches!(entry, Entry::Delivery(..))) {
            self.counts.new_deliveries();
        }
        for entry in batch.drain(..) {
            if let Entry::Flushed(done) = entry {
                done.send(()).ok();
            }
        }
        None
    }

    /// While the journal holds rows: takes more into it, and moves them into the database as soon as that is back. True when
    /// nobody is left who could log something; what is left in `more` is not in the journal, which is gone then.
    async fn replay(
        &mut self,
        mut flushes: Vec<Flush>,
        more: &mut Vec<Entry>,
        entries: &mut mpsc::Receiver<Entry>,
    ) -> bool {
        let (mut at, mut pause) = (Journal::begin(), PAUSES.0);
        let mut stepping = self.step(at, Duration::ZERO);
        let mut next = Instant::now() + TOGETHER;
        let mut disk: Option<Instant> = None;
        loop {
            select! {
                biased;
                step = &mut stepping => match step {
                    Ok(step) => {
                        (at, pause) = (step.at, PAUSES.0);
                        self.replayed(&step);
                        flushes.extract_if(.., |flush| flush.at <= at).for_each(Flush::done);
                        let Some(journal) = self.journal.as_ref().filter(|journal| journal.end() > at) else {
                            self.over().await;
                            return false;
                        };
                        tracing::debug!(at, end = journal.end(), "the journal is replayed");
                        stepping = self.step(at, Duration::ZERO);
                    }
                    Err(fault) => {
                        self.fail(error::reason(&fault));
                        stepping = self.step(at, pause);
                        pause = (pause * 2).min(PAUSES.1);
                    }
                },
                () = sleep_until(disk.unwrap_or(next)), if disk.is_some() => disk = None,
                some = gather(entries, more, next), if disk.is_none() => if !some {
                    return true;
                },
            }
            if !more.is_empty() && disk.is_none() {
                next = Instant::now() + TOGETHER;
                if !self.keep(more, &mut flushes).await {
                    disk = Some(Instant::now() + DISK);
                }
            }
        }
    }

    /// The next step of the replay, after a pause.
    fn step(&self, at: u64, after: Duration) -> Stepping {
        let (store, node) = (self.store.clone(), self.node.clone());
        let source = self.journal.as_ref().and_then(|journal| Some((journal.source()?, journal.end())));
        Box::pin(async move {
            sleep(after).await;
            match source {
                Some((source, end)) => replay::step(&store, &node, &source, (at, end)).await,
                None => Ok(Step { at, ..Step::default() }),
            }
        })
    }

    /// Adds a batch to the journal, as far as there is room, and empties it. False: it is still there, since there is no journal
    /// or the disk does not take it.
    async fn keep(&mut self, batch: &mut Vec<Entry>, flushes: &mut Vec<Flush>) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        let (mut lines, mut kept) = (Vec::new(), 0);
        let mut lost = Vec::new();
        for entry in batch.iter() {
            let Some(line) = journal::line(entry) else { continue };
            let weight = entry.weight();
            if ((lines.len() + line.len()) as u64) > journal.room(|room| weight.share(room)) {
                lost.push(weight);
            } else {
                lines.extend(line);
                kept += 1;
            }
        }
        if let Err(fault) = journal.append(lines).await {
            let file = journal.path().display().to_string();
            self.fail(format!("{}, and rows wait in memory", unwritten(&file, &fault)));
            return false;
        }
        let end = journal.end();
        lost.into_iter().for_each(|weight| self.counts.lost(weight));
        self.counts.entries.fetch_add(kept, Ordering::Relaxed);
        self.counts.bytes.store(end, Ordering::Relaxed);
        flushes.extend(batch.drain(..).filter_map(|entry| match entry {
            Entry::Flushed(done) => Some(Flush { at: end, done }),
            _ => None,
        }));
        true
    }

    fn replayed(&self, step: &Step) {
        self.counts.entries.fetch_sub(step.entries, Ordering::Relaxed);
        self.counts.replayed.fetch_add(step.entries - step.refused.len() as u64, Ordering::Relaxed);
        step.refused.iter().for_each(|weight| self.counts.lost(*weight));
        if step.delivers {
            self.counts.new_deliveries();
        }
    }

    /// All of the journal is in the database.
    async fn over(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.remove().await;
        }
        self.counts.bytes.store(0, Ordering::Relaxed);
        self.counts.entries.store(0, Ordering::Relaxed);
        self.well();
    }

    fn well(&self) {
        if self.said.send_replace(None).is_some() {
            tracing::info!("the call log is written again");
        }
    }

    fn fail(&self, reason: String) {
        if self.said.borrow().as_ref() != Some(&reason) {
            tracing::warn!(database = self.store.place(), reason, "the call log cannot be written; rows wait");
        }
        self.said.send_replace(Some(reason));
    }

    /// All or nothing. Rows of an earlier attempt whose answer was lost are left as they are.
    async fn try_write(&self, batch: &[Entry], patience: Duration) -> Result<(), sqlx::Error> {
        let all = async {
            let mut rows = self.store.begin().await?;
            for entry in batch {
                rows.put(&self.node, entry).await?;
            }
            rows.commit().await
        };
        timeout(patience, all).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// A row that no database will ever take must not hold up the others: leaves the good ones in the batch.
    async fn write_singly(&self, batch: &mut Vec<Entry>, patience: Duration) {
        let mut n = 0;
        while n < batch.len() {
            match self.try_write(&batch[n..=n], patience).await {
                Err(fault) if error::is_hopeless(&fault) => {
                    self.counts.lost(batch.remove(n).weight());
                    tracing::error!(
                        reason = error::reason(&fault),
                        "a row of the call log is refused by the database, and lost"
                    );
                }
                _ => n += 1,
            }
        }
    }
}

/// Somebody waits until the database has the journal up to here.
struct Flush {
    at: u64,
    done: oneshot::Sender<()>,
}

impl Flush {
    fn done(self) {
        self.done.send(()).ok();
    }
}

/// Adds what has come to a batch, and what comes before `next`, up to the size of one; whoever waits for a flush shortens it.
/// False when it is empty and nobody is left who could send more. Dropped, it leaves in the batch what it has gathered.
async fn gather(entries: &mut mpsc::Receiver<Entry>, batch: &mut Vec<Entry>, next: Instant) -> bool {
    if batch.is_empty() && entries.recv_many(batch, BATCH).await == 0 {
        return false;
    }
    let is_awaited = |batch: &[Entry]| batch.iter().any(|entry| matches!(entry, Entry::Flushed(_)));
    while batch.len() < BATCH && !is_awaited(batch) {
        let room = BATCH - batch.len();
        match timeout_at(next, entries.recv_many(batch, room)).await {
            Ok(more) if more > 0 => {}
            // The time is over, or nobody is left who could send more.
            _ => break,
        }
    }
    true
}

fn unwritten(file: &str, fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::StorageFull => {
            format!("the journal {file} cannot be written either: its disk is full: make room")
        }
        _ => format!("the journal {file} cannot be written either: {fault}"),
    }
}
