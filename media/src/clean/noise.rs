//! Takes steady noise out of what is heard: WebRTC's noise suppression in pure Rust (`sonora`).

use sonora::{
    AudioProcessing, Config,
    config::{NoiseSuppression as Settings, NoiseSuppressionLevel},
};

use super::{PIECE, stage};
use crate::Frame;

/// The noise suppression of one call.
#[derive(Debug)]
pub(super) struct NoiseSuppression(Box<AudioProcessing>);

impl NoiseSuppression {
    pub(super) fn new() -> Self {
        // 6 dB: more takes more of the words than of the noise (`milo bench clean`).
        let settings = Settings { level: NoiseSuppressionLevel::Low, ..Settings::default() };
        Self(stage(Config { noise_suppression: Some(settings), ..Config::default() }))
    }

    pub(super) fn process(&mut self, heard: &mut Frame) {
        let raw = *heard;
        for (raw, cleaned) in raw.samples().chunks_exact(PIECE).zip(heard.samples_mut().chunks_exact_mut(PIECE)) {
            if self.0.process_capture_i16(raw, cleaned).is_err() {
                // It refuses rates and channels that differ from those it was made with, which these never do.
                cleaned.copy_from_slice(raw);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FRAME_SAMPLES, SAMPLE_RATE, clean::Noise};

    #[test]
    fn steady_noise_sinks_and_a_voice_in_it_stays() {
        let mut suppression = NoiseSuppression::new();
        let mut noise = Noise::new(9);
        let mut levels = [(0.0, 0.0); 2];
        for n in 0..250 {
            // Syllables of a vowel, a quarter of a second each, from the third second on.
            let loud = if n > 150 && n / 12 % 2 == 0 { 6_000.0 } else { 0.0 };
            let mut heard = Frame::new(std::array::from_fn(|i| {
                let t = (n * FRAME_SAMPLES + i) as f32 * std::f32::consts::TAU / SAMPLE_RATE as f32;
                let vowel = (150.0 * t).sin() + (750.0 * t).sin() + 0.5 * (1_350.0 * t).sin();
                (loud * vowel + 500.0 * noise.next()) as i16
            }));
            let before = heard.rms().powi(2);
            suppression.process(&mut heard);
            // What comes out lies 8 ms behind: the first frame of a syllable and of a pause belongs to both.
            if n > 100 && n % 12 != 0 {
                let level = &mut levels[usize::from(loud > 0.0)];
                *level = (level.0 + before, level.1 + heard.rms().powi(2));
            }
        }
        let [noise, voice] = levels.map(|(before, after)| 10.0 * (after / before).log10());
        assert!(noise < -3.0, "noise changed by {noise:.1} dB");
        assert!((-2.0..1.0).contains(&voice), "the voice changed by {voice:.1} dB");
    }
}
