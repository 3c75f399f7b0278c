//! What one RTP stream that comes back is worth: loss, the time between packets, and how late each was. Time is an argument.

use std::time::{Duration, Instant};

/// The packets of one stream, as they came.
#[derive(Debug, Default)]
pub(super) struct Stream {
    first: Option<First>,
    /// Sequence number and arrival of the packet before.
    last: Option<(u16, Instant)>,
    /// Numbers that the stream went through from its first packet to its newest.
    spanned: u64,
    received: u64,
    /// Milliseconds between packets that follow each other.
    apart: Vec<f64>,
    /// How far each packet came from where the first one and the timestamps put it, in milliseconds.
    transits: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct First {
    timestamp: u32,
    arrived: Instant,
}

impl Stream {
    /// A packet came. `clock_rate` is that of its timestamps, in Hz.
    pub(super) fn packet(&mut self, sequence: u16, timestamp: u32, arrived: Instant, clock_rate: u32) {
        let first = *self.first.get_or_insert(First { timestamp, arrived });
        let ahead = self.last.map_or(1, |(last, _)| i32::from(sequence.wrapping_sub(last) as i16));
        if ahead <= 0 {
            // Doubled or out of order: Milo sends neither, so that both are shown as what they are not, a loss.
            return;
        }
        if let (1, Some((_, last))) = (ahead, self.last) {
            self.apart.push(milliseconds(arrived.saturating_duration_since(last)));
        }
        let due = f64::from(timestamp.wrapping_sub(first.timestamp) as i32) / f64::from(clock_rate) * 1e3;
        self.transits.push(milliseconds(arrived.saturating_duration_since(first.arrived)) - due);
        self.spanned += ahead as u64;
        self.received += 1;
        self.last = Some((sequence, arrived));
    }
}

/// What many streams together are worth.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) received: u64,
    pub(super) lost: u64,
    /// Streams of which nothing came.
    pub(super) silent: usize,
    pub(super) apart: Vec<f64>,
    /// How much later than the fastest packet of its stream each came, in milliseconds.
    pub(super) lateness: Vec<f64>,
}

impl Figures {
    pub(super) fn of(streams: impl IntoIterator<Item = Stream>) -> Self {
        let mut figures = Self::default();
        for stream in streams {
            let Some(fastest) = stream.transits.iter().copied().min_by(f64::total_cmp) else {
                figures.silent += 1;
                continue;
            };
            figures.received += stream.received;
            figures.lost += stream.spanned - stream.received;
            figures.apart.extend(stream.apart);
            figures.lateness.extend(stream.transits.iter().map(|transit| transit - fastest));
        }
        figures
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn loss_distance_and_lateness_of_a_stream() {
        let start = Instant::now();
        let mut stream = Stream::default();
        // The third is lost, the fourth 5 ms late; the first was 2 ms slower than the fastest.
        for (sequence, came) in [(65_534u16, 2), (65_535, 20), (1, 65), (2, 80), (2, 81)] {
            let timestamp = u32::from(sequence.wrapping_sub(65_534)) * 160 + u32::MAX - 100;
            stream.packet(sequence, timestamp, start + Duration::from_millis(came), 8000);
        }
        let figures = Figures::of([stream, Stream::default()]);
        assert_eq!((figures.received, figures.lost, figures.silent), (4, 1, 1));
        assert_eq!(figures.apart, [18.0, 15.0]);
        let late: Vec<_> = figures.lateness.iter().map(|late| late.round()).collect();
        assert_eq!(late, [2.0, 0.0, 5.0, 0.0]);
    }
}
