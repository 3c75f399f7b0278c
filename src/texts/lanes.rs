//! Texts to one destination go out a few at a time, and more wait behind them: a telephone that does not answer, which takes half a
//! minute each time, holds up those that are for it and nobody else's.

use std::collections::{HashMap, VecDeque};

/// Texts to one destination that are on their way at once.
const PLACES: usize = 4;
/// Texts to one destination that wait; of more the newest are given up.
const WAITING: usize = 32;
/// Texts that wait, to all destinations; with more nothing further is taken.
const ALL_WAITING: usize = 512;

/// What is on its way, and what waits for it, by destination.
#[derive(Debug)]
pub(super) struct Lanes<J> {
    going: HashMap<String, usize>,
    waiting: HashMap<String, VecDeque<J>>,
    waits: usize,
}

/// What becomes of a text that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered<J> {
    /// It goes now.
    Goes(J),
    /// It waits for its turn.
    Waits,
    /// Too many wait for that destination already.
    Full(J),
}

impl<J> Default for Lanes<J> {
    fn default() -> Self {
        Self { going: HashMap::new(), waiting: HashMap::new(), waits: 0 }
    }
}

impl<J> Lanes<J> {
    /// Whether anything further may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.waits < ALL_WAITING
    }

    /// A text to this destination is to be sent.
    pub(super) fn enter(&mut self, to: &str, job: J) -> Entered<J> {
        let going = self.going.entry(to.to_owned()).or_default();
        if *going < PLACES {
            *going += 1;
            return Entered::Goes(job);
        }
        let waiting = self.waiting.entry(to.to_owned()).or_default();
        if waiting.len() >= WAITING {
            return Entered::Full(job);
        }
        waiting.push_back(job);
        self.waits += 1;
        Entered::Waits
    }

    /// One that was on its way there is done: the next, which goes in its place.
    pub(super) fn leave(&mut self, to: &str) -> Option<J> {
        let next = self.waiting.get_mut(to).and_then(VecDeque::pop_front);
        if next.is_some() {
            self.waits -= 1;
            return next;
        }
        self.waiting.remove(to);
        if let Some(going) = self.going.get_mut(to) {
            *going -= 1;
            if *going == 0 {
                self.going.remove(to);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_so_many_places_and_leaves_the_others_theirs() {
        let mut lanes = Lanes::default();
        for job in 0..PLACES {
            assert_eq!(lanes.enter("dead", job), Entered::Goes(job));
        }
        for job in 0..WAITING {
            assert_eq!(lanes.enter("dead", PLACES + job), Entered::Waits);
        }
        assert_eq!(lanes.enter("dead", 99), Entered::Full(99));
        assert_eq!(lanes.enter("alive", 100), Entered::Goes(100));
        assert_eq!(lanes.leave("dead"), Some(PLACES), "in their order");
        assert_eq!(lanes.leave("alive"), None);
        for _ in 0..PLACES + WAITING {
            lanes.leave("dead");
        }
        assert!(lanes.going.is_empty() && lanes.waiting.is_empty() && lanes.waits == 0, "nothing is left of it");
    }

    #[test]
    fn with_many_that_wait_nothing_further_is_taken() {
        let mut lanes = Lanes::default();
        for job in 0..ALL_WAITING {
            assert!(lanes.has_room());
            let to = format!("{}", job / WAITING);
            while lanes.enter(&to, job) != Entered::Waits {}
        }
        assert!(!lanes.has_room());
    }
}
