//! The leg's task: the socket and the 20 ms clock. The only file of the crate with a clock.

use std::{
    collections::VecDeque,
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

use super::{LegOptions, line::Line};
use crate::{
    FRAME_MS, Frame,
    ears::{Closed, EarsQueue},
    port_pool::RtpSocket,
    resample::Twice,
    rtp::Phase,
    session::{Direction, Session},
    stats::{Gauges, LegStats},
    voice::VoiceQueue,
};

/// The clock of a leg.
pub(super) const TICK: Duration = Duration::from_millis(FRAME_MS as u64);
/// A clock further behind than this (a suspended machine) jumps; one less far behind catches up frame by frame.
const BEHIND: Duration = Duration::from_millis(200);
/// Bytes of the longest datagram looked at; RTP audio is far shorter.
const DATAGRAM: usize = 2048;

/// What the task shares with those who hold the leg.
pub(super) struct Shared {
    pub(super) changes: watch::Receiver<Option<Session>>,
    pub(super) over: Arc<AtomicBool>,
    pub(super) options: LegOptions,
    pub(super) ears: Arc<EarsQueue>,
    pub(super) voice: Arc<VoiceQueue>,
    pub(super) gauges: Arc<Gauges>,
}

/// What a leg's task owns.
pub(super) struct Task {
    pub(super) shared: Shared,
    /// `None` until a session is agreed.
    pub(super) line: Option<Line>,
    /// What is counted here and not by the receiver.
    pub(super) totals: LegStats,
    /// Since when a packet is due.
    pub(super) due_since: Instant,
    /// When the clock should tick next, and when it last did.
    next_tick: Instant,
    pub(super) ticked: Instant,
    pub(super) phase: Phase,
    /// What was played into the last packet, one frame a tick: a packet of 60 ms takes three at once.
    pub(super) sent: VecDeque<Option<Frame>>,
    pub(super) twice: Twice,
    pub(super) narrow: Vec<i16>,
    pub(super) wide: Vec<i16>,
}

impl Task {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            line: None,
            totals: LegStats::default(),
            due_since: now(),
            next_tick: now(),
            ticked: now(),
            phase: Phase::new(rand::random()),
            sent: VecDeque::new(),
            twice: Twice::new(),
            narrow: Vec::with_capacity(Frame::SILENCE.samples().len()),
            wide: Vec::with_capacity(Frame::SILENCE.samples().len()),
        }
    }

    /// Runs until both halves are dropped, the peer has been silent for too long, or the socket fails.
    pub(super) async fn run(mut self, socket: RtpSocket) {
        let RtpSocket { socket, lease } = socket;
        let closed = match UdpSocket::from_std(socket) {
            Ok(socket) => self.clock(&socket).await,
            Err(error) => Closed::Failed(format!("the RTP socket cannot be used: {error}")),
        };
        self.shared.voice.end();
        self.shared.ears.close(closed);
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

    /// 20 ms have passed.
    fn tick(&mut self, socket: &UdpSocket, now: Instant) -> Option<Closed> {
        if self.shared.ears.is_deaf() && self.shared.voice.is_mute() {
            return Some(Closed::Dropped);
        }
        if self.shared.over.load(Ordering::Acquire) {
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
        (now.saturating_duration_since(self.due_since) >= self.shared.options.rtp_timeout).then_some(Closed::Timeout)
    }

    fn publish(&mut self) {
        let mut stats = LegStats { dropped: self.shared.ears.dropped(), ..self.totals };
        if let Some(line) = &mut self.line {
            line.receiver.tell(&mut stats);
            if let Some(percent) = line.loss.tick(stats.received, stats.lost) {
                line.sender.expect_loss(percent);
            }
        }
        self.shared.gauges.write(&stats);
    }
}

impl Drop for Task {
    /// The runtime has ended, or the task panicked: nobody waits for ever.
    fn drop(&mut self) {
        self.shared.voice.end();
        self.shared.ears.close(Closed::Dropped);
    }
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "the edge: the leg's task is where RTP meets the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
