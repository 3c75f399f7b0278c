//! Takes away what lies below speech: direct current, hum, handling and wind.

use crate::{Frame, SAMPLE_RATE};

/// Where the filter has taken 3 dB (Hz). Telephone speech begins at 300, a deep voice's fundamental at 85.
const CORNER: f32 = 100.0;

/// A second-order Butterworth high-pass: flat above, 12 dB an octave below [`CORNER`].
#[derive(Debug)]
pub(super) struct HighPass {
    b: [f32; 3],
    a: [f32; 2],
    /// Transposed direct form II.
    state: [f32; 2],
}

impl HighPass {
    pub(super) fn new() -> Self {
        let w = std::f32::consts::TAU * CORNER / SAMPLE_RATE as f32;
        let alpha = w.sin() * std::f32::consts::FRAC_1_SQRT_2;
        let scale = 1.0 / (1.0 + alpha);
        let outer = (1.0 + w.cos()) / 2.0 * scale;
        Self { b: [outer, -2.0 * outer, outer], a: [-2.0 * w.cos() * scale, (1.0 - alpha) * scale], state: [0.0; 2] }
    }

    pub(super) fn process(&mut self, frame: &mut Frame) {
        let ([b0, b1, b2], [a1, a2], [mut s1, mut s2]) = (self.b, self.a, self.state);
        for sample in frame.samples_mut() {
            let x = f32::from(*sample);
            let y = b0 * x + s1;
            s1 = b1 * x - a1 * y + s2;
            s2 = b2 * x - a2 * y;
            // A cast of floats saturates.
            *sample = y.round() as i16;
        }
        self.state = [s1, s2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FRAME_SAMPLES;

    /// How much of a tone comes out, in dB, once the filter has settled.
    fn gain(hz: f32) -> f32 {
        let mut filter = HighPass::new();
        let mut out = Frame::SILENCE;
        for n in 0..50 {
            out = Frame::new(std::array::from_fn(|i| {
                let t = (n * FRAME_SAMPLES + i) as f32 / SAMPLE_RATE as f32;
                (8_000.0 * (std::f32::consts::TAU * hz * t).cos()) as i16
            }));
            filter.process(&mut out);
        }
        out.dbfs() - 20.0 * (8_000.0 / 32_768.0 / std::f32::consts::SQRT_2).log10()
    }

    #[test]
    fn hum_goes_and_speech_stays() {
        assert!(gain(0.0) < -60.0, "{}", gain(0.0));
        assert!((-13.0..-11.0).contains(&gain(50.0)), "{}", gain(50.0));
        assert!((gain(100.0) + 3.0).abs() < 0.3, "{}", gain(100.0));
        for hz in [300.0, 1_000.0, 3_400.0] {
            assert!(gain(hz).abs() < 0.2, "{hz}: {}", gain(hz));
        }
    }

    #[test]
    fn a_full_scale_step_is_clipped_and_does_not_wrap() {
        let mut filter = HighPass::new();
        for _ in 0..20 {
            filter.process(&mut Frame::new([i16::MIN; FRAME_SAMPLES]));
        }
        let mut step = Frame::new([i16::MAX; FRAME_SAMPLES]);
        filter.process(&mut step);
        assert_eq!(step.samples()[0], i16::MAX);
    }
}
