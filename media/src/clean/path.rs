//! An echo of known delay, loss and room, for tests and benches to speak into: what a caller's loudspeaker gives its own
//! microphone, or a two-wire line its far end.

use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE};

/// What the sound meets on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echoes {
    /// A hybrid of a two-wire line: 6 ms, ringing.
    Line,
    /// A room: 60 ms of reflections that fade by 60 dB.
    Room,
}

/// The path from what is said to what comes back of it.
#[derive(Debug)]
pub struct EchoPath {
    /// Impulse response, first sample first.
    response: Vec<f32>,
    /// What was said, oldest first: as long as the response, the delay and a frame together.
    said: Vec<f32>,
}

impl EchoPath {
    /// A path that returns after `delay_ms` (0 to 1,000) what was said, `return_db` (below 0) as loud: the loss of white
    /// noise on the way. `seed` chooses the room or line.
    pub fn new(echoes: Echoes, delay_ms: u32, return_db: f32, seed: u32) -> Self {
        let length = SAMPLE_RATE as usize * if echoes == Echoes::Room { 60 } else { 6 } / 1_000;
        let mut noise = Noise::new(seed);
        let mut response: Vec<f32> = (0..length)
            .map(|at| {
                let faded = 10_f32.powf(-3.0 * at as f32 / length as f32);
                // The straight way, then what is reflected.
                if at == 0 { 1.0 } else { 0.35 * faded * noise.next() }
            })
            .collect();
        let energy: f32 = response.iter().map(|tap| tap * tap).sum();
        let scale = 10_f32.powf(return_db / 20.0) / energy.sqrt();
        response.iter_mut().for_each(|tap| *tap *= scale);
        let delay = SAMPLE_RATE as usize * delay_ms.min(1_000) as usize / 1_000;
        Self { said: vec![0.0; length + delay + FRAME_SAMPLES], response }
    }

    /// 20 ms are said: what comes back in the same 20 ms of what was said before.
    pub fn push(&mut self, said: &Frame) -> Frame {
        self.said.drain(..FRAME_SAMPLES);
        self.said.extend(said.samples().iter().map(|&sample| f32::from(sample)));
        let mut sums = [0.0; FRAME_SAMPLES];
        let newest = self.response.len();
        for (at, tap) in self.response.iter().enumerate() {
            let window = &self.said[newest - at..newest - at + FRAME_SAMPLES];
            sums.iter_mut().zip(window).for_each(|(sum, said)| *sum += tap * said);
        }
        Frame::new(sums.map(|sum| sum.round() as i16))
    }
}

/// White noise, -1 to 1, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Noise(u32);

impl Noise {
    /// A generator that begins at this seed.
    pub const fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(2_654_435_761) | 1)
    }

    /// The next value.
    pub const fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.0 >> 8) as f32 / 8_388_608.0) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_comes_back_when_and_as_loud_as_told() {
        for (echoes, delay_ms, return_db) in [(Echoes::Line, 60, -20.0), (Echoes::Room, 200, -10.0)] {
            let mut path = EchoPath::new(echoes, delay_ms, return_db, 3);
            let mut click = Frame::SILENCE;
            click.samples_mut()[0] = 32_000;
            let mut back: Vec<i16> = path.push(&click).samples().to_vec();
            for _ in 0..20 {
                back.extend(path.push(&Frame::SILENCE).samples());
            }
            let first = back.iter().position(|&sample| sample != 0).expect("it comes back");
            assert_eq!(first, (SAMPLE_RATE * delay_ms / 1_000) as usize);
            let energy: f32 = back.iter().map(|&sample| f32::from(sample).powi(2)).sum();
            let db = 10.0 * (energy / 32_000_f32.powi(2)).log10();
            assert!((db - return_db).abs() < 0.2, "{db}");
        }
    }
}
