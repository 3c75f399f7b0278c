//! One party's audio: its task owns the socket, the codec and the 20 ms clock.
//!
//! `mod.rs`: what others hold of a leg. `task.rs`: the socket. `clock.rs`: when it ticks. `line.rs`: what is agreed, and one tick of it,
//! both ways. `patch.rs`: what passes to another leg. `gallery.rs`: who listens besides. `control.rs`: its RTCP, and what it says of its
//! quality. `detour.rs`: a bad line in front of it, for telephones that want one.

mod clock;
mod control;
mod detour;
#[cfg(test)]
mod drift_tests;
mod gallery;
mod line;
pub(crate) mod patch;
mod task;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use crate::{
    BadLine, MediaError,
    codec::{Codec, PCMU, Tuning},
    dtmf::InbandDigits,
    ears::{Ears, EarsQueue},
    port_pool::RtpSocket,
    record::Tap,
    rtp::{LearnFrom, Silence},
    session::{Direction, Session},
    stats::{Gauges, LegStats},
    voice::{Voice, VoiceQueue},
};

use gallery::{Gallery, Listeners};
use patch::Bay;
pub(crate) use task::now;
use task::{Shared, Task};

/// Keys told by signaling that wait for the leg's next tick.
const TOLD_KEYS: usize = 32;
/// The payload type of keys between two legs that are back to back; no codec of ours has it.
const KEYS: u8 = 101;

/// What a leg is told besides its session.
#[derive(Clone, Debug)]
pub struct LegOptions {
    /// After this long without valid RTP, while both sides should send, the leg ends with [`crate::Closed::Timeout`]. The
    /// peer's RTCP counts too, unless it says that RTP is on its way which does not come; it comes every five seconds. After
    /// comfort noise (RFC 3389), which announces silence, it takes four times as long.
    pub rtp_timeout: Duration,
    /// The most audio, in milliseconds, that the jitter buffer holds back because packets come late; at least 20.
    pub jitter_ceiling_ms: u32,
    /// What is wanted of a codec that has a choice (Opus), within what the peer can take.
    pub tuning: Tuning,
    /// When keys are looked for in the audio itself.
    pub inband_digits: InbandDigits,
    /// What leaves while nothing is said.
    pub silence: Silence,
    /// The DSCP (RFC 2474) of what is sent, 0 to 63; 46 is expedited forwarding.
    pub dscp: u8,
    /// From where the peer's audio is learned when it does not come from the address of the SDP.
    pub learn_from: LearnFrom,
}

impl Default for LegOptions {
    fn default() -> Self {
        Self {
            rtp_timeout: Duration::from_secs(30),
            jitter_ceiling_ms: 200,
            tuning: Tuning::default(),
            inband_digits: InbandDigits::Auto,
            silence: Silence::default(),
            dscp: 46,
            learn_from: LearnFrom::Host,
        }
    }
}

/// One party's audio. Dropping both `ears` and `voice` ends its task and frees its port.
///
/// ```no_run
/// use milo_media::{Codec, Heard, Leg, LegOptions, PortPool, Session};
///
/// # async fn echo() -> Result<(), milo_media::MediaError> {
/// let ports = PortPool::new([127, 0, 0, 1].into(), 10_000..=20_000);
/// let pcmu = Codec::named("PCMU").expect("in the table");
/// let session = Session { telephone_event: Some(101), ..Session::new(([127, 0, 0, 1], 4000).into(), pcmu) };
/// let mut leg = Leg::start(ports.bind()?, Some(session), LegOptions::default(), &tokio::runtime::Handle::current());
/// while let Heard::Frame(heard) = leg.ears.next().await {
///     leg.voice.play(heard.frame).await;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Leg {
    /// What the party says.
    pub ears: Ears,
    /// What is said to it.
    pub voice: Voice,
    /// What is agreed with it, and how the line is.
    pub control: Control,
}

impl Leg {
    /// Starts the leg's task on this runtime. Without a session (an INVITE without an offer) it waits for
    /// [`Control::change`], and hears silence until then.
    pub fn start(
        socket: RtpSocket,
        session: Option<Session>,
        options: LegOptions,
        on: &tokio::runtime::Handle,
    ) -> Self {
        let ears = Arc::new(EarsQueue::default());
        let voice = Arc::new(VoiceQueue::default());
        let gauges = Arc::new(Gauges::default());
        let (control, mut changes) = watch::channel(session);
        changes.mark_changed();
        let over = Arc::new(AtomicBool::new(false));
        let bay = Arc::new(Bay::default());
        let gallery = Arc::new(Gallery::default());
        let (tap, taps) = watch::channel(None);
        let (line, lines) = watch::channel(None);
        let (tell, told) = mpsc::channel(TOLD_KEYS);
        let (moves, moved) = mpsc::channel(1);
        let shared = Shared {
            moved,
            bay: bay.clone(),
            listeners: Listeners::of(Arc::clone(&gallery)),
            changes,
            over: over.clone(),
            told,
            options,
            ears: ears.clone(),
            voice: voice.clone(),
            gauges: gauges.clone(),
            taps,
            lines,
        };
        on.spawn(Task::new(shared).run(socket));
        Self {
            ears: Ears::new(ears),
            voice: Voice::new(voice),
            control: Control { session: control, over, tell, moves, gauges, bay, gallery, tap, line },
        }
    }
}

/// Changes what was agreed (a re-INVITE ends here) and reads how the line is. Cheap to clone; does not keep the leg alive.
#[derive(Clone, Debug)]
pub struct Control {
    session: watch::Sender<Option<Session>>,
    over: Arc<AtomicBool>,
    tell: mpsc::Sender<(char, Duration)>,
    moves: mpsc::Sender<(RtpSocket, Session)>,
    gauges: Arc<Gauges>,
    /// Where the leg is joined with another.
    pub(crate) bay: Arc<Bay>,
    gallery: Arc<Gallery>,
    tap: watch::Sender<Option<Tap>>,
    line: watch::Sender<Option<BadLine>>,
}

impl Control {
    /// The new agreement, from the next 20 ms on. [`crate::Heard::Held`] and [`crate::Heard::Resumed`] follow from its direction.
    pub fn change(&self, session: Session) {
        self.session.send_replace(Some(session));
    }

    /// Somebody else is the leg's party from the next 20 ms on: what was agreed with them, and the socket that they send to. The
    /// socket of before is given back; whoever holds the leg's ears and voice hears and speaks on.
    pub fn move_to(&self, socket: RtpSocket, session: Session) {
        // Full, or the leg has ended: the newcomer is heard by nobody, and its dialog ends with the leg's.
        if self.moves.try_send((socket, session.clone())).is_ok() {
            self.change(session);
        }
    }

    /// Nobody is the leg's party for now: it is as if it were on hold, until [`Control::move_to`] or [`Control::change`].
    pub fn vacate(&self) {
        self.session.send_modify(|session| {
            session.iter_mut().for_each(|session| session.direction = Direction::Inactive);
        });
    }

    /// Two legs, whose parties are gone, are each other's parties from now on: what is said on one is heard on the other. They speak
    /// over sockets of their own on this machine's loopback, in the codec of the first, so that its packets may pass as they are.
    /// Returns what does it; until that is called, nothing has changed.
    ///
    /// # Errors
    /// [`MediaError::Bind`].
    pub fn back_to_back(&self, other: &Self) -> Result<impl FnOnce() + use<>, MediaError> {
        let (one, two) = (RtpSocket::on_loopback()?, RtpSocket::on_loopback()?);
        let codec = self.codec().or_else(|| other.codec()).unwrap_or(&PCMU);
        let session = |remote| Session { telephone_event: Some(KEYS), ..Session::new(remote, codec) };
        let (to_two, to_one) = (session(two.local_addr()?), session(one.local_addr()?));
        let (here, there) = (self.clone(), other.clone());
        Ok(move || {
            here.move_to(one, to_two);
            there.move_to(two, to_one);
        })
    }

    /// The agreed codec; `None` until a session is agreed.
    pub fn codec(&self) -> Option<&'static Codec> {
        self.session.borrow().as_ref().map(|session| session.codec)
    }

    /// The dialog is over: the leg ends within 20 ms, and whoever listens hears [`crate::Closed::HungUp`].
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Both sides go to this recording, from the next 20 ms on until the call is done with it or the leg ends. Another one
    /// before ends.
    pub fn record(&self, tap: Tap) {
        self.tap.send_replace(Some(tap));
    }

    /// Somebody listens besides, from the next 20 ms on until what is returned is dropped: each frame is what the party says with what
    /// it was sent, whoever has the leg's ears. Who is slow loses the oldest ([`Ears::dropped`]), and nobody waits for them. That they
    /// are few is the caller's matter: each costs the leg a copy of every frame.
    pub fn overhear(&self) -> Ears {
        self.gallery.enter()
    }

    /// From the next 20 ms on those who listen besides hear silence, for card numbers; or again what is said.
    pub fn keep_private(&self, is_private: bool) {
        self.gallery.keep_private(is_private);
    }

    /// From the next 20 ms on, what this leg says in RTP goes over this line; its RTCP does not. For a telephone that simulates one.
    pub fn impair(&self, line: BadLine) {
        self.line.send_replace(Some(line));
    }

    /// A key that was told by signaling (SIP INFO), after it had been down for `lasted`: comes as
    /// [`crate::Heard::Digit`], unless the same press is heard on the line too. Of more than 32 within 20 ms the newest
    /// are lost.
    pub fn hear_key(&self, key: char, lasted: Duration) {
        // Full, or the leg has ended: nobody waits for it.
        let _ = self.tell.try_send((key, lasted));
    }

    /// Whether the party has us on hold: nothing may be sent to it.
    pub fn is_held(&self) -> bool {
        self.session.borrow().as_ref().is_some_and(|session| !session.direction.sends())
    }

    /// Whether telephone-event was agreed on: then [`Voice::press`] goes out so, else as tones.
    pub fn has_key_events(&self) -> bool {
        self.session.borrow().as_ref().is_some_and(|session| session.telephone_event.is_some())
    }

    /// How the line is, as of the last 20 ms.
    pub fn stats(&self) -> LegStats {
        self.gauges.read()
    }
}
