//! Turns of a call of which it is not known yet whether a person has heard them: they are written down when it is.

use milo_models::engine::Language;

use crate::store::NewTurn;

/// As many turns wait; what comes then is written at once, as heard.
const TURNS: usize = 64;

/// The turns that wait; none: nobody asks who hears them.
#[derive(Debug, Default)]
pub(super) struct Doubt(Option<Vec<(Language, NewTurn)>>);

impl Doubt {
    /// From here on it is asked.
    pub(super) fn begin(&mut self) {
        self.0.get_or_insert_default();
    }

    /// Keeps a turn; gives back one that need not wait.
    pub(super) fn keep(&mut self, language: Language, turn: NewTurn) -> Option<NewTurn> {
        match &mut self.0 {
            Some(turns) if turns.len() < TURNS => {
                turns.push((language, turn));
                None
            }
            _ => Some(turn),
        }
    }

    /// It is known, and asked no more. Of what was said to a machine nobody has heard anything.
    pub(super) fn settle(&mut self, is_heard: bool) -> Vec<(Language, NewTurn)> {
        let mut turns = self.0.take().unwrap_or_default();
        if !is_heard {
            turns.iter_mut().for_each(|(_, turn)| turn.said_heard = turn.said_heard.take().map(|_| String::new()));
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Places, Stages, Stamp};

    fn turn() -> NewTurn {
        NewTurn {
            at: Stamp::now(),
            heard: None,
            said: Some("Salama".into()),
            said_heard: Some("Sala-".into()),
            interrupted: true,
            said_by: None,
            heard_from: None,
            said_in: None,
            confidence: None,
            language: None,
            mode: None,
            stages: Stages::default(),
            recording_at_ms: Places::default(),
        }
    }

    fn heard(turns: &[(Language, NewTurn)]) -> Vec<Option<&str>> {
        turns.iter().map(|(_, turn)| turn.said_heard.as_deref()).collect()
    }

    #[test]
    fn turns_wait_until_it_is_known_who_hears_them_and_a_machine_hears_nothing() {
        let mut doubt = Doubt::default();
        assert!(doubt.keep(Language::Mg, turn()).is_some() && doubt.settle(false).is_empty(), "nobody asks");
        for (is_heard, said_heard) in [(true, Some("Sala-")), (false, Some(""))] {
            doubt.begin();
            doubt.begin();
            assert!(doubt.keep(Language::Mg, turn()).is_none());
            assert_eq!(heard(&doubt.settle(is_heard)), [said_heard]);
            assert!(doubt.keep(Language::Mg, turn()).is_some(), "it is known");
        }
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut doubt = Doubt::default();
        doubt.begin();
        let kept = (0..TURNS + 3).filter(|_| doubt.keep(Language::Mg, turn()).is_none()).count();
        assert_eq!((kept, doubt.settle(true).len()), (TURNS, TURNS));
    }
}
