//! Texts (SIP MESSAGE, RFC 3428): those that come are kept, and go on to the telephones of the account that they are for; those that
//! somebody has Milo send go out over a trunk, to an account or to an address, as calls do.
//!
//! ```text
//!  MESSAGE ─► endpoint (200, 202) ─► bounded queue ─┐
//!                                                   ├─► serve: row, then one task each that is sent ─► row settled
//!                                                   │   (`lanes`: a few at a time to one destination)
//!  POST /api/v1/messages, verb `message` ─► send ───┘
//! ```

mod lanes;
mod send;

use std::{collections::HashMap, sync::Arc, time::Duration};

use milo_signaling::{Caller, Text};
use tokio::{
    select,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    accounts::Accounts,
    metrics::Metrics,
    store::{LogWriter, NewMessage, Stamp, Store},
    trunk::{Trunks, number},
};
use lanes::{Entered, Lanes};
use send::Job;

pub use send::{Came, Sent, Wanted};

/// What became of a text that came and was for Milo.
pub const RECEIVED: &str = "received";
/// What became of one that its recipient has taken.
pub const DELIVERED: &str = "delivered";

/// Texts that are on their way out at once; more wait.
const MOST: usize = 256;
/// Texts that are wanted and wait for their task.
const QUEUE: usize = 64;
/// How often old texts are looked for.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The way of texts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Texts {
    trunks: Trunks,
    accounts: Arc<Accounts>,
    caller: Caller,
    log: LogWriter,
    metrics: Arc<Metrics>,
    queue: mpsc::Sender<Job>,
}

/// The texts that are wanted, for [`serve`].
#[derive(Debug)]
pub struct Jobs(mpsc::Receiver<Job>);

impl Texts {
    /// The way, and where what is to be sent comes out of it.
    pub fn new(
        trunks: Trunks,
        accounts: Arc<Accounts>,
        caller: Caller,
        (log, metrics): (LogWriter, Arc<Metrics>),
    ) -> (Self, Jobs) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        (Self { trunks, accounts, caller, log, metrics, queue }, Jobs(jobs))
    }

    /// Keeps a text that came; what is to be done for it, if it is to go on.
    fn take(&self, text: Text) -> Option<Job> {
        let (from, to) = (text.from.user(), text.to.user());
        let trunk = self.trunks.from(text.source.ip(), &text.to, &text.from).map(|trunk| trunk.name().to_owned());
        let result = text.for_account.is_none().then_some(RECEIVED);
        let key = self.log.message(NewMessage {
            incoming: true,
            from: from.clone(),
            to,
            trunk: trunk.clone(),
            account: text.account.or_else(|| text.for_account.clone()),
            call: None,
            text: text.text.clone(),
            at: Stamp::now(),
            result: result.map(Into::into),
        });
        tracing::info!(message.id = %key, trunk, account = text.for_account, "a text comes in");
        if let Some(result) = result {
            self.metrics.message("in", result);
        }
        let from = number(&from).unwrap_or("milo").to_owned();
        text.for_account.map(|account| Job::forward(key, account, from, text.text))
    }
}

/// Keeps what comes and sends what is wanted, for ever; once the endpoint has ended, what is wanted only.
pub async fn serve(texts: Texts, mut incoming: mpsc::Receiver<Text>, Jobs(mut jobs): Jobs) {
    let mut sending = JoinSet::new();
    let mut lanes = Lanes::default();
    let mut on_their_way = HashMap::new();
    loop {
        let has_room = sending.len() < MOST && lanes.has_room();
        let job = select! {
            Some(text) = incoming.recv(), if has_room => texts.take(text),
            Some(job) = jobs.recv(), if has_room => Some(job),
            Some(done) = sending.join_next_with_id(), if !sending.is_empty() => {
                let id = done.map_or_else(|panicked| panicked.id(), |(id, ())| id);
                let to: Option<String> = on_their_way.remove(&id);
                if let Some((to, next)) = to.and_then(|to| Some((to.clone(), lanes.leave(&to)?))) {
                    on_their_way.insert(sending.spawn(Job::run(next, texts.clone())).id(), to);
                }
                None
            }
            else => return,
        };
        let Some(job) = job else { continue };
        let to = job.destination();
        match lanes.enter(&to, job) {
            Entered::Goes(job) => drop(on_their_way.insert(sending.spawn(job.run(texts.clone())).id(), to)),
            Entered::Waits => {}
            Entered::Full(job) => job.give_up(&texts),
        }
    }
}

/// Deletes texts that are older than `days` days, now and every day from now on.
pub async fn forget(store: Store, days: u64) {
    let mut clock = interval(DAY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let _: Instant = clock.tick().await;
        let kept = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(24 * 3_600 * 1_000);
        match store.forget_messages(Stamp::from_millis(Stamp::now().millis().saturating_sub(kept))).await {
            Ok(0) => {}
            Ok(messages) => tracing::info!(messages, days, "texts older than they are kept were deleted"),
            Err(error) => tracing::warn!(%error, "old texts cannot be deleted"),
        }
    }
}
