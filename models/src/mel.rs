//! Log-mel features as Whisper wants them: 16 kHz, 25 ms windows every 10 ms, 80 or 128 bands.
//!
//! The number of frames is the caller's (it comes from the graph); what is beyond the audio is silence and costs nothing.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

/// Samples in one analysis window (25 ms).
const WINDOW: usize = 400;
/// Samples from one frame to the next (10 ms).
pub(crate) const HOP: usize = 160;
/// The sample of 16 bits that counts as 1.
pub(crate) const PCM: f64 = 32_768.0;
const BINS: usize = WINDOW / 2 + 1;
const SAMPLE_RATE: f64 = 16_000.0;

/// Turns samples into features; holds the filters and the transform's plan.
pub(crate) struct LogMel {
    hann: Vec<f64>,
    /// Each band: its first bin and its weights from there on.
    bands: Vec<(usize, Vec<f64>)>,
    transform: Arc<dyn RealToComplex<f64>>,
}

impl LogMel {
    /// Filters for so many bands (Whisper: 80, large-v3: 128).
    pub(crate) fn new(bands: usize) -> Self {
        let hann = (0..WINDOW).map(|n| 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos()).collect();
        Self { hann, bands: filters(bands), transform: RealFftPlanner::new().plan_fft_forward(WINDOW) }
    }

    /// Features of shape [bands, frames], row by row, of audio padded with silence to `frames` · 160 samples; audio beyond
    /// that is left out. `full_scale` is the sample that counts as 1. Values as in Whisper: log10 of the power, at most 8 below
    /// the loudest, then (x + 4) / 4.
    pub(crate) fn features<S: Copy + Into<f64>>(&self, samples: &[S], full_scale: f64, frames: usize) -> Vec<f32> {
        let samples = &samples[..samples.len().min(frames * HOP)];
        // Frame f is centred on sample f · HOP; the first one past this hears nothing but padding.
        let heard = if samples.is_empty() { 0 } else { ((samples.len() + WINDOW / 2) / HOP + 1).min(frames) };
        let floor = (1e-10_f64).log10();
        let mut features = vec![floor; self.bands.len() * frames];
        let mut input = vec![0.0; WINDOW];
        let mut spectrum = vec![Complex::default(); BINS];
        let mut scratch = vec![Complex::default(); self.transform.get_scratch_len()];
        let mut power = [0.0; BINS];
        let mut loudest = floor;
        for frame in 0..heard {
            for (n, (value, hann)) in input.iter_mut().zip(&self.hann).enumerate() {
                let at = (frame * HOP + n) as isize - (WINDOW / 2) as isize;
                *value = sample(samples, at, frames * HOP) / full_scale * hann;
            }
            self.transform
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .expect("the buffers have the lengths of the plan");
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = bin.norm_sqr();
            }
            for (band, (first, weights)) in self.bands.iter().enumerate() {
                let energy: f64 = weights.iter().zip(&power[*first..]).map(|(weight, power)| weight * power).sum();
                let value = energy.max(1e-10).log10();
                loudest = loudest.max(value);
                features[band * frames + frame] = value;
            }
        }
        features.iter().map(|value| ((value.max(loudest - 8.0) + 4.0) / 4.0) as f32).collect()
    }
}

/// The sample at a position of the padded audio, mirrored at both ends of it (librosa's "reflect").
fn sample<S: Copy + Into<f64>>(samples: &[S], at: isize, padded: usize) -> f64 {
    let last = padded as isize - 1;
    let at = if at < 0 {
        -at
    } else if at > last {
        2 * last - at
    } else {
        at
    };
    usize::try_from(at).ok().and_then(|at| samples.get(at)).map_or(0.0, |value| (*value).into())
}

/// Triangles on Slaney's mel scale from 0 to 8,000 Hz, each of unit area, as (first bin, weights).
fn filters(bands: usize) -> Vec<(usize, Vec<f64>)> {
    let top = hertz_to_mel(SAMPLE_RATE / 2.0);
    let edges: Vec<f64> = (0..bands + 2).map(|i| mel_to_hertz(top * i as f64 / (bands + 1) as f64)).collect();
    edges
        .windows(3)
        .map(|edge| {
            let (low, centre, high) = (edge[0], edge[1], edge[2]);
            let weight = |bin: usize| {
                let hertz = bin as f64 * SAMPLE_RATE / WINDOW as f64;
                let slope = ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre));
                slope.max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            (first, (first..BINS).map(weight).take_while(|weight| *weight > 0.0).collect())
        })
        .collect()
}

/// Slaney's scale: linear up to 1,000 Hz, logarithmic above.
fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < 1_000.0 { 3.0 * hertz / 200.0 } else { 15.0 + (hertz / 1_000.0).ln() * 27.0 / 6.4_f64.ln() }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1_000.0 * (6.4_f64.ln() / 27.0 * (mel - 15.0)).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_flat_and_has_the_right_shape() {
        for bands in [80, 128] {
            let features = LogMel::new(bands).features(&[0_i16; 4_000], PCM, 100);
            assert_eq!(features.len(), bands * 100);
            assert!(features.iter().all(|value| *value == -1.5), "log10(1e-10) = -10, (-10 + 4) / 4 = -1.5");
        }
        assert!(LogMel::new(80).features::<i16>(&[], PCM, 10).iter().all(|value| *value == -1.5));
    }

    #[test]
    fn a_tone_is_loudest_in_its_own_band() {
        let tone: Vec<i16> = (0..16_000)
            .map(|n| ((n as f64 * std::f64::consts::TAU * 1_000.0 / 16_000.0).sin() * 9_000.0) as i16)
            .collect();
        let mel = LogMel::new(80);
        let features = mel.features(&tone, PCM, 100);
        let at = |band: usize| features[band * 100 + 50];
        let loudest = (0..80).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap();
        let edge = |i: usize| mel_to_hertz(hertz_to_mel(8_000.0) * i as f64 / 81.0);
        assert!(edge(loudest) < 1_000.0 && 1_000.0 < edge(loudest + 2), "band {loudest}");
    }

    #[test]
    fn what_is_beyond_the_window_is_left_out() {
        let loud: Vec<i16> = (0..6_400).map(|n| (n * 7_919 % 20_011) as i16 - 10_000).collect();
        let mel = LogMel::new(80);
        assert_eq!(mel.features(&loud, PCM, 20), mel.features(&loud[..3_200], PCM, 20));
    }
}
