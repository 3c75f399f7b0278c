//! 8 to 16 kHz and back by one half-band filter of 63 taps.
//!
//! Its passband ends at 3.4 kHz and its stopband begins at 4.6 kHz, mirrored about a quarter of 16 kHz: so every second
//! tap is zero and the middle one is 1/2. Going up, every second output *is* an input; going down, half of the products
//! vanish. What is left is one dot product of 32 taps a sample. Delay 31 samples of 16 kHz: 1.94 ms.

use std::sync::LazyLock;

/// The taps that are not zero, without the middle one.
const TAPS: usize = 32;
/// Delay of the filter in samples of the higher rate.
pub(super) const DELAY: usize = TAPS - 1;
/// Samples worked on at once, at the lower rate: one frame.
const BLOCK: usize = 160;

/// A tap of 1 in the fixed point of [`TAPS_Q14`].
const ONE: i32 = 1 << 14;

/// The odd taps of the filter, sum 1 (the passband gain of the interpolated half), with 14 bits behind the point: what they
/// make of the loudest signal still fits 32 bits, and a processor multiplies and adds eight of them at a time.
static TAPS_Q14: LazyLock<[i16; TAPS]> = LazyLock::new(|| {
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
    let mut taps = taps.map(|tap| (tap / sum * f64::from(ONE)).round() as i16);
    // Rounding must not change the level: the two middle taps take the rest, half each.
    let rest = ONE - taps.iter().map(|&tap| i32::from(tap)).sum::<i32>();
    taps[TAPS / 2 - 1] += (rest / 2) as i16;
    taps[TAPS / 2] += (rest - rest / 2) as i16;
    taps
});

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
    values: [i16; DELAY + BLOCK],
}

impl Window {
    const fn new() -> Self {
        Self { values: [0; DELAY + BLOCK] }
    }

    /// The place of a block of this length behind the history.
    fn block(&mut self, length: usize) -> &mut [i16] {
        &mut self.values[DELAY..DELAY + length]
    }

    /// The filter's value at each place of a block of this length, in the fixed point of the taps.
    fn filtered(&self, taps: &[i16; TAPS], length: usize) -> impl Iterator<Item = i32> {
        self.values[..DELAY + length].array_windows::<TAPS>().map(move |values| {
            values.iter().zip(taps).map(|(&value, &tap)| i32::from(value) * i32::from(tap)).sum::<i32>()
        })
    }

    /// The values in the middle of the filter, for a block of this length.
    fn middle(&self, length: usize) -> &[i16] {
        &self.values[TAPS / 2..TAPS / 2 + length]
    }

    /// Keeps the end of a block of this length as the next history.
    fn advance(&mut self, length: usize) {
        self.values.copy_within(length..length + DELAY, 0);
    }
}

/// Twice the rate.
pub(crate) struct Twice {
    window: Window,
}

impl Twice {
    pub(crate) const fn new() -> Self {
        Self { window: Window::new() }
    }

    /// Appends two samples for each one.
    pub(crate) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        let mut done = out.len();
        out.resize(done + samples.len() * 2, 0);
        for block in samples.chunks(BLOCK) {
            self.window.block(block.len()).copy_from_slice(block);
            let (pairs, _) = out[done..].as_chunks_mut::<2>();
            let between = self.window.filtered(&TAPS_Q14, block.len());
            for ((pair, between), &middle) in pairs.iter_mut().zip(between).zip(self.window.middle(block.len())) {
                *pair = [rounded::<14>(between), middle];
            }
            done += block.len() * 2;
            self.window.advance(block.len());
        }
    }
}

/// Half the rate.
pub(crate) struct Halve {
    filtered: Window,
    delayed: Window,
    odd: Option<i16>,
}

impl Halve {
    pub(crate) const fn new() -> Self {
        Self { filtered: Window::new(), delayed: Window::new(), odd: None }
    }

    /// Appends one sample for each two; an odd one waits for the next call.
    pub(crate) fn push(&mut self, mut samples: &[i16], out: &mut Vec<i16>) {
        if let (Some(first), Some((&second, rest))) = (self.odd, samples.split_first()) {
            self.odd = None;
            samples = rest;
            self.block(&[[first, second]], out);
        }
        let (pairs, odd) = samples.as_chunks::<2>();
        for block in pairs.chunks(BLOCK) {
            self.block(block, out);
        }
        self.odd = odd.first().copied().or(self.odd);
    }

    fn block(&mut self, pairs: &[[i16; 2]], out: &mut Vec<i16>) {
        let length = pairs.len();
        let places = self.delayed.block(length).iter_mut().zip(self.filtered.block(length));
        for ((delayed, filtered), &[even, odd]) in places.zip(pairs) {
            (*delayed, *filtered) = (even, odd);
        }
        let middle = self.delayed.middle(length).iter().map(|&middle| i32::from(middle) * ONE);
        let sums = self.filtered.filtered(&TAPS_Q14, length).zip(middle);
        out.extend(sums.map(|(filtered, middle)| rounded::<15>(filtered + middle)));
        self.delayed.advance(length);
        self.filtered.advance(length);
    }
}

/// To the nearest whole number, of a fixed point with this many bits behind it; what is beyond full scale is clipped.
fn rounded<const BITS: u32>(value: i32) -> i16 {
    ((value + (1 << (BITS - 1))) >> BITS).clamp(i16::MIN.into(), i16::MAX.into()) as i16
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
    fn the_loudest_signal_fits_the_sum() {
        let reach: i64 = TAPS_Q14.iter().map(|&tap| i64::from(tap).abs()).sum();
        assert_eq!(TAPS_Q14.iter().map(|&tap| i32::from(tap)).sum::<i32>(), ONE);
        assert!((reach + i64::from(ONE)) * 32_768 + i64::from(ONE) <= i64::from(i32::MAX), "{reach}");
    }

    #[test]
    fn full_scale_is_clipped_not_wrapped() {
        let square: Vec<i16> = (0..800).map(|at| if at / 8 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let mut out = Vec::new();
        Twice::new().push(&square, &mut out);
        assert!(out.windows(2).all(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs() < 50_000));
    }
}
