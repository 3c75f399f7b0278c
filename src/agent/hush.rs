//! When a voice fell silent, by its level. The detector knows what a voice is, and says late that it is over; the level falls at once,
//! and knows nothing else.

use milo_media::Frame;

/// A frame so far below the loudest of the last seconds holds no voice: 36 dB, as power.
const BELOW: f32 = 4_000.0;
/// By so much the loudest falls with each frame: 4 dB a second.
const FADES: f32 = 0.98;
/// A voice is louder than what is heard where nobody speaks: 6 dB, as power.
const ABOVE: f32 = 4.0;
/// Each frame without a voice counts for so much in what is heard there.
const SHARE: f32 = 1.0 / 16.0;
/// A window below this holds nobody's voice, nor the end of one.
const NOBODY: f32 = 0.1;
/// Nothing below this is a voice: 70 dB below full scale, as power.
const LEAST: f32 = 100.0;

/// Follows the level of one party.
#[derive(Debug, Default)]
pub(super) struct Hush {
    /// Powers: of the newest frame, of the loudest lately, and of what is heard where nobody speaks.
    newest: f32,
    loudest: f32,
    floor: f32,
    frames: u32,
}

impl Hush {
    /// 20 ms were heard.
    pub(super) fn hear(&mut self, frame: &Frame) {
        let samples = frame.samples();
        let power: f32 = samples.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
        self.newest = power / samples.len() as f32;
        self.loudest = self.newest.max(self.loudest * FADES);
        let is_loud = self.newest > (self.loudest / BELOW).max(self.floor * ABOVE).max(LEAST);
        self.frames = if is_loud { 0 } else { self.frames.saturating_add(1) };
    }

    /// What the detector says of the newest window.
    pub(super) fn judge(&mut self, probability: f32) {
        if probability < NOBODY {
            self.floor += (self.newest - self.floor) * SHARE;
        }
    }

    /// Frames since the last one that may hold a voice.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use milo_media::FRAME_SAMPLES;

    use super::*;

    fn hear(hush: &mut Hush, level: i16, probability: f32, frames: usize) -> u32 {
        for _ in 0..frames {
            hush.hear(&Frame::new([level; FRAME_SAMPLES]));
            hush.judge(probability);
        }
        hush.frames()
    }

    #[test]
    fn a_voice_ends_where_its_level_falls_and_a_soft_end_of_a_word_belongs_to_it() {
        let mut hush = Hush::default();
        assert_eq!(hear(&mut hush, 3_000, 0.9, 50), 0);
        assert_eq!(hear(&mut hush, 150, 0.9, 3), 0, "26 dB below");
        assert_eq!(hear(&mut hush, 30, 0.9, 4), 4, "40 dB below");
        assert_eq!(hear(&mut hush, 3_000, 0.9, 1), 0);
    }

    #[test]
    fn what_is_no_louder_than_the_street_is_no_voice_and_a_voice_there_is() {
        let mut hush = Hush::default();
        hear(&mut hush, 500, 0.02, 100);
        assert_eq!(hear(&mut hush, 5_000, 0.9, 50), 0);
        assert_eq!(hear(&mut hush, 600, 0.9, 4), 4);
        assert_eq!(hear(&mut hush, 1_500, 0.9, 1), 0);
    }

    #[test]
    fn somebody_who_speaks_low_after_a_shout_is_heard_again() {
        let mut hush = Hush::default();
        hear(&mut hush, 20_000, 0.9, 10);
        assert!(hear(&mut hush, 200, 0.9, 10) > 0, "40 dB below the shout");
        assert_eq!(hear(&mut hush, 200, 0.9, 100), 0, "seconds later");
    }
}
