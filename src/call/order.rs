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
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use milo_signaling::{Transport, Uri};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

use super::{Live, Record, SipSeen, again::Again, registry::Entry, unanswered::Unanswered};
use crate::{
    dialplan::{Action, Dialplans, Edition, Editions, Facts, Plan, TrunkNames},
    metrics::Metrics,
    store::{Key, LogWriter, Stamp},
    trunk::{CallingAs, Denied, Emergency, Place, Trunk, Trunks, fields_fault, is_number, number},
};

/// Calls that wait for their task; they wait for moments only.
const QUEUE: usize = 64;
/// The plan of a call for which nobody names one.
const PLAN: &str = "outgoing";
/// Bytes of an address that is called.
const LONGEST_ADDRESS: usize = 255;

/// A call that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// A number, or a SIP address.
    pub to: String,
    /// The trunks that a number is called over; none: the only one there is.
    pub trunks: Option<TrunkNames>,
    /// What happens when it is answered; none: the plan `outgoing`.
    pub plan: Option<String>,
    /// What the plan is given.
    pub variables: BTreeMap<String, String>,
    /// Who calls; none: as the trunk says, else `milo`.
    pub caller_id: Option<String>,
    /// Whoever is called is not to see who calls.
    pub private: bool,
    /// Further header fields of the INVITE.
    pub headers: BTreeMap<String, String>,
    /// How long it may ring.
    pub ring: Duration,
}

/// A call that is being placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// Its identifier in the log.
    pub id: Key,
    /// Who is called: the number, or the user part of the address.
    pub to: String,
    /// The first trunk it is tried over.
    pub trunk: Option<String>,
    /// Its plan.
    pub plan: String,
}

/// Why a call is not placed: a sentence each, and when to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPlaced {
    /// It cannot be placed as it is wanted.
    Wrong(String),
    /// Nobody may place such a call.
    Forbidden(String),
    /// Too many begin at once; in so many seconds there is room.
    TooMany(String, u64),
    /// There is no room now; perhaps in so many seconds.
    Busy(String, u64),
}

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
    pub(super) room: OwnedSemaphorePermit,
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
    has_room: Arc<dyn Fn() -> bool + Send + Sync>,
    /// A place for each call that may be up.
    rooms: Arc<Semaphore>,
    queue: mpsc::Sender<Placement>,
    /// The lock is taken when somebody wants a call, and held until it is placed, so that the same one is not placed twice at
    /// once. Nothing waits under it.
    again: Arc<Mutex<Again>>,
}

impl CallsOut {
    /// The way, and where the calls come out of it. `has_room` says whether one more of the at most `calls` may begin now; it
    /// must not wait.
    pub fn new(
        (editions, trunks): (Editions, Trunks),
        (log, metrics): (LogWriter, Arc<Metrics>),
        (live, sip): (Arc<Live>, Arc<SipSeen>),
        calls: usize,
        has_room: impl Fn() -> bool + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<Placement>) {
        let (queue, placements) = mpsc::channel(QUEUE);
        let (has_room, rooms) = (Arc::new(has_room), Arc::new(Semaphore::new(calls)));
        let again = Arc::default();
        (Self { editions, trunks, log, metrics, live, sip, has_room, rooms, queue, again }, placements)
    }

    /// Has a call placed, or finds the one that was placed for the same wish under the same idempotency key; says whether it
    /// is that one.
    ///
    /// # Errors
    /// [`NotPlaced`].
    pub fn place(&self, wanted: Wanted, key: Option<&str>) -> Result<(Placed, bool), NotPlaced> {
        let now = Instant::now();
        let mut hasher = DefaultHasher::new();
        wanted.hash(&mut hasher);
        let print = hasher.finish();
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, placed)) = key.and_then(|key| again.find(now, key)) {
            return if *before == print {
                Ok((placed.clone(), true))
            } else {
                Err(NotPlaced::Wrong("this idempotency key stands for another call; each call has its own".into()))
            };
        }
        let placed = self.begin(wanted)?;
        if let Some(key) = key {
            again.keep(now, key, print, placed.clone());
        }
        Ok((placed, false))
    }

    fn begin(&self, mut wanted: Wanted) -> Result<Placed, NotPlaced> {
        let queue = self.queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Closed(()) => {
                NotPlaced::Busy("Milo is ending and places no more calls".into(), 60)
            }
            mpsc::error::TrySendError::Full(()) => NotPlaced::Busy("too many calls are being placed at once".into(), 1),
        })?;
        let edition = self.editions.current();
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
        let target = self.target(&wanted)?;
        if let Target::Emergency(..) = &target {
            wanted.private = false;
            // Whoever comes to help must be able to call back.
            wanted.caller_id = None;
        }
        let from = wanted.caller_id.as_deref();
        let no_room = || NotPlaced::Busy("as many calls are up as may be ([limits] calls)".into(), 5);
        let room = Arc::clone(&self.rooms).try_acquire_owned().map_err(|_| no_room())?;
        if !(self.has_room)() {
            return Err(no_room());
        }
        let mut passed = Vec::new();
        let (whom, facts) = match target {
            Target::Address(uri) => {
                let to = Some(uri.user()).filter(|user| !user.is_empty()).unwrap_or_else(|| wanted.to.clone());
                (Whom::Address(uri), facts(from.unwrap_or("milo").into(), to, None))
            }
            Target::Emergency(trunk, number) => {
                let place = trunk.admit_emergency().map_err(|denied| refusal(denied, trunk.name()))?;
                let facts = facts(trunk.caller_id(None, ""), number.clone(), Some(trunk.name()));
                (Whom::Number { number, trunks: vec![trunk.name().to_owned()], place }, facts)
            }
            Target::Number(trunks) => {
                let (at, place) = first(&trunks, &wanted.to, from, &mut passed)?;
                let (first, caller_id) = (trunks[at].name(), trunks[at].caller_id(from, ""));
                let facts = facts(caller_id, wanted.to.clone(), Some(first));
                let trunks = trunks[at..].iter().map(|trunk| trunk.name().to_owned()).collect();
                (Whom::Number { number: wanted.to, trunks, place }, facts)
            }
        };
        let record = Record::place((&self.log, &self.metrics, &self.sip), &facts, plan);
        for (trunk, denied) in passed {
            record.event("tried", Unanswered::from(denied).tried(trunk, Duration::ZERO));
        }
        let placed = Placed { id: record.key(), to: facts.to, trunk: facts.trunk, plan: plan.name.clone() };
        let entry = self.live.place(record.key());
        let (plan, variables) = (plan.name.clone(), wanted.variables);
        let (from, private, headers, ring) = (wanted.caller_id, wanted.private, wanted.headers, wanted.ring);
        queue.send(Placement { record, entry, edition, plan, variables, whom, from, private, headers, ring, room });
        Ok(placed)
    }

    /// Who is to be called.
    fn target(&self, wanted: &Wanted) -> Result<Target<'_>, NotPlaced> {
        let Wanted { to, trunks, caller_id, .. } = wanted;
        let wrong = |says: String| Err(NotPlaced::Wrong(says));
        if to.len() > LONGEST_ADDRESS {
            return wrong(format!("to is longer than {LONGEST_ADDRESS} characters"));
        }
        let number =
            if is_number(to) { to.clone() } else { to.parse::<Uri>().map(|uri| uri.user()).unwrap_or_default() };
        match self.trunks.emergency(&number) {
            None => {}
            Some((number, Emergency::Pass(name))) => {
                let trunk =
                    self.trunks.named(name).ok_or_else(|| NotPlaced::Wrong("there is no emergency_trunk".into()))?;
                return Ok(Target::Emergency(trunk, number.to_owned()));
            }
            Some((number, Emergency::Refuse | Emergency::Announce(_))) => {
                let says =
                    format!("{number:?} is an emergency number, which Milo does not call ([sip] emergency_calls)");
                return Err(NotPlaced::Forbidden(says));
            }
        }
        if !is_number(to) {
            let uri = to.parse::<Uri>().ok().filter(|uri| uri.as_sip().is_some() && Transport::of_uri(uri).is_ok());
            return match uri {
                Some(_) if trunks.is_some() => {
                    wrong("a number is called over a trunk, and a SIP address over none".into())
                }
                Some(uri) => match self.trunks.at(&uri) {
                    Some(trunk) => {
                        let name = trunk.name();
                        wrong(format!(
                            "to is at the gateway of the trunk {name:?}: call the number over it, trunk = {name:?}"
                        ))
                    }
                    None => Ok(Target::Address(uri)),
                },
                None => wrong(format!(
                    "to {to:?} is neither a number, such as 0201234567, nor an address that Milo can call, such as \
                     sip:100@192.0.2.7:5060"
                )),
            };
        }
        if let Some(fault) = trunks.as_ref().and_then(TrunkNames::fault) {
            return wrong(fault);
        }
        let chosen: Vec<&Trunk> = match trunks.as_ref().map(TrunkNames::names) {
            None => match self.trunks.ways_out().collect::<Vec<_>>().as_slice() {
                [only] => vec![*only],
                [] => return wrong("a number is called over a trunk, and there is none with a gateway".into()),
                _ => return wrong("there are several trunks: say by `trunk` which of them, or a list of them".into()),
            },
            Some(trunks) => {
                if let Some(name) = trunks.iter().find(|name| self.trunks.named(name).is_none()) {
                    return wrong(format!("trunk {name:?} is not the name of one of [[sip.trunks]]"));
                }
                trunks.iter().filter_map(|name| self.trunks.named(name)).collect()
            }
        };
        let from = caller_id.as_deref().map_or(CallingAs::Trunk, CallingAs::Request);
        if let Some(id) = caller_id
            && !chosen.iter().any(|trunk| trunk.shows(from))
        {
            let name = chosen.first().map_or("", |trunk| trunk.name());
            return wrong(format!(
                "caller_id {id:?} is none of those that the trunk {name:?} may show: its username, caller_id and caller_ids"
            ));
        }
        Ok(Target::Number(chosen))
    }
}

impl fmt::Debug for CallsOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallsOut").field("live", &self.live).finish_non_exhaustive()
    }
}

enum Target<'t> {
    Number(Vec<&'t Trunk>),
    /// The trunk for emergencies, and their number.
    Emergency(&'t Trunk, String),
    Address(Uri),
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

/// The first of these trunks that takes a call now, and the place that it gives; those before it, and why not.
fn first<'t>(
    trunks: &[&'t Trunk],
    number: &str,
    from: Option<&str>,
    passed: &mut Vec<(&'t str, Denied)>,
) -> Result<(usize, Place), NotPlaced> {
    let from = from.map_or(CallingAs::Trunk, CallingAs::Request);
    for (at, trunk) in trunks.iter().enumerate() {
        match trunk.admit(number, from) {
            Ok(place) => return Ok((at, place)),
            Err(denied) => passed.push((trunk.name(), denied)),
        }
    }
    // What the last of them says, unless another has room again soon.
    let told = passed.iter().find(|(_, denied)| denied.passes()).or(passed.last());
    Err(told.map_or_else(|| NotPlaced::Wrong("no trunk is named".into()), |(name, denied)| refusal(*denied, name)))
}

fn refusal(denied: Denied, trunk: &str) -> NotPlaced {
    match denied {
        Denied::Full => NotPlaced::Busy(format!("the trunk {trunk:?} carries as many calls as it may (max_calls)"), 5),
        Denied::Pace => NotPlaced::TooMany(
            format!("calls over the trunk {trunk:?} begin as fast as they may (calls_per_second)"),
            1,
        ),
        Denied::Destination => {
            NotPlaced::Forbidden(format!("such a number is not called over the trunk {trunk:?} (its allow and deny)"))
        }
        Denied::CallsOfDay => NotPlaced::TooMany(
            format!("the trunk {trunk:?} has carried as many calls as it may today, UTC (calls_per_day)"),
            tomorrow(),
        ),
        Denied::MinutesOfDay => NotPlaced::TooMany(
            format!("the trunk {trunk:?} has carried as many minutes as it may today, UTC (minutes_per_day)"),
            tomorrow(),
        ),
        Denied::Down => NotPlaced::Busy(format!("the trunk {trunk:?} does not answer"), 30),
        Denied::NoGateway => NotPlaced::Wrong(format!("the trunk {trunk:?} has no gateway to call out through")),
        Denied::CallerId => NotPlaced::Wrong(format!("the trunk {trunk:?} does not show this caller_id")),
    }
}

/// The seconds until the next day begins, UTC.
fn tomorrow() -> u64 {
    const DAY: i64 = 24 * 3_600;
    (DAY - (Stamp::now().millis() / 1_000).rem_euclid(DAY)).unsigned_abs()
}

/// What is known of a call that Milo places.
pub(super) fn facts(from: String, to: String, trunk: Option<&str>) -> Facts {
    let at = Timestamp::from_millisecond(Stamp::now().millis()).unwrap_or_default();
    Facts { from, to, trunk: trunk.map(Into::into), at, ..Facts::default() }
}
