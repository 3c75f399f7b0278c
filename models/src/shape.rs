//! From a local voice's samples to what a telephone wants: 16 kHz, one level, no silence to wait through, no seam to be heard.
//!
//! - The level is that of speech on telephones, about -20 dBFS RMS, reached by one gain a voice (measured once), so that
//!   clauses match; peaks above three quarters of full scale are bent, never clipped.
//! - Silence before the first sound is cut to 5 ms: the listener waits for nothing.
//! - Silence after the last sound is cut to a pause by punctuation: 180 ms after a sentence, 90 ms after a comma, 30 ms
//!   otherwise, so that clauses spoken one after the other keep their rhythm.
//! - The first and the last 5 ms fade, so that nothing clicks where clauses are joined, even where a voice begins or ends loud.

use milo_media::{SAMPLE_RATE, resample::Resampler};

use crate::engine::EngineError;

/// RMS of -20 dBFS.
const LEVEL: f32 = 3_277.0;
/// Below this a sample counts as silence (-52 dBFS).
const SILENCE: i16 = 80;
/// Samples kept before the first sound, and those that fade at both ends: 5 ms.
const LEAD: usize = 80;
/// Where bending begins, and what is never passed.
const KNEE: f32 = 24_576.0;
const FULL: f32 = 32_766.0;

/// Samples of silence (16 kHz) that belong after this text.
pub(crate) fn pause_after(text: &str) -> usize {
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
pub(crate) fn gain_for(samples: &[i16]) -> f32 {
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
pub(crate) struct Shaper {
    resampler: Resampler,
    /// Output samples still to drop: the resampler's delay.
    delay: usize,
    gain: f32,
    /// Silence to leave at the end, in samples.
    pause: usize,
    begun: bool,
    /// Samples of silence that were cut in front.
    skipped: usize,
    /// What is held back until it is known whether sound follows: the last of the sound, which may have to fade, and silence.
    held: Vec<i16>,
    /// How many of those are up to the last sound.
    sounding: usize,
    /// Samples that are yet to fade in.
    rising: usize,
    resampled: Vec<i16>,
}

impl Shaper {
    /// A shaper of samples at this rate; `engine` is for the message.
    pub(crate) fn new(engine: &'static str, rate: u32, gain: f32, pause: usize) -> Result<Self, EngineError> {
        let resampler = Resampler::new(rate, SAMPLE_RATE)
            .map_err(|error| EngineError::Failed { engine, reason: error.to_string() })?;
        Ok(Self {
            delay: resampler.delay(),
            resampler,
            gain,
            pause,
            begun: false,
            skipped: 0,
            held: Vec::new(),
            sounding: 0,
            rising: LEAD,
            resampled: Vec::new(),
        })
    }

    /// Takes samples of the voice and appends what can be heard now.
    pub(crate) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.resampler.push(samples, &mut self.resampled);
        self.shape(out);
    }

    /// Appends the end.
    pub(crate) fn finish(&mut self, out: &mut Vec<i16>) {
        self.resampler.finish(&mut self.resampled);
        self.shape(out);
        if self.begun {
            let whole = self.sounding + self.pause;
            self.held.truncate(self.sounding);
            let fading = self.held.len() as i32;
            for (left, sample) in (0..).zip(self.held.iter_mut().rev()) {
                *sample = (i32::from(*sample) * left / fading) as i16;
            }
            self.held.resize(whole, 0);
            self.give(whole, out);
        }
    }

    /// Samples of silence, at 16 kHz, that were cut in front of the sound.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }

    fn shape(&mut self, out: &mut Vec<i16>) {
        let dropped = self.delay.min(self.resampled.len());
        self.delay -= dropped;
        let mut resampled = std::mem::take(&mut self.resampled);
        for sample in resampled.drain(..).skip(dropped) {
            let sample = bend(f32::from(sample) * self.gain);
            self.held.push(sample);
            if sample.unsigned_abs() < SILENCE.unsigned_abs() {
                continue;
            }
            if !self.begun {
                self.skipped = (self.held.len() - 1).saturating_sub(LEAD);
                self.held.drain(..self.skipped);
                self.begun = true;
            }
            self.sounding = self.held.len();
            self.give(self.sounding.saturating_sub(LEAD), out);
        }
        self.resampled = resampled;
    }

    /// Gives out so many of those that are held.
    fn give(&mut self, count: usize, out: &mut Vec<i16>) {
        for sample in self.held.drain(..count) {
            let faded = i32::from(sample) * (LEAD - self.rising) as i32 / LEAD as i32;
            out.push(if self.rising > 0 { faded as i16 } else { sample });
            self.rising = self.rising.saturating_sub(1);
        }
        self.sounding = self.sounding.saturating_sub(count);
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
        let mut shaper = Shaper::new("voice", 22_050, gain, pause).unwrap();
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
    fn nothing_clicks_where_a_loud_clause_begins_and_ends() {
        let loud = vec![20_000; 1_600];
        let mut shaper = Shaper::new("voice", 16_000, 1.0, 480).unwrap();
        let mut out = Vec::new();
        shaper.push(&loud, &mut out);
        shaper.finish(&mut out);
        assert_eq!(out.len(), 1_600 + 480);
        let step = out.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max();
        assert!(out[0] == 0 && out[1_599] == 0 && step <= Some(300), "{step:?}");
        assert!(out[LEAD..1_600 - LEAD].iter().all(|sample| *sample == 20_000), "between, nothing is softer");
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
