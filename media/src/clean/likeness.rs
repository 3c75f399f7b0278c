//! Tells our echo by its shape: what comes back rises and falls as what we said did, in the same bands, some time before.
//!
//! Echo control needs it. AEC3 follows a way back that stays as it is; when the way changes its length (a jitter buffer
//! that grows, shrinks in a pause, or stumbles), it needs a second or two to find it again, and lets the echo through
//! meanwhile. The shape is found anew in every frame, wherever within [`FARTHEST`] it lies.

use std::{collections::VecDeque, f32::consts::TAU};

use crate::{FRAME_MS, Frame, SAMPLE_RATE};

/// The middles of the bands (Hz): what a telephone carries of speech.
const BANDS: [f32; 6] = [350.0, 550.0, 850.0, 1_300.0, 1_950.0, 2_800.0];
/// Width of a band: its middle through this.
const QUALITY: f32 = 2.5;
/// Samples of which one loudness is taken: 10 ms.
const HOP: usize = SAMPLE_RATE as usize / 100;
/// Hops that are compared: three tenths of a second.
const COMPARED: usize = 30;
/// Hops after which an echo may come back at the latest: half a second, as far as AEC3 looks.
const FARTHEST: usize = 50;
/// What is heard is an echo when it is so like what we said (Pearson's correlation over all hops and bands). Echoes on quiet
/// lines have 0.82 and more in 19 frames of 20; another voice that speaks at the same time has less than 0.8 in as many.
const ALIKE: f32 = 0.78;
/// An echo stays one until it was less like it than this for so many frames (a tenth of a second): where a word ends and noise
/// begins it is blurred, and where its way changes its length it is torn.
const STILL_ALIKE: f32 = 0.65;
const TORN: u32 = 100 / FRAME_MS;
/// The share of what all bands have in common that is left out: all speech has syllables, and is loud and quiet in turns.
const COMMON: f32 = 0.7;
/// Below this, all of the differences of one third of a second together, nothing moves: 0.2 of a neper each.
const STILL: f32 = 2.7;
/// What we say, and what is heard, this quiet or quieter is silence (mean square of samples).
const SAID_FLOOR: f32 = 3_000.0;
const HEARD_FLOOR: f32 = 100.0;

/// The loudness of each band (logarithm of the mean square), 10 ms of it.
type Shape = [f32; BANDS.len()];

/// One call's shapes.
#[derive(Debug)]
pub(super) struct Likeness {
    said: Listener,
    heard: Listener,
    /// For how many frames more it stays an echo, whatever it is like.
    stays: u32,
}

impl Likeness {
    pub(super) fn new() -> Self {
        Self {
            said: Listener::new(SAID_FLOOR, COMPARED + FARTHEST),
            heard: Listener::new(HEARD_FLOOR, COMPARED),
            stays: 0,
        }
    }

    /// Whether the last of what is heard is what we said.
    pub(super) fn is_echo(&mut self, heard: &Frame, sent: Option<&Frame>) -> bool {
        let enough = if self.stays > 0 { STILL_ALIKE } else { ALIKE };
        self.stays = if self.of(heard, sent) > enough { TORN } else { self.stays.saturating_sub(1) };
        self.stays > 0
    }

    /// How like what we said the last of what is heard is, -1 to 1.
    fn of(&mut self, heard: &Frame, sent: Option<&Frame>) -> f32 {
        self.said.hear(sent.unwrap_or(&Frame::SILENCE));
        self.heard.hear(heard);
        let heard = Centred::of(self.heard.shapes.iter());
        (0..=self.said.shapes.len().saturating_sub(COMPARED))
            .map(|from| heard.like(&Centred::of(self.said.shapes.range(from..).take(COMPARED))))
            .fold(-1.0, f32::max)
    }
}

/// Shapes less the mean of each band: the way back colours the sound, and makes it quieter.
struct Centred {
    values: Vec<f32>,
    length: f32,
}

impl Centred {
    fn of<'a>(shapes: impl ExactSizeIterator<Item = &'a Shape> + Clone) -> Self {
        let mut mean = [0.0; BANDS.len()];
        let count = shapes.len().max(1) as f32;
        for shape in shapes.clone() {
            mean.iter_mut().zip(shape).for_each(|(mean, value)| *mean += value / count);
        }
        let values: Vec<f32> =
            shapes.flat_map(|shape| shape.iter().zip(&mean).map(|(value, mean)| value - mean)).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        Self { values, length }
    }

    /// Pearson's correlation; 0 where one of them does not move.
    fn like(&self, other: &Self) -> f32 {
        let product: f32 = self.values.iter().zip(&other.values).map(|(one, other)| one * other).sum();
        let lengths = self.length * other.length;
        let moves = self.length > STILL && other.length > STILL;
        if self.values.len() == other.values.len() && moves { product / lengths } else { 0.0 }
    }
}

/// Takes the loudness of the bands.
#[derive(Debug)]
struct Listener {
    bands: [BandPass; BANDS.len()],
    floor: f32,
    kept: usize,
    shapes: VecDeque<Shape>,
}

impl Listener {
    fn new(floor: f32, kept: usize) -> Self {
        Self { bands: BANDS.map(BandPass::new), floor, kept, shapes: VecDeque::with_capacity(kept) }
    }

    fn hear(&mut self, frame: &Frame) {
        for hop in frame.samples().chunks_exact(HOP) {
            if self.shapes.len() == self.kept {
                self.shapes.pop_front();
            }
            let mut shape = [0.0; BANDS.len()];
            for (loudness, band) in shape.iter_mut().zip(&mut self.bands) {
                *loudness = (band.power(hop) + self.floor).ln();
            }
            let common = COMMON * shape.iter().sum::<f32>() / BANDS.len() as f32;
            shape.iter_mut().for_each(|loudness| *loudness -= common);
            self.shapes.push_back(shape);
        }
    }
}

/// A second-order band-pass, 0 dB at its middle.
#[derive(Debug)]
struct BandPass {
    b: f32,
    a: [f32; 2],
    /// Transposed direct form II.
    state: [f32; 2],
}

impl BandPass {
    fn new(middle: f32) -> Self {
        let w = TAU * middle / SAMPLE_RATE as f32;
        let alpha = w.sin() / (2.0 * QUALITY);
        let scale = 1.0 / (1.0 + alpha);
        Self { b: alpha * scale, a: [-2.0 * w.cos() * scale, (1.0 - alpha) * scale], state: [0.0; 2] }
    }

    /// The mean square of what passes of these samples.
    fn power(&mut self, samples: &[i16]) -> f32 {
        let (b, [a1, a2], [mut s1, mut s2]) = (self.b, self.a, self.state);
        let mut sum = 0.0;
        for &sample in samples {
            let x = f32::from(sample);
            let y = b * x + s1;
            s1 = s2 - a1 * y;
            s2 = -b * x - a2 * y;
            sum += y * y;
        }
        self.state = [s1, s2];
        sum / samples.len() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::{EchoPath, Echoes, Noise, echo::tests::recording};

    /// In how many frames Milo's echo alone, and a caller who speaks into it, are taken for an echo, of how many.
    fn taken(echo: Option<(Echoes, u32, f32)>, noise: f32) -> ([usize; 2], [usize; 2]) {
        let milo = [recording("mg_appointment.wav"), recording("mg_hours.wav"), recording("mg_price.wav")].concat();
        let mut caller = vec![0; 2 * SAMPLE_RATE as usize];
        caller.extend(recording("mg_barge.wav").iter().map(|sample| sample / 2));
        caller.extend(recording("fr_hours.wav").iter().map(|sample| sample / 2));
        let mut path = echo.map(|(kind, delay_ms, return_db)| EchoPath::new(kind, delay_ms, return_db, 9));
        let (mut likeness, mut chance, mut sent) = (Likeness::new(), Noise::new(6), None);
        let (mut alone, mut spoken) = ([0; 2], [0; 2]);
        for (tick, (said, near)) in Frame::cut(&milo).zip(Frame::cut(&caller)).enumerate() {
            let back = path.as_mut().map_or(Frame::SILENCE, |path| path.push(&said));
            let heard = Frame::new(std::array::from_fn(|at| {
                (f32::from(near.samples()[at]) + f32::from(back.samples()[at]) + noise * chance.next()) as i16
            }));
            let is_echo = likeness.is_echo(&heard, sent.as_ref());
            sent = Some(said);
            let count = match tick {
                0..20 => continue,
                20..100 if heard.dbfs() > -60.0 => &mut alone,
                100.. if near.dbfs() > -50.0 => &mut spoken,
                _ => continue,
            };
            count[0] += usize::from(is_echo);
            count[1] += 1;
        }
        (alone, spoken)
    }

    #[test]
    fn our_echo_is_told_from_a_caller_by_its_shape() {
        for echo in [
            (Echoes::Line, 60, -20.0),
            (Echoes::Room, 130, -20.0),
            (Echoes::Room, 130, -30.0),
            (Echoes::Room, 207, -20.0),
            (Echoes::Line, 400, -10.0),
        ] {
            for noise in [0.0, 30.0] {
                let ([echoes, of], [callers, all]) = taken(Some(echo), noise);
                assert!(echoes * 20 >= of * 19, "{echo:?}, noise of {noise}: {echoes} of {of} frames of the echo");
                assert!(callers * 2 < all, "{echo:?}, noise of {noise}: {callers} of {all} frames of the caller");
            }
        }
        for noise in [0.0, 30.0, 200.0] {
            let ([nobody, _], [callers, all]) = taken(None, noise);
            assert!(nobody == 0 && callers * 10 <= all, "noise of {noise}: {callers} of {all} frames of the caller");
        }
    }

    #[test]
    fn what_does_not_move_is_like_nothing() {
        let mut likeness = Likeness::new();
        for _ in 0..100 {
            assert!(!likeness.is_echo(&Frame::SILENCE, Some(&Frame::SILENCE)));
        }
    }
}
