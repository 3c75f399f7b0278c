//! 8 to 16 kHz and back by one half-band filter of 63 taps.
//!
//! Its passband ends at 3.4 kHz and its stopband begins at 4.6 kHz, mirrored about a quarter of 16 kHz: so every second
//! tap is zero and the middle one is 1/2. Going up, every second output *is* an input; going down, half of the products
//! vanish. What is left is one dot product of 32 taps a sample. Delay 31 samples of 16 kHz: 1.94 ms.

/// The taps that are not zero, without the middle one.
const TAPS: usize = 32;
/// Delay of the filter in samples of the higher rate.
pub(super) const DELAY: usize = TAPS - 1;
/// Samples worked on at once, at the lower rate: one frame.
const BLOCK: usize = 160;

/// The odd taps of the filter, sum 1 (the passband gain of the interpolated half).
fn taps() -> [f32; TAPS] {
    // Kaiser window, beta for 75 dB (J. F. Kaiser 1974): 0.1102 (A - 8.7).
    const BETA: f64 = 7.3;
    let mut taps = [0f64; TAPS];
    for (index, tap) in taps.iter_mut().enumerate() {
        let distance = 2.0 * index as f64 - DELAY as f64;
        let phase = std::f64::consts::FRAC_PI_2 * distance;
        let reach = distance / (DELAY as f64 + 1.0);
        *tap = phase.sin() / phase * bessel_i0(BETA * (1.0 - reach * reach).sqrt()) / bessel_i0(BETA);
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum) as f32)
}

/// Modified Bessel function of the first kind and order zero, by its series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// A window over a stream: the last 31 values stand before each new block.
struct Window {
    values: [f32; DELAY + BLOCK],
}

impl Window {
    const fn new() -> Self {
        Self { values: [0.0; DELAY + BLOCK] }
    }

    /// Puts a block of at most [`BLOCK`] values behind the history.
    fn fill(&mut self, block: impl Iterator<Item = i16>) {
        for (slot, value) in self.values[DELAY..].iter_mut().zip(block) {
            *slot = f32::from(value);
        }
    }

    /// The filter's value at this place of the block.
    fn filtered(&self, taps: &[f32; TAPS], at: usize) -> f32 {
        let mut lanes = [0f32; 8];
        for (taps, values) in taps.as_chunks::<8>().0.iter().zip(self.values[at..at + TAPS].as_chunks::<8>().0) {
            for lane in 0..8 {
                lanes[lane] += taps[lane] * values[lane];
            }
        }
        lanes.iter().sum()
    }

    /// The value in the middle of the filter at this place of the block.
    fn middle(&self, at: usize) -> f32 {
        self.values[at + TAPS / 2]
    }

    /// Keeps the end of a block of this length as the next history.
    fn advance(&mut self, length: usize) {
        self.values.copy_within(length..length + DELAY, 0);
    }
}

/// Twice the rate.
pub(crate) struct Twice {
    taps: [f32; TAPS],
    window: Window,
}

impl Twice {
    pub(crate) fn new() -> Self {
        Self { taps: taps(), window: Window::new() }
    }

    /// Appends two samples for each one.
    pub(crate) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        for block in samples.chunks(BLOCK) {
            self.window.fill(block.iter().copied());
            out.extend(
                (0..block.len())
                    .flat_map(|at| [round(self.window.filtered(&self.taps, at)), round(self.window.middle(at))]),
            );
            self.window.advance(block.len());
        }
    }
}

/// Half the rate.
pub(crate) struct Halve {
    taps: [f32; TAPS],
    filtered: Window,
    delayed: Window,
    odd: Option<i16>,
}

impl Halve {
    pub(crate) fn new() -> Self {
        Self { taps: taps(), filtered: Window::new(), delayed: Window::new(), odd: None }
    }

    /// Appends one sample for each two; an odd one waits for the next call.
    pub(crate) fn push(&mut self, mut samples: &[i16], out: &mut Vec<i16>) {
        if let (Some(first), Some((&second, rest))) = (self.odd, samples.split_first()) {
            self.odd = None;
            samples = rest;
            self.block(&[first, second], out);
        }
        let (pairs, odd) = samples.split_at(samples.len() & !1);
        for block in pairs.chunks(BLOCK * 2) {
            self.block(block, out);
        }
        self.odd = odd.first().copied().or(self.odd);
    }

    fn block(&mut self, pairs: &[i16], out: &mut Vec<i16>) {
        let length = pairs.len() / 2;
        self.delayed.fill(pairs.iter().step_by(2).copied());
        self.filtered.fill(pairs.iter().skip(1).step_by(2).copied());
        out.extend(
            (0..length).map(|at| round((self.filtered.filtered(&self.taps, at) + self.delayed.middle(at)) / 2.0)),
        );
        self.delayed.advance(length);
        self.filtered.advance(length);
    }
}

/// To the nearest 16-bit value; what is beyond full scale is clipped.
fn round(value: f32) -> i16 {
    value.round_ties_even() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level in dB of what a tone of this frequency becomes at another (all in Hz), over a second.
    fn gain_db(samples: &[i16], rate: f64, hertz: f64, level: f64) -> f64 {
        let step = std::f64::consts::TAU * hertz / rate;
        let (mut sine, mut cosine) = (0f64, 0f64);
        for (at, &sample) in samples.iter().enumerate() {
            sine += f64::from(sample) * (step * at as f64).sin();
            cosine += f64::from(sample) * (step * at as f64).cos();
        }
        20.0 * ((sine.hypot(cosine) * 2.0 / samples.len() as f64).max(1e-3) / level).log10()
    }

    fn tone(rate: f64, hertz: f64, count: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * hertz / rate;
        (0..count).map(|at| (20_000.0 * (step * at as f64).sin()).round() as i16).collect()
    }

    fn doubled(hertz: f64) -> Vec<i16> {
        let mut out = Vec::new();
        Twice::new().push(&tone(8000.0, hertz, 9000), &mut out);
        out.split_off(2000)
    }

    fn halved(hertz: f64) -> Vec<i16> {
        let mut out = Vec::new();
        Halve::new().push(&tone(16_000.0, hertz, 18_000), &mut out);
        out.split_off(1000)
    }

    #[test]
    fn flat_to_3400_hz_both_ways() {
        for hertz in [50.0, 300.0, 1000.0, 2000.0, 3000.0, 3300.0, 3400.0] {
            let (up, down) = (gain_db(&doubled(hertz), 16_000.0, hertz, 20_000.0), {
                gain_db(&halved(hertz), 8000.0, hertz, 20_000.0)
            });
            assert!(up.abs() < 0.1 && down.abs() < 0.1, "{hertz} Hz: {up:.3} dB up, {down:.3} dB down");
        }
    }

    #[test]
    fn images_and_aliases_lie_60_db_below() {
        for hertz in [50.0, 300.0, 1000.0, 2000.0, 3000.0, 3400.0] {
            let image = gain_db(&doubled(hertz), 16_000.0, 8000.0 - hertz, 20_000.0);
            let alias = gain_db(&halved(8000.0 - hertz), 8000.0, hertz, 20_000.0);
            assert!(image < -60.0 && alias < -60.0, "{hertz} Hz: image {image:.1} dB, alias {alias:.1} dB");
        }
    }

    #[test]
    fn the_delay_is_31_samples_of_16_khz() {
        let mut impulse = vec![0; 100];
        impulse[50] = 20_000;
        let (mut up, mut down) = (Vec::new(), Vec::new());
        Twice::new().push(&impulse, &mut up);
        Halve::new().push(&impulse, &mut down);
        let peak = |samples: &[i16]| samples.iter().enumerate().max_by_key(|(_, sample)| **sample).map(|(at, _)| at);
        assert_eq!(peak(&up), Some(100 + DELAY));
        assert_eq!(peak(&down), Some(25 + DELAY / 2));
    }

    #[test]
    fn pieces_of_any_length_give_the_same_as_the_whole() {
        let whole = tone(16_000.0, 700.0, 3000);
        let (mut up, mut down, mut up_pieces, mut down_pieces) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Twice::new().push(&whole, &mut up);
        Halve::new().push(&whole, &mut down);
        let (mut twice, mut halve) = (Twice::new(), Halve::new());
        let mut rest = whole.as_slice();
        for length in (1..).map(|piece| piece * 7 % 401) {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            twice.push(piece, &mut up_pieces);
            halve.push(piece, &mut down_pieces);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(up, up_pieces);
        assert_eq!(down, down_pieces);
    }

    #[test]
    fn full_scale_is_clipped_not_wrapped() {
        let square: Vec<i16> = (0..800).map(|at| if at / 8 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let mut out = Vec::new();
        Twice::new().push(&square, &mut out);
        assert!(out.windows(2).all(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs() < 50_000));
    }
}
