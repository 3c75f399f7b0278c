//! What is agreed with the party, and one tick of it: what came is heard, what is played is sent.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    LegOptions,
    patch::{Format, Kind, Passed, Patch},
    task::Task,
};
use crate::{
    Frame, SAMPLE_RATE,
    datagrams::Datagrams,
    dtmf::{Detector, Way},
    ears::{Heard, HeardFrame},
    quality::Level,
    rtp::{Kind as Content, Loss, Packet, Peer, Read, Receiver, Reports, Sender, Taken, is_rtcp, rescale},
    session::{Direction, Rtcp, Session},
    srtp::{Handshaken, Shield},
};

/// How long a key is pressed that no packet of the other leg's peer tells of.
const PRESS: Duration = Duration::from_millis(120);
/// Datagrams looked at in a tick: what the system keeps for a socket, and no flood can hold up the clock.
const BATCH: usize = 256;

/// The agreed line.
pub(super) struct Line {
    pub(super) agreed: Session,
    pub(super) direction: Direction,
    pub(super) peer: Peer,
    pub(super) shield: Shield,
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
    pub(super) loss: Loss,
    /// What the peer says passes to the other leg as it comes.
    passing: bool,
    /// Looks for keys in what is heard, when that was configured.
    pub(super) detector: Option<Detector>,
    pub(super) reports: Reports,
    /// Where the peer's RTCP comes from, when it has a port of its own.
    pub(super) rtcp_from: Option<SocketAddr>,
    /// RTCP that came from elsewhere.
    pub(super) strange_reports: u64,
    pub(super) level: Level,
}

impl Line {
    fn new(session: &Session, options: &LegOptions, now: Instant) -> Self {
        let ssrc = session.ssrc.unwrap_or_else(rand::random);
        // RFC 3711 section 3.3.1: far from the wrap, so that losing the first packets does not lose count.
        let first = rand::random::<u16>() >> 1;
        let mut sender = Sender::new(session, ssrc, first, rand::random());
        sender.tune(options.tuning, session);
        sender.hush(options.silence, session);
        Self {
            agreed: session.clone(),
            direction: session.direction,
            peer: Peer::new(session.remote, session.signalling, session.codec.clock_rate, options.learn_from),
            shield: Shield::new(&session.security, session.remote, session.signalling),
            receiver: Receiver::new(session, options.jitter_ceiling_ms),
            sender,
            loss: Loss::default(),
            passing: false,
            detector: detector(None, session, options),
            reports: Reports::new(ssrc, session.codec.clock_rate, rand::random(), now),
            rtcp_from: None,
            strange_reports: 0,
            level: Level::default(),
        }
    }

    fn change(&mut self, session: &Session, options: &LegOptions) {
        self.peer.advertise(session.remote, session.signalling, session.codec.clock_rate);
        self.shield.change(&session.security, session.remote, session.signalling);
        self.receiver.change(session);
        self.sender.change(session);
        if session.rtcp != self.agreed.rtcp {
            self.rtcp_from = None;
        }
        self.detector = detector(self.detector.take(), session, options);
        self.direction = session.direction;
        self.agreed = session.clone();
        self.level.listen_anew();
    }

    /// Is this datagram from the source that is heard, or does it make its source that one?
    fn may_speak(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) -> bool {
        self.peer.is_learned(from)
            || self.receiver.packet(datagram).is_some_and(|(packet, _)| self.peer.judge(from, &packet, now))
    }

    /// The receiver has taken this packet, which was opened where it had to be.
    fn heard(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some((packet, is_audio)) = self.receiver.packet(datagram) else { return };
        if !self.peer.is_learned(from) {
            self.peer.prove(from, now);
        }
        self.peer.heard(packet.ssrc, packet.sequence, now);
        if self.reports.hearing(packet.ssrc, packet.sequence, packet.timestamp, is_audio, now) == Read::Collision {
            self.sender.rename(self.reports.ssrc());
        }
    }

    /// Gives a packet of the peer's to the other leg. `with_key`: if it is a key's, the other party learns of the key by it.
    fn pass(&self, datagram: &[u8], taken: Taken, with_key: bool, patch: &Patch) {
        // What came before has passed, and what nobody has confirmed may be a stranger's.
        let (Some(packet), Some(ordinal)) = (Packet::parse(datagram), taken.ordinal) else { return };
        let kind = match taken.kind {
            Content::Audio => Kind::Audio,
            Content::Noise => Kind::Noise,
            Content::Event if with_key => Kind::Event { clock_rate: self.agreed.telephone_event_clock },
            Content::Event => Kind::Nothing,
        };
        patch.out.pass(kind, ordinal, &packet);
    }

    /// Sends a packet of the other leg's peer; nothing where the peer has no use for it.
    fn pass_on(&mut self, passed: &mut Passed, now: Instant, mut send: impl FnMut(Option<&[u8]>)) {
        let &mut Passed { kind, ordinal, marker, timestamp, ref mut payload } = passed;
        let payload_type = match kind {
            Kind::Audio => Some(self.agreed.payload_type),
            Kind::Event { clock_rate } => {
                rescale(payload, clock_rate, self.agreed.telephone_event_clock);
                self.agreed.telephone_event
            }
            Kind::Noise => self.agreed.comfort_noise,
            Kind::Nothing => None,
        };
        let Some(payload_type) = payload_type else { return self.sender.leave_out(ordinal) };
        let packet = Packet { marker, payload_type, ssrc: 0, sequence: 0, timestamp, payload };
        let (shield, reports) = (&mut self.shield, &mut self.reports);
        self.sender.pass(ordinal, &packet, |packet| {
            reports.leaves(packet, now);
            send(shield.seal(packet));
        });
    }
}

/// What looks for keys in the audio of this session: the one there is, a new one, or nothing.
fn detector(present: Option<Detector>, session: &Session, options: &LegOptions) -> Option<Detector> {
    let look = options.inband_digits.look(session.telephone_event.is_some());
    look.then(|| present.unwrap_or_default())
}

impl Task {
    /// Takes the datagrams that are there.
    pub(super) fn listen(&mut self, socket: &Datagrams, now: Instant) {
        socket.take(now, BATCH, |datagram, from, arrived| {
            let Some(line) = &mut self.line else { return };
            if line.shield.is_handshake(datagram) {
                match line.shield.handshake(datagram, from, arrived) {
                    Handshaken::With(peer) => line.peer.prove(peer, arrived),
                    Handshaken::Stranger => self.totals.ignored += 1,
                    Handshaken::NotYet => {}
                }
                line.shield.outgoing(|datagram, to| drop(socket.send(datagram, to)));
                return;
            }
            if line.agreed.rtcp == Rtcp::Mux && is_rtcp(datagram) {
                if line.report(datagram, from, arrived) {
                    self.due_since = arrived;
                }
                return;
            }
            // Who has the key is the peer, wherever its packets come from.
            let may_speak = line.shield.is_secure() || line.may_speak(datagram, from, arrived);
            if !line.direction.receives() || !may_speak {
                self.totals.ignored += 1;
                return;
            }
            let packet = match line.shield.open(datagram) {
                Ok(packet) => packet,
                Err(refused) => {
                    *self.totals.of(refused) += 1;
                    return;
                }
            };
            let Some(taken) = line.receiver.accept(packet, arrived) else { return };
            line.heard(packet, from, arrived);
            self.due_since = arrived;
            self.clock.arrived(arrived);
            for key in taken.keys {
                self.key_passes = taken.ordinal.is_some();
                self.heard_key(Way::Event, key, Duration::ZERO, arrived);
            }
            if let (Some(line), Some(patch)) = (self.line.as_ref().filter(|line| line.passing), &self.patch) {
                line.pass(packet, taken, self.key_passes, patch);
            }
        });
    }

    /// One frame to the ears.
    pub(super) fn hear(&mut self, now: Instant) -> Frame {
        while let Ok((key, lasted)) = self.shared.told.try_recv() {
            self.heard_key(Way::Info, key, lasted, now);
        }
        // A packet holds 60 ms at most; what is older was sent while nobody listened beside it.
        while self.sent.len() > 3 {
            self.sent.pop_front();
        }
        let sent = self.sent.pop_front().flatten();
        // Where keys are looked for in the sound, it is decoded even while it passes.
        let passing = self.line.as_mut().filter(|line| line.passing && line.detector.is_none());
        if let (Some(line), Some(Patch { tapped: false, .. })) = (passing, &self.patch) {
            let over = line.receiver.pass_over();
            if line.receiver.has_heard() {
                line.level.passes(over);
            } else {
                line.level.pass();
            }
            return Frame::SILENCE;
        }
        self.narrow.clear();
        let mut heard = HeardFrame { frame: Frame::SILENCE, arrived: now, at: now, concealed: false, sent };
        if let Some(line) = &mut self.line {
            let pulled = line.receiver.pull(now, &mut self.narrow);
            heard.frame = if line.receiver.sample_rate() == SAMPLE_RATE {
                Frame::padded(&self.narrow)
            } else {
                self.wide.clear();
                self.twice.push(&self.narrow, &mut self.wide);
                Frame::padded(&self.wide)
            };
            // Before the first packet, during a hold, and in a pause of the peer's nothing is measured.
            let sound = if pulled.arrived.is_some() { &self.narrow[..] } else { &[] };
            if line.direction.receives() && line.receiver.has_heard() {
                line.level.hear(sound, pulled.concealed);
            } else {
                line.level.pass();
            }
            heard.arrived = pulled.arrived.unwrap_or(now);
            heard.concealed = pulled.concealed;
        }
        // The echo of our own tones is no key of the party's.
        let looking = self.line.as_mut().filter(|line| !line.sender.sounds_a_key());
        let found = looking.and_then(|line| line.detector.as_mut()?.push(&heard.frame));
        if let Some(key) = found {
            self.heard_key(Way::Tone, key, Duration::ZERO, now);
        }
        if !self.shared.ears.is_deaf() {
            self.shared.ears.push_frame(heard);
        }
        self.shared.listeners.hear(heard);
        heard.frame
    }

    /// A press was told; it is heard once, whichever ways it comes, and the other leg's party learns of it once: by the
    /// packets that tell of it, where they pass and it takes such, by the tones in the audio, or because it is pressed anew.
    fn heard_key(&mut self, way: Way, key: char, lasted: Duration, now: Instant) {
        if !self.presses.accept(way, key, lasted, now) {
            self.key_passes &= way != Way::Event;
            return;
        }
        self.shared.ears.push_event(Heard::Digit(key));
        let Some(patch) = &self.patch else { return };
        let takes_events = patch.out.takes_events();
        let is_told = match way {
            Way::Event => {
                self.key_passes &= takes_events && patch.out.is_passing();
                self.key_passes
            }
            // Between the two somebody may let nothing of the sound through.
            Way::Tone => !takes_events && !patch.apart,
            Way::Info => false,
        };
        if !is_told {
            patch.out.press(key);
        }
    }

    /// Takes over which other leg this one is joined with, and agrees with it on what passes.
    pub(super) fn join(&mut self) {
        if let Some(patch) = self.shared.bay.changed(&mut self.patched) {
            self.patch.iter().for_each(Patch::part);
            self.patch = patch;
        }
        let other = self.patch.as_ref().and_then(|patch| {
            patch.out.ticks(self.clock.aim());
            patch.back.tick()
        });
        self.clock.beside(other);
        let Some(line) = &mut self.line else { return };
        // What is recorded, listened to besides, or heard by somebody between the two, is heard frame by frame.
        let apart = self.patch.as_ref().is_some_and(|patch| patch.apart);
        let is_heard = self.tape.is_some() || self.shared.listeners.any() || apart;
        line.passing = self.patch.as_ref().is_some_and(|patch| {
            let taken = Format::taken_by(&line.agreed).filter(|_| line.direction.sends() && !is_heard);
            patch.back.takes(taken, line.agreed.telephone_event.is_some());
            // A key found in the sound is told anew to a party that is told keys: were the sound to pass, it would come twice.
            let turns_tones = line.detector.is_some() && patch.out.takes_events();
            let sends = line.direction.receives() && !is_heard && !turns_tones;
            patch.out.gives(sends.then(|| Format::sent_by(&line.agreed)))
        });
    }

    /// Sends what the other leg's peer has said, and presses its keys.
    pub(super) fn pass_on(&mut self, socket: &Datagrams, now: Instant) {
        let Some(patch) = &self.patch else { return };
        while let Some(key) = patch.back.take_key() {
            self.shared.voice.press_at_once(key, PRESS);
        }
        let Some(line) = &mut self.line else { return };
        // What is queued in our own voice is said first, alone.
        let sends = line.direction.sends() && line.shield.is_ready() && !self.shared.voice.is_waiting();
        let destination = line.peer.destination().filter(|_| sends);
        let totals = &mut self.totals;
        patch.back.take(|passed| {
            let Some(destination) = destination else { return };
            line.pass_on(passed, now, |sealed| match sealed.map(|datagram| socket.send(datagram, destination)) {
                Some(Ok(_)) => totals.sent += 1,
                Some(Err(_)) | None => totals.send_errors += 1,
            });
        });
    }

    /// The packets of this tick to the peer.
    pub(super) fn speak(&mut self, socket: &Datagrams, now: Instant) {
        self.pass_on(socket, now);
        let Some(line) = &mut self.line else { return };
        let Some(destination) = line.peer.destination().filter(|_| line.direction.sends() && line.shield.is_ready())
        else {
            line.sender.skip();
            return;
        };
        let (voice, totals) = (&self.shared.voice, &mut self.totals);
        let (sent, tape) = (&mut self.sent, &mut self.tape);
        let (shield, reports, detour) = (&mut line.shield, &mut line.reports, &mut self.detour);
        let send = |packet: &[u8]| {
            reports.leaves(packet, now);
            let sealed = shield.seal(packet).map(|datagram| {
                let passes = detour.as_mut().is_none_or(|detour| detour.passes(datagram, destination, now));
                if passes { socket.send(datagram, destination) } else { Ok(datagram.len()) }
            });
            match sealed {
                Some(Ok(_)) => totals.sent += 1,
                Some(Err(_)) | None => totals.send_errors += 1,
            }
        };
        if self.patch.as_ref().is_some_and(|patch| patch.back.is_passing()) && !voice.is_waiting() {
            // The other leg's peer keeps the time, and while it pauses, so do we.
            line.sender.lend(send);
            return;
        }
        let next = |key: Option<Frame>| {
            let frame = key.or_else(|| voice.pop(now));
            sent.push_back(frame);
            tape.iter_mut().for_each(|tape| tape.sent(frame.unwrap_or_default()));
            frame
        };
        line.sender.tick(next, || voice.pop_key(), send);
    }

    /// Takes over what was agreed since the last look.
    pub(super) fn agree(&mut self, now: Instant) {
        let changed = {
            let session = self.shared.changes.borrow_and_update();
            session.as_ref().filter(|_| session.has_changed()).cloned()
        };
        changed.iter().for_each(|session| self.take(session, now));
    }

    /// This is what is agreed from now on.
    pub(super) fn take(&mut self, session: &Session, now: Instant) {
        let sent = self.line.as_ref().is_none_or(|line| line.direction.sends());
        let line = match &mut self.line {
            Some(line) => {
                line.change(session, &self.shared.options);
                line
            }
            None => self.line.insert(Line::new(session, &self.shared.options, now)),
        };
        line.reports.change(session.codec.clock_rate, session.extended);
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
