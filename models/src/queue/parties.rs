//! What a thread is at that has begun several things. When somebody comes who goes before all of them they stand still, all that is done so
//! far is kept, and whoever has come is served meanwhile.

use super::{Class, Job, Jobs};

/// What such a thread does next.
pub(crate) enum Next<J> {
    /// It begins a job beside those that it has begun.
    Begin(J),
    /// It goes on with that one of them, in which somebody is of this class.
    GoOn(usize, Class),
}

impl<J: Job> Jobs<J> {
    /// The next beside what was begun, by the first class that each of that is of now (none: nobody is left of it): where nothing is left,
    /// it waits for a job. `None` when every [`super::Queue`] handle is gone, or the model is given up.
    pub(crate) fn next_beside(&self, begun: impl Iterator<Item = Option<Class>>) -> Option<Next<J>> {
        if self.is_given_up() {
            return None;
        }
        let first = begun.enumerate().filter_map(|(at, class)| Some((class?, at))).min();
        let Some((class, at)) = first else { return self.next().map(Next::Begin) };
        let before = Class::ALL[..class as usize].last().and_then(|before| self.try_next(*before));
        Some(before.map_or(Next::GoOn(at, class), Next::Begin))
    }
}
