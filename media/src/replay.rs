//! A stream of RTP played from a list, in virtual time: what a leg would have heard of it.
//!
//! For tests and figures: the list is a capture, or a recording that was packed, impaired and given times of arrival. The
//! receiver is that of a leg, with nothing left out; there is no socket and no clock, so that an hour takes a second.

use std::time::Duration;

use crate::{
    FRAME_MS, FRAME_SAMPLES, Frame, LegOptions, LegStats, SAMPLE_RATE, Session, leg::now, resample::Twice,
    rtp::Receiver,
};

/// What is heard of a stream.
#[derive(Clone, Debug)]
pub struct Replay {
    /// One frame each 20 ms, from the beginning on.
    pub frames: Vec<Frame>,
    /// For each frame the age of the newest packet that fed it; `None` when none did.
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
    let tick = Duration::from_millis(u64::from(FRAME_MS));
    let mut due = tick / 2;
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
        due += tick;
    }
    receiver.tell(&mut replay.stats);
    replay
}
