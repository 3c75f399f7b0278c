//! From the library's samples to what a telephone wants: 16 kHz, one level, no silence to wait through.
//!
//! - The level is that of speech on telephones, about -20 dBFS RMS, reached by one gain a voice (measured once), so that
//!   clauses match; peaks above three quarters of full scale are bent, never clipped.
//! - Silence before the first sound is cut to 5 ms: the listener waits for nothing.
//! - Silence after the last sound is cut to a pause by punctuation: 180 ms after a sentence, 90 ms after a comma, 30 ms
//!   otherwise, so that clauses spoken one after the other keep their rhythm.

use milo_media::{SAMPLE_RATE, resample::Resampler};

use super::ENGINE;
use crate::engine::EngineError;

/// RMS of -20 dBFS.
const LEVEL: f32 = 3_277.0;
/// Below this a sample counts as silence (-52 dBFS).
const SILENCE: i16 = 80;
/// Samples kept before the first sound: 5 ms.
const LEAD: usize = 80;
/// Where bending begins, and what is never passed.
const KNEE: f32 = 24_576.0;
const FULL: f32 = 32_766.0;

/// Samples of silence (16 kHz) that belong after this text.
pub(super) fn pause_after(text: &str) -> usize {
    let last =
        text.chars().rev().find(|letter| !letter.is_whitespace() && !matches!(letter, '"' | '»' | ')' | '”' | '\''));
    let milliseconds = match last {
        Some('.' | '!' | '?' | '…') => 180,
        Some(',' | ';' | ':' | '–' | '—') => 90,
        _ => 30,
    };
    milliseconds * 16
}

/// By what these samples must be multiplied to reach [`LEVEL`], silence left out; within a factor of four.
pub(super) fn gain_for(samples: &[i16]) -> f32 {
    let (mut energy, mut count) = (0.0_f64, 0_u32);
    for frame in samples.chunks(441) {
        let power: f64 = frame.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum();
        if power > frame.len() as f64 * f64::from(SILENCE) * f64::from(SILENCE) {
            energy += power;
            count += frame.len() as u32;
        }
    }
    if count == 0 {
        return 1.0;
    }
    let rms = (energy / f64::from(count)).sqrt() as f32;
    (LEVEL / rms).clamp(0.25, 4.0)
}

/// Shapes one clause, as a stream.
pub(super) struct Shaper {
    resampler: Resampler,
    /// Output samples still to drop: the resampler's delay.
    delay: usize,
    gain: f32,
    /// Silence to leave at the end, in samples.
    pause: usize,
    begun: bool,
    /// Silence held back until it is known whether sound follows.
    held: Vec<i16>,
    resampled: Vec<i16>,
}

impl Shaper {
    pub(super) fn new(rate: u32, gain: f32, pause: usize) -> Result<Self, EngineError> {
        let resampler = Resampler::new(rate, SAMPLE_RATE)
            .map_err(|error| EngineError::Failed { engine: ENGINE, reason: error.to_string() })?;
        let delay = resampler.delay();
        Ok(Self { resampler, delay, gain, pause, begun: false, held: Vec::new(), resampled: Vec::new() })
    }

    /// Takes samples of the library and appends what can be heard now.
    pub(super) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.resampler.push(samples, &mut self.resampled);
        self.shape(out);
    }

    /// Appends the end.
    pub(super) fn finish(&mut self, out: &mut Vec<i16>) {
        self.resampler.finish(&mut self.resampled);
        self.shape(out);
        if self.begun {
            self.held.resize(self.pause, 0);
            out.append(&mut self.held);
        }
    }

    fn shape(&mut self, out: &mut Vec<i16>) {
        let dropped = self.delay.min(self.resampled.len());
        self.delay -= dropped;
        for sample in self.resampled.drain(..).skip(dropped) {
            let sample = bend(f32::from(sample) * self.gain);
            self.held.push(sample);
            if sample.unsigned_abs() >= SILENCE.unsigned_abs() {
                let waited = self.held.len() - 1;
                let skipped = if self.begun { 0 } else { waited.saturating_sub(LEAD) };
                self.begun = true;
                out.extend(self.held.drain(..).skip(skipped));
            }
        }
    }
}

/// Peaks above [`KNEE`] come ever nearer to full scale and never reach it.
fn bend(sample: f32) -> i16 {
    let size = sample.abs();
    if size <= KNEE {
        return sample as i16;
    }
    let room = FULL - KNEE;
    (KNEE + room * ((size - KNEE) / room).tanh()).copysign(sample) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(samples: &[i16], gain: f32, pause: usize) -> Vec<i16> {
        let mut shaper = Shaper::new(22_050, gain, pause).unwrap();
        let mut out = Vec::new();
        for piece in samples.chunks(1103) {
            shaper.push(piece, &mut out);
        }
        shaper.finish(&mut out);
        out
    }

    fn tone(milliseconds: usize, amplitude: f32) -> Vec<i16> {
        let count = milliseconds * 22_050 / 1000;
        (0..count).map(|n| ((n as f32 * 440.0 * std::f32::consts::TAU / 22_050.0).sin() * amplitude) as i16).collect()
    }

    #[test]
    fn silence_around_is_cut_and_silence_within_is_kept() {
        let mut samples = vec![0; 22_050];
        samples.extend(tone(200, 8_000.0));
        samples.extend(vec![0; 6_615]); // 300 ms
        samples.extend(tone(200, 8_000.0));
        samples.extend(vec![0; 22_050]);
        let out = shaped(&samples, 1.0, 480);
        let wanted = (5 + 200 + 300 + 200 + 30) * 16;
        assert!(out.len().abs_diff(wanted) < 160, "{} for {wanted}", out.len());
        assert!(out[..LEAD + 32].iter().any(|sample| sample.abs() >= SILENCE));
        assert!(out[out.len() - 480..].iter().all(|&sample| sample.abs() < SILENCE));
    }

    #[test]
    fn silence_alone_gives_nothing() {
        assert!(shaped(&vec![0; 44_100], 4.0, 480).is_empty());
    }

    #[test]
    fn loud_peaks_are_bent_in_order_and_never_clipped() {
        let bent: Vec<i16> = (0..200).map(|n| bend(n as f32 * 400.0)).collect();
        assert!(bent.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(*bent.last().unwrap() < i16::MAX);
        assert_eq!(bend(-20_000.0), -20_000);
        assert_eq!(bend(-50_000.0), -bend(50_000.0));
    }

    #[test]
    fn the_gain_brings_any_level_to_that_of_speech() {
        for amplitude in [2_000.0, 4_634.0, 9_000.0] {
            let mut samples = tone(500, amplitude);
            samples.extend(vec![0; 22_050]);
            let rms = amplitude / 2.0_f32.sqrt();
            assert!((gain_for(&samples) * rms / LEVEL - 1.0).abs() < 0.03, "{amplitude}");
        }
        assert_eq!(gain_for(&[0; 1000]), 1.0);
    }

    #[test]
    fn the_pause_follows_the_punctuation() {
        assert_eq!(pause_after("Eny tompoko. "), 2_880);
        assert_eq!(pause_after("« Eny! »"), 2_880);
        assert_eq!(pause_after("Eny,"), 1_440);
        assert_eq!(pause_after("Eny"), 480);
    }
}
