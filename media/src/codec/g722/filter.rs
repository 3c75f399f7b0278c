//! The quadrature mirror filters (G.722 sections 3.1 and 4.4): 24 taps that split 16 kHz into two bands of 8 kHz and join
//! them again. What the one aliases the other takes back.

/// Every second tap of the filter, table 11 of G.722; the taps between are the same backwards. They add up to 4096.
const TAPS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const BACKWARDS: [i32; 12] = [-11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3];
/// Samples of the past that a pair of new ones needs.
const PAST: usize = 22;

/// The window's even samples by `first`, its odd ones by `second`.
fn sums(window: &[i32], first: &[i32; 12], second: &[i32; 12]) -> (i32, i32) {
    let pairs = window.chunks_exact(2).zip(first.iter().zip(second));
    pairs.fold((0, 0), |(even, odd), (pair, (first, second))| (even + pair[0] * first, odd + pair[1] * second))
}

/// 16 kHz to two bands.
#[derive(Debug)]
pub(super) struct Split {
    /// The past, and the samples of this packet behind it.
    samples: Vec<i32>,
}

impl Split {
    pub(super) fn new() -> Self {
        Self { samples: vec![0; PAST] }
    }

    /// Gives the low and the high sample of each pair.
    pub(super) fn push(&mut self, samples: &[i16], mut bands: impl FnMut(i32, i32)) {
        self.samples.extend(samples.iter().map(|&sample| i32::from(sample)));
        let mut at = 0;
        while let Some(window) = self.samples.get(at..at + PAST + 2) {
            let (first, second) = sums(window, &TAPS, &BACKWARDS);
            bands((second + first) >> 14, (second - first) >> 14);
            at += 2;
        }
        self.samples.drain(..at);
    }
}

/// Two bands to 16 kHz.
#[derive(Debug)]
pub(super) struct Join {
    /// Sums and differences of the bands in turn: the past, and those of this packet behind it.
    mixed: Vec<i32>,
}

impl Join {
    pub(super) fn new() -> Self {
        Self { mixed: vec![0; PAST] }
    }

    /// Appends two samples for each pair of low and high.
    pub(super) fn push(&mut self, bands: impl Iterator<Item = (i32, i32)>, out: &mut Vec<i16>) {
        self.mixed.extend(bands.flat_map(|(low, high)| [low + high, low - high]));
        let mut at = 0;
        while let Some(window) = self.mixed.get(at..at + PAST + 2) {
            let (second, first) = sums(window, &TAPS, &BACKWARDS);
            let limited = |sum: i32| (sum >> 11).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            out.extend([limited(first), limited(second)]);
            at += 2;
        }
        self.mixed.drain(..at);
    }
}
