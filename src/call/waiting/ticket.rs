//! A place among those who wait, and whoever is rung for it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{Left, Taker, WAITS, Waiter, Waiters};
use crate::store::Key;

/// A place among those who wait. Dropped, it is given up.
pub(in crate::call) struct Ticket {
    pub(super) waiters: Arc<Waiters>,
    pub(super) number: u64,
    pub(super) call: Key,
    pub(super) line: Option<String>,
    pub(super) since: Instant,
    /// Its place when it came.
    pub(super) place: usize,
    pub(super) offered: oneshot::Receiver<Taker>,
    pub(super) result: Left,
}

impl Ticket {
    /// Resolves when somebody takes the caller. Cancel safe.
    pub(in crate::call) async fn offered(&mut self) -> Taker {
        loop {
            match (&mut self.offered).await {
                Ok(taker) => return taker,
                // Whoever took it out of the line is gone already.
                Err(_) => self.again(),
            }
        }
    }

    /// Who took it is gone: it waits on, where it stood.
    pub(in crate::call) fn again(&mut self) {
        let (offer, offered) = oneshot::channel();
        let Self { call, line, since, .. } = self;
        let waiter = Waiter { call: *call, line: line.clone(), since: *since, rings: false, offer };
        self.waiters.lock().waiting.insert(self.number, waiter);
        self.offered = offered;
        self.waiters.moved.send_replace(());
    }

    /// How many are before it in its line, and how long it may take.
    pub(in crate::call) fn outlook(&self) -> (usize, Option<Duration>) {
        let state = self.waiters.lock();
        let Some(line) = &self.line else { return (0, None) };
        let before = state.line(line).filter(|(number, _)| **number < self.number).count();
        (before, state.expected(line, before + 1))
    }

    /// Those of these who are free and may be rung for this caller now: one, or all. Nobody while somebody before it in the
    /// line has nobody rung.
    pub(in crate::call) fn engage(&self, agents: &[String], all: bool) -> Vec<Engaged> {
        let (mut state, now) = (self.waiters.lock(), Instant::now());
        let Some(line) = &self.line else { return Vec::new() };
        if state.line(line).any(|(number, waiter)| *number < self.number && !waiter.rings) {
            return Vec::new();
        }
        let mut free: Vec<(Option<Instant>, usize)> = Vec::new();
        for (at, name) in agents.iter().enumerate() {
            match state.agents.get(name) {
                None => free.push((None, at)),
                Some(agent) if !agent.busy && agent.rests_until.is_none_or(|until| until <= now) => {
                    free.push((agent.rests_until, at));
                }
                Some(_) => {}
            }
        }
        free.sort_unstable();
        free.truncate(if all { free.len() } else { 1 });
        // Taken by a `bridge` meanwhile: nobody is rung any more.
        let Some(waiter) = state.waiting.get_mut(&self.number).filter(|_| !free.is_empty()) else { return Vec::new() };
        waiter.rings = true;
        let mut engaged = Vec::new();
        for (_, at) in free {
            state.agents.entry(agents[at].clone()).or_default().busy = true;
            engaged.push(Engaged { waiters: Arc::clone(&self.waiters), agent: agents[at].clone(), at, rest: None });
        }
        self.waiters.moved.send_replace(());
        engaged
    }

    /// Nobody is rung any more for this caller.
    pub(in crate::call) fn rings_no_more(&self) {
        let mut state = self.waiters.lock();
        let waiter = state.waiting.get_mut(&self.number);
        // Whoever is told of nothing new would look for ever.
        if waiter.is_some_and(|waiter| std::mem::take(&mut waiter.rings)) {
            self.waiters.moved.send_replace(());
        }
    }

    /// How long the caller has waited.
    pub(in crate::call) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Leaves the line so.
    pub(in crate::call) fn leave(mut self, result: Left) {
        self.result = result;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        state.waiting.remove(&self.number);
        if let Some(line) = self.line.as_ref().and_then(|line| state.lines.get_mut(line)) {
            *line.results.entry(self.result).or_default() += 1;
            if self.result == Left::Answered {
                line.waits.push_back(self.since.elapsed() / self.place.max(1) as u32);
                if line.waits.len() > WAITS {
                    line.waits.pop_front();
                }
            }
        }
        drop(state);
        self.waiters.moved.send_replace(());
    }
}

/// Somebody who is rung for a caller, or talks with one. Dropped, they are free again, or rest first.
pub(in crate::call) struct Engaged {
    waiters: Arc<Waiters>,
    pub(in crate::call) agent: String,
    /// Which one of those that were asked for.
    pub(in crate::call) at: usize,
    rest: Option<Duration>,
}

impl Engaged {
    /// They are left in peace for so long once they are free.
    pub(in crate::call) fn rests(&mut self, rest: Duration) {
        self.rest = Some(rest);
    }
}

impl Drop for Engaged {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        let agent = state.agents.entry(self.agent.clone()).or_default();
        agent.busy = false;
        if let Some(rest) = self.rest {
            agent.rests_until = Some(Instant::now() + rest);
        }
        drop(state);
        self.waiters.moved.send_replace(());
    }
}
