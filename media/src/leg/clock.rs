//! When a leg ticks: every 20 ms by the clock of the machine, for as long as it is up.
//!
//! Only where in the 20 ms the tick lies may move, and never further than half of that to either side of where it began,
//! however often the leg is joined: over an hour the clock is exact, whatever the peer's is. It moves for two reasons. The peer's packets come right at the tick
//! ([`Phase`]). Or the leg is joined with another one, and what one hears at its tick the other says at its own: then the two
//! ticks go half a period apart, so that no frame comes just too late for the tick it is meant for. What drifts between a peer's
//! clock and this one is made good where its packets are played, by a little more or less of the sound.

use std::time::{Duration, Instant};

use crate::{FRAME_MS, rtp::Phase};

/// The clock of a leg.
pub(super) const TICK: Duration = Duration::from_millis(FRAME_MS as u64);
/// A clock further behind than this (a suspended machine) jumps; one less far behind catches up frame by frame, a frame each 10 ms.
const BEHIND: Duration = Duration::from_millis(200);
/// Microseconds by which a tick moves at a time. Later costs the peer's playout nothing; earlier is so slow that the stretching
/// of time keeps up with it.
const LATER: i64 = 1_000;
const EARLIER: i64 = 100;
/// A period in microseconds, and how far two joined ticks may be from half a period apart.
const PERIOD: i64 = FRAME_MS as i64 * 1_000;
const APART: i64 = 3_000;

/// The clock of one leg.
#[derive(Debug)]
pub(super) struct Clock {
    /// When the next tick is due, and when the last one was.
    due: Instant,
    ticked: Instant,
    phase: Phase,
    /// The leg is joined with another, beside whose tick this one lies.
    joined: bool,
    /// By how much the tick has yet to move, in microseconds: later above zero, earlier below.
    owed: i64,
    /// How far from where it began the tick lies once it has.
    place: i64,
}

/// What a tick was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticked {
    /// Ticks that were missed while the machine slept.
    pub(super) slept: u32,
    /// The tick is where it should be, after it moved to be later.
    pub(super) moved: bool,
}

impl Clock {
    /// Ticks at `now` for the first time. The bits of `random` break ties between two clocks that would move alike.
    pub(super) fn new(now: Instant, random: u64) -> Self {
        Self { due: now, ticked: now, phase: Phase::new(random), joined: false, owed: 0, place: 0 }
    }

    /// When the next tick is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// A packet of the peer's came.
    pub(super) fn arrived(&mut self, at: Instant) {
        if self.owed == 0 && !self.joined {
            let before_tick = TICK.saturating_sub(at.saturating_duration_since(self.ticked));
            let moves = self.phase.packet(before_tick).unwrap_or(0);
            self.owe(moves);
        }
    }

    /// Where the tick lies once it has moved: that moment, or any whole number of periods from it.
    pub(super) fn aim(&self) -> Instant {
        let moves = Duration::from_micros(self.owed.unsigned_abs());
        if self.owed < 0 { self.due - moves } else { self.due + moves }
    }

    /// The leg is joined with another whose tick aims there, or with none.
    pub(super) fn beside(&mut self, other: Option<Instant>) {
        self.joined = other.is_some();
        let Some(other) = other.filter(|_| self.owed == 0) else { return };
        let after = self.due.saturating_duration_since(other).as_micros() as i64;
        let before = other.saturating_duration_since(self.due).as_micros() as i64;
        let error = (after - before).rem_euclid(PERIOD) - PERIOD / 2;
        if error.abs() > APART {
            // The other sees the same from its side, and does the other half.
            self.owe(-error / 2);
        }
    }

    /// The tick is to move by so many microseconds. Where that would take it too far, it comes to the same place in the period
    /// from the other side.
    fn owe(&mut self, moves: i64) {
        let place = (self.place + moves + PERIOD / 2).rem_euclid(PERIOD) - PERIOD / 2;
        self.owed = place - self.place;
        self.place = place;
    }

    /// It ticks. When the machine slept, the timeline goes on, but what should have been sent meanwhile is not sent.
    pub(super) fn tick(&mut self, now: Instant) -> Ticked {
        self.ticked = now;
        self.due += TICK;
        let behind = now.saturating_duration_since(self.due);
        if behind > BEHIND {
            self.due = now + TICK;
            return Ticked { slept: (behind.as_millis() / TICK.as_millis()) as u32, moved: false };
        }
        let moves = self.owed.clamp(-EARLIER, LATER);
        self.owed -= moves;
        if moves < 0 {
            self.due -= Duration::from_micros(moves.unsigned_abs());
        } else {
            self.due += Duration::from_micros(moves.unsigned_abs());
        }
        Ticked { slept: 0, moved: moves > 0 && self.owed == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::now;

    /// Ticks for so many seconds, while packets come every 20 ms by a clock that is so many parts in a million slow. Gives the
    /// shortest and the longest time between two ticks, and how far from 20 ms each the last one lies.
    fn run(seconds: u32, slow_ppm: i64, first_ms: u64) -> (Duration, Duration, Duration) {
        let start = now();
        let mut clock = Clock::new(start, 0x9e37_79b9_7f4a_7c15);
        let mut packet = start + Duration::from_millis(first_ms);
        let (mut shortest, mut longest) = (Duration::MAX, Duration::ZERO);
        for _ in 0..seconds * 50 {
            let tick = clock.due();
            while packet < tick {
                clock.arrived(packet);
                packet += Duration::from_nanos((20_000_000 + 20 * slow_ppm) as u64);
            }
            clock.tick(tick);
            let long = clock.due() - tick;
            (shortest, longest) = (shortest.min(long), longest.max(long));
        }
        let exact = start + TICK * seconds * 50;
        (shortest, longest, clock.due().max(exact) - clock.due().min(exact))
    }

    #[test]
    fn over_an_hour_the_clock_is_exact_whatever_the_peers_is() {
        for slow_ppm in [-100, 0, 100, 1_000] {
            for first_ms in [1, 9, 19] {
                let (shortest, longest, off) = run(3_600, slow_ppm, first_ms);
                assert!(off <= Duration::from_millis(8), "{off:?} off at {slow_ppm} ppm");
                assert!(shortest >= TICK - Duration::from_micros(100), "{shortest:?}");
                assert!(longest <= TICK + Duration::from_millis(1), "{longest:?}");
            }
        }
    }

    #[test]
    fn two_joined_clocks_go_half_a_period_apart_and_stay_there() {
        for apart_us in [0, 300, 3_000, 12_000, 19_900] {
            let start = now();
            let mut here = Clock::new(start, 1);
            let mut there = Clock::new(start + Duration::from_micros(apart_us), 2);
            let mut moved = 0;
            for tick in 0..500 {
                here.beside(Some(there.aim()));
                here.tick(here.due());
                there.beside(Some(here.aim()));
                there.tick(there.due());
                moved += u32::from(tick > 200 && (here.owed, there.owed) != (0, 0));
            }
            let apart = (here.due().max(there.due()) - here.due().min(there.due())).as_micros() as i64 % PERIOD;
            assert!((PERIOD / 2 - APART..=PERIOD / 2 + APART).contains(&apart), "{apart} µs from {apart_us}");
            assert_eq!(moved, 0, "and there they rest");
        }
    }

    #[test]
    fn joined_ever_anew_the_clock_stays_where_it_began() {
        let start = now();
        let mut clock = Clock::new(start, 1);
        for tick in 0..50_000u32 {
            // Each other leg lies a little earlier than the one before would have to, so that the tick always moves one way.
            let place = clock.aim() + Duration::from_micros(PERIOD as u64 / 2 + 4_000);
            clock.beside((tick % 100 < 50).then_some(place));
            clock.tick(clock.due());
            let exact = start + TICK * (tick + 1);
            let off = clock.due().max(exact) - clock.due().min(exact);
            assert!(off <= TICK / 2 + Duration::from_millis(1), "{off:?} after {tick} ticks");
        }
    }

    #[test]
    fn a_machine_that_slept_misses_ticks_and_one_that_is_late_does_not() {
        let start = now();
        let mut clock = Clock::new(start, 1);
        assert_eq!(clock.tick(start + Duration::from_millis(150)), Ticked::default());
        assert_eq!(clock.due(), start + TICK, "it catches up");
        let woke = start + Duration::from_secs(1);
        assert_eq!(clock.tick(woke).slept, 48);
        assert_eq!(clock.due(), woke + TICK);
    }
}
