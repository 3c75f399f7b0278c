//! One party's audio: its task owns the socket, the codec and the 20 ms clock. The only file with sockets and clocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Interval, MissedTickBehavior, interval_at},
};

use crate::{
    FRAME_MS, Frame,
    ears::{Closed, Ears, EarsQueue, Heard, HeardFrame},
    port_pool::RtpSocket,
    resample::Twice,
    rtp::{Accepted, Peer, Phase, Receiver, Sender},
    session::{Direction, Session},
    stats::{Gauges, LegStats},
    voice::{Voice, VoiceQueue},
};

/// The clock of a leg.
const TICK: Duration = Duration::from_millis(FRAME_MS as u64);
/// A clock further behind than this (a suspended machine) jumps; one less far behind catches up frame by frame.
const BEHIND: Duration = Duration::from_millis(200);
/// Datagrams taken at a time, so that a flood cannot hold up the clock.
const BATCH: usize = 64;
/// Bytes of the longest datagram looked at; RTP audio is far shorter.
const DATAGRAM: usize = 2048;

/// What a leg is told besides its session.
#[derive(Clone, Debug)]
pub struct LegOptions {
    /// After this long without valid RTP, while both sides should send, the leg ends with [`Closed::Timeout`].
    pub rtp_timeout: Duration,
}

impl Default for LegOptions {
    fn default() -> Self {
        Self { rtp_timeout: Duration::from_secs(30) }
    }
}

/// One party's audio. Dropping both `ears` and `voice` ends its task and frees its port.
///
/// ```no_run
/// use milo_media::{Codec, Direction, Heard, Leg, LegOptions, PortPool, Session};
///
/// # async fn echo() -> Result<(), milo_media::MediaError> {
/// let ports = PortPool::new([127, 0, 0, 1].into(), 10_000..=20_000);
/// let session = Session {
///     remote: ([127, 0, 0, 1], 4000).into(),
///     codec: Codec::named("PCMU").expect("in the table"),
///     payload_type: 0,
///     telephone_event: Some(101),
///     ptime_ms: 20,
///     direction: Direction::SendRecv,
/// };
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
        let task = Task {
            changes,
            over: over.clone(),
            options,
            ears: ears.clone(),
            voice: voice.clone(),
            gauges: gauges.clone(),
            line: None,
            totals: LegStats::default(),
            due_since: now(),
            next_tick: now(),
            ticked: now(),
            phase: Phase::new(rand::random()),
            twice: Twice::new(),
            narrow: Vec::with_capacity(Frame::SILENCE.samples().len()),
            wide: Vec::with_capacity(Frame::SILENCE.samples().len()),
        };
        on.spawn(task.run(socket));
        Self { ears: Ears::new(ears), voice: Voice::new(voice), control: Control { session: control, over, gauges } }
    }
}

/// Changes what was agreed (a re-INVITE ends here) and reads how the line is. Cheap to clone; does not keep the leg alive.
#[derive(Clone, Debug)]
pub struct Control {
    session: watch::Sender<Option<Session>>,
    over: Arc<AtomicBool>,
    gauges: Arc<Gauges>,
}

impl Control {
    /// The new agreement, from the next 20 ms on. [`Heard::Held`] and [`Heard::Resumed`] follow from its direction.
    pub fn change(&self, session: Session) {
        self.session.send_replace(Some(session));
    }

    /// The dialog is over: the leg ends within 20 ms, and whoever listens hears [`Closed::HungUp`].
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// How the line is, as of the last 20 ms.
    pub fn stats(&self) -> LegStats {
        self.gauges.read()
    }
}

/// What a leg's task owns.
struct Task {
    changes: watch::Receiver<Option<Session>>,
    over: Arc<AtomicBool>,
    options: LegOptions,
    ears: Arc<EarsQueue>,
    voice: Arc<VoiceQueue>,
    gauges: Arc<Gauges>,
    /// `None` until a session is agreed.
    line: Option<Line>,
    /// What is counted here and not by the receiver.
    totals: LegStats,
    /// Since when a packet is due.
    due_since: Instant,
    /// When the clock should tick next, and when it last did.
    next_tick: Instant,
    ticked: Instant,
    phase: Phase,
    twice: Twice,
    narrow: Vec<i16>,
    wide: Vec<i16>,
}

/// The agreed line.
struct Line {
    direction: Direction,
    peer: Peer,
    receiver: Receiver,
    sender: Sender,
}

impl Task {
    /// Runs until both halves are dropped, the peer has been silent for too long, or the socket fails.
    async fn run(mut self, socket: RtpSocket) {
        let RtpSocket { socket, lease } = socket;
        let closed = match UdpSocket::from_std(socket) {
            Ok(socket) => self.clock(&socket).await,
            Err(error) => Closed::Failed(format!("the RTP socket cannot be used: {error}")),
        };
        self.voice.end();
        self.ears.close(closed);
        drop(lease);
    }

    async fn clock(&mut self, socket: &UdpSocket) -> Closed {
        // A socket of tokio's refuses to send until it was seen writable once.
        if let Err(error) = socket.writable().await {
            return Closed::Failed(format!("the RTP socket cannot send: {error}"));
        }
        self.agree(now());
        let mut datagram = vec![0; DATAGRAM];
        self.next_tick = now();
        let mut ticks = interval_at(self.next_tick.into(), TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                biased;
                due = ticks.tick() => {
                    let now = now();
                    let later = self.listen(socket, &mut datagram, now);
                    self.ticked = now;
                    self.next_tick = due.into_std() + TICK;
                    if let Some(closed) = self.tick(socket, now) {
                        return closed;
                    }
                    self.adjust(later, now, &mut ticks);
                }
                readable = socket.readable() => {
                    if let Err(error) = readable {
                        return Closed::Failed(format!("the RTP socket cannot receive: {error}"));
                    }
                    let now = now();
                    let later = self.listen(socket, &mut datagram, now);
                    self.adjust(later, now, &mut ticks);
                }
            }
        }
    }

    /// Moves the clock when the peer's packets come right at the tick, and after the machine slept: then the timeline
    /// goes on, but what should have been sent meanwhile is not sent at once.
    fn adjust(&mut self, later: Option<Duration>, now: Instant, ticks: &mut Interval) {
        let behind = now.saturating_duration_since(self.next_tick);
        if behind > BEHIND {
            for _ in 0..behind.as_millis() / TICK.as_millis() {
                self.line.iter_mut().for_each(|line| line.sender.skip());
            }
            self.next_tick = now + TICK;
        } else if let Some(later) = later {
            self.next_tick += later;
            self.line.iter_mut().for_each(|line| line.receiver.pulled_better());
        } else {
            return;
        }
        ticks.reset_at(self.next_tick.into());
    }

    /// Takes the datagrams that are there. Says by how much the clock should tick later, when it should.
    fn listen(&mut self, socket: &UdpSocket, datagram: &mut [u8], now: Instant) -> Option<Duration> {
        let mut later = None;
        for _ in 0..BATCH {
            let Ok((length, from)) = socket.try_recv_from(datagram) else { break };
            let Some(line) = &mut self.line else { continue };
            if !line.direction.receives() || !line.peer.may_speak(from, now) {
                self.totals.ignored += 1;
                continue;
            }
            let accepted = line.receiver.accept(&datagram[..length], now);
            if accepted == Accepted::Ignored {
                continue;
            }
            line.peer.heard(from, now);
            self.due_since = now;
            later = later.or(self.phase.packet(TICK.saturating_sub(now.saturating_duration_since(self.ticked))));
            if let Accepted::Digit(digit) = accepted {
                self.ears.push_event(Heard::Digit(digit));
            }
        }
        later
    }

    /// 20 ms have passed.
    fn tick(&mut self, socket: &UdpSocket, now: Instant) -> Option<Closed> {
        if self.ears.is_deaf() && self.voice.is_mute() {
            return Some(Closed::Dropped);
        }
        if self.over.load(Ordering::Acquire) {
            return Some(Closed::HungUp);
        }
        self.agree(now);
        self.hear(now);
        self.speak(socket, now);
        self.publish();
        let due = self.line.as_ref().is_some_and(|line| line.direction == Direction::SendRecv);
        if !due {
            self.due_since = now;
        }
        (now.saturating_duration_since(self.due_since) >= self.options.rtp_timeout).then_some(Closed::Timeout)
    }

    /// One frame to the ears.
    fn hear(&mut self, now: Instant) {
        self.narrow.clear();
        let mut heard = HeardFrame { frame: Frame::SILENCE, arrived: now, concealed: false };
        if let Some(line) = &mut self.line {
            let pulled = line.receiver.pull(&mut self.narrow);
            self.wide.clear();
            self.twice.push(&self.narrow, &mut self.wide);
            heard.frame = Frame::padded(&self.wide);
            heard.arrived = pulled.arrived.unwrap_or(now);
            heard.concealed = pulled.concealed;
        }
        if !self.ears.is_deaf() {
            self.ears.push_frame(heard);
        }
    }

    /// The packets of this tick to the peer.
    fn speak(&mut self, socket: &UdpSocket, now: Instant) {
        let Some(line) = &mut self.line else { return };
        let Some(destination) = line.peer.destination().filter(|_| line.direction.sends()) else {
            line.sender.skip();
            return;
        };
        let (voice, totals) = (&self.voice, &mut self.totals);
        let send = |datagram: &[u8]| match socket.try_send_to(datagram, destination) {
            Ok(_) => totals.sent += 1,
            Err(_) => totals.send_errors += 1,
        };
        line.sender.tick(|| voice.pop(now), send);
    }

    /// Takes over what was agreed since the last look.
    fn agree(&mut self, now: Instant) {
        let session = self.changes.borrow_and_update();
        let Some(session) = session.as_ref().filter(|_| session.has_changed()) else { return };
        let sent = self.line.as_ref().is_none_or(|line| line.direction.sends());
        match &mut self.line {
            Some(line) => {
                line.peer.advertise(session.remote);
                line.receiver.change(session);
                line.sender.change(session);
                line.direction = session.direction;
            }
            None => {
                self.line = Some(Line {
                    direction: session.direction,
                    peer: Peer::new(session.remote),
                    receiver: Receiver::new(session),
                    sender: Sender::new(session, rand::random(), rand::random(), rand::random()),
                });
            }
        }
        let line = self.line.iter_mut().filter(|_| !session.direction.receives());
        line.for_each(|line| line.receiver.forget_stream());
        match (sent, session.direction.sends()) {
            (true, false) => self.ears.push_event(Heard::Held),
            (false, true) => self.ears.push_event(Heard::Resumed),
            _ => {}
        }
        self.due_since = now;
    }

    fn publish(&mut self) {
        let mut stats = LegStats { dropped: self.ears.dropped(), ..self.totals };
        if let Some(line) = &self.line {
            let counts = line.receiver.counts();
            let (jitter_ms, target_ms) = line.receiver.delay_ms();
            stats.received = counts.received;
            stats.lost = counts.lost;
            stats.concealed = counts.concealed;
            stats.late = counts.late;
            stats.duplicate = counts.duplicate;
            stats.ignored += counts.ignored;
            stats.jitter_ms = jitter_ms.round() as u64;
            stats.target_ms = u64::from(target_ms);
        }
        self.gauges.write(&stats);
    }
}

impl Drop for Task {
    /// The runtime has ended, or the task panicked: nobody waits for ever.
    fn drop(&mut self) {
        self.voice.end();
        self.ears.close(Closed::Dropped);
    }
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "the edge: the leg's task is where RTP meets the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
