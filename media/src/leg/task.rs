//! The leg's task: the socket and the 20 ms clock. The only file of the crate with a clock.

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
    line::Line,
    patch::{Bay, Patch},
};
use crate::{
    FRAME_MS, Frame,
    datagrams::Datagrams,
    dtmf::Presses,
    ears::{Closed, EarsQueue},
    port_pool::RtpSocket,
    record::{Tap, Tape},
    resample::Twice,
    rtp::Phase,
    session::{Direction, Session},
    stats::{Gauges, LegStats},
    voice::VoiceQueue,
};

/// The clock of a leg.
pub(super) const TICK: Duration = Duration::from_millis(FRAME_MS as u64);
/// A clock further behind than this (a suspended machine) jumps; one less far behind catches up frame by frame, a frame each 10 ms.
const BEHIND: Duration = Duration::from_millis(200);

/// What the task shares with those who hold the leg.
pub(super) struct Shared {
    pub(super) changes: watch::Receiver<Option<Session>>,
    pub(super) over: Arc<AtomicBool>,
    /// Keys that signaling told, and how long they had been down.
    pub(super) told: mpsc::Receiver<(char, Duration)>,
    pub(super) options: LegOptions,
    pub(super) ears: Arc<EarsQueue>,
    pub(super) voice: Arc<VoiceQueue>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) bay: Arc<Bay>,
    pub(super) taps: watch::Receiver<Option<Tap>>,
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
    /// When the clock should tick next, and when it last did.
    due: Instant,
    pub(super) ticked: Instant,
    pub(super) phase: Phase,
    /// What was played into the last packet, one frame a tick: a packet of 60 ms takes three at once.
    pub(super) sent: VecDeque<Option<Frame>>,
    pub(super) presses: Presses,
    pub(super) twice: Twice,
    pub(super) narrow: Vec<i16>,
    pub(super) wide: Vec<i16>,
    /// While the call is recorded.
    pub(super) tape: Option<Tape>,
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
            due: now(),
            ticked: now(),
            phase: Phase::new(rand::random()),
            sent: VecDeque::new(),
            presses: Presses::default(),
            twice: Twice::new(),
            narrow: Vec::with_capacity(Frame::SILENCE.samples().len()),
            wide: Vec::with_capacity(Frame::SILENCE.samples().len()),
            tape: None,
        }
    }

    /// Runs until both halves are dropped, the peer has been silent for too long, or the socket fails.
    pub(super) async fn run(mut self, socket: RtpSocket) {
        let RtpSocket { socket, rtcp, lease } = socket;
        let closed = match Datagrams::new(socket, now()) {
            Ok(mut socket) => {
                self.rtcp = rtcp.and_then(|rtcp| Datagrams::new(rtcp, now()).ok());
                self.mark(&socket);
                let closed = self.clock(&mut socket).await;
                self.say_goodbye(&socket, now());
                closed
            }
            Err(error) => Closed::Failed(format!("the RTP socket cannot be used: {error}")),
        };
        self.shared.voice.end();
        self.shared.ears.close(closed);
        drop(lease);
    }

    /// Marks what leaves. A system that refuses is no reason to refuse the call.
    fn mark(&self, socket: &Datagrams) {
        for socket in [Some(socket), self.rtcp.as_ref()].into_iter().flatten() {
            if let Err(error) = socket.mark(self.shared.options.dscp) {
                tracing::debug!(%error, dscp = self.shared.options.dscp, "packets are not marked");
            }
        }
    }

    async fn clock(&mut self, socket: &mut Datagrams) -> Closed {
        self.due = now();
        self.agree(self.due);
        let mut alarm = pin!(sleep_until(self.due.into()));
        loop {
            let back = self.patch.as_ref().map(|patch| patch.back.clone());
            select! {
                biased;
                () = alarm.as_mut() => {}
                () = async { match back { Some(back) => back.came().await, None => pending().await } } => {
                    self.pass_on(socket, now());
                    continue;
                }
            }
            let now = now();
            let later = self.listen(socket, now);
            self.ticked = now;
            if let Some(closed) = self.tick(socket, now) {
                return closed;
            }
            self.set_clock(later, now);
            // A clock that is behind catches up at twice its pace: nothing leaves in a burst.
            alarm.as_mut().reset(self.due.max(now + TICK / 2).into());
        }
    }

    /// The next tick is due 20 ms after this one was. The clock moves when the peer's packets come right at the tick, and
    /// after the machine slept: then the timeline goes on, but what should have been sent meanwhile is not sent.
    fn set_clock(&mut self, later: Option<Duration>, now: Instant) {
        self.due += TICK;
        let behind = now.saturating_duration_since(self.due);
        if behind > BEHIND {
            let ticks = behind.as_millis() / TICK.as_millis();
            for _ in 0..ticks {
                self.line.iter_mut().for_each(|line| line.sender.skip());
            }
            self.tape.iter_mut().for_each(|tape| tape.slept(u32::try_from(ticks).unwrap_or(u32::MAX)));
            self.due = now + TICK;
        } else if let Some(later) = later {
            self.due += later;
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
        self.tap();
        self.join();
        if let Some(line) = &mut self.line {
            if let Err(why) = line.shield.tick(now) {
                return Some(Closed::Failed(why));
            }
            line.shield.outgoing(|datagram, to| drop(socket.send(datagram, to)));
        }
        let heard = self.hear(now);
        self.speak(socket, now);
        self.tape.iter_mut().for_each(|tape| tape.tick(&heard));
        self.listen_to_reports(now);
        self.send_reports(socket, now);
        let stats = self.figures();
        self.shared.gauges.write(&stats);
        let due = self.line.as_ref().is_some_and(|line| line.direction == Direction::SendRecv && !line.agreed.is_early);
        if !due {
            self.due_since = now;
        }
        (now.saturating_duration_since(self.due_since) >= self.shared.options.rtp_timeout).then_some(Closed::Timeout)
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
        self.patch.iter().for_each(Patch::part);
    }
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "the edge: the leg's task is where RTP meets the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
