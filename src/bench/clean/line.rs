//! The line of a simulated call: noise where the caller sits, what comes back of Milo's voice, and G.711 both ways.

use std::{collections::VecDeque, f32::consts::TAU};

use anyhow::Result;
use milo_media::{
    EchoPath, Echoes, FRAME_SAMPLES, Frame, Noise, SAMPLE_RATE,
    codec::{Decoder, Encoder, PCMU},
    resample::Resampler,
};

/// Level of a caller's speech: root mean square, dBFS.
pub(super) const CALLER_DBFS: f32 = -26.0;

/// What is heard where the caller sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surroundings {
    Quiet,
    /// Engine and tyres: most of it below 300 Hz.
    Car,
    /// A bad line: hiss.
    Hiss,
    /// Other people, four at once.
    Voices,
    /// Mains: 50 Hz, its third and fifth harmonic, and a direct current.
    Hum,
}

/// What comes back of Milo's voice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    pub(super) echoes: Echoes,
    pub(super) delay_ms: u32,
    /// How loud against what was sent (dB).
    pub(super) level_db: f32,
    /// The jitter buffer on the way changes its depth in every pause of Milo's, as they do: 0 to 80 ms on top.
    pub(super) moves: bool,
}

/// The jitter buffer of the caller's telephone, whose depth is chosen anew in pauses.
#[derive(Default)]
struct Depth {
    held: VecDeque<Frame>,
    silent_for: u32,
}

/// Ticks of silence that make a pause, and the most frames that are held.
const PAUSE: u32 = 25;
const DEEPEST: f32 = 4.0;

impl Depth {
    fn push(&mut self, frame: Frame, chance: &mut Noise) -> Frame {
        self.silent_for = if frame == Frame::SILENCE { self.silent_for + 1 } else { 0 };
        if self.silent_for == PAUSE {
            let depth = ((chance.next() + 1.0) / 2.0 * DEEPEST).round() as usize;
            self.held.resize(depth, Frame::SILENCE);
        }
        self.held.push_back(frame);
        self.held.pop_front().unwrap_or(Frame::SILENCE)
    }
}

/// A line with a caller at its end.
pub(super) struct CallersLine<'a> {
    surroundings: Surroundings,
    /// Factor of the surroundings' sound.
    loud: f32,
    others: Vec<(&'a [i16], usize)>,
    noise: Noise,
    rumble: f32,
    clock: usize,
    back: Option<EchoPath>,
    depth: Option<(Depth, Noise)>,
    down: G711,
    up: G711,
}

impl<'a> CallersLine<'a> {
    /// `snr_db`: speech of [`CALLER_DBFS`] over the surroundings. `others` are the voices of [`Surroundings::Voices`].
    pub(super) fn new(
        surroundings: Surroundings,
        snr_db: f32,
        back: Option<Return>,
        others: &[&'a [i16]],
        seed: u32,
    ) -> Result<Self> {
        let mut line = Self {
            surroundings,
            loud: 1.0,
            others: others.iter().enumerate().map(|(at, other)| (*other, at * 7_919 % other.len().max(1))).collect(),
            noise: Noise::new(seed),
            rumble: 0.0,
            clock: 0,
            back: back.map(|back| EchoPath::new(back.echoes, back.delay_ms, back.level_db, seed)),
            depth: back.filter(|back| back.moves).map(|_| (Depth::default(), Noise::new(seed + 1))),
            down: G711::new()?,
            up: G711::new()?,
        };
        // Its loudness is measured on two seconds of it.
        let power: f32 = (0..2 * SAMPLE_RATE).map(|_| line.around().powi(2)).sum::<f32>() / (2 * SAMPLE_RATE) as f32;
        let wanted = 32_768.0 * 10_f32.powf((CALLER_DBFS - snr_db) / 20.0);
        line.loud = if power > 0.0 { wanted / power.sqrt() } else { 0.0 };
        Ok(line)
    }

    /// One tick: what Milo sends, what the caller says, and what arrives at Milo.
    pub(super) fn tick(&mut self, sent: &Frame, said: &Frame) -> Frame {
        let sent = self.depth.as_mut().map_or(*sent, |(depth, chance)| depth.push(*sent, chance));
        let down = self.down.carry(&sent);
        let back = self.back.as_mut().map_or(Frame::SILENCE, |back| back.push(&down));
        let microphone = Frame::new(std::array::from_fn(|at| {
            let around = if self.loud > 0.0 { self.loud * self.around() } else { 0.0 };
            (f32::from(said.samples()[at]) + f32::from(back.samples()[at]) + around).round() as i16
        }));
        self.up.carry(&microphone)
    }

    /// The next sample of the surroundings, before [`Self::loud`].
    fn around(&mut self) -> f32 {
        self.clock += 1;
        match self.surroundings {
            Surroundings::Quiet => 0.0,
            Surroundings::Hiss => self.noise.next(),
            Surroundings::Car => {
                let hiss = self.noise.next();
                self.rumble += 0.08 * (hiss - self.rumble);
                self.rumble + 0.02 * hiss
            }
            Surroundings::Voices => {
                let mut sum = 0.0;
                for (voice, at) in &mut self.others {
                    sum += voice.get(*at).copied().map_or(0.0, f32::from);
                    *at = (*at + 1) % voice.len().max(1);
                }
                sum
            }
            Surroundings::Hum => {
                let t = self.clock as f32 % SAMPLE_RATE as f32 / SAMPLE_RATE as f32 * TAU;
                (50.0 * t).sin() + 0.4 * (150.0 * t).sin() + 0.2 * (250.0 * t).sin() + 0.4
            }
        }
    }
}

/// 16 kHz through G.711 and back.
struct G711 {
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    narrow: Resampler,
    wide: Resampler,
}

impl G711 {
    fn new() -> Result<Self> {
        Ok(Self {
            encoder: (PCMU.encoder)(),
            decoder: (PCMU.decoder)(),
            narrow: Resampler::new(SAMPLE_RATE, PCMU.sample_rate)?,
            wide: Resampler::new(PCMU.sample_rate, SAMPLE_RATE)?,
        })
    }

    fn carry(&mut self, frame: &Frame) -> Frame {
        let (mut samples, mut payload) = (Vec::with_capacity(FRAME_SAMPLES), Vec::with_capacity(FRAME_SAMPLES / 2));
        self.narrow.push(frame.samples(), &mut samples);
        self.encoder.encode(&samples, &mut payload);
        samples.clear();
        self.decoder.decode(&payload, &mut samples);
        let mut carried = Vec::with_capacity(FRAME_SAMPLES);
        self.wide.push(&samples, &mut carried);
        Frame::padded(&carried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surroundings_are_as_loud_as_told() {
        let other: Vec<i16> = (0..9_000).map(|n| ((n % 90) * 100) as i16).collect();
        for surroundings in [Surroundings::Car, Surroundings::Hiss, Surroundings::Voices, Surroundings::Hum] {
            let mut line = CallersLine::new(surroundings, 10.0, None, &[&other, &other[..7_000]], 3).unwrap();
            let power: f32 = (0..100).map(|_| line.tick(&Frame::SILENCE, &Frame::SILENCE).rms().powi(2)).sum();
            let level = 10.0 * (power / 100.0 / 32_768_f32.powi(2)).log10();
            // Hiss loses its upper half to the 8 kHz of the line.
            let wanted = CALLER_DBFS - 10.0 - if surroundings == Surroundings::Hiss { 3.0 } else { 0.0 };
            assert!((level - wanted).abs() < 1.5, "{surroundings:?}: {level} dBFS");
        }
    }
}
