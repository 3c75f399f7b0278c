//! Who waits for somebody: callers in the lines of `queue`, those on `hold`, and who is rung for a line.
//!
//! ```text
//! queue, hold ─► Ticket ──────────────┐  a number, in the order of which the line moves
//!                  │ engage ─► Engaged │  somebody who is rung for it, and talks with it: busy for all lines
//! bridge ─► take ──┴─► offered ────────┘  somebody else takes it
//! ```
//! Dropping a ticket leaves the line, dropping an [`Engaged`] frees whom it names: whoever hangs up is nowhere left behind.

mod ticket;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::bridge::Lent;
use crate::store::Key;

pub(super) use ticket::{Engaged, Ticket};

/// As many waits are remembered to tell how long the next may take.
const WAITS: usize = 20;

/// Gives a caller away: into this goes the leg.
pub(super) type Taker = oneshot::Sender<Lent>;

/// How waiting in a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Somebody spoke with the caller.
    Answered,
    /// The caller hung up.
    Abandoned,
    /// Nobody came in time.
    Timeout,
    /// Too many waited already.
    Full,
    /// The caller pressed a key to leave.
    Left,
}

impl Left {
    /// All of them, for whoever counts.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Abandoned, Self::Timeout, Self::Full, Self::Left];

    /// Its name in variables, the log and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Abandoned => "abandoned",
            Self::Timeout => "timeout",
            Self::Full => "full",
            Self::Left => "left",
        }
    }
}

/// All who wait. The lock is taken as somebody comes, goes or is rung, once a second by each who waits, and when somebody asks;
/// nothing waits under it.
pub struct Waiters {
    state: Mutex<State>,
    moved: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Waiter>,
    lines: BTreeMap<String, Line>,
    agents: HashMap<String, Agent>,
}

struct Waiter {
    call: Key,
    /// None: on hold.
    line: Option<String>,
    since: Instant,
    /// Somebody is rung for it.
    rings: bool,
    offer: oneshot::Sender<Taker>,
}

#[derive(Default)]
struct Line {
    results: BTreeMap<Left, u64>,
    /// How long those waited who were answered last, by the place at which they came.
    waits: VecDeque<Duration>,
}

#[derive(Default)]
struct Agent {
    busy: bool,
    /// Left in peace until then; who has been so the longest is rung first.
    rests_until: Option<Instant>,
}

/// A line as the API shows it.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = Queue)]
pub struct LineReport {
    /// Its name.
    #[schema(example = "reception")]
    pub name: String,
    /// Those who wait, the first first.
    pub waiting: Vec<WaiterReport>,
    /// How long whoever comes now is likely to wait, in seconds; unknown until somebody was answered.
    #[schema(example = 40)]
    pub expected_wait_s: Option<u64>,
    /// What came of those before, by `answered`, `abandoned`, `timeout`, `full` and `left`.
    #[schema(example = json!({"answered": 12, "abandoned": 1}))]
    pub calls: BTreeMap<&'static str, u64>,
}

/// One who waits.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Waiter)]
pub struct WaiterReport {
    /// The call's identifier.
    pub call: Key,
    /// For how long, in seconds.
    #[schema(example = 15)]
    pub waited_s: u64,
    /// Whether somebody is rung for it now.
    pub rings: bool,
}

/// Whom a `bridge` takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom<'a> {
    First(&'a str),
    Call(Key),
}

impl Default for Waiters {
    fn default() -> Self {
        Self { state: Mutex::default(), moved: watch::Sender::new(()) }
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("waiting", &self.lock().waiting.len()).finish_non_exhaustive()
    }
}

impl State {
    fn line(&self, name: &str) -> impl Iterator<Item = (&u64, &Waiter)> {
        self.waiting.iter().filter(move |(_, waiter)| waiter.line.as_deref() == Some(name))
    }

    fn expected(&self, name: &str, place: usize) -> Option<Duration> {
        let waits = &self.lines.get(name)?.waits;
        let sum: Duration = waits.iter().sum();
        (!waits.is_empty()).then(|| sum / waits.len() as u32 * place as u32)
    }
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever somebody comes, goes, or becomes free.
    pub(super) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// A caller waits on hold.
    pub(super) fn hold(self: &Arc<Self>, call: Key) -> Ticket {
        self.enter(&mut self.lock(), call, None, 0)
    }

    /// A caller comes into a line; `None`: it is full.
    pub(super) fn join(self: &Arc<Self>, call: Key, line: &str, max: usize) -> Option<Ticket> {
        let mut state = self.lock();
        let before = state.line(line).count();
        let known = state.lines.entry(line.into()).or_default();
        if before >= max {
            *known.results.entry(Left::Full).or_default() += 1;
            return None;
        }
        Some(self.enter(&mut state, call, Some(line.into()), before + 1))
    }

    fn enter(self: &Arc<Self>, state: &mut State, call: Key, line: Option<String>, place: usize) -> Ticket {
        let number = state.next;
        state.next += 1;
        let (offer, offered) = oneshot::channel();
        let since = Instant::now();
        state.waiting.insert(number, Waiter { call, line: line.clone(), since, rings: false, offer });
        self.moved.send_replace(());
        Ticket { waiters: Arc::clone(self), number, call, line, since, place, offered, result: Left::Abandoned }
    }

    /// Takes one who waits out of its line; who takes it sends the way back to itself into this.
    pub(super) fn take(&self, whom: Whom<'_>) -> Option<(Key, oneshot::Sender<Taker>)> {
        let mut state = self.lock();
        let number = *match whom {
            Whom::First(line) => state.line(line).next()?.0,
            Whom::Call(call) => state.waiting.iter().find(|(_, waiter)| waiter.call == call)?.0,
        };
        let waiter = state.waiting.remove(&number)?;
        self.moved.send_replace(());
        Some((waiter.call, waiter.offer))
    }

    /// How these lines are, and every other that somebody has come into.
    pub fn report<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<LineReport> {
        let (state, now) = (self.lock(), Instant::now());
        let all: BTreeSet<String> = names.map(Into::into).chain(state.lines.keys().cloned()).collect();
        let report = |name: &str| {
            let waiting: Vec<_> = state
                .line(name)
                .map(|(_, waiter)| WaiterReport {
                    call: waiter.call,
                    waited_s: now.saturating_duration_since(waiter.since).as_secs(),
                    rings: waiter.rings,
                })
                .collect();
            let results = state.lines.get(name).map(|line| &line.results);
            let count = |left: &Left| results.and_then(|results| results.get(left)).copied().unwrap_or_default();
            LineReport {
                name: name.into(),
                expected_wait_s: state.expected(name, waiting.len() + 1).map(|wait| wait.as_secs()),
                waiting,
                calls: Left::ALL.iter().map(|left| (left.as_str(), count(left))).collect(),
            }
        };
        all.iter().map(|name| report(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(waiters: &Waiters) -> Option<Key> {
        waiters.report(["a"].into_iter()).first()?.waiting.first().map(|waiter| waiter.call)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_in_line_is_the_first_to_be_served() {
        let waiters = Arc::new(Waiters::default());
        let keys = [Key::new(), Key::new(), Key::new()];
        let one = waiters.join(keys[0], "a", 2).expect("a place");
        let two = waiters.join(keys[1], "a", 2).expect("a place");
        assert!(waiters.join(keys[2], "a", 2).is_none(), "it is full");
        assert_eq!((one.outlook(), two.outlook()), ((0, None), (1, None)));
        let agents = ["x".to_owned(), "y".to_owned()];
        assert!(two.engage(&agents, false).is_empty(), "the first is not served yet");
        let mut with_one = one.engage(&agents, false);
        let with_two = two.engage(&agents, false);
        assert_eq!((with_one[0].agent.as_str(), with_two[0].agent.as_str()), ("x", "y"));
        tokio::time::advance(Duration::from_secs(30)).await;
        one.leave(Left::Answered);
        assert_eq!(two.outlook(), (0, Some(Duration::from_secs(30))));
        assert_eq!(first(&waiters), Some(keys[1]));
        // Whoever is free the longest is rung first, and nobody who rests.
        drop(with_two);
        with_one[0].rests(Duration::from_secs(5));
        drop(with_one);
        assert_eq!(two.engage(&agents, true).iter().map(|engaged| engaged.at).collect::<Vec<_>>(), [1]);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(two.engage(&agents, true).len(), 2);
        drop(two);
        let report = waiters.report([].into_iter());
        assert_eq!((report[0].calls["answered"], report[0].calls["abandoned"], report[0].calls["full"]), (1, 1, 1));
        assert!(waiters.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_is_taken_by_nobody_in_the_end_waits_on_where_it_stood() {
        let waiters = Arc::new(Waiters::default());
        let keys = [Key::new(), Key::new()];
        let mut one = waiters.join(keys[0], "a", 9).expect("a place");
        let _two = waiters.join(keys[1], "a", 9).expect("a place");
        let (call, offer) = waiters.take(Whom::First("a")).expect("somebody");
        assert_eq!((call, first(&waiters)), (keys[0], Some(keys[1])));
        drop(offer);
        let waiting = tokio::time::timeout(Duration::from_millis(50), one.offered()).await;
        assert!(waiting.is_err());
        assert_eq!(first(&waiters), Some(keys[0]));
        let (_, offer) = waiters.take(Whom::Call(keys[0])).expect("somebody");
        let (taker, _lent) = oneshot::channel();
        assert!(offer.send(taker).is_ok(), "it waits");
        one.offered().await;
        assert!(waiters.take(Whom::Call(keys[0])).is_none());
        let held = waiters.hold(keys[0]);
        assert!(waiters.take(Whom::Call(keys[0])).is_some(), "who is on hold can be taken as well");
        drop(held);
    }
}
