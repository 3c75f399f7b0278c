//! The sound of the turn that is being spoken, as the transcriber gets it.

use std::{collections::VecDeque, mem};

use milo_media::{Cleaned, FRAME_MS};

/// Sound kept from before the onset: the detector needs 64 ms to notice, and words begin softly.
const BEFORE_ONSET: usize = 400 / FRAME_MS as usize;
/// So much of it is taken for the caller's own; before that it was the echo of our voice, if there was one.
const CALLERS_OWN: usize = 160 / FRAME_MS as usize;

/// What was said in this turn so far.
///
/// Taking an echo out of somebody's voice takes some of the voice as well, and costs the transcriber more than the echo would
/// (the README has the figures). So from the onset on it hears the caller as they came: our voice pauses at the onset, and
/// what is left of its echo is short and far below a voice.
#[derive(Default)]
pub(crate) struct Turn {
    before: VecDeque<Cleaned>,
    samples: Vec<i16>,
    speaking: bool,
    /// The turn before this one, as long as it may turn out to be the same.
    aside: Vec<i16>,
}

impl Turn {
    /// 20 ms were heard.
    pub(crate) fn hear(&mut self, heard: Cleaned) {
        if self.speaking {
            self.samples.extend(heard.speech.samples());
        }
        if self.before.len() == BEFORE_ONSET {
            self.before.pop_front();
        }
        self.before.push_back(heard);
    }

    /// A voice began, a little before this.
    pub(crate) fn begin(&mut self) {
        self.speaking = true;
        self.samples.clear();
        let echo = self.before.len().saturating_sub(CALLERS_OWN);
        for (at, heard) in self.before.iter().enumerate() {
            let frame = if at < echo && heard.echoing { &heard.activity } else { &heard.speech };
            self.samples.extend(frame.samples());
        }
    }

    /// The voice has ended; its sound is there until the next one begins.
    pub(crate) fn end(&mut self) {
        self.speaking = false;
    }

    /// It was no voice.
    pub(crate) fn abandon(&mut self) {
        self.end();
        self.samples.clear();
    }

    /// The turn was taken to be answered. What begins now is the next one, or the same ([`Turn::take_up`]).
    pub(crate) fn set_aside(&mut self) {
        self.end();
        self.before.clear();
        self.aside = mem::take(&mut self.samples);
    }

    /// The caller had not finished: the voice that is heard now goes on with the turn that was set aside. Not when that makes
    /// it longer than `most` samples, and not twice.
    pub(crate) fn take_up(&mut self, most: usize) -> bool {
        let fits = !self.aside.is_empty() && self.aside.len() + self.samples.len() <= most;
        if fits {
            let mut whole = mem::take(&mut self.aside);
            whole.append(&mut self.samples);
            self.samples = whole;
        }
        fits
    }

    /// The turn that was set aside is answered.
    pub(crate) fn answered(&mut self) {
        self.aside = Vec::new();
    }

    /// It was nobody's: what was heard so far belongs to no later turn.
    pub(crate) fn forget(&mut self) {
        self.abandon();
        self.before.clear();
        self.answered();
    }

    /// The sound of the turn so far, 16 kHz, from a little before its onset.
    pub(crate) fn sound(&self) -> Vec<i16> {
        self.samples.clone()
    }
}

#[cfg(test)]
mod tests {
    use milo_media::{FRAME_SAMPLES, Frame};

    use super::*;

    fn heard(activity: i16, speech: i16, echoing: bool) -> Cleaned {
        Cleaned {
            activity: Frame::new([activity; FRAME_SAMPLES]),
            speech: Frame::new([speech; FRAME_SAMPLES]),
            echoing,
        }
    }

    #[test]
    fn a_turn_begins_before_its_onset_without_our_echo_and_goes_on_as_it_came() {
        let mut turn = Turn::default();
        for _ in 0..30 {
            turn.hear(heard(1, 2, true));
        }
        assert!(turn.sound().is_empty(), "nobody has spoken");
        turn.begin();
        for _ in 0..10 {
            turn.hear(heard(3, 4, true));
        }
        let sound: Vec<i16> = turn.sound().chunks(FRAME_SAMPLES).map(|frame| frame[0]).collect();
        assert_eq!(sound, [vec![1; 12], vec![2; 8], vec![4; 10]].concat());
    }

    #[test]
    fn a_turn_that_goes_on_is_one_turn() {
        let mut turn = Turn::default();
        let say = |turn: &mut Turn, sound: i16| {
            turn.begin();
            for _ in 0..5 {
                turn.hear(heard(0, sound, false));
            }
        };
        say(&mut turn, 1);
        turn.set_aside();
        assert!(turn.sound().is_empty());
        for _ in 0..3 {
            turn.hear(heard(0, 0, false));
        }
        say(&mut turn, 2);
        assert!(!turn.take_up(12 * FRAME_SAMPLES), "too long for one turn");
        assert!(turn.take_up(13 * FRAME_SAMPLES));
        let sound: Vec<i16> = turn.sound().chunks(FRAME_SAMPLES).map(|frame| frame[0]).collect();
        assert_eq!(sound, [1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2, 2, 2], "with the pause before the voice");
        assert!(!turn.take_up(usize::MAX), "there is nothing aside any more");

        turn.set_aside();
        turn.answered();
        say(&mut turn, 3);
        assert!(!turn.take_up(usize::MAX), "what was answered is over");
    }

    #[test]
    fn without_an_echo_nothing_is_exchanged_and_a_turn_that_was_taken_is_over() {
        let mut turn = Turn::default();
        for _ in 0..5 {
            turn.hear(heard(1, 2, false));
        }
        turn.begin();
        assert_eq!(turn.sound(), vec![2; 5 * FRAME_SAMPLES]);
        turn.end();
        turn.hear(heard(1, 2, false));
        assert_eq!(turn.sound().len(), 5 * FRAME_SAMPLES);
        turn.forget();
        turn.begin();
        assert!(turn.sound().is_empty());
    }
}
