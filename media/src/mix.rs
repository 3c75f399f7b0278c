//! Ambience under the voice: an endless sound that steps back while somebody speaks.

use std::sync::Arc;

use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE};

/// Samples in which the ambience steps back when the voice begins: 60 ms.
const DUCK: f32 = SAMPLE_RATE as f32 * 0.060;
/// Samples in which it comes back, swells at its beginning and fades at its end: 500 ms.
const RISE: f32 = SAMPLE_RATE as f32 * 0.500;
/// Samples over which the end of the sound melts into its beginning: 50 ms.
const SEAM: usize = SAMPLE_RATE as usize / 20;

/// A sound that repeats without a seam, and how loud it is.
#[derive(Clone, Debug)]
pub struct Ambience {
    sound: Arc<[i16]>,
    at: usize,
    /// Factors: alone, under a voice, and now.
    alone: f32,
    ducked: f32,
    now: f32,
    ending: bool,
}

impl Ambience {
    /// An ambience that swells from silence. Levels are in dB relative to the sound itself: alone, and under a voice.
    /// `None` when the sound is empty.
    pub fn new(sound: Arc<[i16]>, alone_db: f32, ducked_db: f32) -> Option<Self> {
        let factor = |db: f32| 10f32.powf(db.min(0.0) / 20.0);
        let made = Self { sound, at: 0, alone: factor(alone_db), ducked: factor(ducked_db), now: 0.0, ending: false };
        (!made.sound.is_empty()).then_some(made)
    }

    /// From here on it fades.
    pub(crate) fn end(&mut self) {
        self.ending = true;
    }

    /// Whether it has faded.
    pub(crate) fn is_over(&self) -> bool {
        self.ending && self.now == 0.0
    }

    /// The next 20 ms, under this voice or alone. Where both together are too loud, the sum is held at full scale.
    pub(crate) fn under(&mut self, voice: Option<Frame>) -> Frame {
        let target = match voice {
            _ if self.ending => 0.0,
            Some(_) => self.ducked,
            None => self.alone,
        };
        // As a step of a factor that would be 1 at the most: a quiet ambience takes less time, never more.
        let step = if target < self.now && !self.ending { 1.0 / DUCK } else { 1.0 / RISE };
        let mut frame = voice.unwrap_or_default();
        for sample in frame.samples_mut().iter_mut().take(FRAME_SAMPLES) {
            self.now += (target - self.now).clamp(-step, step);
            *sample = sample.saturating_add((f32::from(self.next()) * self.now) as i16);
        }
        frame
    }

    /// The next sample of the endless sound.
    fn next(&mut self) -> i16 {
        let length = self.sound.len();
        let seam = SEAM.min(length / 2);
        let left = length - self.at;
        let sample = f32::from(self.sound[self.at]);
        self.at += 1;
        if left > seam {
            // Only a sound of one sample has no seam and comes to its end here.
            self.at %= length;
            return sample as i16;
        }
        // In the seam its last samples give way to its first ones; after it, it goes on behind those.
        let into = seam - left;
        let share = (into as f32 + 0.5) / seam as f32;
        if self.at == length {
            self.at = seam;
        }
        (sample * (1.0 - share) + f32::from(self.sound[into]) * share) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, steepest};

    fn hum(seconds: usize) -> Arc<[i16]> {
        Tone::new(150.0, 0.5).take(seconds * 50).flat_map(|frame| *frame.samples()).collect()
    }

    fn level(frames: &[Frame]) -> f32 {
        frames.iter().map(Frame::dbfs).sum::<f32>() / frames.len() as f32
    }

    #[test]
    fn it_steps_back_under_a_voice_and_returns() {
        let full = level(&Frame::cut(&hum(1)).collect::<Vec<_>>());
        let mut ambience = Ambience::new(hum(2), -12.0, -30.0).expect("a sound");
        let mut run = |voice: Option<Frame>, frames| (0..frames).map(|_| ambience.under(voice)).collect::<Vec<_>>();
        assert!(run(None, 1)[0].dbfs() < full - 30.0, "it swells from silence");
        let alone = run(None, 60);
        assert!((level(&alone[40..]) - (full - 12.0)).abs() < 0.5, "{}", level(&alone[40..]));
        let under = run(Some(Frame::SILENCE), 20);
        assert!((level(&under[5..]) - (full - 30.0)).abs() < 1.0, "{}", level(&under[5..]));
        let again = run(None, 60);
        assert!((level(&again[40..]) - (full - 12.0)).abs() < 0.5);
        let all: Vec<i16> = [alone, under, again].concat().iter().flat_map(|frame| *frame.samples()).collect();
        assert!(steepest(&all) < Some(400), "no step clicks: {:?}", steepest(&all));
    }

    #[test]
    fn the_sound_repeats_without_a_seam_whatever_its_length() {
        for length in [1, 2, 7, 319, 320, 1_601, 16_003] {
            let sound: Arc<[i16]> = hum(2)[..length].into();
            let mut ambience = Ambience::new(sound, 0.0, 0.0).expect("a sound");
            let samples: Vec<i16> = (0..500).flat_map(|_| *ambience.under(None).samples()).collect();
            // 150 Hz at half of full scale climbs by 965 a sample at most; a hard seam would jump by up to 32,767.
            if length > 2 * SEAM {
                assert!(steepest(&samples) < Some(1_500), "{length}: {:?}", steepest(&samples));
            }
        }
        assert!(Ambience::new(Arc::new([]), 0.0, 0.0).is_none());
    }

    #[test]
    fn the_sum_is_held_at_full_scale() {
        let loud: Arc<[i16]> = vec![i16::MAX; 16_000].into();
        let mut ambience = Ambience::new(loud, 0.0, 0.0).expect("a sound");
        let frames: Vec<_> = (0..60).map(|_| ambience.under(Some(Frame::new([30_000; FRAME_SAMPLES])))).collect();
        assert!(frames[59].samples().iter().all(|sample| *sample == i16::MAX));
    }

    #[test]
    fn ended_it_fades_to_nothing() {
        let mut ambience = Ambience::new(hum(1), -6.0, -6.0).expect("a sound");
        for _ in 0..50 {
            ambience.under(None);
        }
        ambience.end();
        assert!(!ambience.is_over());
        for _ in 0..26 {
            ambience.under(None);
        }
        assert!(ambience.is_over());
        assert_eq!(ambience.under(None), Frame::SILENCE);
    }
}
