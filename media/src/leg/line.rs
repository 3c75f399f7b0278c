//! What is agreed with the party, and one tick of it: what came is heard, what is played is sent.

use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::task::{TICK, Task};
use crate::{
    Frame, SAMPLE_RATE,
    ears::{Heard, HeardFrame},
    rtp::{Accepted, Loss, Peer, Receiver, Sender},
    session::Direction,
};

/// Datagrams taken at a time, so that a flood cannot hold up the clock.
const BATCH: usize = 64;

/// The agreed line.
pub(super) struct Line {
    pub(super) direction: Direction,
    pub(super) peer: Peer,
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
    pub(super) loss: Loss,
}

impl Task {
    /// Takes the datagrams that are there. Says by how much the clock should tick later, when it should.
    pub(super) fn listen(&mut self, socket: &UdpSocket, datagram: &mut [u8], now: Instant) -> Option<Duration> {
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
                self.shared.ears.push_event(Heard::Digit(digit));
            }
        }
        later
    }

    /// One frame to the ears.
    pub(super) fn hear(&mut self, now: Instant) {
        self.narrow.clear();
        let sent = self.sent.pop_front().flatten();
        let mut heard = HeardFrame { frame: Frame::SILENCE, arrived: now, concealed: false, sent };
        if let Some(line) = &mut self.line {
            let pulled = line.receiver.pull(now, &mut self.narrow);
            heard.frame = if line.receiver.sample_rate() == SAMPLE_RATE {
                Frame::padded(&self.narrow)
            } else {
                self.wide.clear();
                self.twice.push(&self.narrow, &mut self.wide);
                Frame::padded(&self.wide)
            };
            heard.arrived = pulled.arrived.unwrap_or(now);
            heard.concealed = pulled.concealed;
        }
        if !self.shared.ears.is_deaf() {
            self.shared.ears.push_frame(heard);
        }
    }

    /// The packets of this tick to the peer.
    pub(super) fn speak(&mut self, socket: &UdpSocket, now: Instant) {
        let Some(line) = &mut self.line else { return };
        let Some(destination) = line.peer.destination().filter(|_| line.direction.sends()) else {
            line.sender.skip();
            return;
        };
        let (voice, totals, sent) = (&self.shared.voice, &mut self.totals, &mut self.sent);
        let send = |datagram: &[u8]| match socket.try_send_to(datagram, destination) {
            Ok(_) => totals.sent += 1,
            Err(_) => totals.send_errors += 1,
        };
        let next = || {
            let frame = voice.pop(now);
            sent.push_back(frame);
            frame
        };
        line.sender.tick(next, send);
    }

    /// Takes over what was agreed since the last look.
    pub(super) fn agree(&mut self, now: Instant) {
        let session = self.shared.changes.borrow_and_update();
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
                let mut sender = Sender::new(session, rand::random(), rand::random(), rand::random());
                sender.tune(self.shared.options.tuning, session);
                self.line = Some(Line {
                    direction: session.direction,
                    peer: Peer::new(session.remote),
                    receiver: Receiver::new(session, self.shared.options.jitter_ceiling_ms),
                    sender,
                    loss: Loss::default(),
                });
            }
        }
        let line = self.line.iter_mut().filter(|_| !session.direction.receives());
        line.for_each(|line| line.receiver.forget_stream());
        match (sent, session.direction.sends()) {
            (true, false) => self.shared.ears.push_event(Heard::Held),
            (false, true) => self.shared.ears.push_event(Heard::Resumed),
            _ => {}
        }
        self.due_since = now;
    }
}
