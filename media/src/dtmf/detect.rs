//! Keys in the audio itself (ITU-T Q.23 and Q.24): one row tone and one column tone, and next to nothing else.
//!
//! Every 10 ms a window of 20 ms is measured at the eight frequencies. How far the phase of a tone has moved since the window
//! before says how far the tone is from its nominal frequency: so 1.5 % is accepted and 3.5 % refused on windows
//! far too short to tell the two by their energy. A voice now and then has a strong harmonic near a row and one near a
//! column, but hardly ever nothing else beside, steady for 40 ms.

use std::sync::LazyLock;

use super::{COLUMNS, KEYPAD, ROWS};
use crate::{FRAME_SAMPLES, Frame};

/// The rate at which keys are looked for, in Hz: their tones lie far below half of it.
const RATE: f64 = 8_000.0;
/// Samples of a window, and from one to the next.
const WINDOW: usize = 160;
const HOP: usize = 80;
/// Peak of the fainter tone at least, of 32,768: about −36 dBm0.
const FAINTEST: f32 = 370.0;
/// The two tones hold at least this share of what is heard above 300 Hz.
const SHARE: f32 = 0.91;
/// The column tone against the row tone, in power: −10 to +8 dB.
const TWIST: std::ops::RangeInclusive<f32> = 0.1..=6.4;
/// How far a tone may be from its frequency. Q.24: 1.5 % must be accepted, 3.5 % refused.
const OFF: f32 = 0.022;
/// Windows that must agree in a row. The first needs the one before for its phase: 40 ms in all.
const AGREE: u8 = 2;
/// Windows without the key until it is up: a gap of the line of 10 to 20 ms is no second press.
const GONE: u8 = 3;
/// A tone changes its power by less than this from one window to the next: 6 dB.
const STEADY: f32 = 4.0;
/// A tone that has fallen below this share of its power is gone: −10 dB.
const FALLEN: f32 = 0.1;

/// A window's amplitude at one frequency, as a complex number.
#[derive(Clone, Copy, Debug, Default)]
struct Phasor {
    re: f32,
    im: f32,
}

impl Phasor {
    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// `self` times the conjugate of `other`.
    fn against(self, other: Self) -> Self {
        Self { re: self.re * other.re + self.im * other.im, im: self.im * other.re - self.re * other.im }
    }
}

/// What every detector measures with.
struct Tables {
    window: [f32; WINDOW],
    /// The window times a cosine and a sine of each frequency: rows, then columns.
    waves: [([f32; WINDOW], [f32; WINDOW]); 8],
    /// By how much the phase of each frequency moves in a hop.
    moved: [Phasor; 8],
    /// Turns the power at a frequency into the energy of the windowed tone.
    energy: f32,
    /// Turns the power at a frequency into the square of the tone's peak.
    peak: f32,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let turn = std::f64::consts::TAU;
    // A raised cosine, which has next to no energy 100 Hz beside a tone.
    let window: [f32; WINDOW] =
        std::array::from_fn(|at| (0.5 - 0.5 * (turn * (at as f64 + 0.5) / WINDOW as f64).cos()) as f32);
    let hertz = |tone: usize| if tone < 4 { ROWS[tone] } else { COLUMNS[tone - 4] };
    let wave = |tone: usize, shape: fn(f64) -> f64| {
        std::array::from_fn(|at| (f64::from(window[at]) * shape(turn * hertz(tone) / RATE * at as f64)) as f32)
    };
    let sum: f32 = window.iter().sum();
    let squares: f32 = window.iter().map(|share| share * share).sum();
    Tables {
        waves: std::array::from_fn(|tone| (wave(tone, f64::cos), wave(tone, |phase| -phase.sin()))),
        moved: std::array::from_fn(|tone| {
            let phase = turn * hertz(tone) / RATE * HOP as f64;
            Phasor { re: phase.cos() as f32, im: phase.sin() as f32 }
        }),
        energy: 2.0 * squares / (sum * sum),
        peak: 4.0 / (sum * sum),
        window,
    }
});

/// Looks for keys in one direction of a call.
#[derive(Clone, Debug)]
pub struct Detector {
    /// The last window at 8 kHz, without what lies below 300 Hz.
    heard: [f32; WINDOW],
    high_pass: HighPass,
    /// The window before, at the eight frequencies.
    before: [Phasor; 8],
    /// The key that the last windows agree on, and how many do.
    guess: (usize, u8),
    down: Option<Down>,
}

/// A key that is held down.
#[derive(Clone, Copy, Debug)]
struct Down {
    place: usize,
    /// The loudest its tones were, in power.
    row: f32,
    column: f32,
    /// Windows in a row without it.
    without: u8,
}

/// One window with nothing in it but the tones of a key.
#[derive(Clone, Copy, Debug)]
struct Hit {
    place: usize,
    row: f32,
    column: f32,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            heard: [0.0; WINDOW],
            high_pass: HighPass::default(),
            before: [Phasor::default(); 8],
            guess: (0, 0),
            down: None,
        }
    }
}

impl Detector {
    /// Takes 20 ms. Gives the key that was found to be down in it, once for each press, 40 to 60 ms after the press began.
    pub fn push(&mut self, frame: &Frame) -> Option<char> {
        let mut found = None;
        for half in frame.samples().chunks_exact(FRAME_SAMPLES / 2) {
            self.heard.copy_within(HOP.., 0);
            // Two samples make one: at the tones that costs half a decibel at most.
            for (slot, pair) in self.heard[WINDOW - HOP..].iter_mut().zip(half.chunks_exact(2)) {
                *slot = self.high_pass.pass((f32::from(pair[0]) + f32::from(pair[1])) * 0.5);
            }
            found = found.or(self.window());
        }
        found
    }

    /// Measures one window.
    fn window(&mut self) -> Option<char> {
        let tables = &*TABLES;
        let energy: f32 = self.heard.iter().zip(&tables.window).map(|(s, w)| (s * w) * (s * w)).sum();
        // Both tones at their faintest, and not even the line's noise reaches that most of the time.
        if energy * tables.peak / tables.energy < FAINTEST * FAINTEST {
            self.before = [Phasor::default(); 8];
            self.guess.1 = 0;
            self.without();
            return None;
        }
        let tones: [Phasor; 8] = std::array::from_fn(|tone| {
            let (cosine, sine) = &tables.waves[tone];
            Phasor { re: dot(&self.heard, cosine), im: dot(&self.heard, sine) }
        });
        let hit = self.hit(&tones, energy);
        self.before = tones;
        if let Some(down) = &mut self.down {
            let (row, column) = (tones[down.place / 4].power(), tones[4 + down.place % 4].power());
            if row < down.row * FALLEN || column < down.column * FALLEN {
                self.without();
            } else {
                down.without = 0;
            }
        }
        let Some(hit) = hit else {
            self.guess.1 = 0;
            return None;
        };
        if let Some(down) = self.down.as_mut().filter(|down| down.place == hit.place) {
            (down.row, down.column) = (down.row.max(hit.row), down.column.max(hit.column));
            self.guess.1 = 0;
            return None;
        }
        self.guess = (hit.place, if self.guess.0 == hit.place { self.guess.1 + 1 } else { 1 });
        if self.guess.1 < AGREE {
            return None;
        }
        self.guess.1 = 0;
        self.down = Some(Down { place: hit.place, row: hit.row, column: hit.column, without: 0 });
        Some(KEYPAD[hit.place])
    }

    /// A window without the key that is down.
    fn without(&mut self) {
        if let Some(down) = &mut self.down {
            down.without += 1;
            if down.without >= GONE {
                self.down = None;
            }
        }
    }

    /// Whether this window, and the one before, hold the two tones of a key and next to nothing else.
    fn hit(&self, tones: &[Phasor; 8], energy: f32) -> Option<Hit> {
        let tables = &*TABLES;
        let loudest = |from: usize| (from..from + 4).max_by(|&a, &b| tones[a].power().total_cmp(&tones[b].power()));
        let (row, column) = (loudest(0)?, loudest(4)?);
        let (low, high) = (self.true_power(tones, row)?, self.true_power(tones, column)?);
        let steady = (low + high) * tables.energy >= energy * SHARE;
        let loud = low.min(high) * tables.peak >= FAINTEST * FAINTEST;
        let balanced = TWIST.contains(&(high / low));
        let place = row * 4 + column - 4;
        (steady && loud && balanced).then(|| Hit { place, row: tones[row].power(), column: tones[column].power() })
    }

    /// The power of a tone near this frequency, with what the window loses of one that is off put back; `None` when it
    /// is too far off.
    fn true_power(&self, tones: &[Phasor; 8], tone: usize) -> Option<f32> {
        let tables = &*TABLES;
        let (now, before) = (tones[tone].power(), self.before[tone].power());
        if now > before * STEADY || before > now * STEADY {
            return None;
        }
        let turned = tones[tone].against(self.before[tone]).against(tables.moved[tone]);
        let off = turned.im.atan2(turned.re) / std::f32::consts::TAU * (RATE as f32 / HOP as f32);
        let hertz = if tone < 4 { ROWS[tone] } else { COLUMNS[tone - 4] } as f32;
        if off.abs() > hertz * OFF {
            return None;
        }
        let bins = off * WINDOW as f32 / RATE as f32;
        let kept = if bins.abs() < 0.01 {
            1.0
        } else {
            let angle = std::f32::consts::PI * bins;
            angle.sin() / angle / (1.0 - bins * bins)
        };
        Some(now / (kept * kept))
    }
}

fn dot(a: &[f32; WINDOW], b: &[f32; WINDOW]) -> f32 {
    // Eight sums side by side: what a processor adds at once.
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// Takes away what lies below 300 Hz (hum, the rumble of a car): second order, Butterworth.
#[derive(Clone, Copy, Debug, Default)]
struct HighPass {
    first: f32,
    second: f32,
}

impl HighPass {
    fn pass(&mut self, sample: f32) -> f32 {
        // At 8 kHz: b = g (1, −2, 1), a = (1, A1, A2).
        const GAIN: f32 = 0.846_459;
        const A1: f32 = -1.669_203;
        const A2: f32 = 0.716_634;
        let out = GAIN * sample + self.first;
        self.first = -2.0 * GAIN * sample - A1 * out + self.second;
        self.second = GAIN * sample - A2 * out;
        out
    }
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
