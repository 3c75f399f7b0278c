//! An hour of a transcoding bridge in virtual time: two peers whose clocks are wrong, two legs whose clocks are not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{clock::Clock, now};
use crate::{
    Codec, Frame, Session,
    codec::{PCMA, PCMU},
    rtp::Receiver,
    voice::{Voice, VoiceQueue},
};

/// One leg with its peer.
struct End {
    codec: &'static Codec,
    clock: Clock,
    receiver: Receiver,
    voice: Voice,
    queue: Arc<VoiceQueue>,
    /// When the peer sends its next packet, and how long after the one before, in nanoseconds.
    sends: Instant,
    every: u64,
    packets: u32,
    datagram: Vec<u8>,
    /// Frames in a row that found another one waiting, and how often one was given up for it, as the bridge does.
    crowded: u32,
    given_up: u32,
    /// Ticks at which no frame was there.
    gaps: u32,
}

impl End {
    fn new(codec: &'static Codec, begins: Instant, slow_ppm: i64) -> Self {
        let queue = Arc::new(VoiceQueue::default());
        let session = Session::new(([127, 0, 0, 1], 4000).into(), codec);
        Self {
            codec,
            clock: Clock::new(begins, 0x5eed_5eed_5eed_5eed),
            receiver: Receiver::new(&session, 200),
            voice: Voice::new(queue.clone()),
            queue,
            sends: begins + Duration::from_millis(3),
            every: (20_000_000 + 20 * slow_ppm) as u64,
            packets: 0,
            datagram: Vec::new(),
            crowded: 0,
            given_up: 0,
            gaps: 0,
        }
    }

    /// The peer's next packet comes: 20 ms of a tone, some a little later than others.
    fn packet(&mut self) {
        let samples: Vec<i16> = (0..160).map(|at| (8000.0 * (at as f32 * 0.314_159_27).sin()) as i16).collect();
        let (sequence, timestamp) = (self.packets as u16, self.packets.wrapping_mul(160));
        self.datagram.clear();
        self.datagram.extend([0x80, self.codec.payload_type]);
        self.datagram.extend(sequence.to_be_bytes());
        self.datagram.extend(timestamp.to_be_bytes());
        self.datagram.extend(7u32.to_be_bytes());
        (self.codec.encoder)().encode(&samples, &mut self.datagram);
        let late = Duration::from_micros(u64::from(self.packets.wrapping_mul(7_919) % 1_000));
        self.clock.arrived(self.sends + late);
        assert!(self.receiver.accept(&self.datagram, self.sends + late).is_some());
        self.packets += 1;
        self.sends += Duration::from_nanos(self.every);
    }

    /// It ticks beside the other leg: what its peer said goes there, and what came from there leaves.
    fn tick(&mut self, other: &mut Self, joined: bool) {
        let now = self.clock.due();
        self.clock.beside(Some(other.clock.aim()).filter(|_| joined));
        let mut narrow = Vec::new();
        self.receiver.pull(now, &mut narrow);
        let crowded = other.voice.push(Frame::padded(&narrow), 2);
        other.crowded = if crowded { other.crowded + 1 } else { 0 };
        if other.crowded == 100 {
            other.voice.give_up_oldest();
            (other.crowded, other.given_up) = (0, other.given_up + 1);
        }
        self.gaps += u32::from(self.queue.pop(now).is_none());
        self.clock.tick(now);
    }
}

/// Two legs that tick this long after each other at first, for so many seconds; what went wrong after the first five.
fn talk(apart: Duration, seconds: u64, joined: bool) -> [(u32, u32, crate::LegStats); 2] {
    let start = now();
    let (mut a, mut b) = (End::new(&PCMU, start, 100), End::new(&PCMA, start + apart, -100));
    let settled = start + Duration::from_secs(5);
    let mut before = [crate::LegStats::default(); 2];
    loop {
        let next = [a.sends, b.sends, a.clock.due(), b.clock.due()].into_iter().min().expect("four");
        if next > start + Duration::from_secs(seconds) {
            break;
        }
        if next <= settled {
            (a.gaps, a.given_up, b.gaps, b.given_up) = (0, 0, 0, 0);
            a.receiver.tell(&mut before[0]);
            b.receiver.tell(&mut before[1]);
        }
        match next {
            at if at == a.sends => a.packet(),
            at if at == b.sends => b.packet(),
            at if at == a.clock.due() => a.tick(&mut b, joined),
            _ => b.tick(&mut a, joined),
        }
    }
    [(a, before[0]), (b, before[1])].map(|(end, before)| {
        let mut stats = crate::LegStats::default();
        end.receiver.tell(&mut stats);
        stats.concealed -= before.concealed;
        (end.gaps, end.given_up, stats)
    })
}

#[test]
fn an_hour_between_a_slow_clock_and_a_fast_one_has_no_gap_and_no_growing_delay() {
    for apart_us in [0, 200, 19_900] {
        let [one, other] = talk(Duration::from_micros(apart_us), 3_600, true);
        for (gaps, given_up, stats) in [one, other] {
            assert_eq!((gaps, given_up), (0, 0), "{apart_us} µs apart at first: {stats:?}");
            assert_eq!((stats.lost, stats.late, stats.concealed), (0, 0, 0), "{apart_us} µs apart at first");
            assert!(stats.target_ms <= 30, "{stats:?}");
        }
    }
}

#[test]
fn without_a_word_between_the_clocks_frames_come_too_late_for_their_tick() {
    let wrong = talk(Duration::from_micros(200), 3_600, false).map(|(gaps, given_up, _)| gaps + given_up);
    assert!(wrong.iter().any(|wrong| *wrong > 0), "{wrong:?}");
}
