//! Which SIP dialogs make up a call: the caller's and those that Milo dials in it, so that all their messages are one ladder.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use milo_signaling::{Ladder, Ladders};

use crate::store::Key;

/// Legs of one call; a plan that goes round dials no end of them.
const LEGS: usize = 64;

/// The SIP of the calls that are up and of the last ones. The lock is taken as a leg begins, as a call ends, and when somebody
/// asks.
#[derive(Debug)]
pub struct SipSeen {
    ladders: Ladders,
    /// Calls that are over and remembered, at most.
    room: usize,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    legs: HashMap<Key, Vec<Leg>>,
    /// Those that are over, oldest first.
    ended: VecDeque<Key>,
}

#[derive(Clone, Debug)]
struct Leg {
    name: String,
    call_id: Arc<str>,
}

/// One leg's name, and its messages.
pub type LegSeen = (String, Ladder);

impl SipSeen {
    /// What the endpoint keeps; of calls that are over, this many.
    pub fn new(ladders: Ladders, room: usize) -> Self {
        Self { ladders, room, calls: Mutex::default() }
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.ladders.is_on()
    }

    /// A leg of this call begins: `caller`, `called`; of several with one name the later ones are numbered.
    pub(super) fn join(&self, call: Key, name: &str, call_id: &str) {
        if !self.is_on() {
            return;
        }
        let mut calls = self.lock();
        let legs = calls.legs.entry(call).or_default();
        if legs.len() >= LEGS {
            return;
        }
        self.ladders.keep(call_id);
        let alike = legs.iter().filter(|leg| leg.name.split(' ').next() == Some(name)).count();
        let name = if alike == 0 { name.to_owned() } else { format!("{name} {}", alike + 1) };
        legs.push(Leg { name, call_id: call_id.into() });
    }

    /// The call is over.
    pub(super) fn end(&self, call: Key) {
        let mut calls = self.lock();
        let Some(legs) = calls.legs.get(&call) else { return };
        legs.iter().for_each(|leg| self.ladders.end(&leg.call_id));
        calls.ended.push_back(call);
        while calls.ended.len() > self.room {
            let Some(oldest) = calls.ended.pop_front() else { return };
            calls.legs.remove(&oldest);
        }
    }

    /// The legs of a call with the messages that are kept of each; `None`: nothing is.
    pub fn of(&self, call: Key) -> Option<Vec<LegSeen>> {
        let legs = self.lock().legs.get(&call)?.clone();
        let seen = legs.into_iter().filter_map(|leg| Some((leg.name, self.ladders.of(&leg.call_id)?)));
        Some(seen.collect::<Vec<_>>()).filter(|seen| !seen.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legs_of_a_call_are_named_and_the_last_calls_are_remembered() {
        let seen = SipSeen::new(Ladders::new(100), 2);
        let calls: Vec<Key> = (0..4).map(|_| Key::new()).collect();
        for (n, call) in calls.iter().enumerate() {
            for (name, leg) in [("caller", "a"), ("called", "b"), ("called", "c")] {
                seen.join(*call, name, &format!("{leg}{n}"));
            }
        }
        calls.iter().take(3).for_each(|call| seen.end(*call));
        let names = |call: Key| seen.of(call).map(|legs| legs.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(names(calls[0]), None, "the oldest has gone");
        for call in &calls[1..] {
            assert_eq!(names(*call).unwrap(), ["caller", "called", "called 2"]);
        }
        (0..100).for_each(|n| seen.join(calls[3], "called", &n.to_string()));
        assert_eq!(names(calls[3]).unwrap().len(), LEGS);
    }

    #[test]
    fn nothing_is_remembered_where_nothing_is_kept() {
        let seen = SipSeen::new(Ladders::new(0), 0);
        let call = Key::new();
        seen.join(call, "caller", "a");
        assert!(seen.of(call).is_none());
        assert!(seen.lock().legs.is_empty());
    }
}
