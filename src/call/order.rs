//! Calls that somebody has Milo place: what is wanted is looked at, a row is opened, and the call is handed to whoever owns
//! calls.
//!
//! ```text
//! POST /api/v1/calls ─► CallsOut ─► right? allowed? room? ─► row, place on its trunk ─► bounded queue ─► one task a call (out.rs)
//!                          └─► NotPlaced: a sentence
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use milo_signaling::Uri;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};

use super::{
    Live, Record, SipSeen,
    again::{Again, print},
    registry::Entry,
    target::{Target, first, refusal, target},
    unanswered::Unanswered,
    wanted::{NotPlaced, Placed, Wanted},
};
use crate::{
    dialplan::{Action, Dialplans, Edition, Editions, Facts, Plan, TrunkNames},
    metrics::Metrics,
    store::{CallKey, Key, LogWriter, Stamp, Store, StoreError},
    trunk::{CallingAs, Denied, Place, Trunks, fields_fault, number},
};

/// Calls that wait for their task; they wait for moments only.
const QUEUE: usize = 64;
/// The plan of a call for which nobody names one.
const PLAN: &str = "outgoing";

/// A call on its way to its task.
pub struct Placement {
    pub(super) record: Record,
    pub(super) entry: Entry,
    pub(super) edition: Arc<Edition>,
    pub(super) plan: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) whom: Whom,
    pub(super) from: Option<String>,
    pub(super) private: bool,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) ring: Duration,
    /// Its place among all calls; none: it needs none.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// Dropped when its row is closed.
    pub(super) over: Option<oneshot::Sender<()>>,
}

/// The campaign that has a call placed.
struct Ordered {
    /// For the call's log.
    detail: Value,
    over: oneshot::Sender<()>,
}

/// Who is called.
pub(super) enum Whom {
    Number {
        number: String,
        /// The names of the trunks that are tried in turn, the first of which has given a place.
        trunks: Vec<String>,
        place: Place,
    },
    Address(Uri),
}

/// The way for calls out. Cheap to clone.
#[derive(Clone)]
pub struct CallsOut {
    editions: Editions,
    trunks: Trunks,
    log: LogWriter,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    sip: Arc<SipSeen>,
    /// As many calls as may be up, and how many are.
    limit: usize,
    taken: Arc<dyn Fn() -> usize + Send + Sync>,
    /// A place for each call that may be up.
    rooms: Arc<Semaphore>,
    queue: mpsc::Sender<Placement>,
    /// The lock is taken when somebody wants a call, and held until it is placed, so that the same one is not placed twice at
    /// once. Nothing waits under it.
    again: Arc<Mutex<Again>>,
}

impl CallsOut {
    /// The way, and where the calls come out of it. `taken` says how many of the at most `limit` are up now; it must not wait.
    pub fn new(
        (editions, trunks): (Editions, Trunks),
        (log, metrics): (LogWriter, Arc<Metrics>),
        (live, sip): (Arc<Live>, Arc<SipSeen>),
        limit: usize,
        taken: impl Fn() -> usize + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<Placement>) {
        let (queue, placements) = mpsc::channel(QUEUE);
        let (taken, rooms) = (Arc::new(taken), Arc::new(Semaphore::new(limit)));
        let again = Arc::default();
        (Self { editions, trunks, log, metrics, live, sip, limit, taken, rooms, queue, again }, placements)
    }

    /// As many calls as may be up at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many more calls may begin now.
    pub fn free(&self) -> usize {
        // A call that is placed this moment is known to the one before it is to the other.
        let up = (self.taken)().max(self.live.count());
        self.rooms.available_permits().min(self.limit.saturating_sub(up))
    }

    /// Knows the calls that this node was asked for under a key within the last day, from before its start.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn remember(&self, store: &Store, node: &str) -> Result<(), StoreError> {
        let known = Again::read(store, node).await?;
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Has a call placed, or finds the one that was placed for the same wish under the same idempotency key; says whether it
    /// is that one.
    ///
    /// # Errors
    /// [`NotPlaced`].
    pub fn place(&self, wanted: Wanted, key: Option<&str>) -> Result<(Placed, bool), NotPlaced> {
        let now = Instant::now();
        let print = print(&wanted);
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, placed)) = key.and_then(|key| again.find(now, key)) {
            return if *before == print {
                Ok((placed.clone(), true))
            } else {
                Err(NotPlaced::Wrong("this idempotency key stands for another call; each call has its own".into()))
            };
        }
        let placed = self.begin(wanted, None)?;
        if let Some(key) = key {
            let Placed { id, to, trunk, plan } = placed.clone();
            let at = Stamp::now();
            self.log.call_key(CallKey { key: key.to_owned(), print, call: id, called: to, trunk, plan, at });
            again.keep(now, key, print, placed.clone());
        }
        Ok((placed, false))
    }

    /// Has a call placed for a line of a campaign's list. What is returned besides resolves when the call's row is closed.
    ///
    /// # Errors
    /// [`NotPlaced`].
    pub fn place_for(
        &self,
        wanted: Wanted,
        (campaign, line): (Key, i32),
    ) -> Result<(Placed, oneshot::Receiver<()>), NotPlaced> {
        let (over, closed) = oneshot::channel();
        let detail = json!({ "id": campaign, "line": line });
        Ok((self.begin(wanted, Some(Ordered { detail, over }))?, closed))
    }

    /// Whether a campaign may have such a call placed, as plans and trunks are now, and whenever there is room.
    ///
    /// # Errors
    /// [`NotPlaced::Wrong`], [`NotPlaced::Forbidden`].
    pub fn check(&self, wanted: &Wanted) -> Result<(), NotPlaced> {
        let edition = self.editions.current();
        match self.judge(&edition, wanted)? {
            (_, Target::Emergency(_, number)) => Err(for_help(&number)),
            _ => Ok(()),
        }
    }

    /// The same; and whether one of its trunks carries calls to such a number at all (their `allow` and `deny`).
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_allowed(&self, wanted: &Wanted) -> Result<(), NotPlaced> {
        let edition = self.editions.current();
        match self.judge(&edition, wanted)? {
            (_, Target::Emergency(_, number)) => Err(for_help(&number)),
            (_, Target::Number(trunks, number)) if !trunks.iter().any(|trunk| trunk.allows(&number)) => {
                let name = trunks.first().map_or("", |trunk| trunk.name());
                Err(refusal(Denied::Destination, name))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is such a plan here, and such trunks.
    ///
    /// # Errors
    /// [`NotPlaced::Wrong`].
    pub fn knows(&self, named: Option<&str>, trunks: Option<&TrunkNames>) -> Result<(), NotPlaced> {
        plan(&self.editions.current().dialplans, named)?;
        let names = trunks.map(TrunkNames::names).unwrap_or_default();
        match names.iter().find(|name| self.trunks.named(name).is_none()) {
            Some(name) => Err(NotPlaced::Wrong(format!("trunk {name:?} is not the name of one of [[sip.trunks]]"))),
            None => Ok(()),
        }
    }

    /// The variables that the plan of this name, or the usual one, is given.
    pub fn given(&self, named: Option<&str>) -> Vec<String> {
        let edition = self.editions.current();
        plan(&edition.dialplans, named).map(|plan| plan.variables.clone()).unwrap_or_default()
    }

    /// The plan of a wanted call, and who is to be called.
    fn judge<'e>(&self, edition: &'e Edition, wanted: &Wanted) -> Result<(&'e Plan, Target<'_>), NotPlaced> {
        let plan = plan(&edition.dialplans, wanted.plan.as_deref())?;
        let unfit = |(name, value): (&String, &String)| edition.dialplans.ungivable(name, value);
        if let Some(fault) = wanted.variables.iter().find_map(unfit) {
            return Err(NotPlaced::Wrong(fault));
        }
        if let Some(from) = wanted.caller_id.as_deref().filter(|from| number(from).is_none()) {
            return Err(NotPlaced::Wrong(format!("caller_id {from:?} is no number or name: letters, digits, - _ . +")));
        }
        if let Some(fault) = fields_fault(&wanted.headers) {
            return Err(NotPlaced::Wrong(fault));
        }
        let from = wanted.caller_id.as_deref().map_or(CallingAs::Trunk, CallingAs::Request);
        Ok((plan, target(&self.trunks, (&wanted.to, wanted.trunks.as_ref()), from)?))
    }

    fn begin(&self, mut wanted: Wanted, ordered: Option<Ordered>) -> Result<Placed, NotPlaced> {
        let queue = self.queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Closed(()) => {
                NotPlaced::Busy("Milo is ending and places no more calls".into(), 60)
            }
            mpsc::error::TrySendError::Full(()) => NotPlaced::Busy("too many calls are being placed at once".into(), 1),
        })?;
        let edition = self.editions.current();
        let (plan, target) = self.judge(&edition, &wanted)?;
        if let (Target::Emergency(_, number), Some(_)) = (&target, &ordered) {
            return Err(for_help(number));
        }
        if let Target::Emergency(..) = &target {
            wanted.private = false;
            // Whoever comes to help must be able to call back.
            wanted.caller_id = None;
        }
        let from = wanted.caller_id.as_deref();
        let calling_as = from.map_or(CallingAs::Trunk, CallingAs::Request);
        let room = match &target {
            // Nothing keeps a call for help from being placed.
            Target::Emergency(..) => None,
            _ => {
                let room = Arc::clone(&self.rooms).try_acquire_owned().map_err(|_| NotPlaced::Full)?;
                if (self.taken)() >= self.limit {
                    return Err(NotPlaced::Full);
                }
                Some(room)
            }
        };
        let mut passed = Vec::new();
        let (whom, facts) = match target {
            Target::Address(uri) => {
                let to = Some(uri.user()).filter(|user| !user.is_empty()).unwrap_or_else(|| wanted.to.clone());
                (Whom::Address(uri), facts(from.unwrap_or("milo").into(), to, None))
            }
            Target::Emergency(trunks, number) => {
                let first = trunks.first().ok_or_else(|| NotPlaced::Wrong("there is no emergency_trunk".into()))?;
                let place = first.admit_emergency().map_err(|denied| refusal(denied, first.name()))?;
                let facts = facts(first.caller_id(None, ""), number.clone(), Some(first.name()));
                let trunks = trunks.iter().map(|trunk| trunk.name().to_owned()).collect();
                (Whom::Number { number, trunks, place }, facts)
            }
            Target::Number(trunks, number) => {
                let (at, place) = first(&trunks, &number, calling_as, &mut passed)?;
                let (first, caller_id) = (trunks[at].name(), trunks[at].caller_id(from, ""));
                let facts = facts(caller_id, number.clone(), Some(first));
                let trunks = trunks[at..].iter().map(|trunk| trunk.name().to_owned()).collect();
                (Whom::Number { number, trunks, place }, facts)
            }
        };
        let record = Record::place((&self.log, &self.metrics, &self.sip), &facts, plan);
        let (detail, over) = ordered.map(|Ordered { detail, over }| (detail, over)).unzip();
        if let Some(detail) = detail {
            record.event("campaign", detail);
        }
        for (trunk, denied) in passed {
            record.event("tried", Unanswered::from(denied).tried(trunk, Duration::ZERO));
        }
        let placed = Placed { id: record.key(), to: facts.to, trunk: facts.trunk, plan: plan.name.clone() };
        let entry = self.live.place(record.key());
        let (plan, variables) = (plan.name.clone(), wanted.variables);
        let (from, private, headers, ring) = (wanted.caller_id, wanted.private, wanted.headers, wanted.ring);
        let placement =
            Placement { record, entry, edition, plan, variables, whom, from, private, headers, ring, room, over };
        queue.send(placement);
        Ok(placed)
    }
}

impl fmt::Debug for CallsOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallsOut").field("live", &self.live).finish_non_exhaustive()
    }
}

fn for_help(number: &str) -> NotPlaced {
    NotPlaced::Forbidden(format!("{number:?} is an emergency number, which no campaign calls"))
}

/// The plan of this name that treats a call which Milo places.
fn plan<'d>(dialplans: &'d Dialplans, name: Option<&str>) -> Result<&'d Plan, NotPlaced> {
    let Some(plan) = dialplans.plan(name.unwrap_or(PLAN)) else {
        let known: Vec<_> = dialplans.plans().iter().map(|plan| plan.name.as_str()).collect();
        let known = known.join(", ");
        return Err(NotPlaced::Wrong(match name {
            Some(name) => format!("plan {name:?} is not the name of a plan; there are {known}"),
            None => format!("no `plan` is named, and none is called {PLAN:?}; there are {known}"),
        }));
    };
    let refuses = |action: &Action| matches!(action, Action::Reject { .. } | Action::Redirect { .. });
    // Of a checked plan one of these is always the last.
    if plan.actions.last().is_some_and(|step| refuses(step.get_ref())) {
        return Err(NotPlaced::Wrong(format!("the plan {:?} refuses its calls; a call out is answered", plan.name)));
    }
    Ok(plan)
}

/// What is known of a call that Milo places.
pub(super) fn facts(from: String, to: String, trunk: Option<&str>) -> Facts {
    let at = Timestamp::from_millisecond(Stamp::now().millis()).unwrap_or_default();
    Facts { from, to, trunk: trunk.map(Into::into), at, ..Facts::default() }
}
