//! Takes loud steady noise out of what is heard: WebRTC's noise suppression in pure Rust (`sonora`).
//!
//! It takes some of every word as well. So it runs only while the noise is so loud that more words are lost to it
//! (`milo bench clean`); beside that, what is heard passes untouched.

use sonora::{
    AudioProcessing, Config,
    config::{NoiseSuppression as Settings, NoiseSuppressionLevel},
};

use super::{PIECE, fade, stage};
use crate::Frame;

/// Noise louder than this is taken out (dBFS): within ten decibels of the usual voice.
const LOUD: f32 = -36.0;
/// Noise quieter than this is left again.
const BEARABLE: f32 = -40.0;
/// Below this there is only zeros: a line without noise, or nobody's line yet.
const NOTHING: f32 = -75.0;
/// How fast zeros bring the noise down (dB a frame), and how far.
const FALL: f32 = 0.5;
const FLOOR: f32 = -60.0;
/// How fast the noise may rise: dB a frame, 3 dB a second.
const RISE: f32 = 0.06;

/// The noise suppression of one call.
#[derive(Debug)]
pub(super) struct NoiseSuppression {
    /// Made when there is noise.
    suppressor: Option<Box<AudioProcessing>>,
    /// What was heard 20 ms ago: the suppressor begins with it, so that it has something in hand when its output is wanted.
    before: Frame,
    /// The quietest of late (dBFS).
    noise: f32,
    runs: bool,
}

impl NoiseSuppression {
    pub(super) fn new() -> Self {
        // Anything quieter brings it down at once: a third of a second that is all loud is noise, or the middle of a word.
        Self { suppressor: None, before: Frame::SILENCE, noise: LOUD - 1.0, runs: false }
    }

    pub(super) fn process(&mut self, heard: &mut Frame) {
        let raw = *heard;
        let loud = raw.dbfs();
        self.noise =
            if loud > NOTHING { loud.min(self.noise + RISE) } else { (self.noise - FALL).max(self.noise.min(FLOOR)) };
        let ran = self.runs;
        self.runs = loud > NOTHING && self.noise > if ran { BEARABLE } else { LOUD };
        if ran || self.runs {
            // 6 dB: more takes more of the words than of the noise.
            let settings = Settings { level: NoiseSuppressionLevel::Low, ..Settings::default() };
            let config = Config { noise_suppression: Some(settings), ..Config::default() };
            let suppressor = self.suppressor.get_or_insert_with(|| stage(config));
            if !ran {
                suppress(suppressor, &mut self.before);
            }
            suppress(suppressor, heard);
            match (ran, self.runs) {
                (false, true) => fade(&raw, heard),
                (true, false) => {
                    let cleaned = std::mem::replace(heard, raw);
                    fade(&cleaned, heard);
                }
                _ => {}
            }
        }
        self.before = raw;
    }
}

/// 20 ms, in the two pieces that the suppressor takes.
fn suppress(suppressor: &mut AudioProcessing, heard: &mut Frame) {
    let raw = *heard;
    for (raw, cleaned) in raw.samples().chunks_exact(PIECE).zip(heard.samples_mut().chunks_exact_mut(PIECE)) {
        if suppressor.process_capture_i16(raw, cleaned).is_err() {
            // It refuses rates and channels that differ from those it was made with, which these never do.
            cleaned.copy_from_slice(raw);
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
                (loud * vowel + 1_500.0 * noise.next()) as i16
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

    #[test]
    fn words_after_nothing_at_all_pass_untouched() {
        let mut suppression = NoiseSuppression::new();
        for n in 0..300 {
            let loud = if n % 100 < 40 { 0.0 } else { 6_000.0 };
            let raw = Frame::new(std::array::from_fn(|i| {
                let t = (n * FRAME_SAMPLES + i) as f32 * std::f32::consts::TAU / SAMPLE_RATE as f32;
                (loud * (250.0 * t).sin()) as i16
            }));
            let mut heard = raw;
            suppression.process(&mut heard);
            assert_eq!(heard, raw, "{n}");
        }
    }

    #[test]
    fn a_bearable_line_passes_untouched_and_the_changes_do_not_click() {
        let mut suppression = NoiseSuppression::new();
        let mut noise = Noise::new(9);
        let (mut last, mut changed) = (0, 0);
        for n in 0..1_200 {
            // A tone comes and goes over hiss that is bearable, then loud, then bearable.
            let hiss = if (300..900).contains(&n) { 1_200.0 } else { 100.0 };
            let loud = if n / 25 % 2 == 0 { 0.0 } else { 6_000.0 };
            let raw = Frame::new(std::array::from_fn(|i| {
                let t = (n * FRAME_SAMPLES + i) as f32 * std::f32::consts::TAU / SAMPLE_RATE as f32;
                (loud * (250.0 * t).sin() + hiss * noise.next()) as i16
            }));
            let mut heard = raw;
            suppression.process(&mut heard);
            assert!(heard == raw || (300..902).contains(&n), "{n}");
            changed += usize::from(heard != raw);
            let steepest = 1_000 + 2 * hiss as i32;
            for &sample in heard.samples() {
                assert!((i32::from(sample) - last).abs() < steepest, "a click at {n}");
                last = i32::from(sample);
            }
        }
        assert!((200..350).contains(&changed), "it ran in {changed} frames");
    }
}
