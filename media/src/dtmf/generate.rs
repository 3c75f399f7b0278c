//! A key as it sounds (ITU-T Q.23).

use super::tones_of;
use crate::{FRAME_MS, Frame, SAMPLE_RATE};

/// Peaks of the low and the high tone, of 32,767: −9 and −7 dBm0 (a full-scale sine is 3.14 dBm0 on G.711). The high one
/// is louder because lines take more from it.
const LOW: f64 = 8_100.0;
const HIGH: f64 = 10_200.0;
/// Samples over which the tones swell and fade: 3 ms. Without it each end would click over the whole band.
const EDGE: usize = 48;

/// One press as audio, frame by frame.
#[derive(Clone, Debug)]
pub struct Tones {
    low: f64,
    high: f64,
    at: usize,
    samples: usize,
}

impl Tones {
    /// The tones of this key for so many milliseconds, rounded up to frames. `None`: no telephone has this key.
    pub fn new(key: char, duration_ms: u32) -> Option<Self> {
        let (low, high) = tones_of(key)?;
        let step = std::f64::consts::TAU / f64::from(SAMPLE_RATE);
        let samples = (duration_ms.div_ceil(FRAME_MS).max(1) * FRAME_MS * SAMPLE_RATE / 1000) as usize;
        Some(Self { low: low * step, high: high * step, at: 0, samples })
    }

    fn sample(&self, at: usize) -> i16 {
        let edge = at.min(self.samples - 1 - at).min(EDGE) as f64 / EDGE as f64;
        let swell = (1.0 - (std::f64::consts::PI * edge).cos()) / 2.0;
        let time = at as f64;
        (swell * (LOW * (self.low * time).sin() + HIGH * (self.high * time).sin())) as i16
    }
}

impl Iterator for Tones {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        if self.at >= self.samples {
            return None;
        }
        let mut frame = Frame::SILENCE;
        for (index, sample) in frame.samples_mut().iter_mut().enumerate() {
            *sample = self.sample(self.at + index);
        }
        self.at += frame.samples().len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(key: char, duration_ms: u32) -> Vec<i16> {
        Tones::new(key, duration_ms).expect("a key").flat_map(|frame| *frame.samples()).collect()
    }

    /// Peak of the sine of this frequency, of 32,767.
    fn peak(sound: &[i16], hertz: f64) -> f64 {
        let step = std::f64::consts::TAU * hertz / f64::from(SAMPLE_RATE);
        let part = |wave: fn(f64) -> f64| {
            sound.iter().enumerate().map(|(at, &sample)| f64::from(sample) * wave(step * at as f64)).sum::<f64>()
        };
        2.0 * part(f64::cos).hypot(part(f64::sin)) / sound.len() as f64
    }

    #[test]
    fn a_key_is_its_two_tones_and_nothing_else() {
        let sound = sound('8', 1000);
        assert_eq!(sound.len(), 16_000);
        for (hertz, expected) in [(852.0, LOW), (1336.0, HIGH)] {
            let found = peak(&sound, hertz);
            assert!((found / expected - 1.0).abs() < 0.02, "{hertz} Hz: {found:.0}");
        }
        for hertz in [697.0, 770.0, 941.0, 1209.0, 1477.0, 1633.0, 2672.0] {
            assert!(peak(&sound, hertz) < LOW / 200.0, "{hertz} Hz");
        }
    }

    #[test]
    fn no_click_where_it_begins_and_ends() {
        let sound = sound('1', 60);
        assert_eq!(sound.len(), 960);
        assert!(sound[0].abs() < 5 && sound[959].abs() < 5);
        // What a 5 kHz filter would hear: the tones have nothing there, a click has.
        let swelling = peak(&sound, 5000.0);
        let cut = peak(&self::sound('1', 1000)[1003..1963], 5000.0);
        assert!(swelling < cut / 10.0 && swelling < 1.0, "{swelling:.2} of a swelling one, {cut:.2} of a cut one");
    }

    #[test]
    fn durations_are_whole_frames_and_other_keys_have_no_tones() {
        assert_eq!(sound('0', 1).len(), 320);
        assert_eq!(sound('D', 101).len(), 6 * 320);
        assert!(Tones::new('x', 100).is_none());
    }
}
