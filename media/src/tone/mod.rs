//! Sound made by clockwork: a tone, the signals of telephone networks by country, and a short endless music; and what a line says by
//! such tones.

mod country;
mod listener;
mod music;

use crate::{Frame, SAMPLE_RATE};

pub use country::{Country, Pattern, Signal, Signals};
pub use listener::{LineTone, Listener};
pub use music::Music;

/// An endless sine, frame by frame, in one unbroken phase.
#[derive(Clone, Debug)]
pub struct Tone {
    phase: f64,
    step: f64,
    amplitude: f64,
}

impl Tone {
    /// A sine of this frequency and peak (0 to 1 of full scale).
    pub fn new(hertz: f64, peak: f64) -> Self {
        let step = std::f64::consts::TAU * hertz / f64::from(SAMPLE_RATE);
        Self { phase: 0.0, step, amplitude: peak.clamp(0.0, 1.0) * f64::from(i16::MAX) }
    }
}

impl Iterator for Tone {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let mut frame = Frame::SILENCE;
        for sample in frame.samples_mut() {
            *sample = (self.amplitude * self.phase.sin()) as i16;
            self.phase = (self.phase + self.step) % std::f64::consts::TAU;
        }
        Some(frame)
    }
}

/// The largest step from one sample to the next: a click has a large one.
#[cfg(test)]
pub(crate) fn steepest(samples: &[i16]) -> Option<i32> {
    samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_has_its_frequency_and_level_and_no_seam() {
        let samples: Vec<i16> = Tone::new(1000.0, 0.5).take(50).flat_map(|frame| *frame.samples()).collect();
        let rises = samples.windows(2).filter(|pair| pair[0] <= 0 && pair[1] > 0).count();
        assert!((998..=1001).contains(&rises), "{rises}");
        let first = Tone::new(1000.0, 0.5).next().expect("endless");
        assert!((first.dbfs() + 9.03).abs() < 0.05);
        assert!(steepest(&samples) < Some(6450));
    }
}
