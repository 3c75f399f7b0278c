//! From frames to packets: one call each 20 ms, packets of the negotiated length, one unbroken RTP timeline.

use crate::{
    FRAME_MS, Frame, SAMPLE_RATE, Session,
    codec::{Codec, Encoder, Tuning},
    dtmf::{Keypad, Press, Slot},
    resample::Halve,
};

use super::{
    HEADER, Packet,
    passage::{Ordinal, Passage},
    silence::{Hush, Leaves, Silence},
};

/// One direction of an RTP stream that we send.
pub(crate) struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    codec: &'static Codec,
    encoder: Box<dyn Encoder>,
    /// What we want of the encoder; the peer may want less.
    tuning: Tuning,
    payload_type: u8,
    telephone_event: Option<u8>,
    comfort_noise: Option<u8>,
    /// Hz; durations of events are counted on it, their timestamps are those of the audio.
    event_clock: u32,
    keypad: Keypad,
    ptime_ms: u32,
    /// Milliseconds of the timeline that have passed and are in no packet yet.
    owed_ms: u32,
    /// Samples at the codec's rate that are in no packet yet.
    samples: Vec<i16>,
    halve: Halve,
    datagram: Vec<u8>,
    /// The next packet with played audio begins a talkspurt.
    quiet: bool,
    hush: Hush,
    /// The stream that passes through ours.
    passage: Option<Passage>,
}

impl Sender {
    /// A stream that begins with these numbers, which should be random (RFC 3550 section 5.1).
    pub(crate) fn new(session: &Session, ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        let mut sender = Self {
            ssrc,
            sequence,
            timestamp,
            codec: session.codec,
            encoder: (session.codec.encoder)(),
            tuning: Tuning::default(),
            payload_type: session.payload_type,
            telephone_event: session.telephone_event,
            comfort_noise: session.comfort_noise,
            event_clock: session.telephone_event_clock,
            keypad: Keypad::default(),
            ptime_ms: 20,
            owed_ms: 0,
            samples: Vec::with_capacity(640),
            halve: Halve::new(),
            datagram: Vec::with_capacity(HEADER + 480),
            quiet: true,
            hush: Hush::default(),
            passage: None,
        };
        sender.change(session);
        sender.owed_ms = sender.ptime_ms.saturating_sub(FRAME_MS);
        sender
    }

    /// What is wanted of the encoder, within what the peer can take.
    pub(crate) fn tune(&mut self, tuning: Tuning, session: &Session) {
        self.tuning = tuning;
        let most = session.max_bitrate.map_or(tuning.most, |most| most.min(tuning.most));
        let dtx = tuning.dtx || self.hush.by_codec();
        self.encoder.tune(&Tuning { most, dtx, fec: tuning.fec && session.in_band_fec, ..tuning });
    }

    /// What leaves while nothing is said.
    pub(crate) fn hush(&mut self, silence: Silence, session: &Session) {
        self.hush = Hush::new(silence);
        self.tune(self.tuning, session);
    }

    /// This share of our packets is lost on the way, in percent.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// A new agreement: SSRC and timeline go on (RFC 3264 section 8.3.2).
    pub(crate) fn change(&mut self, session: &Session) {
        let before = (self.codec, self.telephone_event, self.ptime_ms);
        let is_another = session.codec != self.codec || session.codec.ptime_ms(session.ptime_ms) != self.ptime_ms;
        if session.codec != self.codec {
            // What waits is at the other codec's rate, and half a packet at most.
            self.samples.clear();
            self.encoder = (session.codec.encoder)();
            self.codec = session.codec;
        }
        self.payload_type = session.payload_type;
        self.telephone_event = session.telephone_event;
        self.comfort_noise = session.comfort_noise;
        self.event_clock = session.telephone_event_clock;
        self.ptime_ms = session.codec.ptime_ms(session.ptime_ms);
        self.tune(self.tuning, session);
        if before != (self.codec, self.telephone_event, self.ptime_ms) {
            self.keypad.let_go();
        }
        // The first packet of another kind leaves with the next tick; the same agreement once more changes nothing.
        if is_another {
            self.owed_ms = self.ptime_ms.saturating_sub(FRAME_MS);
        }
    }

    /// 20 ms have passed: takes the frames that leave now and gives the packets.
    ///
    /// `take` gives what is to be played, `None` for silence; it is called for a frame only when a packet that carries
    /// it leaves in this very call (with a ptime of 10 or 30, at least its first half does, and the rest follows in the
    /// next). A ptime of 10 sends two packets each 20 ms. `press` gives the key to press after the last one; while one is down,
    /// what is played waits: `take` is not called, or given the key's tones, which it must give back.
    pub(crate) fn tick(
        &mut self,
        mut take: impl FnMut(Option<Frame>) -> Option<Frame>,
        mut press: impl FnMut() -> Option<Press>,
        mut send: impl FnMut(&[u8]),
    ) {
        let events = self.telephone_event.is_some();
        self.owed_ms += FRAME_MS;
        self.passage = None;
        while self.owed_ms >= self.ptime_ms {
            self.owed_ms -= self.ptime_ms;
            let clock = (self.ptime_ms, self.event_clock);
            if let Slot::Event { payload, age } = self.keypad.slot(clock, events, &mut press) {
                self.event(payload, age);
                self.hush.passed();
                send(&self.datagram);
                continue;
            }
            let wanted = (self.codec.sample_rate / 1000 * self.ptime_ms) as usize;
            // With a ptime of 10, every second packet takes no frame and is neither speech nor silence of its own.
            let mut played = None;
            while self.samples.len() < wanted {
                let frame = take(self.keypad.frame(events, &mut press));
                played = Some(played.unwrap_or(false) | frame.is_some());
                let frame = frame.unwrap_or(Frame::SILENCE);
                if self.codec.sample_rate == SAMPLE_RATE {
                    self.samples.extend_from_slice(frame.samples());
                } else {
                    self.halve.push(frame.samples(), &mut self.samples);
                }
            }
            let marker = played == Some(true) && self.quiet;
            let noise = self.comfort_noise.is_some();
            let leaves = self.hush.judge(&self.samples[..wanted], self.ptime_ms, noise, self.codec.pauses);
            let left = match leaves {
                Leaves::Sound => self.packet(wanted, marker),
                Leaves::Noise(level) => self.noise(wanted, level),
                Leaves::Nothing => self.nothing(wanted),
            };
            self.quiet = !left || leaves != Leaves::Sound || played.map_or(self.quiet, |played| !played);
            if left {
                send(&self.datagram);
            }
        }
    }

    /// The stream goes on under another SSRC: the peer uses ours (RFC 3550 section 8.2).
    pub(crate) fn rename(&mut self, ssrc: u32) {
        self.ssrc = ssrc;
    }

    /// 20 ms have passed in which nothing may be sent: the timeline goes on.
    pub(crate) fn skip(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock_rate / 1000 * FRAME_MS);
        self.quiet = true;
        self.keypad.let_go();
    }

    /// 20 ms in which another stream passes through ours, or pauses: the timeline goes on, and a peer that has got nothing for
    /// seconds gets a packet of silence.
    pub(crate) fn lend(&mut self, mut send: impl FnMut(&[u8])) {
        if self.hush.is_due() {
            let count = (self.codec.sample_rate / 1000 * self.ptime_ms) as usize;
            self.samples.clear();
            self.samples.resize(count, 0);
            self.passage = None;
            // A codec that leaves silence out has its packet when it likes.
            if self.packet(count, false) {
                send(&self.datagram);
            }
        }
        self.skip();
    }

    /// Whether our own key tones are on the line.
    pub(crate) fn sounds_a_key(&self) -> bool {
        self.keypad.sounds()
    }

    /// Puts a telephone-event into the datagram, in the place of the audio of a packet (RFC 4733 section 2.5.1).
    fn event(&mut self, payload: [u8; 4], age: u32) {
        let packet = self.codec.clock_rate / 1000 * self.ptime_ms;
        let header = Packet {
            marker: age == 0,
            payload_type: self.telephone_event.unwrap_or(self.payload_type),
            sequence: self.sequence,
            timestamp: self.timestamp.wrapping_sub(age * packet),
            ssrc: self.ssrc,
            payload: &[],
        };
        self.datagram.clear();
        header.write_header(&mut self.datagram);
        self.datagram.extend_from_slice(&payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(packet);
        self.quiet = true;
    }

    /// A packet of another stream, with the payload type it has with our peer, leaves as one of ours: it keeps its distance
    /// in sequence and time to those that passed before, so that what was lost before us is a hole behind us.
    pub(crate) fn pass(&mut self, ordinal: Ordinal, packet: &Packet<'_>, mut send: impl FnMut(&[u8])) {
        let known = self.passage.take().filter(|passage| passage.is_of(ordinal));
        let (goes_on, ours) = (known.is_some(), (self.sequence, self.timestamp));
        let passage = self.passage.insert(known.unwrap_or_else(|| Passage::new(ordinal, packet.timestamp, ours)));
        let Some((sequence, timestamp)) = passage.pass(ordinal, packet.timestamp) else { return };
        let (marker, ssrc) = (packet.marker || !goes_on, self.ssrc);
        self.datagram.clear();
        Packet { marker, sequence, timestamp, ssrc, ..*packet }.write_header(&mut self.datagram);
        self.datagram.extend_from_slice(packet.payload);
        send(&self.datagram);
        // What we say ourselves later goes on behind the newest.
        if sequence.wrapping_sub(self.sequence) < 1 << 15 {
            self.sequence = sequence.wrapping_add(1);
        }
        let end = timestamp.wrapping_add(self.codec.clock_rate / 1000 * self.ptime_ms);
        if end.wrapping_sub(self.timestamp) < 1 << 31 {
            self.timestamp = end;
        }
        self.samples.clear();
        self.quiet = true;
        self.hush.passed();
    }

    /// A packet of another stream is not for our peer: no number is left free for it.
    pub(crate) fn leave_out(&mut self, ordinal: Ordinal) {
        self.passage.iter_mut().filter(|passage| passage.is_of(ordinal)).for_each(|passage| passage.leave_out(ordinal));
    }

    /// Packs `count` samples into the datagram; `false` when the encoder has nothing to say (DTX) and only time passes.
    fn packet(&mut self, count: usize, marker: bool) -> bool {
        let (payload_type, sequence, timestamp, ssrc) = (self.payload_type, self.sequence, self.timestamp, self.ssrc);
        self.datagram.clear();
        Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &[] }.write_header(&mut self.datagram);
        self.encoder.encode(&self.samples[..count], &mut self.datagram);
        let speaks = self.datagram.len() > HEADER;
        self.sequence = self.sequence.wrapping_add(u16::from(speaks));
        self.nothing(count);
        speaks
    }

    /// Puts comfort noise (RFC 3389) of this level, and of no colour, in the place of `count` samples.
    fn noise(&mut self, count: usize, level: u8) -> bool {
        let (sequence, timestamp, ssrc) = (self.sequence, self.timestamp, self.ssrc);
        let payload_type = self.comfort_noise.unwrap_or(self.payload_type);
        self.datagram.clear();
        let header = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &[] };
        header.write_header(&mut self.datagram);
        self.datagram.push(level);
        self.sequence = self.sequence.wrapping_add(1);
        self.nothing(count);
        true
    }

    /// The time of `count` samples passes; `false`, for nothing leaves.
    fn nothing(&mut self, count: usize) -> bool {
        self.samples.drain(..count);
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock_rate / 1000 * self.ptime_ms);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::PCMU, dtmf::PressBy};

    fn session(ptime_ms: u32) -> Session {
        Session { ptime_ms, ..Session::new(([127, 0, 0, 1], 4000).into(), &PCMU) }
    }

    #[test]
    fn the_same_agreement_once_more_moves_nothing() {
        for ptime_ms in [20, 30, 40, 60] {
            for phase in 0..6 {
                let stamps = |again: Option<usize>| {
                    let mut sender = Sender::new(&session(ptime_ms), 1, 0, 0);
                    let mut stamps = Vec::new();
                    for tick in 0..18 {
                        if again == Some(tick) {
                            sender.change(&session(ptime_ms));
                        }
                        stamps.push(sent(&mut sender, &[true]).concat());
                    }
                    stamps
                };
                assert_eq!(stamps(Some(phase)), stamps(None), "{ptime_ms} ms, {phase}");
            }
        }
    }

    /// (marker, sequence, timestamp, payload length) of what leaves in each of these ticks; `true` plays a frame.
    fn sent(sender: &mut Sender, ticks: &[bool]) -> Vec<Vec<(bool, u16, u32, usize)>> {
        let run = |&play: &bool| {
            let mut packets = Vec::new();
            sender.tick(
                |key| key.or(play.then_some(Frame::new([1000; 320]))),
                || None,
                |datagram| {
                    let packet = Packet::parse(datagram).expect("RTP");
                    packets.push((packet.marker, packet.sequence, packet.timestamp, packet.payload.len()));
                },
            );
            packets
        };
        ticks.iter().map(run).collect()
    }

    #[test]
    fn one_packet_a_tick_and_a_marker_where_a_talkspurt_begins() {
        let mut sender = Sender::new(&session(20), 7, 65_535, u32::MAX - 159);
        let packets = sent(&mut sender, &[false, true, true, false, true]).concat();
        let expected =
            [(false, 65_535, u32::MAX - 159), (true, 0, 0), (false, 1, 160), (false, 2, 320), (true, 3, 480)];
        assert_eq!(packets, expected.map(|(marker, sequence, time)| (marker, sequence, time, 160)));
    }

    #[test]
    fn ptime_as_negotiated() {
        let lengths = |ptime| {
            let ticks = sent(&mut Sender::new(&session(ptime), 7, 0, 0), &[true; 6]);
            ticks.iter().map(|packets| packets.iter().map(|packet| packet.3).collect()).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(lengths(10), vec![vec![80, 80]; 6]);
        assert_eq!(lengths(30), [vec![240], vec![], vec![240], vec![240], vec![], vec![240]]);
        assert_eq!(lengths(40), [vec![320], vec![], vec![320], vec![], vec![320], vec![]]);
        assert_eq!(lengths(60), [vec![480], vec![], vec![], vec![480], vec![], vec![]]);
    }

    #[test]
    fn another_stream_passes_through_ours_and_ours_goes_on_behind_it() {
        let mut sender = Sender::new(&session(20), 7, 65_534, 1000);
        assert_eq!(sent(&mut sender, &[true]), [[(true, 65_534, 1000, 160)]]);
        let passed = |sender: &mut Sender, stream, number, timestamp| {
            let packet = Packet { marker: false, payload_type: 96, sequence: 5, timestamp, ssrc: 9, payload: &[5; 80] };
            let mut left = None;
            sender.pass(Ordinal { stream, number }, &packet, |datagram| {
                let packet = Packet::parse(datagram).expect("RTP");
                assert_eq!((packet.payload_type, packet.ssrc, packet.payload), (96, 7, &[5; 80][..]));
                left = Some((packet.marker, packet.sequence, packet.timestamp));
            });
            left.expect("sent")
        };
        assert_eq!(passed(&mut sender, 1, 10, 5000), (true, 65_535, 1160));
        assert_eq!(passed(&mut sender, 1, 13, 5480), (false, 2, 1640), "two were lost before us");
        assert_eq!(passed(&mut sender, 1, 12, 5320), (false, 1, 1480), "one of them was only late");
        sender.leave_out(Ordinal { stream: 1, number: 14 });
        assert_eq!(passed(&mut sender, 1, 15, 5800), (false, 3, 1960), "one was not for this peer");
        sender.leave_out(Ordinal { stream: 2, number: 899 });
        assert_eq!(passed(&mut sender, 2, 900, 9), (true, 4, 2120), "another stream begins behind it");
        assert_eq!(sent(&mut sender, &[true]), [[(true, 5, 2280, 160)]], "and so do we");
        assert_eq!(passed(&mut sender, 2, 901, 169), (true, 6, 2440));
    }

    #[test]
    fn the_timeline_goes_on_over_a_hold() {
        let mut sender = Sender::new(&session(20), 7, 0, 0);
        sent(&mut sender, &[true]);
        for _ in 0..5 {
            sender.skip();
        }
        assert_eq!(sent(&mut sender, &[true]), [[(true, 1, 6 * 160, 160)]]);
    }

    /// An encoder that has nothing to say of silence.
    #[derive(Debug)]
    struct Quiet;

    impl Encoder for Quiet {
        fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
            payload.extend(samples.iter().any(|&sample| sample != 0).then_some(1));
        }
    }

    #[test]
    fn silence_that_is_not_sent_takes_its_time_and_no_sequence_number() {
        static CODEC: Codec =
            Codec { name: "QUIET", clock_rate: 48_000, sample_rate: 16_000, encoder: || Box::new(Quiet), ..PCMU };
        let mut sender = Sender::new(&Session::new(([127, 0, 0, 1], 4000).into(), &CODEC), 7, 0, 0);
        let packets = sent(&mut sender, &[true, true, false, false, true, true]);
        assert_eq!(packets[2..4], [vec![], vec![]]);
        let expected = [(true, 0, 0, 1), (false, 1, 960, 1), (true, 2, 3840, 1), (false, 3, 4800, 1)];
        assert_eq!(packets.concat(), expected);
    }

    #[test]
    fn frames_are_taken_only_when_they_leave() {
        let mut sender = Sender::new(&session(60), 7, 0, 0);
        let taken = (0..6).map(|_| {
            let mut taken = 0;
            sender.tick(
                |_| {
                    taken += 1;
                    None
                },
                || None,
                |_| {},
            );
            taken
        });
        assert_eq!(taken.collect::<Vec<_>>(), [3, 0, 0, 3, 0, 0]);
    }

    #[test]
    fn a_key_takes_the_place_of_audio_and_the_timeline_goes_on() {
        static WIDE: Codec = Codec { name: "WIDE", clock_rate: 48_000, ..PCMU };
        for (codec, ptime_ms) in [(&PCMU, 20), (&PCMU, 10), (&PCMU, 30), (&PCMU, 60), (&WIDE, 20)] {
            let agreed = Session::new(([127, 0, 0, 1], 4000).into(), codec);
            let mut sender = Sender::new(&Session { telephone_event: Some(101), ptime_ms, ..agreed }, 7, 9, 5_000_000);
            let mut keys = vec![Press::new('#', 60, PressBy::Agreement), Press::new('1', 100, PressBy::Agreement)];
            let (mut packets, mut taken) = (Vec::new(), 0);
            for tick in 0..60 {
                sender.tick(
                    |key| {
                        taken += u32::from(key.is_none());
                        key.or(Some(Frame::new([1000; 320])))
                    },
                    || if tick < 6 { None } else { keys.pop().flatten() },
                    |datagram| {
                        let packet = Packet::parse(datagram).expect("RTP");
                        let key = (packet.payload_type == 101).then(|| packet.payload.to_vec());
                        packets.push((packet.sequence, packet.timestamp, packet.marker, key));
                    },
                );
            }
            let step = codec.clock_rate / 1000 * ptime_ms;
            let mut began = None;
            let mut pressed = Vec::new();
            for (index, (sequence, timestamp, marker, key)) in (0u32..).zip(&packets) {
                assert_eq!(u32::from(*sequence), 9 + index, "no sequence number is left out");
                let now = 5_000_000 + index * step;
                match key {
                    None => assert_eq!(*timestamp, now, "audio where the timeline is"),
                    Some(payload) => {
                        if *marker {
                            began = Some(now);
                            pressed.push(payload[0]);
                        }
                        assert_eq!(Some(*timestamp), began, "an event where it began");
                        let duration = u32::from(u16::from_be_bytes([payload[2], payload[3]]));
                        assert!(duration <= now - timestamp + step && duration > 0);
                    }
                }
            }
            assert_eq!(pressed, [1, 11], "ptime {ptime_ms}");
            let ends = packets.iter().filter(|(.., key)| key.as_ref().is_some_and(|payload| payload[1] & 0x80 != 0));
            assert_eq!(ends.count(), 6);
            let spent = (packets.iter().filter(|(.., key)| key.is_some()).count() as u32) * ptime_ms;
            assert!(
                taken <= 60 - spent / 20 && taken >= 60 - (spent + 160) / 20 - 3,
                "{taken} frames beside {spent} ms"
            );
        }
    }

    #[test]
    fn durations_are_counted_on_the_clock_of_telephone_event() {
        static WIDE: Codec = Codec { name: "WIDE", clock_rate: 48_000, ..PCMU };
        let agreed = Session::new(([127, 0, 0, 1], 4000).into(), &WIDE);
        let session = Session { telephone_event: Some(101), telephone_event_clock: 8000, ..agreed };
        let (mut sender, mut durations) = (Sender::new(&session, 7, 0, 0), Vec::new());
        let mut keys = vec![Press::new('5', 60, PressBy::Agreement)];
        for tick in 0..5 {
            sender.tick(
                |key| key,
                || keys.pop().flatten(),
                |datagram| {
                    let packet = Packet::parse(datagram).expect("RTP");
                    assert_eq!(packet.timestamp, 0, "packet {tick}");
                    durations.push(u16::from_be_bytes([packet.payload[2], packet.payload[3]]));
                },
            );
        }
        assert_eq!(durations, [160, 320, 480, 480, 480]);
    }

    #[test]
    fn without_telephone_event_the_key_is_in_the_audio() {
        let mut sender = Sender::new(&session(20), 7, 0, 0);
        let mut keys = vec![Press::new('5', 100, PressBy::Agreement)];
        let mut packets = Vec::new();
        for _ in 0..10 {
            sender.tick(
                |key| key,
                || keys.pop().flatten(),
                |datagram| {
                    let packet = Packet::parse(datagram).expect("RTP");
                    packets.push((packet.payload_type, packet.payload.iter().any(|byte| byte & 0x7f != 0x7f)));
                },
            );
        }
        assert_eq!(packets[..5], [(0, true); 5]);
        assert!(packets[6..].iter().all(|&packet| packet == (0, false)));
    }
}
