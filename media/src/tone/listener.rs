//! What a line says by tones: the beep behind which a message is taken, busy, "there is no such number", a fax.
//!
//! Every 20 ms the last 32 ms are looked at. A tone is a peak of the spectrum, or two, that holds nearly all there is,
//! at the same
//! place from window to window; a voice has many peaks, which wander. How long a tone is, and what was before it, says
//! what it means:
//! ```text
//!  beep              ▬▬▬ and then none for a while     busy   ▬▬  ▬▬  ▬▬  the same three times, as far apart as they are long
//!  no such number    ▬▬▔▔▀▀ three that rise (E.180)    fax    ▬▬▬▬▬▬▬▬▬▬  2,100 Hz for a second (T.30)
//! ```

use std::{array, collections::VecDeque, fmt, ops::RangeInclusive, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use crate::{FRAME_MS, FRAME_SAMPLES, Frame, SAMPLE_RATE, dbfs};

/// Samples of a window, and how far its lines are apart, in Hz.
const WINDOW: usize = 512;
const LINE: f32 = SAMPLE_RATE as f32 / WINDOW as f32;
/// What telephones carry, in lines: 190 Hz to 3.6 kHz.
const LOWEST: usize = 6;
const HIGHEST: usize = 116;
/// A peak has so many lines to either side of its middle…
const SIDE: usize = 2;
/// …and a tone's peaks hold at least this share of what is heard.
const SHARE: f32 = 0.9;
/// Of two tones the fainter has at least this share of the other's power: −10 dB.
const FAINTER: f32 = 0.1;
/// What is softer is nobody's tone, in dBFS.
const SOFTEST: f32 = -40.0;
/// A tone stays within so much of its frequency, and within so many Hz.
const OFF: f32 = 0.02;
const OFF_HERTZ: f32 = 12.0;

/// Windows that may lack a tone which goes on: a lost packet.
const LOST: u64 = 1;
/// What is shorter than this is a part of a voice.
const SHORTEST: u64 = frames(100);

/// A beep's frequency, in Hz. Below it voices hum.
const BEEP: RangeInclusive<f32> = 380.0..=2_600.0;
/// Networks' signals lie below this, in Hz: there a short tone is a beep only if no second one follows.
const LOW: f32 = 660.0;
/// How long a beep is: below and above that.
const LOW_BEEP: RangeInclusive<u64> = frames(120)..=frames(620);
const HIGH_BEEP: RangeInclusive<u64> = frames(120)..=frames(1_100);
/// How long it is waited whether another tone follows: below and above that.
const LOW_ALONE: u64 = frames(700);
const HIGH_ALONE: u64 = frames(100);

/// A busy signal's frequency, and how long its tones and its pauses are.
const BUSY: RangeInclusive<f32> = 340.0..=LOW;
const BUSY_PART: RangeInclusive<u64> = frames(160)..=frames(620);
/// Its parts are alike within this.
const ALIKE: u64 = frames(80);

/// The special information tone (E.180 section 8): about these, in Hz, each for about 330 ms, next to no pause between.
const RISING: [f32; 3] = [950.0, 1_400.0, 1_800.0];
const RISING_OFF: f32 = 60.0;
const RISING_PART: RangeInclusive<u64> = frames(160)..=frames(500);
const RISING_PAUSE: u64 = frames(120);

/// A fax that is called answers so (T.30 section 4.3.3.2), in Hz, for 2.6 seconds at least; a second of it is enough.
const FAX: RangeInclusive<f32> = 2_070.0..=2_130.0;
const FAX_LEAST: u64 = frames(1_000);

const fn frames(ms: u64) -> u64 {
    ms / FRAME_MS as u64
}

/// What a line says by tones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineTone {
    /// One short tone: a machine takes messages from here on.
    Beep,
    /// Busy, or the network is.
    Busy,
    /// Three tones that rise: an announcement of the network goes with them, mostly that there is no such number.
    SpecialInformation,
    /// A fax has answered.
    Fax,
}

/// What one window holds, if it is a tone.
#[derive(Clone, Copy, Debug)]
struct Sine {
    /// Its frequency; of two tones, the lower one's.
    hertz: f32,
    is_pair: bool,
}

/// A tone, from its first window to its last.
#[derive(Clone, Copy, Debug)]
struct Run {
    hertz: f32,
    from: u64,
    to: u64,
    /// Windows in which there were two tones.
    pairs: u64,
}

impl Run {
    fn begin(sine: Sine, now: u64) -> Self {
        Self { hertz: sine.hertz, from: now, to: now, pairs: u64::from(sine.is_pair) }
    }

    fn is_near(&self, hertz: f32) -> bool {
        (hertz - self.hertz).abs() <= (self.hertz * OFF).max(OFF_HERTZ)
    }

    fn go_on(&mut self, sine: Sine, now: u64) {
        self.hertz += (sine.hertz - self.hertz) / 8.0;
        self.pairs += u64::from(sine.is_pair);
        self.to = now;
    }

    fn frames(&self) -> u64 {
        self.to - self.from + 1
    }

    fn is_pair(&self) -> bool {
        self.pairs * 2 > self.frames()
    }

    /// Frames of silence before it, behind that one.
    fn behind(&self, before: &Self) -> u64 {
        self.from.saturating_sub(before.to + 1)
    }
}

/// Listens to one direction of a call.
pub struct Listener {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; WINDOW],
    heard: [i16; WINDOW],
    input: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    /// Frames that were heard.
    now: u64,
    run: Option<Run>,
    /// The newest tones that are over, the newest last.
    over: VecDeque<Run>,
    /// Of the newest it is not known yet whether it was a beep.
    is_open: bool,
}

impl Default for Listener {
    fn default() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let turn = std::f32::consts::TAU;
        Self {
            window: array::from_fn(|at| 0.5 - 0.5 * (turn * (at as f32 + 0.5) / WINDOW as f32).cos()),
            heard: [0; WINDOW],
            input: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
            now: 0,
            run: None,
            over: VecDeque::new(),
            is_open: false,
        }
    }
}

impl Listener {
    /// Takes 20 ms. Tells what is known from here on, once: a beep when no other tone has followed it, a busy signal
    /// with each of its
    /// tones from the third on.
    pub fn push(&mut self, frame: &Frame) -> Option<LineTone> {
        self.now += 1;
        self.heard.copy_within(FRAME_SAMPLES.., 0);
        self.heard[WINDOW - FRAME_SAMPLES..].copy_from_slice(frame.samples());
        let (now, sine) = (self.now, self.sine());
        match (&mut self.run, sine) {
            (Some(run), Some(sine)) if run.is_near(sine.hertz) => {
                let before = run.frames();
                run.go_on(sine, now);
                let run = *run;
                self.goes_on(&run, before)
            }
            (Some(run), None) if now - run.to <= LOST => None,
            (Some(run), sine) => {
                let run = *run;
                self.run = sine.map(|sine| Run::begin(sine, now));
                self.ended(run)
            }
            (None, Some(sine)) => {
                self.run = Some(Run::begin(sine, now));
                None
            }
            (None, None) => self.beep(),
        }
    }

    /// What is known of a tone that is so long now, and was as long as `before`.
    fn goes_on(&self, run: &Run, before: u64) -> Option<LineTone> {
        let reaches = |length: u64| before < length && run.frames() >= length;
        if reaches(FAX_LEAST) && FAX.contains(&run.hertz) {
            return Some(LineTone::Fax);
        }
        (reaches(*RISING_PART.start()) && self.rises(run)).then_some(LineTone::SpecialInformation)
    }

    /// Whether it is the last of three that rise.
    fn rises(&self, last: &Run) -> bool {
        let mut before = self.over.iter().rev();
        let (Some(second), Some(first)) = (before.next(), before.next()) else { return false };
        let is = |run: &Run, hertz: f32| (run.hertz - hertz).abs() <= RISING_OFF;
        [first, second, last].into_iter().zip(RISING).all(|(run, hertz)| is(run, hertz))
            && [first, second].into_iter().all(|run| RISING_PART.contains(&run.frames()))
            && second.behind(first) <= RISING_PAUSE
            && last.behind(second) <= RISING_PAUSE
    }

    /// A tone is over.
    fn ended(&mut self, run: Run) -> Option<LineTone> {
        if run.frames() < SHORTEST {
            return None;
        }
        let is_busy = self.is_busy(&run);
        self.is_open = !is_busy && self.may_beep(&run);
        if self.over.len() == 2 {
            self.over.pop_front();
        }
        self.over.push_back(run);
        is_busy.then_some(LineTone::Busy)
    }

    /// Whether it is the third of a cadence.
    fn is_busy(&self, last: &Run) -> bool {
        let (Some(first), Some(second)) = (self.over.front(), self.over.get(1)) else { return false };
        let parts = [first, second, last];
        let pauses = [second.behind(first), last.behind(second)];
        parts.iter().all(|run| BUSY.contains(&run.hertz) && BUSY_PART.contains(&run.frames()))
            && pauses.iter().all(|pause| BUSY_PART.contains(pause))
            && [first, second]
                .into_iter()
                .all(|run| last.is_near(run.hertz) && last.frames().abs_diff(run.frames()) <= ALIKE)
            && pauses[0].abs_diff(pauses[1]) <= ALIKE
    }

    /// Whether it is a beep if no other tone follows: one tone, of a beep's length, and none went before it.
    fn may_beep(&self, run: &Run) -> bool {
        let (length, alone) = if run.hertz < LOW { (LOW_BEEP, LOW_ALONE) } else { (HIGH_BEEP, HIGH_ALONE) };
        let is_first = self.over.back().is_none_or(|before| run.behind(before) > alone);
        !run.is_pair() && BEEP.contains(&run.hertz) && length.contains(&run.frames()) && is_first
    }

    /// Whether the newest tone has turned out to be a beep.
    fn beep(&mut self) -> Option<LineTone> {
        let last = self.over.back().filter(|_| self.is_open)?;
        let alone = if last.hertz < LOW { LOW_ALONE } else { HIGH_ALONE };
        (self.now - last.to > alone).then(|| {
            self.is_open = false;
            LineTone::Beep
        })
    }

    /// The tone that the newest window holds.
    fn sine(&mut self) -> Option<Sine> {
        if dbfs(&self.heard) < SOFTEST {
            return None;
        }
        for ((input, &sample), window) in self.input.iter_mut().zip(&self.heard).zip(&self.window) {
            *input = f32::from(sample) * window;
        }
        // The lengths are those of the plan.
        self.fft.process_with_scratch(&mut self.input, &mut self.spectrum, &mut self.scratch).ok()?;
        let mut power: [f32; HIGHEST + 1] = array::from_fn(|at| self.spectrum[at].norm_sqr());
        power[..LOWEST].fill(0.0);
        let whole: f32 = power.iter().sum();
        let (first, one) = peak(&mut power);
        if one >= whole * SHARE {
            return Some(Sine { hertz: first, is_pair: false });
        }
        let (second, other) = peak(&mut power);
        let is_pair = one + other >= whole * SHARE && other >= one * FAINTER;
        is_pair.then(|| Sine { hertz: first.min(second), is_pair: true })
    }
}

/// Where the highest peak is, in Hz, and its power, which is taken away.
fn peak(power: &mut [f32; HIGHEST + 1]) -> (f32, f32) {
    let middles = LOWEST + SIDE..=HIGHEST - SIDE;
    let at = middles.max_by(|&a, &b| power[a].total_cmp(&power[b])).unwrap_or(LOWEST + SIDE);
    let [below, top, above] = [at - 1, at, at + 1].map(|at| power[at].max(f32::MIN_POSITIVE).ln());
    let bend = below - 2.0 * top + above;
    let off = if bend < 0.0 { (0.5 * (below - above) / bend).clamp(-1.0, 1.0) } else { 0.0 };
    let lines = &mut power[at - SIDE..=at + SIDE];
    let held = lines.iter().sum();
    lines.fill(0.0);
    ((at as f32 + off) * LINE, held)
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("now", &self.now).field("run", &self.run).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{iter::repeat_n, path::Path};

    use super::{
        super::{Country, Signal, Signals, Tone},
        *,
    };
    use crate::{PCMU, resample::resample, wav};

    const RECORDINGS: [&str; 11] = [
        "fr_goodbye",
        "fr_hours",
        "mg_appointment",
        "mg_barge",
        "mg_goodbye",
        "mg_greeting",
        "mg_hours",
        "mg_number",
        "mg_pause",
        "mg_price",
        "mg_yes",
    ];

    /// A committed recording, as a call brings it.
    fn recording(name: &str) -> Vec<Frame> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/tests/recordings");
        Frame::cut(&wav::read(&folder.join(format!("{name}.wav"))).expect("committed")).collect()
    }

    fn silence(ms: u64) -> impl Iterator<Item = Frame> {
        repeat_n(Frame::SILENCE, frames(ms) as usize)
    }

    fn tone(hertz: f64, ms: u64) -> impl Iterator<Item = Frame> {
        Tone::new(hertz, 0.3).take(frames(ms) as usize)
    }

    /// Through G.711, as telephones do it.
    fn by_telephone(heard: &[Frame]) -> Vec<Frame> {
        let samples: Vec<i16> = heard.iter().flat_map(|frame| *frame.samples()).collect();
        let (mut payload, mut back) = (Vec::new(), Vec::new());
        (PCMU.encoder)().encode(&resample(&samples, SAMPLE_RATE, PCMU.sample_rate), &mut payload);
        (PCMU.decoder)().decode(&payload, &mut back);
        Frame::cut(&resample(&back, PCMU.sample_rate, SAMPLE_RATE)).collect()
    }

    /// What is told, and after how many milliseconds.
    fn told(heard: impl IntoIterator<Item = Frame>) -> Vec<(LineTone, u64)> {
        let heard = by_telephone(&heard.into_iter().collect::<Vec<_>>());
        let mut listener = Listener::default();
        let told = heard.iter().enumerate().filter_map(|(at, frame)| Some((listener.push(frame)?, at as u64 * 20)));
        told.collect()
    }

    fn only(heard: impl IntoIterator<Item = Frame>) -> Vec<LineTone> {
        told(heard).into_iter().map(|(tone, _)| tone).collect()
    }

    #[test]
    fn a_beep_behind_a_greeting_is_told_soon_after_it() {
        for (hertz, ms, within) in [(1_000.0, 400, 240), (1_400.0, 200, 240), (2_000.0, 1_000, 240), (440.0, 300, 840)]
        {
            let greeting = || recording("mg_hours").into_iter().chain(silence(300));
            let begins = greeting().count() as u64 * 20;
            let told = told(greeting().chain(tone(hertz, ms)).chain(silence(2_000)));
            let [(LineTone::Beep, at)] = told[..] else { panic!("{hertz} Hz for {ms} ms: {told:?}") };
            let ended = begins + ms;
            assert!((ended..=ended + within).contains(&at), "{hertz} Hz: {at}, and it ended at {ended}");
        }
    }

    #[test]
    fn voices_beep_never() {
        for name in RECORDINGS {
            let told = only(recording(name).into_iter().chain(silence(1_500)));
            assert!(told.is_empty(), "{name}: {told:?}");
        }
    }

    #[test]
    fn every_countrys_busy_signal_is_one_and_no_beep() {
        for country in Country::ALL {
            for signal in [Signal::Busy, Signal::Congestion] {
                let pattern = country.pattern(signal);
                // That of the United Kingdom has no cadence of its own.
                if pattern.cadence.len() > 2 {
                    continue;
                }
                let told = only(Signals::new(pattern).take(200));
                assert!(!told.is_empty() && told.iter().all(|told| *told == LineTone::Busy), "{country:?}: {told:?}");
            }
        }
    }

    #[test]
    fn ringing_and_dial_tones_and_keys_say_nothing() {
        for country in [Country::Madagascar, Country::France, Country::Germany, Country::UnitedStates] {
            for signal in [Signal::Ringback, Signal::Dial] {
                let heard = Signals::new(country.pattern(signal)).take(600);
                let told = only(heard);
                assert!(told.is_empty(), "{country:?} {signal:?}: {told:?}");
            }
        }
        let key = tone(770.0, 200)
            .zip(tone(1_336.0, 200))
            .map(|(row, column)| Frame::new(array::from_fn(|at| row.samples()[at] / 2 + column.samples()[at] / 2)));
        assert!(only(silence(200).chain(key).chain(silence(1_500))).is_empty(), "a key");
    }

    #[test]
    fn three_tones_that_rise_are_the_networks_and_two_are_not() {
        let rising = |count: usize| RISING.into_iter().take(count).flat_map(|hertz| tone(f64::from(hertz), 340));
        assert_eq!(only(rising(3).chain(silence(1_500))), [LineTone::SpecialInformation]);
        assert!(!only(rising(2).chain(silence(1_500))).contains(&LineTone::SpecialInformation));
        let falling = RISING.into_iter().rev().flat_map(|hertz| tone(f64::from(hertz), 340));
        assert!(!only(falling.chain(silence(1_500))).contains(&LineTone::SpecialInformation));
    }

    #[test]
    fn a_fax_is_told_after_a_second_and_once() {
        let told = told(silence(200).chain(tone(2_100.0, 3_000)).chain(silence(1_500)));
        let [(LineTone::Fax, at)] = told[..] else { panic!("{told:?}") };
        assert!((1_100..=1_400).contains(&at), "{at}");
        assert_eq!(only(tone(2_100.0, 600).chain(silence(1_500))), [LineTone::Beep], "a short one is a beep");
    }

    #[test]
    fn what_is_hardly_heard_says_nothing() {
        let faint = Tone::new(1_000.0, 0.005).take(20);
        assert!(only(silence(500).chain(faint).chain(silence(1_500))).is_empty());
    }
}
