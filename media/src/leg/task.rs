//! The leg's task: the socket and the 20 ms clock. The only file of the crate that asks what time it is.

use std::{
    collections::VecDeque,
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    select,
    sync::{mpsc, watch},
    time::sleep_until,
};

use super::{
    LegOptions,
    clock::{Clock, TICK, Ticked},
    detour::Detour,
    gallery::Listeners,
    line::Line,
    patch::{Bay, Patch},
};
use crate::{
    BadLine, Frame,
    datagrams::Datagrams,
    dtmf::Presses,
    ears::{Closed, EarsQueue},
    port_pool::RtpSocket,
    record::{Tap, Tape},
    resample::Twice,
    session::{Direction, Session},
    stats::{Gauges, LegStats},
    voice::VoiceQueue,
};

/// So many times as long a peer may send nothing that has said with comfort noise that it is silent.
const RESTS: u32 = 4;

/// What the task shares with those who hold the leg.
pub(super) struct Shared {
    pub(super) changes: watch::Receiver<Option<Session>>,
    pub(super) over: Arc<AtomicBool>,
    /// Keys that signaling told, and how long they had been down.
    pub(super) told: mpsc::Receiver<(char, Duration)>,
    /// The sockets of those who become the leg's party, and what was agreed with them.
    pub(super) moved: mpsc::Receiver<(RtpSocket, Session)>,
    pub(super) options: LegOptions,
    pub(super) ears: Arc<EarsQueue>,
    pub(super) voice: Arc<VoiceQueue>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) bay: Arc<Bay>,
    pub(super) listeners: Listeners,
    pub(super) taps: watch::Receiver<Option<Tap>>,
    pub(super) lines: watch::Receiver<Option<BadLine>>,
}

/// Why a socket is listened to no more.
enum Left {
    Closed(Closed),
    /// The leg's party is somebody else, who sends to another one.
    Moved(RtpSocket),
}

/// What a leg's task owns.
pub(super) struct Task {
    pub(super) shared: Shared,
    /// `None` until a session is agreed.
    pub(super) line: Option<Line>,
    /// The other leg, when there is one; and how many changes of it were seen.
    pub(super) patch: Option<Patch>,
    pub(super) patched: u64,
    /// What is counted here and not by the receiver.
    pub(super) totals: LegStats,
    /// Counted for what is looked at less often than each tick.
    pub(super) ticks: u64,
    /// The socket of RTCP, where that has one of its own.
    pub(super) rtcp: Option<Datagrams>,
    /// Since when a packet is due.
    pub(super) due_since: Instant,
    pub(super) clock: Clock,
    /// What was played into the last packet, one frame a tick: a packet of 60 ms takes three at once.
    pub(super) sent: VecDeque<Option<Frame>>,
    pub(super) presses: Presses,
    /// The other leg's party learns of the key that is down by the packets that tell of it.
    pub(super) key_passes: bool,
    pub(super) twice: Twice,
    pub(super) narrow: Vec<i16>,
    pub(super) wide: Vec<i16>,
    /// While the call is recorded.
    pub(super) tape: Option<Tape>,
    /// Where what is said goes over a bad line.
    pub(super) detour: Option<Detour>,
}

impl Task {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            line: None,
            patch: None,
            patched: 0,
            totals: LegStats::default(),
            ticks: 0,
            rtcp: None,
            due_since: now(),
            clock: Clock::new(now(), rand::random()),
            sent: VecDeque::new(),
            presses: Presses::default(),
            key_passes: false,
            twice: Twice::new(),
            narrow: Vec::with_capacity(Frame::SILENCE.samples().len()),
            wide: Vec::with_capacity(Frame::SILENCE.samples().len()),
            tape: None,
            detour: None,
        }
    }

    /// Runs until both halves are dropped, the peer has been silent for too long, or the socket fails.
    pub(super) async fn run(mut self, socket: RtpSocket) {
        self.clock = Clock::new(now(), rand::random());
        let mut next = Some(socket);
        let mut closed = Closed::Dropped;
        while let Some(RtpSocket { socket, rtcp, lease }) = next.take() {
            closed = match Datagrams::over(socket, now()) {
                Ok(mut socket) => {
                    self.rtcp = rtcp.and_then(|rtcp| Datagrams::new(rtcp, now()).ok());
                    self.mark(&socket);
                    let left = self.clock(&mut socket).await;
                    self.say_goodbye(&socket, now());
                    match left {
                        Left::Closed(closed) => closed,
                        Left::Moved(there) => {
                            next = Some(there);
                            continue;
                        }
                    }
                }
                Err(error) => Closed::Failed(format!("the RTP socket cannot be used: {error}")),
            };
            drop(lease);
        }
        self.shared.voice.end();
        self.shared.listeners.close(&closed);
        self.shared.ears.close(closed);
    }

    /// Marks what leaves. A system that refuses is no reason to refuse the call.
    fn mark(&self, socket: &Datagrams) {
        for socket in [Some(socket), self.rtcp.as_ref()].into_iter().flatten() {
            if let Err(error) = socket.mark(self.shared.options.dscp) {
                tracing::debug!(%error, dscp = self.shared.options.dscp, "packets are not marked");
            }
        }
    }

    async fn clock(&mut self, socket: &mut Datagrams) -> Left {
        self.agree(self.clock.due());
        let mut alarm = pin!(sleep_until(self.clock.due().into()));
        loop {
            let back = self.patch.as_ref().map(|patch| patch.back.clone());
            let late = self.detour.as_ref().and_then(Detour::due);
            select! {
                biased;
                () = alarm.as_mut() => {}
                () = async { match late { Some(due) => sleep_until(due.into()).await, None => pending().await } } => {
                    self.send_late(socket, now());
                    continue;
                }
                () = async { match back { Some(back) => back.came().await, None => pending().await } } => {
                    self.pass_on(socket, now());
                    continue;
                }
            }
            let now = now();
            self.listen(socket, now);
            if let Some(closed) = self.tick(socket, now) {
                return Left::Closed(closed);
            }
            self.set_clock(now);
            if let Ok((there, session)) = self.shared.moved.try_recv() {
                self.take(&session, now);
                return Left::Moved(there);
            }
            // A clock that is behind catches up at twice its pace: nothing leaves in a burst.
            alarm.as_mut().reset(self.clock.due().max(now + TICK / 2).into());
        }
    }

    /// It has ticked. What should have been sent while the machine slept is not sent.
    fn set_clock(&mut self, now: Instant) {
        let Ticked { slept, moved } = self.clock.tick(now);
        for _ in 0..slept {
            self.line.iter_mut().for_each(|line| line.sender.skip());
        }
        if slept > 0 {
            self.tape.iter_mut().for_each(|tape| tape.slept(slept));
        }
        if moved {
            self.line.iter_mut().for_each(|line| line.receiver.pulled_better());
        }
    }

    /// 20 ms have passed.
    fn tick(&mut self, socket: &Datagrams, now: Instant) -> Option<Closed> {
        if self.shared.ears.is_deaf() && self.shared.voice.is_mute() {
            return Some(Closed::Dropped);
        }
        if self.shared.over.load(Ordering::Acquire) {
            return Some(Closed::HungUp);
        }
        self.agree(now);
        self.impair();
        self.tap();
        self.shared.listeners.look();
        self.join();
        if let Some(line) = &mut self.line {
            if let Err(why) = line.shield.tick(now) {
                return Some(Closed::Failed(why));
            }
            line.shield.outgoing(|datagram, to| drop(socket.send(datagram, to)));
        }
        let heard = self.hear(now);
        self.speak(socket, now);
        self.tape.iter_mut().for_each(|tape| tape.tick(&heard, now));
        self.listen_to_reports(now);
        let stats = self.figures();
        self.send_reports(&stats, socket, now);
        self.shared.gauges.write(&stats);
        let due = self.line.as_ref();
        let due = due.filter(|line| line.direction == Direction::SendRecv && !line.agreed.is_early);
        if due.is_none() {
            self.due_since = now;
        }
        let longer = if due.is_some_and(|line| line.receiver.rests()) { RESTS } else { 1 };
        let timeout = self.shared.options.rtp_timeout.saturating_mul(longer);
        (now.saturating_duration_since(self.due_since) >= timeout).then_some(Closed::Timeout)
    }

    /// Sends the packets that were late, and are due.
    fn send_late(&mut self, socket: &Datagrams, now: Instant) {
        let Some(detour) = &mut self.detour else { return };
        // One that cannot be sent is a lost one: that is what such a line is for.
        detour.leave(now, |datagram, to| drop(socket.send(datagram, to)));
    }

    /// Takes over which bad line is wanted.
    fn impair(&mut self) {
        if !self.shared.lines.has_changed().unwrap_or(false) {
            return;
        }
        match (*self.shared.lines.borrow_and_update(), &mut self.detour) {
            (Some(line), Some(detour)) => detour.change(line),
            (line, detour) => *detour = line.map(Detour::new),
        }
    }

    /// Begins and ends the recording of both sides.
    fn tap(&mut self) {
        if self.shared.taps.has_changed().unwrap_or(false) {
            self.tape = self.shared.taps.borrow_and_update().clone().map(Tape::new);
        }
        if self.tape.as_ref().is_some_and(Tape::is_over) {
            self.tape = None;
        }
    }
}

impl Drop for Task {
    /// The runtime has ended, or the task panicked: nobody waits for ever.
    fn drop(&mut self) {
        self.shared.voice.end();
        self.shared.ears.close(Closed::Dropped);
        self.shared.listeners.close(&Closed::Dropped);
        self.patch.iter().for_each(Patch::part);
    }
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "the edge: the leg's task is where RTP meets the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
