//! Calls that come over the web, by a WebSocket or WebRTC: admitted like those of telephones, and from the answer on the same.
//!
//! ```text
//! GET /api/v1/conversation ─► WebCalls::room ─► begin ──────► row, leg over a pipe ─► bounded queue ─► one task a call: take_web
//! POST /api/v1/webrtc ─────────► WebCalls::room ─► begin_over ─┘ │
//!                                                                └─► WebLine: the far end of its leg and of its dialog, and what happens in it
//! ```

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use milo_media::{Cleaning, Codec, Leg, LegOptions, PIPED, Payloads, RtpSocket, Session, Silence, dtmf::InbandDigits};
use milo_signaling::{Dialog, DialogEvent, FarEnd};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    select,
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use toml::Spanned;

use super::{Course, End, Headset, House, Line, NotPlaced, Record, Supervisor, refer::Standing, registry::Entry, up};
use crate::{
    agent::{Audience, Happened, Manner},
    dialplan::{Action, Edition, Facts, Plan, Variables},
    store::{HangupBy, Key, Stamp},
};

/// Calls that wait for their task; they wait for moments only.
const QUEUE: usize = 64;

/// What is known of somebody who calls so.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The number that they want.
    pub number: String,
    /// Who they are to plans and the log, since they have no number: `websocket` or `webrtc`.
    pub from: &'static str,
    /// The way they come, as the event that tells of it is called.
    pub way: &'static str,
    /// What the log keeps of it.
    pub detail: Value,
    /// What their sound is packed in.
    pub codec: &'static Codec,
    /// How they take part.
    pub manner: Manner,
    /// What was said with them before: what was heard, and what was answered.
    pub remembered: Vec<(String, String)>,
}

/// A call on its way to its task.
pub struct WebCall {
    record: Record,
    entry: Entry,
    edition: Arc<Edition>,
    plan: String,
    facts: Facts,
    dialog: Dialog,
    leg: Leg,
    cleaning: Cleaning,
    over: oneshot::Sender<Over>,
    room: Room,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Who ended it.
    pub by: HangupBy,
    /// In a few words.
    pub reason: String,
}

/// Such a call, as whoever brought it holds it. Dropped, the caller has hung up.
#[derive(Debug)]
pub struct WebLine<S = Payloads> {
    /// Its identifier in the log.
    pub id: Key,
    /// What is sent to the leg, and comes from it; nothing where somebody else carries it.
    pub sound: S,
    /// The caller's side of the call.
    pub far: FarEnd,
    /// What happens in the conversation.
    pub happened: mpsc::Receiver<Happened>,
    /// What the caller says by writing it.
    pub typed: mpsc::Sender<String>,
    /// How it ended.
    pub over: oneshot::Receiver<Over>,
    /// Milo is ending: the call is to end now.
    pub ending: watch::Receiver<bool>,
    /// The silence that ends what the caller says, whatever it sounds like.
    pub end_of_turn: Duration,
}

/// A place among all calls that may be up; dropped, it is free.
#[derive(Debug)]
pub struct Room {
    up: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.up.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The way for such calls. Cheap to clone.
#[derive(Clone)]
pub struct WebCalls {
    house: Arc<House>,
    queue: mpsc::Sender<WebCall>,
    /// How many of them are up, which the SIP endpoint counts among its own.
    up: Arc<AtomicUsize>,
    limit: usize,
    /// How many calls of SIP are up.
    others: Arc<dyn Fn() -> usize + Send + Sync>,
    on: Handle,
    /// What legs are told whose callers send packets of their own, and those of whom only sound comes.
    legs: LegOptions,
    sounds: LegOptions,
    ending: watch::Receiver<bool>,
}

impl WebCalls {
    /// The way, and where the calls come out of it: at most `limit` with the `others`, which must not wait. Their legs run on that
    /// runtime.
    pub fn new(
        house: Arc<House>,
        (up, limit): (Arc<AtomicUsize>, usize),
        others: impl Fn() -> usize + Send + Sync + 'static,
        (on, legs): (Handle, LegOptions),
        ending: watch::Receiver<bool>,
    ) -> (Self, mpsc::Receiver<WebCall>) {
        let (queue, calls) = mpsc::channel(QUEUE);
        // Only what is said leaves: no browser takes a pause for a broken line, and half of what a call costs that only listens is
        // what it sends.
        let legs = LegOptions { silence: Silence::Suppress, ..legs };
        // Keys are told by messages.
        let sounds = LegOptions { inband_digits: InbandDigits::Off, ..legs.clone() };
        (Self { house, queue, up, limit, others: Arc::new(others), on, legs, sounds, ending }, calls)
    }

    /// Takes a place for a call.
    ///
    /// # Errors
    /// [`NotPlaced::Full`]: there is none. [`NotPlaced::Busy`]: Milo is ending.
    pub fn room(&self) -> Result<Room, NotPlaced> {
        if self.queue.is_closed() || *self.ending.borrow() {
            return Err(NotPlaced::Busy("Milo is ending and takes no more calls".into(), 60));
        }
        let room = Room { up: Arc::clone(&self.up) };
        let up = self.up.fetch_add(1, Ordering::AcqRel) + 1;
        if up + (self.others)() > self.limit {
            return Err(NotPlaced::Full);
        }
        Ok(room)
    }

    /// Looks whether a plan answers this number for such callers.
    ///
    /// # Errors
    /// [`NotPlaced::Wrong`], a sentence.
    pub fn check(&self, number: &str, from: &str) -> Result<(), NotPlaced> {
        plan(&self.house.editions.current(), &facts(number, from)).map(drop)
    }

    /// Begins a call: its row is opened, its leg runs, and its task is about to.
    ///
    /// # Errors
    /// [`NotPlaced`]: no plan answers the number, or Milo is ending.
    pub fn begin(&self, room: Room, visitor: Visitor) -> Result<WebLine, NotPlaced> {
        let (socket, pipe) = RtpSocket::piped();
        let session = Session::new(PIPED, visitor.codec);
        let sound = Payloads::new(pipe, visitor.codec);
        let line = self.start(room, visitor, (socket, session, self.sounds.clone()))?;
        let WebLine { id, sound: (), far, happened, typed, over, ending, end_of_turn } = line;
        Ok(WebLine { id, sound, far, happened, typed, over, ending, end_of_turn })
    }

    /// The same for somebody whose packets come to this socket, as was agreed with them.
    ///
    /// # Errors
    /// As [`WebCalls::begin`].
    pub fn begin_over(
        &self,
        room: Room,
        visitor: Visitor,
        (socket, session): (RtpSocket, Session),
    ) -> Result<WebLine<()>, NotPlaced> {
        self.start(room, visitor, (socket, session, self.legs.clone()))
    }

    /// A line to somebody who is called so and takes a call over.
    pub fn supervisor(&self, by: &str) -> (Supervisor, Headset) {
        // Whoever only listens is asked by pings whether they are there.
        let options = LegOptions { rtp_timeout: self.house.longest, ..self.sounds.clone() };
        Supervisor::new(by, options, &self.on)
    }

    fn start(
        &self,
        room: Room,
        visitor: Visitor,
        (socket, session, options): (RtpSocket, Session, LegOptions),
    ) -> Result<WebLine<()>, NotPlaced> {
        let queue = self.queue.try_reserve().map_err(|_| NotPlaced::Busy("too many calls begin at once".into(), 1))?;
        let edition = self.house.editions.current();
        let facts = facts(&visitor.number, visitor.from);
        let plan = plan(&edition, &facts)?;
        let is_patient = visitor.manner == Manner::Patient;
        let (audience, happened, typed) = Audience::new(visitor.manner, visitor.remembered);
        let record = Record::come(&self.house, (&facts, plan), (visitor.way, visitor.detail), audience);
        let (id, plan) = (record.key(), plan.name.clone());
        let entry = self.house.live.place(id);
        let (far, dialog) = FarEnd::new();
        let leg = Leg::start(socket, Some(session), options, &self.on);
        // What is handed over whole is heard later than it leaves here: its echo would be looked for in vain.
        let cleaning = Cleaning { echo: self.house.cleaning.echo && !is_patient, ..self.house.cleaning };
        let (over, is_over) = oneshot::channel();
        let turns = edition.dialplans.personas().map(|(_, persona)| persona.turns.within(&self.house.conversation));
        let longest_ms = turns
            .map(|turns| turns.end_of_turn_ms.max(turns.longest_pause_ms))
            .max()
            .unwrap_or(self.house.conversation.longest_pause_ms);
        queue.send(WebCall { record, entry, edition, plan, facts, dialog, leg, cleaning, over, room });
        let ending = self.ending.clone();
        let end_of_turn = Duration::from_millis(longest_ms);
        Ok(WebLine { id, sound: (), far, happened, typed, over: is_over, ending, end_of_turn })
    }
}

impl fmt::Debug for WebCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebCalls").field("up", &self.up).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What a plan may be chosen by.
fn facts(number: &str, from: &str) -> Facts {
    let at = Timestamp::from_millisecond(Stamp::now().millis()).unwrap_or_default();
    Facts { from: from.into(), to: number.into(), at, ..Facts::default() }
}

/// The plan of such a call; one that turns its callers away answers nobody.
fn plan<'e>(edition: &'e Edition, facts: &Facts) -> Result<&'e Plan, NotPlaced> {
    let turns_away = |plan: &&Plan| {
        let first = plan.actions.iter().map(Spanned::get_ref).find(|action| !matches!(action, Action::Ring { .. }));
        matches!(first, Some(Action::Reject { .. } | Action::Redirect { .. }))
    };
    let found = edition.dialplans.choose(facts).filter(|plan| !turns_away(plan));
    found.ok_or_else(|| NotPlaced::Wrong(format!("no plan answers the number {:?} now", facts.to)))
}

/// Takes one such call through its plan. Returns when it is over and its row is closed.
pub async fn take_web(house: Arc<House>, call: WebCall) {
    let WebCall { record: mut log, entry, edition, plan, facts, mut dialog, leg, cleaning, over, room } = call;
    let caller = facts.from.clone();
    let end = match edition.dialplans.plan(&plan) {
        Some(plan) => {
            let mut course = Course::new(&edition.dialplans, plan, Variables::new(facts, log.id()));
            match ring(&mut course, &mut dialog, &entry).await {
                Some(end) => Ok(end),
                None => {
                    let mut line = Line::new(leg, &dialog, (caller, None), (&edition, &log), &house);
                    line.cleaning = cleaning;
                    up(&house, (dialog, line, entry), (None, Standing::Unknown), &mut course, &mut log).await
                }
            }
        }
        // It was looked up in this very edition.
        None => Ok(End::new(HangupBy::Milo, "the plan is gone")),
    };
    let End { by, reason } = end.unwrap_or_else(|error| {
        tracing::warn!(call.id = %log.id(), error = %error, "a call failed");
        End::new(HangupBy::Milo, error.to_string())
    });
    // Whoever reads that it is over finds its place free.
    drop(room);
    log.close(by, &reason);
    // Gone when the caller hung up.
    over.send(Over { by, reason }).ok();
}

/// The caller waits as long as its telephone would ring; an end when it does not.
async fn ring(course: &mut Course<'_>, dialog: &mut Dialog, entry: &Entry) -> Option<End> {
    while let Some(Action::Ring { seconds }) = course.peek() {
        course.next();
        let mut ringing = pin!(sleep(Duration::from_secs(*seconds)));
        loop {
            select! {
                () = &mut ringing => break,
                why = entry.hung_up() => return Some(End::new(HangupBy::Milo, why)),
                event = dialog.next() => if let DialogEvent::Ended(reason) = event {
                    return Some(End::of(&reason, &dialog.reasons()));
                },
            }
        }
    }
    None
}
