//! Between sample rates: our own half-band filter for 8 and 16 kHz, rubato for every other ratio.

mod half_band;

pub(crate) use half_band::{Halve, Twice};
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
    audioadapter_buffers::direct::InterleavedSlice,
};

use crate::MediaError;

/// Input samples rubato works on at once.
const CHUNK: usize = 256;
/// Length of rubato's filter in input samples.
const SINC: usize = 128;

/// Changes the rate of a whole recording; what comes out is aligned with what goes in, and as long in time.
/// Rates outside 4000 to 192000 Hz give nothing.
pub fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    let Ok(mut resampler) = Resampler::new(from, to) else { return Vec::new() };
    let wanted = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from)) as usize;
    let mut out = Vec::with_capacity(wanted + resampler.delay() + 2 * CHUNK);
    resampler.push(samples, &mut out);
    resampler.finish(&mut out);
    out.drain(..resampler.delay().min(out.len()));
    out.resize(wanted, 0);
    out
}

/// Changes the rate of a stream.
pub struct Resampler {
    ratio: Ratio,
}

enum Ratio {
    Same,
    Twice(Box<Twice>),
    Halve(Box<Halve>),
    Other(Box<Sinc>),
}

impl Resampler {
    /// A resampler between these rates in Hz.
    ///
    /// # Errors
    /// [`MediaError::Rate`] when a rate lies outside 4000 to 192000 Hz.
    pub fn new(from: u32, to: u32) -> Result<Self, MediaError> {
        let sane = 4_000..=192_000;
        if !sane.contains(&from) || !sane.contains(&to) {
            return Err(MediaError::Rate { from, to });
        }
        let ratio = match (from, to) {
            (from, to) if from == to => Ratio::Same,
            (8_000, 16_000) => Ratio::Twice(Box::new(Twice::new())),
            (16_000, 8_000) => Ratio::Halve(Box::new(Halve::new())),
            (from, to) => Ratio::Other(Box::new(Sinc::new(from, to)?)),
        };
        Ok(Self { ratio })
    }

    /// Appends what these samples give; up to 256 input samples may wait for the next call.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        match &mut self.ratio {
            Ratio::Same => out.extend_from_slice(samples),
            Ratio::Twice(twice) => twice.push(samples, out),
            Ratio::Halve(halve) => halve.push(samples, out),
            Ratio::Other(sinc) => sinc.push(samples, out),
        }
    }

    /// Appends what is still inside; the stream is over.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        match &mut self.ratio {
            Ratio::Same => {}
            Ratio::Twice(twice) => twice.push(&[0; half_band::DELAY.div_ceil(2)], out),
            Ratio::Halve(halve) => halve.push(&[0; half_band::DELAY], out),
            Ratio::Other(sinc) => sinc.finish(out),
        }
    }

    /// By how many samples of the output what comes out lies behind what went in.
    pub fn delay(&self) -> usize {
        match &self.ratio {
            Ratio::Same => 0,
            Ratio::Twice(_) => half_band::DELAY,
            Ratio::Halve(_) => half_band::DELAY / 2,
            Ratio::Other(sinc) => sinc.inner.output_delay(),
        }
    }
}

/// Any ratio, by rubato's band-limited interpolation.
struct Sinc {
    inner: Async<f32>,
    waiting: Vec<f32>,
    resampled: Vec<f32>,
}

impl Sinc {
    fn new(from: u32, to: u32) -> Result<Self, MediaError> {
        let window = WindowFunction::BlackmanHarris2;
        let parameters = SincInterpolationParameters {
            sinc_len: SINC,
            f_cutoff: None,
            oversampling_factor: 128,
            interpolation: SincInterpolationType::Quadratic,
            window,
        };
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input)
            .map_err(|_| MediaError::Rate { from, to })?;
        let resampled = vec![0.0; inner.output_frames_max()];
        Ok(Self { inner, waiting: Vec::with_capacity(CHUNK), resampled })
    }

    fn push(&mut self, mut samples: &[i16], out: &mut Vec<i16>) {
        while !samples.is_empty() {
            let (taken, rest) = samples.split_at(samples.len().min(CHUNK - self.waiting.len()));
            self.waiting.extend(taken.iter().map(|&sample| f32::from(sample)));
            samples = rest;
            if self.waiting.len() == CHUNK {
                self.chunk(out);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<i16>) {
        let tail = self.inner.output_delay() as f64 / self.inner.resample_ratio();
        for _ in 0..=(tail as usize).div_ceil(CHUNK) {
            self.waiting.resize(CHUNK, 0.0);
            self.chunk(out);
        }
    }

    fn chunk(&mut self, out: &mut Vec<i16>) {
        let room = self.resampled.len();
        let (Ok(input), Ok(mut output)) = (
            InterleavedSlice::new(self.waiting.as_slice(), 1, CHUNK),
            InterleavedSlice::new_mut(self.resampled.as_mut_slice(), 1, room),
        ) else {
            unreachable!("one channel and buffers of the lengths given")
        };
        let written = self.inner.process_into_buffer(&input, &mut output, None).map_or(0, |(_, written)| written);
        out.extend(self.resampled[..written].iter().map(|&value| value.round_ties_even() as i16));
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, count: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        (0..count).map(|at| (15_000.0 * (step * at as f64).sin()).round() as i16).collect()
    }

    #[test]
    fn every_rate_gives_the_same_tone_in_the_same_place() {
        for (from, to) in [
            (8000, 16_000),
            (16_000, 8000),
            (22_050, 16_000),
            (44_100, 16_000),
            (48_000, 16_000),
            (16_000, 48_000),
            (11_025, 16_000),
        ] {
            let out = resample(&tone(from, 440.0, from as usize / 2), from, to);
            let wanted = tone(to, 440.0, to as usize / 2);
            assert_eq!(out.len(), wanted.len(), "{from} to {to}");
            let middle = to as usize / 20..out.len() - to as usize / 20;
            let error = middle.map(|at| (i32::from(out[at]) - i32::from(wanted[at])).abs()).max();
            // Rubato's delay is no whole number of samples: a shift by one of the lower rate's is an error of this much.
            let sample = (15_000.0 * std::f64::consts::TAU * 440.0 / f64::from(to.min(from))) as i32;
            assert!(error < Some(sample), "{from} to {to}: {error:?}");
        }
    }

    #[test]
    fn a_stream_in_pieces_is_the_whole() {
        let samples = tone(22_050, 440.0, 5000);
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        let mut once = Resampler::new(22_050, 16_000).expect("sane");
        once.push(&samples, &mut whole);
        once.finish(&mut whole);
        let mut often = Resampler::new(22_050, 16_000).expect("sane");
        samples.chunks(37).for_each(|piece| often.push(piece, &mut pieces));
        often.finish(&mut pieces);
        assert_eq!(whole, pieces);
    }

    #[test]
    fn what_8_khz_cannot_hold_is_gone() {
        let out = resample(&tone(48_000, 6000.0, 24_000), 48_000, 8000);
        assert!(out[400..3600].iter().all(|sample| sample.abs() < 20), "a 6 kHz tone folds nowhere");
    }

    #[test]
    fn insane_rates_are_refused() {
        assert!(matches!(Resampler::new(0, 16_000), Err(MediaError::Rate { from: 0, to: 16_000 })));
        assert!(resample(&[1, 2, 3], 0, 16_000).is_empty());
        assert!(resample(&[], 44_100, 16_000).is_empty());
    }
}
