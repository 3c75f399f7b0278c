//! Brings a quiet caller up and a loud one down: slowly, and only by what was measured while somebody spoke.

use crate::Frame;

/// Where speech should lie: dBFS of its frames, root mean square.
const TARGET: f32 = -24.0;
/// The most that is given and taken (dB).
const MOST: f32 = 24.0;
const LEAST: f32 = -12.0;
/// How fast the gain moves while somebody speaks: dB a frame, 10 dB a second.
const SLEW: f32 = 0.2;
/// A frame that is so many dB above the floor is speech.
const ABOVE_FLOOR: f32 = 12.0;
/// How fast the floor rises when nothing is as quiet any more: dB a frame, 3 dB a second.
const FLOOR_RISE: f32 = 0.06;
/// Below this there is no line, only zeros (dBFS).
const NOTHING: f32 = -75.0;
/// Share of a new frame in the level of speech: about a second of it.
const NEWS: f32 = 0.02;

/// The automatic gain of one call.
#[derive(Debug)]
pub(super) struct Gain {
    /// The quietest of late (dBFS).
    floor: Option<f32>,
    /// How loud speech is (dBFS).
    level: Option<f32>,
    /// What is given now (dB).
    gain: f32,
    /// The factor at the end of the last frame.
    factor: f32,
}

impl Gain {
    pub(super) const fn new() -> Self {
        Self { floor: None, level: None, gain: 0.0, factor: 1.0 }
    }

    pub(super) fn process(&mut self, heard: &mut Frame) {
        let loud = heard.dbfs();
        if loud > NOTHING {
            let floor = self.floor.map_or(loud, |floor| loud.min(floor + FLOOR_RISE));
            self.floor = Some(floor);
            if loud > floor + ABOVE_FLOOR {
                let level = self.level.map_or(loud, |level| level + NEWS * (loud - level));
                self.level = Some(level);
                self.gain += ((TARGET - level).clamp(LEAST, MOST) - self.gain).clamp(-SLEW, SLEW);
            }
        }
        let peak = heard.samples().iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        // What would be clipped is turned down at once.
        let factor = 10_f32.powf(self.gain / 20.0).min(f32::from(i16::MAX) / f32::from(peak.max(1)));
        let from = self.factor.min(f32::from(i16::MAX) / f32::from(peak.max(1)));
        let step = (factor - from) / heard.samples().len() as f32;
        for (at, sample) in heard.samples_mut().iter_mut().enumerate() {
            *sample = (f32::from(*sample) * (from + step * at as f32)).round() as i16;
        }
        self.factor = factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SAMPLE_RATE,
        clean::{Noise, echo::tests::recording},
    };

    /// The level of speech (dBFS) before and after, of the last of four times the same sentence.
    fn fourth(scale: f32) -> (f32, f32) {
        let (mut gain, mut noise) = (Gain::new(), Noise::new(4));
        let speech = recording("mg_appointment.wav");
        let mut levels = (Vec::new(), Vec::new());
        for time in 0..4 {
            for frame in Frame::cut(&speech) {
                let mut heard = Frame::new(std::array::from_fn(|i| {
                    (f32::from(frame.samples()[i]) * scale + 12.0 * noise.next()) as i16
                }));
                let before = heard.dbfs();
                gain.process(&mut heard);
                if time == 3 && before > -55.0 {
                    levels.0.push(before);
                    levels.1.push(heard.dbfs());
                }
            }
        }
        let mean = |levels: Vec<f32>| levels.iter().sum::<f32>() / levels.len() as f32;
        (mean(levels.0), mean(levels.1))
    }

    #[test]
    fn a_quiet_caller_comes_up_and_a_loud_one_stays() {
        let (before, after) = fourth(0.1);
        assert!(after > before + 12.0, "{before} {after}");
        assert!((after - TARGET).abs() < 8.0, "{before} {after}");
        let (before, after) = fourth(1.0);
        assert!((after - TARGET).abs() < 8.0 && (after - before).abs() < 8.0, "{before} {after}");
    }

    #[test]
    fn noise_alone_is_never_raised_and_nothing_is_clipped() {
        let (mut gain, mut noise) = (Gain::new(), Noise::new(8));
        for n in 0..500 {
            let scale = if n < 10 { 0.0 } else { 100.0 };
            let raw = Frame::new(std::array::from_fn(|_| (scale * noise.next()) as i16));
            let mut heard = raw;
            gain.process(&mut heard);
            assert_eq!(heard, raw);
        }
        let mut gain = Gain { gain: MOST, factor: 10.0, ..Gain::new() };
        let loud = Frame::new(std::array::from_fn(|i| {
            let t = i as f32 * std::f32::consts::TAU * 400.0 / SAMPLE_RATE as f32;
            (30_000.0 * t.sin()) as i16
        }));
        let mut heard = loud;
        gain.process(&mut heard);
        for (before, after) in loud.samples().iter().zip(heard.samples()) {
            assert!((f32::from(*before) * 32_767.0 / 30_000.0 - f32::from(*after)).abs() < 3.0, "{before} {after}");
        }
    }
}
