//! The built-in music: for the number `music`, and for whoever waits where no files are named.

use std::sync::LazyLock;

use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE};

/// The pentatonic scale of C4, in Hz (equal temperament, A4 = 440 Hz).
const SCALE: [f64; 6] = [261.63, 293.66, 329.63, 392.00, 440.00, 523.25];
/// The phrase, as steps of the scale; it repeats.
const PHRASE: [usize; 16] = [0, 2, 3, 4, 5, 4, 3, 2, 1, 3, 4, 5, 4, 2, 1, 0];
/// Frames a note lasts: 240 ms.
const NOTE_FRAMES: usize = 12;

/// The phrase twice, the second time with the fading note of the first: a quarter of a megabyte that is made once, where sines
/// made for each call cost more than all the rest of it.
static MADE: LazyLock<Vec<Frame>> = LazyLock::new(|| (0..2 * PHRASE.len() * NOTE_FRAMES).map(Music::made).collect());

/// An endless arpeggio of plucked notes, each fading into the next; peak a quarter of full scale.
#[derive(Clone, Debug, Default)]
pub struct Music {
    frame: usize,
}

impl Music {
    /// From the beginning of the phrase.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame of the phrase, counted from its beginning.
    fn made(at: usize) -> Frame {
        let (note, part) = (at / NOTE_FRAMES, at % NOTE_FRAMES);
        let mut frame = Frame::SILENCE;
        for (index, sample) in frame.samples_mut().iter_mut().enumerate() {
            let at = part * FRAME_SAMPLES + index;
            let mut value = Self::note(SCALE[PHRASE[note % PHRASE.len()]], at);
            if let Some(before) = note.checked_sub(1) {
                value += Self::note(SCALE[PHRASE[before % PHRASE.len()]], at + NOTE_FRAMES * FRAME_SAMPLES);
            }
            *sample = (value * 0.18 * f64::from(i16::MAX)) as i16;
        }
        frame
    }

    /// The value of a note this many samples after it was plucked.
    fn note(hertz: f64, at: usize) -> f64 {
        let seconds = at as f64 / f64::from(SAMPLE_RATE);
        let attack = (seconds / 0.005).min(1.0);
        let phase = std::f64::consts::TAU * hertz * seconds;
        attack * (-seconds * 6.0).exp() * (phase.sin() + 0.3 * (2.0 * phase).sin() + 0.1 * (3.0 * phase).sin())
    }
}

impl Iterator for Music {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let frame = MADE.get(self.frame).copied();
        // After two phrases the same again, with the fading note of the phrase before.
        self.frame = if self.frame + 1 == MADE.len() { MADE.len() / 2 } else { self.frame + 1 };
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::steepest;

    #[test]
    fn music_never_ends_clips_or_clicks() {
        let samples: Vec<i16> = Music::new().take(2000).flat_map(|frame| *frame.samples()).collect();
        assert!(samples.iter().all(|sample| sample.abs() < 12_000));
        assert!(samples.chunks(16_000).all(|second| second.iter().any(|sample| sample.abs() > 3000)));
        assert!(steepest(&samples) < Some(3000), "{:?}", steepest(&samples));
    }
}
