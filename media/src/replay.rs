//! A stream of RTP in virtual time: what a line does to what is said, and what a leg hears of it.
//!
//! For tests and figures: a recording is packed as a leg sends it, an [`Impairment`] loses and delays packets, and
//! [`replay`] plays what arrives (or any other capture) as a leg does. There is no socket and no clock, so that an hour takes
//! seconds.

use std::time::Duration;

use crate::{
    BadLine, FRAME_MS, FRAME_SAMPLES, Frame, LegOptions, LegStats, SAMPLE_RATE, Session,
    leg::now,
    resample::Twice,
    rtp::{Receiver, Sender},
};

/// Time between two frames.
const TICK: Duration = Duration::from_millis(FRAME_MS as u64);

/// A line that loses, delays and drifts. The same seed does the same to the same packets; the default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// The share of packets that is lost, 0 to below 1.
    pub loss: f64,
    /// Packets that are lost in a row, on average; up to 1: each is lost or not, whatever happened to the one before.
    pub burst: f64,
    /// Each packet comes up to so many milliseconds late, evenly spread; some overtake others.
    pub jitter_ms: f64,
    /// The sender's clock is so many millionths fast.
    pub drift_ppm: f64,
    /// What makes chance repeatable.
    pub seed: u64,
}

impl Impairment {
    /// Packs the frames as a leg of this session sends them that knows of the loss, and gives what arrives and when, sorted by arrival.
    pub fn carry(&self, session: &Session, frames: &[Frame]) -> Vec<(Duration, Vec<u8>)> {
        let mut sender = Sender::new(session, 0x4d69_6c6f, 65_000, 0xffff_0000);
        sender.expect_loss((100.0 * self.loss).round() as u8);
        let mut line = BadLine::new(self.loss, self.burst, self.jitter_ms, self.seed);
        let mut arriving = Vec::new();
        let mut frames = frames.iter();
        for tick in 0..frames.len() {
            let sent = tick as f64 * TICK.as_secs_f64() / (1.0 + self.drift_ppm / 1e6);
            sender.tick(
                |_| frames.next().copied(),
                || None,
                |datagram| {
                    if let Some(late) = line.next_packet() {
                        arriving.push((Duration::from_secs_f64(sent) + late, datagram.to_vec()));
                    }
                },
            );
        }
        arriving.sort_by_key(|(arrival, _)| *arrival);
        arriving
    }
}

/// What is heard of a stream.
#[derive(Clone, Debug)]
pub struct Replay {
    /// One frame each 20 ms, from the beginning on.
    pub frames: Vec<Frame>,
    /// For each frame how long ago the newest packet that fed it came; `None` when none did.
    pub ages: Vec<Option<Duration>>,
    /// How the line was at the end.
    pub stats: LegStats,
}

impl Replay {
    /// All samples, 16 kHz mono.
    pub fn samples(&self) -> Vec<i16> {
        self.frames.iter().flat_map(|frame| *frame.samples()).collect()
    }
}

/// Plays datagrams (when each arrives, and its bytes), sorted by arrival, for so long. The clock ticks at 10 ms, 30 ms …
pub fn replay(session: &Session, options: &LegOptions, datagrams: &[(Duration, Vec<u8>)], length: Duration) -> Replay {
    let origin = now();
    let mut receiver = Receiver::new(session, options.jitter_ceiling_ms);
    let mut twice = Twice::new();
    let mut coming = datagrams.iter().peekable();
    let mut replay = Replay { frames: Vec::new(), ages: Vec::new(), stats: LegStats::default() };
    let (mut pulled, mut wide) = (Vec::with_capacity(FRAME_SAMPLES), Vec::with_capacity(FRAME_SAMPLES));
    let mut due = TICK / 2;
    while due < length {
        while let Some((arrival, datagram)) = coming.next_if(|(arrival, _)| *arrival <= due) {
            receiver.accept(datagram, origin + *arrival);
        }
        pulled.clear();
        let about = receiver.pull(origin + due, &mut pulled);
        replay.ages.push(about.arrived.map(|arrived| (origin + due).saturating_duration_since(arrived)));
        replay.frames.push(if receiver.sample_rate() == SAMPLE_RATE {
            Frame::padded(&pulled)
        } else {
            wide.clear();
            twice.push(&pulled, &mut wide);
            Frame::padded(&wide)
        });
        due += TICK;
    }
    receiver.tell(&mut replay.stats);
    replay
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::PCMU;

    #[test]
    fn a_line_loses_and_delays_as_told_and_the_same_each_time() {
        let session = Session::new(([127, 0, 0, 1], 4000).into(), &PCMU);
        let frames = vec![Frame::SILENCE; 10_000];
        for burst in [1.0, 3.0] {
            let line = Impairment { loss: 0.1, burst, jitter_ms: 60.0, drift_ppm: 100.0, seed: 3 };
            let arriving = line.carry(&session, &frames);
            assert_eq!(arriving, line.carry(&session, &frames));
            assert!((8_800..9_200).contains(&arriving.len()), "{}", arriving.len());
            let mut numbers: Vec<u16> =
                arriving.iter().map(|(_, datagram)| u16::from_be_bytes([datagram[2], datagram[3]])).collect();
            numbers.sort_unstable_by_key(|number| number.wrapping_sub(65_000));
            let holes: Vec<u16> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) - 1).collect();
            let (lost, times) =
                (holes.iter().map(|&hole| f64::from(hole)).sum::<f64>(), holes.iter().filter(|&&hole| hole > 0));
            let row = lost / times.count() as f64;
            assert!((row - if burst > 1.0 { 3.0 } else { 1.11 }).abs() < 0.3, "{row} in a row");
            let last = arriving[arriving.len() - 1].0.as_secs_f64();
            assert!((199.95..200.05).contains(&last), "{last}");
        }
        assert_eq!(Impairment::default().carry(&session, &frames).len(), 10_000);
    }
}
