//! A few words ("Eny àry.") before a reply of which it is known that it comes late, so that its caller knows at once that they were heard.
//!
//! ```text
//!  the model is asked ── 200 ms ──► as long as the newest answers took, and that is too long ─► opener ── reply, or the persona's `wait`
//!                                └─ a reply that was begun early is there, or the answers came in time ─► nothing
//! ```

use std::{sync::Arc, time::Duration};

use milo_models::engine::Language;
use serde_json::Value;
use tokio::time::Instant;

use super::{Conversation, budget, stopgap::Due};

/// A reply that is there so soon needs nothing before it.
const SOON: Duration = Duration::from_millis(200);

/// What of it is known from one turn to the next.
#[derive(Debug, Default)]
pub(super) struct Opener {
    /// The one that was said last.
    last: Option<(Language, usize)>,
    /// The one that is said in this turn if it comes to that, and why.
    next: Option<(Language, usize, Value)>,
}

impl Opener {
    /// Another than the last one of so many; none where there is no other, and the time after that it is one again.
    fn choose(&mut self, language: Language, count: usize) -> Option<usize> {
        match self.last.filter(|(of, _)| *of == language) {
            _ if count == 0 => None,
            None => Some(0),
            Some(_) if count == 1 => {
                self.last = None;
                None
            }
            Some((_, last)) => Some((last + 1) % count),
        }
    }
}

impl Conversation<'_> {
    /// What is said when nothing of a reply has come by then, and a few words before it where the answers of this call tell that the reply
    /// will not be there in time. One that has its first sound needs none.
    pub(super) fn due_opened(&mut self, since: Instant, is_ready: bool) -> Option<Due> {
        self.meanwhile.opener.next = None;
        let due = self.due(since)?;
        let (spent, budget) = (since.elapsed(), self.limits.filler);
        let late = self.meanwhile.lateness.expected().filter(|expected| !is_ready && spent + *expected > budget);
        let Some(expected) = late else { return Some(due) };
        let language = self.language;
        let openers = self.persona.openers(language);
        let Some(chosen) = self.meanwhile.opener.choose(language, openers.len()) else { return Some(due) };
        let sound: Arc<[i16]> = self.phrases.opener(self.persona, chosen, language);
        if sound.is_empty() {
            return Some(due);
        }
        let mut why = budget::at_risk((spent, expected), budget);
        why["said"] = openers[chosen].as_str().into();
        self.meanwhile.opener.next = Some((language, chosen, why));
        Some(due.opened(Instant::now() + SOON, sound))
    }

    /// It is being said.
    pub(super) fn opened(&mut self) {
        if let Some((language, chosen, why)) = self.meanwhile.opener.next.take() {
            self.meanwhile.opener.last = Some((language, chosen));
            self.quicker("opener", why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_said_twice_in_a_row() {
        let said = |count: usize, languages: [Language; 5]| {
            let mut opener = Opener::default();
            languages.map(|language| {
                let chosen = opener.choose(language, count)?;
                opener.last = Some((language, chosen));
                Some(chosen)
            })
        };
        use Language::{Fr, Mg};
        assert_eq!(said(0, [Mg; 5]), [None; 5]);
        assert_eq!(said(1, [Mg; 5]), [Some(0), None, Some(0), None, Some(0)]);
        assert_eq!(said(3, [Mg, Mg, Mg, Mg, Fr]), [0, 1, 2, 0, 0].map(Some));
    }
}
