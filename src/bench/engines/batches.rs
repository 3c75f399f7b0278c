//! What turns take that begin at the same moment with nothing else going on, and how many were there at once among calls: what a turn
//! among others is measured against.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use tokio::{
    task::JoinSet,
    time::{Duration, Instant},
};

use super::{Room, answer};
use crate::bench::percentile;

/// Turns that are measured of each size of batch, at least.
const EACH: usize = 60;
/// Up to so many turns each size is measured; above it, only powers of two.
const SMALL: usize = 8;
/// Larger batches than the engines have places for are not measured.
const LARGEST: usize = 32;

/// A turn in the engines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The caller is silent, and all begins.
    pub(super) over: Instant,
    /// Until it was heard, until there was a first clause of the reply, and until the first of its sound.
    pub(super) stages: [Duration; 3],
    /// All of the reply is made.
    pub(super) done: Instant,
    /// How long the reply is.
    pub(super) said: Duration,
}

impl Turn {
    /// What the caller waited for.
    pub(super) fn waited(&self) -> Duration {
        self.stages[2]
    }

    /// The greatest number of turns, this one among them, that were in the engines at one moment of what the caller waited: from a turn's end
    /// until all of its reply is made.
    pub(super) fn at_once(&self, turns: &[Self]) -> usize {
        let until = self.over + self.waited();
        // The number grows only where a turn begins.
        let moments = turns.iter().map(|turn| turn.over).filter(|over| (self.over..until).contains(over));
        let there = |moment| turns.iter().filter(|turn| turn.over <= moment && moment < turn.done).count();
        moments.map(there).max().unwrap_or(1).max(1)
    }
}

/// What callers wait in batches that nothing goes on beside, by their size; each size is measured once.
#[derive(Default)]
pub(super) struct Batches(BTreeMap<usize, Vec<f64>>);

impl Batches {
    /// Milliseconds of turns that begin with so many others; where a batch of this size is not measured, with the next fewer that are.
    pub(super) async fn of(&mut self, turns: usize, room: &Arc<Room>) -> Result<&[f64]> {
        let size = size(turns);
        let there = match self.0.remove(&size) {
            Some(there) => there,
            None => measured(size, room).await?,
        };
        Ok(self.0.entry(size).or_insert(there))
    }

    /// What ninety-five of a hundred waited no longer for in batches of these sizes, drawn as often as each is named.
    pub(super) async fn p95(&mut self, sizes: &[usize], room: &Arc<Room>) -> Result<Option<f64>> {
        let mut drawn = BTreeMap::<usize, usize>::new();
        sizes.iter().for_each(|turns| *drawn.entry(size(*turns)).or_default() += 1);
        let mut weighed = Vec::new();
        for (size, times) in drawn {
            let there = self.of(size, room).await?;
            weighed.extend(there.iter().map(|ms| (*ms, times as f64 / there.len() as f64)));
        }
        Ok(quantile(weighed, 0.95))
    }
}

/// The size of the batch that stands for so many turns.
fn size(turns: usize) -> usize {
    match turns.clamp(1, LARGEST) {
        few @ ..=SMALL => few,
        many => 1 << many.ilog2(),
    }
}

/// Milliseconds of each turn in batches of this size, one batch after the other. For whom an engine has no place is not counted.
async fn measured(size: usize, room: &Arc<Room>) -> Result<Vec<f64>> {
    let mut waited = Vec::new();
    for batch in 0..EACH.div_ceil(size) {
        let mut turns = JoinSet::new();
        for at in 0..size {
            let room = Arc::clone(room);
            turns.spawn(async move { answer(&room, &room.turns[(batch * size + at) % room.turns.len()]).await });
        }
        while let Some(turn) = turns.join_next().await {
            match turn? {
                Ok(turn) => waited.push(turn.waited().as_secs_f64() * 1e3),
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(waited)
}

/// The value below which this share of all the weight lies; nearest rank.
fn quantile(mut weighed: Vec<(f64, f64)>, share: f64) -> Option<f64> {
    weighed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let most = weighed.iter().map(|(_, weight)| weight).sum::<f64>() * share;
    let mut up_to = 0.0;
    let found = weighed.iter().find(|(_, weight)| {
        up_to += weight;
        // Shares of one are not to the last bit one.
        up_to >= most - 1e-9
    });
    found.map(|(value, _)| *value)
}

/// A percentile of some of the turns' times, in milliseconds.
pub(super) fn percentile_of(turns: &[Turn], share: f64, time: impl Fn(&Turn) -> Duration) -> Option<f64> {
    percentile(&mut turns.iter().map(|turn| time(turn).as_secs_f64() * 1e3).collect::<Vec<_>>(), share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_those_that_are_there_before_its_first_sound() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let turn = |over, sounds, done| {
            let stages = [Duration::ZERO, Duration::ZERO, Duration::from_millis(sounds)];
            Turn { over: at(over), stages, done: at(done), said: Duration::ZERO }
        };
        let turns = [turn(0, 40, 200), turn(100, 40, 300), turn(130, 40, 135), turn(150, 40, 400), turn(500, 40, 600)];
        let at_once: Vec<_> = turns.iter().map(|turn| turn.at_once(&turns)).collect();
        // The first is answered before the second begins, but its reply is still being made then.
        assert_eq!(at_once, [1, 3, 3, 3, 1]);
    }

    #[test]
    fn small_batches_stand_for_themselves_and_larger_ones_for_the_next_fewer() {
        assert_eq!([0, 1, 8, 9, 15, 16, 31, 32, 200].map(size), [1, 1, 8, 8, 8, 16, 16, 32, 32]);
    }

    #[test]
    fn values_count_as_much_as_they_weigh() {
        assert_eq!(quantile(vec![(2.0, 1.0), (1.0, 1.0), (9.0, 0.1)], 0.5), Some(2.0));
        assert_eq!(quantile(vec![(2.0, 1.0), (1.0, 1.0), (9.0, 0.1)], 0.95), Some(2.0));
        assert_eq!(quantile(vec![(2.0, 1.0), (1.0, 1.0), (9.0, 0.2)], 0.95), Some(9.0));
        assert_eq!(quantile((1..=20).map(|value| (f64::from(value), 0.05)).collect(), 0.95), Some(19.0));
        assert_eq!(quantile(Vec::new(), 0.95), None);
    }
}
