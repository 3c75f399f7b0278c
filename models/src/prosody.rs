//! The end of a turn, told by pitch, loudness and length alone: no model, for where there is no graph, and where the graph says nothing.
//! ```text
//!  the turn, 16 kHz ─► its last 3 s at 8 kHz ─► frames of 32 ms ─► loudness, pitch ─► five figures ─► logistic ─► probability
//! ```
//! A voice that has finished is lower, falls and grows softer; one that goes on stays up, and a hesitation is long and level. How much each
//! counts was fitted to 1,200 turns of `models/training/turns.py` (`models/training/prosody.py` does it, and tells what came of it). They were
//! spoken by espeak-ng: people differ, and the words of a turn count for more than this does.

/// Samples a second that are looked at.
const RATE: f32 = 8_000.0;
/// What is looked at, in samples.
const LATEST: usize = 24_000;
/// A frame, and from one to the next.
const FRAME: usize = 256;
const HOP: usize = 128;
/// Periods of a voice, in samples: 400 to 60 Hz.
const PERIODS: std::ops::Range<usize> = 20..134;
/// A frame is of a voice when it is like itself a period later…
const VOICED: f32 = 0.6;
/// …and of several such periods the first that is nearly as like is the voice's own, the others are multiples of it.
const NEARLY: f32 = 0.9;
/// What is softer than the loudest by so much is no speech, in dB.
const SOFT: f32 = 25.0;
/// Fewer voiced frames tell nothing.
const LEAST: usize = 5;
/// The last of the voice, its last slope, and the last of its loudness, in frames.
const END: usize = 10;
const SLOPE: usize = 25;
const SOFTENS: usize = 12;
/// A slope beyond this is a fault of the measure, in semitones a second.
const STEEPEST: f32 = 40.0;

/// What the figures of [`Shape`] count, and the rest.
const WEIGHTS: [f32; 5] = [-0.148, -0.040, -0.115, 0.253, 3.308];
const BIAS: f32 = -3.93;

/// How likely it is that whoever spoke has finished, 0 to 1. `turn` is its sound so far at 16 kHz, with the silence that raises the question at
/// its end. `None` when there is too little voice in its last three seconds to say anything.
pub fn finished(turn: &[i16]) -> Option<f32> {
    let shape = Shape::of(turn)?;
    let sum: f32 = shape.0.iter().zip(WEIGHTS).map(|(figure, weight)| figure * weight).sum();
    Some(1.0 / (1.0 + (-(sum + BIAS)).exp()))
}

/// How high the voice is at its end above its middle (semitones), how it rises there (semitones a second), how loud it is there above the whole
/// (dB), how its pitch spreads there (semitones), and how much is said (the logarithm of 1 + seconds).
#[derive(Debug, PartialEq)]
struct Shape([f32; 5]);

/// A frame that holds speech.
struct Spoken {
    /// Its number.
    at: usize,
    db: f32,
    /// In semitones above 1 Hz; none without a voice.
    pitch: Option<f32>,
}

impl Shape {
    fn of(turn: &[i16]) -> Option<Self> {
        let spoken = spoken(&halved(&turn[turn.len().saturating_sub(2 * LATEST)..]))?;
        let voiced: Vec<(usize, f32)> = spoken.iter().filter_map(|frame| Some((frame.at, frame.pitch?))).collect();
        if voiced.len() < LEAST {
            return None;
        }
        let middle = median(voiced.iter().map(|(_, pitch)| *pitch).collect());
        let above: Vec<(usize, f32)> = voiced.iter().map(|(at, pitch)| (*at, pitch - middle)).collect();
        let last = above.last()?.0;
        let falling: Vec<_> = above.iter().copied().filter(|(at, _)| at + SLOPE > last).collect();
        let pitches = |frames: &[(usize, f32)]| frames.iter().map(|(_, pitch)| *pitch).collect::<Vec<_>>();
        let loudness: Vec<f32> = spoken.iter().map(|frame| frame.db).collect();
        Some(Self([
            mean(&pitches(&above[above.len().saturating_sub(END)..])),
            slope(&falling).clamp(-STEEPEST, STEEPEST),
            mean(&loudness[loudness.len().saturating_sub(SOFTENS)..]) - mean(&loudness),
            spread(&pitches(&falling)),
            (1.0 + spoken.len() as f32 * HOP as f32 / RATE).ln(),
        ]))
    }
}

/// 16 kHz in, 8 kHz out, −1 to 1: a telephone has no more, and the rest does not matter to a pitch.
fn halved(sound: &[i16]) -> Vec<f32> {
    let even = &sound[sound.len() % 2..];
    even.chunks_exact(2).map(|pair| (f32::from(pair[0]) + f32::from(pair[1])) / 2.0 / 32_768.0).collect()
}

/// The frames that hold speech.
fn spoken(sound: &[f32]) -> Option<Vec<Spoken>> {
    let count = sound.len().checked_sub(FRAME + PERIODS.end)? / HOP + 1;
    let frame = |at: usize| &sound[at * HOP..at * HOP + FRAME];
    let power = |at: usize| dot(frame(at), frame(at)) / FRAME as f32;
    let loudness: Vec<f32> = (0..count).map(|at| 10.0 * (power(at) + 1e-9).log10()).collect();
    let mut sorted = loudness.clone();
    sorted.sort_by(f32::total_cmp);
    let top = sorted[(count - 1) * 95 / 100];
    let loud = loudness.iter().enumerate().filter(|(_, db)| **db > top - SOFT);
    Some(loud.map(|(at, db)| Spoken { at, db: *db, pitch: pitch(&sound[at * HOP..]) }).collect())
}

/// The pitch of the frame that this begins with, where it is of a voice.
fn pitch(sound: &[f32]) -> Option<f32> {
    let frame = &sound[..FRAME];
    let own = dot(frame, frame);
    let later = |period: usize| &sound[period..period + FRAME];
    let alike = |period: usize| dot(frame, later(period)) / (own * dot(later(period), later(period)) + 1e-12).sqrt();
    let alike: Vec<f32> = PERIODS.map(alike).collect();
    let most = alike.iter().copied().fold(0.0, f32::max);
    if most < VOICED {
        return None;
    }
    let beside = |at: Option<usize>| at.and_then(|at| alike.get(at)).copied().unwrap_or(0.0);
    let is_peak = |at: usize| alike[at] >= beside(at.checked_sub(1)) && alike[at] >= beside(Some(at + 1));
    let own = (0..alike.len()).find(|at| alike[*at] >= NEARLY * most && is_peak(*at))?;
    Some(12.0 * (RATE / (PERIODS.start + own) as f32).log2())
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

fn spread(values: &[f32]) -> f32 {
    let middle = mean(values);
    mean(&values.iter().map(|value| (value - middle).powi(2)).collect::<Vec<_>>()).sqrt()
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[half - 1] + values[half]) / 2.0 } else { values[half] }
}

/// By least squares, a second.
fn slope(frames: &[(usize, f32)]) -> f32 {
    let times: Vec<f32> = frames.iter().map(|(at, _)| *at as f32 * HOP as f32 / RATE).collect();
    let middle = mean(&times);
    let squares: f32 = times.iter().map(|time| (time - middle).powi(2)).sum();
    let sum: f32 = times.iter().zip(frames).map(|(time, (_, value))| (time - middle) * value).sum();
    if squares < 1e-9 { 0.0 } else { sum / squares }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice that goes from one pitch to another (Hz) within so long, and 200 ms of silence behind it.
    fn voice(from: f32, to: f32, seconds: f32) -> Vec<i16> {
        let count = (seconds * 16_000.0) as usize;
        let mut phase = 0.0_f32;
        let mut sound: Vec<i16> = (0..count)
            .map(|at| {
                phase += (from + (to - from) * at as f32 / count as f32) / 16_000.0;
                // Ten harmonics, each softer than the one before.
                (1..=10).map(|n| (std::f32::consts::TAU * phase * n as f32).sin() / n as f32).sum::<f32>() * 6_000.0
            })
            .map(|sample| sample as i16)
            .collect();
        sound.extend([0; 3_200]);
        sound
    }

    #[test]
    fn pitch_is_found_from_low_to_high_voices() {
        for hz in [80.0, 120.0, 200.0, 320.0] {
            let found = pitch(&halved(&voice(hz, hz, 0.5))).expect("a voice");
            assert!((found - 12.0 * hz.log2()).abs() < 0.6, "{hz} Hz: {found}");
        }
        assert_eq!(pitch(&[0.0; FRAME + PERIODS.end]), None, "silence has none");
    }

    #[test]
    fn a_falling_voice_sounds_more_finished_than_one_that_stays_up() {
        let said = |sound: Vec<i16>| finished(&sound).expect("a voice");
        let (falls, level, rises) =
            (said(voice(180.0, 110.0, 1.5)), said(voice(150.0, 150.0, 1.5)), said(voice(120.0, 190.0, 1.5)));
        assert!(falls > level && level > rises, "{falls} {level} {rises}");
        assert!(falls > 0.5 && rises < 0.3, "{falls} {rises}");
    }

    #[test]
    fn the_figures_are_those_that_the_weights_were_fitted_to() {
        let wav = include_bytes!("../tests/whisper_tiny/speech.wav");
        let sound: Vec<i16> = wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let Shape(figures) = Shape::of(&sound).expect("a voice");
        // `shape` of models/training/prosody.py.
        for (own, its) in figures.iter().zip([-0.0935, -5.0381, -4.2632, 0.6169, 0.8171]) {
            assert!((own - its).abs() < 0.01, "{figures:?}");
        }
    }

    #[test]
    fn without_a_voice_nothing_is_said() {
        for sound in [vec![], vec![0; 48_000], vec![5; 100], voice(150.0, 150.0, 0.02)] {
            assert_eq!(finished(&sound), None);
        }
    }
}
