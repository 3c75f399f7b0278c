//! One band of G.722: an adaptive quantiser and a predictor of two poles and six zeros (G.722 sections 3.3 to 3.6 and 6.2).
//!
//! All arithmetic is the recommendation's 16-bit fixed point, done in 32 bits with its limits applied by hand: whoever
//! follows it gets the same bits. Names in capitals are the blocks of its section 6.2.

/// What tells the low band from the high one.
#[derive(Debug)]
pub(super) struct Kind {
    /// What each class of code does to the logarithm of the step.
    steps: &'static [i32],
    /// The largest logarithm of the step.
    most: i32,
    /// Right shift of the step: 8 in the low band, 10 in the high one.
    shift: i32,
    /// The step at the beginning.
    first: i32,
}

/// 0 to 4 kHz, six bits.
pub(super) const LOW: Kind =
    Kind { steps: &[-60, -30, 58, 172, 334, 538, 1198, 3042], most: 18_432, shift: 8, first: 32 };
/// 4 to 8 kHz, two bits.
pub(super) const HIGH: Kind = Kind { steps: &[0, -214, 798], most: 22_528, shift: 10, first: 8 };

/// Where one code of the low band ends and the next begins, in 4096ths of the step (table 14, Q6).
const THRESHOLDS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// The same between the two codes of the high band.
const HIGH_THRESHOLD: i32 = 564;
/// The low band's values of six bits, in 32768ths of the step (table 17, QM6).
const VALUES_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// The low band's values of the first four bits: what both ends adapt by (table 17, QM4).
const VALUES_4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
/// The class of each of those four bits (RL42).
const CLASSES_4: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
/// The high band's values (table 17, QM2) and their classes (RH2).
const VALUES_2: [i32; 4] = [-7408, -1616, 7408, 1616];
const CLASSES_2: [usize; 4] = [2, 1, 2, 1];
/// 2048 times two to the power of 0 to 31 32nds (table 15, ILB).
const POWERS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// The state of one band; the encoder's and the decoder's are the same at the same byte.
#[derive(Debug)]
pub(super) struct Band {
    kind: &'static Kind,
    /// Logarithm of the quantiser's step, 2048ths (NB), and the step (DET).
    logarithm: i32,
    step: i32,
    /// The prediction of the next sample (S), and the zeros' part of it (SZ).
    predicted: i32,
    zeros: i32,
    /// The last two sums of difference and the zeros' part (P).
    partial: [i32; 2],
    /// The last reconstructed sample (R).
    reconstructed: i32,
    poles: [i32; 2],
    /// The predictor's zeros and the last six differences (B and D).
    weights: [i32; 6],
    differences: [i32; 6],
}

const fn limit(value: i32) -> i32 {
    if value > 32_767 {
        32_767
    } else if value < -32_768 {
        -32_768
    } else {
        value
    }
}

impl Band {
    pub(super) fn new(kind: &'static Kind) -> Self {
        Self {
            kind,
            logarithm: 0,
            step: kind.first,
            predicted: 0,
            zeros: 0,
            partial: [0; 2],
            reconstructed: 0,
            poles: [0; 2],
            weights: [0; 6],
            differences: [0; 6],
        }
    }

    /// Six bits for a sample of the low band (QUANTL). It changes nothing: [`Self::adapt_low`] follows.
    pub(super) fn quantize_low(&self, sample: i32) -> u8 {
        let error = limit(sample - self.predicted);
        let magnitude = if error < 0 { !error } else { error };
        let level = THRESHOLDS.partition_point(|threshold| (threshold * self.step) >> 12 <= magnitude) as u8;
        match (error < 0, level) {
            (false, level) => 61 - level,
            (true, level @ 0..=1) => 63 - level,
            (true, level) => 33 - level,
        }
    }

    /// Two bits for a sample of the high band (QUANTH).
    pub(super) fn quantize_high(&self, sample: i32) -> u8 {
        let error = limit(sample - self.predicted);
        let magnitude = if error < 0 { !error } else { error };
        let outer = magnitude >= (HIGH_THRESHOLD * self.step) >> 12;
        match (error < 0, outer) {
            (false, true) => 2,
            (false, false) => 3,
            (true, true) => 0,
            (true, false) => 1,
        }
    }

    /// The low band's sample that these six bits stand for; it changes nothing: [`Self::adapt_low`] follows.
    pub(super) fn hear_low(&self, code: u8) -> i32 {
        limit(self.predicted + ((self.step * VALUES_6[usize::from(code & 63)]) >> 15))
    }

    /// Follows six bits of the low band, of which the first four count.
    pub(super) fn adapt_low(&mut self, code: u8) {
        let code = usize::from((code >> 2) & 15);
        let difference = (self.step * VALUES_4[code]) >> 15;
        self.scale(CLASSES_4[code]);
        self.predict(difference);
    }

    /// Follows two bits of the high band, and gives the sample they stand for.
    pub(super) fn adapt_high(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let difference = (self.step * VALUES_2[code]) >> 15;
        self.scale(CLASSES_2[code]);
        self.predict(difference);
        self.reconstructed
    }

    /// The next step of the quantiser (LOGSCL and SCALEL, LOGSCH and SCALEH).
    fn scale(&mut self, class: usize) {
        self.logarithm = (((self.logarithm * 127) >> 7) + self.kind.steps[class]).clamp(0, self.kind.most);
        let power = POWERS[((self.logarithm >> 6) & 31) as usize];
        let shift = self.kind.shift - (self.logarithm >> 11);
        self.step = (if shift < 0 { power << -shift } else { power >> shift }) << 2;
    }

    /// The prediction of the next sample, from the quantised difference of this one.
    fn predict(&mut self, difference: i32) {
        // RECONS, PARREC.
        let reconstructed = limit(self.predicted + difference);
        let partial = limit(self.zeros + difference);
        let alike = |other: i32| (partial ^ other) >= 0;
        let [first, second] = self.partial;

        // UPPOL2: the second pole, within three quarters.
        let [pole1, pole2] = self.poles;
        let four = limit(pole1 << 2);
        let turned = if alike(first) { limit(-four) } else { four };
        let nudge = if alike(second) { 128 } else { -128 };
        let pole2 = ((turned >> 7) + nudge + ((pole2 * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1: the first pole, so that both together stay stable.
        let room = limit(15_360 - pole2);
        let nudge = if alike(first) { 192 } else { -192 };
        let pole1 = (nudge + ((pole1 * 32_640) >> 15)).clamp(-room, room);
        self.poles = [pole1, pole2];
        self.partial = [partial, first];

        // UPZERO, and FILTEZ over the differences moved on by one.
        let nudge = if difference == 0 { 0 } else { 128 };
        let mut zeros = 0;
        let mut newer = difference;
        for (weight, older) in self.weights.iter_mut().zip(&mut self.differences) {
            let toward = if (difference ^ *older) >= 0 { nudge } else { -nudge };
            *weight = limit(toward + ((*weight * 32_640) >> 15));
            std::mem::swap(older, &mut newer);
            zeros += (*weight * limit(2 * *older)) >> 15;
        }
        self.zeros = limit(zeros);

        // FILTEP, PREDIC.
        let pole = |weight: i32, sample: i32| (weight * limit(2 * sample)) >> 15;
        let poles = limit(pole(pole1, reconstructed) + pole(pole2, self.reconstructed));
        self.reconstructed = reconstructed;
        self.predicted = limit(poles + self.zeros);
    }
}
