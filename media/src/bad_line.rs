//! What a bad line does to packets, one after the other: it loses some, in rows where it is told to, and delays others.

use std::time::Duration;

/// A line that loses and delays. The same seed does the same to the same packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadLine {
    loss: f64,
    burst: f64,
    jitter_ms: f64,
    random: Random,
    losing: bool,
}

impl BadLine {
    /// Loses this share of packets (0 to below 1), so many in a row on average (up to 1: each is lost or not, whatever happened to the
    /// one before), and delays each of the others by up to so many milliseconds, evenly spread, so that some overtake others.
    pub fn new(loss: f64, burst: f64, jitter_ms: f64, seed: u64) -> Self {
        Self { loss, burst, jitter_ms, random: Random(seed), losing: false }
    }

    /// How late the next packet comes; none: it is lost.
    pub fn next_packet(&mut self) -> Option<Duration> {
        self.losing = self.random.share() < self.next_is_lost();
        let late = self.random.share() * self.jitter_ms / 1000.0;
        (!self.losing).then(|| Duration::from_secs_f64(late))
    }

    /// The chance that a packet is lost, after one that was or was not (Gilbert's two states).
    fn next_is_lost(&self) -> f64 {
        match (self.burst > 1.0, self.losing) {
            (false, _) => self.loss,
            (true, true) => 1.0 - 1.0 / self.burst,
            (true, false) => self.loss / ((1.0 - self.loss) * self.burst),
        }
    }
}

/// Repeatable chance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        // Two steps of a linear congruence, of which the high bits are good.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = self.0 >> 33;
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((high << 22 ^ self.0 >> 42) & 0xf_ffff_ffff) as f64 / 68_719_476_736.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_loses_the_share_it_is_told_to_and_delays_within_its_bounds() {
        for (loss, burst) in [(0.0, 1.0), (0.05, 1.0), (0.05, 3.0), (0.5, 2.0)] {
            let mut line = BadLine::new(loss, burst, 40.0, 11);
            let came: Vec<_> = (0..50_000).map(|_| line.next_packet()).collect();
            let lost = came.iter().filter(|late| late.is_none()).count() as f64 / came.len() as f64;
            assert!((lost - loss).abs() < 0.02, "{lost} of {loss} in rows of {burst}");
            assert!(came.iter().flatten().all(|late| *late <= Duration::from_millis(40)));
            let mut again = BadLine::new(loss, burst, 40.0, 11);
            assert!(came.iter().all(|late| *late == again.next_packet()), "the same seed");
        }
    }
}
