//! What telephone networks say without words: dial tone, ringing, busy, congestion, each country in its own way.
//!
//! Frequencies and cadences are those that ITU-T E.180 Supplement 2 ("Various tones used in national networks") lists for the
//! country; the United Kingdom's are BT's SIN 350. Compared with copies of that list were Germany's, South Africa's and the
//! United States'; the others are as they are commonly given. South Africa has two kinds of exchange, and Madagascar is given
//! the French plan: both say so at their place.

use std::f64::consts::{PI, TAU};

use crate::{Frame, SAMPLE_RATE};

/// Samples in a millisecond.
const PER_MS: u32 = SAMPLE_RATE / 1000;
/// Samples over which a tone swells and fades inside its time, so that it does not click: 4 ms.
const RAMP: u32 = 4 * PER_MS;
/// Peak of a signal, of full scale: about -13 dBm0, within the -10 ±5 dBm0 of E.180 section 5.
const PEAK: f64 = 0.35;

/// A country whose signals are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Country {
    /// `ca`
    Canada,
    /// `fr`
    France,
    /// `de`
    Germany,
    /// `mg`: the French plan, which its network was built to. Not compared with a line in the country.
    Madagascar,
    /// `re`: a French department, with France's signals.
    Reunion,
    /// `za`: 400 Hz that flutters at 33 Hz, which is what the sum of 383 and 417 Hz sounds like.
    SouthAfrica,
    /// `gb`
    UnitedKingdom,
    /// `us`
    UnitedStates,
}

/// What a network says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Dial now.
    Dial,
    /// It rings at the far end.
    Ringback,
    /// The called party is busy.
    Busy,
    /// The network is: no way, or no such number.
    Congestion,
}

/// One signal of one country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    /// Frequencies that sound together, in Hz.
    pub hertz: &'static [f64],
    /// Milliseconds of sound and of silence in turn, over and over; empty: without a pause.
    pub cadence: &'static [u32],
}

impl Country {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Canada,
        Self::France,
        Self::Germany,
        Self::Madagascar,
        Self::Reunion,
        Self::SouthAfrica,
        Self::UnitedKingdom,
        Self::UnitedStates,
    ];

    /// Its two letters (ISO 3166-1), in lower case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Canada => "ca",
            Self::France => "fr",
            Self::Germany => "de",
            Self::Madagascar => "mg",
            Self::Reunion => "re",
            Self::SouthAfrica => "za",
            Self::UnitedKingdom => "gb",
            Self::UnitedStates => "us",
        }
    }

    /// The country of two letters.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|country| country.code().eq_ignore_ascii_case(code))
    }

    /// How it gives a signal.
    pub const fn pattern(self, signal: Signal) -> Pattern {
        const fn pattern(hertz: &'static [f64], cadence: &'static [u32]) -> Pattern {
            Pattern { hertz, cadence }
        }
        match (self, signal) {
            (Self::France | Self::Reunion | Self::Madagascar, Signal::Dial) => pattern(&[440.0], &[]),
            (Self::France | Self::Reunion | Self::Madagascar, Signal::Ringback) => pattern(&[440.0], &[1500, 3500]),
            (Self::France | Self::Reunion | Self::Madagascar, Signal::Busy) => pattern(&[440.0], &[500, 500]),
            (Self::France | Self::Reunion | Self::Madagascar, Signal::Congestion) => pattern(&[440.0], &[250, 250]),
            (Self::Germany, Signal::Dial) => pattern(&[425.0], &[]),
            (Self::Germany, Signal::Ringback) => pattern(&[425.0], &[1000, 4000]),
            (Self::Germany, Signal::Busy) => pattern(&[425.0], &[480, 480]),
            (Self::Germany, Signal::Congestion) => pattern(&[425.0], &[240, 240]),
            (Self::SouthAfrica, Signal::Dial) => pattern(&[383.0, 417.0], &[]),
            (Self::SouthAfrica, Signal::Ringback) => pattern(&[383.0, 417.0], &[400, 200, 400, 2000]),
            (Self::SouthAfrica, Signal::Busy) => pattern(&[400.0], &[500, 500]),
            (Self::SouthAfrica, Signal::Congestion) => pattern(&[400.0], &[250, 250]),
            (Self::UnitedKingdom, Signal::Dial) => pattern(&[350.0, 440.0], &[]),
            (Self::UnitedKingdom, Signal::Ringback) => pattern(&[400.0, 450.0], &[400, 200, 400, 2000]),
            (Self::UnitedKingdom, Signal::Busy) => pattern(&[400.0], &[375, 375]),
            (Self::UnitedKingdom, Signal::Congestion) => pattern(&[400.0], &[400, 350, 225, 525]),
            (Self::UnitedStates | Self::Canada, Signal::Dial) => pattern(&[350.0, 440.0], &[]),
            (Self::UnitedStates | Self::Canada, Signal::Ringback) => pattern(&[440.0, 480.0], &[2000, 4000]),
            (Self::UnitedStates | Self::Canada, Signal::Busy) => pattern(&[480.0, 620.0], &[500, 500]),
            (Self::UnitedStates | Self::Canada, Signal::Congestion) => pattern(&[480.0, 620.0], &[250, 250]),
        }
    }
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dial, Self::Ringback, Self::Busy, Self::Congestion];

    /// Its name in a dialplan.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Ringback => "ringback",
            Self::Busy => "busy",
            Self::Congestion => "congestion",
        }
    }

    /// The signal of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

/// A signal as endless sound, its cadence exact to the sample.
#[derive(Clone, Debug)]
pub struct Signals {
    pattern: Pattern,
    /// Turns of each frequency that have passed.
    phases: Vec<f64>,
    /// Which part of the cadence it is in, and how many samples into it.
    part: usize,
    into: u32,
}

impl Signals {
    /// From the beginning of the cadence.
    pub fn new(pattern: Pattern) -> Self {
        Self { pattern, phases: vec![0.0; pattern.hertz.len()], part: 0, into: 0 }
    }

    fn sample(&mut self) -> i16 {
        let loudness = self.loudness();
        let mut sum = 0.0;
        for (phase, hertz) in self.phases.iter_mut().zip(self.pattern.hertz) {
            sum += (TAU * *phase).sin();
            *phase = (*phase + hertz / f64::from(SAMPLE_RATE)).fract();
        }
        let peak = PEAK * f64::from(i16::MAX) / self.pattern.hertz.len() as f64;
        (loudness * peak * sum) as i16
    }

    /// 0 in a pause, 1 in a sound, between them at its edges; moves the cadence on.
    fn loudness(&mut self) -> f64 {
        let into = self.into;
        self.into += 1;
        let swell = |samples: u32| 0.5 - 0.5 * (PI * f64::from(samples.min(RAMP)) / f64::from(RAMP)).cos();
        let Some(&ms) = self.pattern.cadence.get(self.part) else {
            self.into = self.into.min(RAMP);
            return swell(into);
        };
        let length = ms * PER_MS;
        let sounds = self.part.is_multiple_of(2);
        if self.into == length {
            self.into = 0;
            self.part = (self.part + 1) % self.pattern.cadence.len();
        }
        if sounds { swell(into).min(swell(length - into)) } else { 0.0 }
    }
}

impl Iterator for Signals {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let mut frame = Frame::SILENCE;
        frame.samples_mut().iter_mut().for_each(|sample| *sample = self.sample());
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::steepest;

    fn seconds(pattern: Pattern, seconds: usize) -> Vec<i16> {
        Signals::new(pattern).take(seconds * 50).flat_map(|frame| *frame.samples()).collect()
    }

    /// Power of one frequency among samples (Goertzel), as a share of the whole power.
    fn share(samples: &[i16], hertz: f64) -> f64 {
        let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
        for (at, &sample) in samples.iter().enumerate() {
            let angle = TAU * hertz * at as f64 / f64::from(SAMPLE_RATE);
            sine += f64::from(sample) * angle.sin();
            cosine += f64::from(sample) * angle.cos();
            power += f64::from(sample) * f64::from(sample);
        }
        2.0 * (sine * sine + cosine * cosine) / (samples.len() as f64 * power)
    }

    #[test]
    fn every_cadence_is_exact_to_the_millisecond() {
        for (country, signal) in Country::ALL.into_iter().flat_map(|c| Signal::ALL.map(|s| (c, s))) {
            let pattern = country.pattern(signal);
            let samples = seconds(pattern, 13);
            let mut expected = Vec::new();
            let mut parts = pattern.cadence.iter().cycle();
            while expected.len() < 13_000 {
                let on = parts.next().map_or(13_000, |ms| *ms as usize);
                expected.extend(std::iter::repeat_n(true, on));
                let off = parts.next().map_or(0, |ms| *ms as usize);
                expected.extend(std::iter::repeat_n(false, off));
            }
            for (ms, part) in samples.chunks(PER_MS as usize).enumerate() {
                // A beat of two frequencies passes through zero: what counts is that pauses are silent and sounds are not.
                if !expected[ms] {
                    assert!(part.iter().all(|sample| *sample == 0), "{country:?} {signal:?} at {ms} ms");
                }
            }
            let loud = samples.chunks(80).filter(|part| part.iter().any(|s| s.abs() > 300)).count() * 5;
            let wanted = expected[..13_000].iter().filter(|sounds| **sounds).count();
            // Edges swell over 4 ms, beats pass through zero.
            assert!(loud.abs_diff(wanted) * 10 <= wanted, "{country:?} {signal:?}: {loud} of {wanted} ms");
        }
    }

    #[test]
    fn the_frequencies_are_there_and_nothing_else() {
        for (country, signal) in Country::ALL.into_iter().flat_map(|c| Signal::ALL.map(|s| (c, s))) {
            let pattern = country.pattern(signal);
            let on = pattern.cadence.first().map_or(1000, |ms| *ms as usize).min(1000) * PER_MS as usize;
            let samples = seconds(pattern, 1);
            let total: f64 = pattern.hertz.iter().map(|hertz| share(&samples[..on], *hertz)).sum();
            assert!((0.85..1.2).contains(&total), "{country:?} {signal:?}: {total}");
        }
    }

    #[test]
    fn nothing_clicks_or_clips() {
        for (country, signal) in Country::ALL.into_iter().flat_map(|c| Signal::ALL.map(|s| (c, s))) {
            let samples = seconds(country.pattern(signal), 7);
            assert!(samples.iter().all(|sample| sample.unsigned_abs() < 12_000));
            assert!(steepest(&samples) < Some(2_600), "{country:?} {signal:?}: {:?}", steepest(&samples));
        }
    }

    #[test]
    fn names_and_codes_lead_back() {
        assert!(Country::ALL.into_iter().all(|country| Country::of_code(country.code()) == Some(country)));
        assert!(Signal::ALL.into_iter().all(|signal| Signal::named(signal.name()) == Some(signal)));
        assert_eq!((Country::of_code("xx"), Signal::named("")), (None, None));
    }
}
