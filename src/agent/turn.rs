//! The sound of the turn that is being spoken, as the transcriber gets it.

use std::{collections::VecDeque, mem, ops::Range};

use milo_media::{Cleaned, FRAME_MS, FRAME_SAMPLES};

/// Sound kept from before the onset: the detector needs 64 ms to notice, and words begin softly.
const BEFORE_ONSET: usize = 400 / FRAME_MS as usize;
/// So much of it is taken for the caller's own; before that it was the echo of our voice, if there was one.
const CALLERS_OWN: usize = 160 / FRAME_MS as usize;

/// A pause within the turn is this long for the transcriber, however long it was: whoever dictates a number falls silent for a second, and
/// what comes after so long a silence is easily missed, by small ears above all.
const PAUSE: u32 = 300 / FRAME_MS;
/// What comes right before the voice goes on belongs to it: words begin softly.
const SOFT: usize = 100 / FRAME_MS as usize;

/// What was said in this turn so far.
///
/// Taking an echo out of somebody's voice takes some of the voice as well, and costs the transcriber more than the echo would
/// (the README has the figures). So from the onset on it hears the caller as they came: our voice pauses at the onset, and
/// what is left of its echo is short and far below a voice.
#[derive(Default)]
pub(crate) struct Turn {
    before: VecDeque<Cleaned>,
    samples: Vec<i16>,
    /// Which of these samples are silence that the transcriber need not hear, in their order.
    silence: Vec<Range<usize>>,
    speaking: bool,
    /// The turn before this one, as long as it may turn out to be the same, with its silence.
    aside: (Vec<i16>, Vec<Range<usize>>),
}

impl Turn {
    /// 20 ms were heard; with them so many frames have passed since a voice was loud.
    pub(crate) fn hear(&mut self, heard: Cleaned, quiet: u32) {
        if self.speaking {
            let from = self.samples.len();
            self.samples.extend(heard.speech.samples());
            let goes_on = self.silence.last_mut().filter(|silence| silence.end == from);
            match (quiet > PAUSE, goes_on) {
                (true, Some(silence)) => silence.end = self.samples.len(),
                (true, None) => self.silence.push(from..self.samples.len()),
                (false, Some(silence)) => {
                    silence.end = silence.end.saturating_sub(SOFT * FRAME_SAMPLES).max(silence.start)
                }
                (false, None) => {}
            }
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
        self.silence.clear();
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
        self.silence.clear();
    }

    /// The turn was taken to be answered. What begins now is the next one, or the same ([`Turn::take_up`]).
    pub(crate) fn set_aside(&mut self) {
        self.end();
        self.before.clear();
        self.aside = (mem::take(&mut self.samples), mem::take(&mut self.silence));
    }

    /// The caller had not finished: the voice that is heard now goes on with the turn that was set aside. Not when that makes
    /// it longer than `most` samples, and not twice.
    pub(crate) fn take_up(&mut self, most: usize) -> bool {
        let before = self.aside.0.len();
        let fits = before > 0 && before + self.samples.len() <= most;
        if fits {
            let (mut whole, mut silence) = mem::take(&mut self.aside);
            whole.append(&mut self.samples);
            silence.extend(self.silence.drain(..).map(|silence| silence.start + before..silence.end + before));
            (self.samples, self.silence) = (whole, silence);
        }
        fits
    }

    /// The turn that was set aside is answered.
    pub(crate) fn answered(&mut self) {
        self.aside = Default::default();
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

    /// The same for the transcriber: without what is longer of its pauses than [`PAUSE`].
    pub(crate) fn words(&self) -> Vec<i16> {
        without(&self.samples, &self.silence)
    }

    /// The same of the turn that was set aside; nothing once that is answered.
    pub(crate) fn words_aside(&self) -> Vec<i16> {
        without(&self.aside.0, &self.aside.1)
    }
}

fn without(samples: &[i16], silence: &[Range<usize>]) -> Vec<i16> {
    let mut words = Vec::with_capacity(samples.len());
    let mut from = 0;
    for silence in silence {
        words.extend_from_slice(&samples[from..silence.start]);
        from = silence.end;
    }
    words.extend_from_slice(&samples[from..]);
    words
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
            turn.hear(heard(1, 2, true), 0);
        }
        assert!(turn.sound().is_empty(), "nobody has spoken");
        turn.begin();
        for _ in 0..10 {
            turn.hear(heard(3, 4, true), 0);
        }
        let sound: Vec<i16> = turn.sound().chunks(FRAME_SAMPLES).map(|frame| frame[0]).collect();
        assert_eq!(sound, [vec![1; 12], vec![2; 8], vec![4; 10]].concat());
    }

    #[test]
    fn the_transcriber_hears_long_pauses_short() {
        let mut turn = Turn::default();
        let say = |turn: &mut Turn, sound: i16, frames: u32, is_quiet: bool| {
            for frame in 0..frames {
                turn.hear(heard(0, sound, false), if is_quiet { frame + 1 } else { 0 });
            }
        };
        turn.begin();
        say(&mut turn, 1, 10, false);
        say(&mut turn, 2, 60, true);
        say(&mut turn, 3, 10, false);
        say(&mut turn, 2, 10, true);
        say(&mut turn, 3, 1, false);
        let count = |samples: &[i16], sound: i16| samples.iter().filter(|&&s| s == sound).count() / FRAME_SAMPLES;
        assert_eq!(turn.sound().len(), 91 * FRAME_SAMPLES);
        let words = turn.words();
        assert_eq!([1, 2, 3].map(|sound| count(&words, sound)), [10, 15 + 5 + 10, 11], "a short pause stays as it is");
        // The same where the turn had ended meanwhile.
        turn.set_aside();
        assert_eq!(turn.words_aside(), words, "it can be heard once more");
        turn.begin();
        say(&mut turn, 1, 1, false);
        say(&mut turn, 2, 40, true);
        say(&mut turn, 3, 2, false);
        assert!(turn.take_up(usize::MAX));
        assert_eq!([1, 2, 3].map(|sound| count(&turn.words(), sound)), [11, 30 + 15 + 5, 13]);
    }

    #[test]
    fn a_turn_that_goes_on_is_one_turn() {
        let mut turn = Turn::default();
        let say = |turn: &mut Turn, sound: i16| {
            turn.begin();
            for _ in 0..5 {
                turn.hear(heard(0, sound, false), 0);
            }
        };
        say(&mut turn, 1);
        turn.set_aside();
        assert!(turn.sound().is_empty());
        for _ in 0..3 {
            turn.hear(heard(0, 0, false), 0);
        }
        say(&mut turn, 2);
        assert!(!turn.take_up(12 * FRAME_SAMPLES), "too long for one turn");
        assert!(turn.take_up(13 * FRAME_SAMPLES));
        let sound: Vec<i16> = turn.sound().chunks(FRAME_SAMPLES).map(|frame| frame[0]).collect();
        assert_eq!(sound, [1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2, 2, 2], "with the pause before the voice");
        assert!(!turn.take_up(usize::MAX), "there is nothing aside any more");

        turn.set_aside();
        turn.answered();
        assert!(turn.words_aside().is_empty());
        say(&mut turn, 3);
        assert!(!turn.take_up(usize::MAX), "what was answered is over");
    }

    #[test]
    fn without_an_echo_nothing_is_exchanged_and_a_turn_that_was_taken_is_over() {
        let mut turn = Turn::default();
        for _ in 0..5 {
            turn.hear(heard(1, 2, false), 0);
        }
        turn.begin();
        assert_eq!(turn.sound(), vec![2; 5 * FRAME_SAMPLES]);
        turn.end();
        turn.hear(heard(1, 2, false), 0);
        assert_eq!(turn.sound().len(), 5 * FRAME_SAMPLES);
        turn.forget();
        turn.begin();
        assert!(turn.sound().is_empty());
    }
}
