//! The only audio inside the house: 20 ms of 16 kHz mono.

use std::fmt;

/// Samples in a second of a [`Frame`]'s audio (Hz).
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples in one [`Frame`].
pub const FRAME_SAMPLES: usize = 320;
/// Milliseconds in one [`Frame`].
pub const FRAME_MS: u32 = 20;

/// 20 ms of 16 kHz mono, signed 16 bit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame([i16; FRAME_SAMPLES]);

impl Frame {
    /// 20 ms of digital silence.
    pub const SILENCE: Self = Self([0; FRAME_SAMPLES]);

    /// A frame of these samples.
    pub const fn new(samples: [i16; FRAME_SAMPLES]) -> Self {
        Self(samples)
    }

    /// A frame of the first 320 samples; what is missing is silence.
    pub fn padded(samples: &[i16]) -> Self {
        let mut frame = Self::SILENCE;
        let taken = samples.len().min(FRAME_SAMPLES);
        frame.0[..taken].copy_from_slice(&samples[..taken]);
        frame
    }

    /// Cuts 16 kHz samples into frames; the last one is filled up with silence.
    pub fn cut(samples: &[i16]) -> impl Iterator<Item = Self> + '_ {
        samples.chunks(FRAME_SAMPLES).map(Self::padded)
    }

    /// The samples.
    pub const fn samples(&self) -> &[i16; FRAME_SAMPLES] {
        &self.0
    }

    /// The samples, to be changed in place.
    pub const fn samples_mut(&mut self) -> &mut [i16; FRAME_SAMPLES] {
        &mut self.0
    }

    /// Root mean square of the samples, 0 to 32768.
    pub fn rms(&self) -> f32 {
        rms(&self.0)
    }

    /// Level in dBFS, where a full-scale square wave is 0; silence is -96.
    pub fn dbfs(&self) -> f32 {
        dbfs(&self.0)
    }
}

/// Level of these samples in dBFS, where a full-scale square wave is 0; silence is -96.
pub fn dbfs(samples: &[i16]) -> f32 {
    (20.0 * (rms(samples) / 32_768.0).log10()).max(-96.0)
}

fn rms(samples: &[i16]) -> f32 {
    let power: i64 = samples.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
    (power as f32 / samples.len().max(1) as f32).sqrt()
}

impl Default for Frame {
    fn default() -> Self {
        Self::SILENCE
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:.0} dBFS)", self.dbfs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_pads_the_last_frame_with_silence() {
        let samples = vec![7i16; FRAME_SAMPLES + 1];
        let frames: Vec<Frame> = Frame::cut(&samples).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1].samples()[0], 7);
        assert!(frames[1].samples()[1..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn levels_are_in_dbfs() {
        assert_eq!(Frame::SILENCE.dbfs(), -96.0);
        assert!((Frame::new([16_384; FRAME_SAMPLES]).dbfs() + 6.02).abs() < 0.01);
    }
}
