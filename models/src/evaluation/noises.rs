//! What a line carries that is not speech: noise, hum, tones, keys, chords, knocks, sirens, bells. Drawn from a seed.

use std::f64::consts::TAU;

use milo_media::SAMPLE_RATE;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::line::gaussian;

const RATE: f64 = SAMPLE_RATE as f64;
/// The frequencies of keys (ITU-T Q.23), in Hz.
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// Tones of exchanges, in Hz.
const EXCHANGES: [f64; 7] = [350.0, 400.0, 425.0, 440.0, 480.0, 950.0, 1_400.0];
const PENTATONIC: [i32; 5] = [0, 3, 5, 7, 10];
/// Partials of a bell, of its pitch.
const BELL: [f64; 6] = [0.56, 0.92, 1.19, 1.71, 2.0, 2.74];
/// How many kinds there are.
const KINDS: u64 = 8;

/// Something without a word in it: 0.5 to 6 s, of the kind that comes next in line, of any loudness from faint to full.
pub(super) fn noise(seed: u64) -> Vec<i16> {
    let mut random = StdRng::seed_from_u64(seed);
    let samples = (random.random_range(0.5..6.0) * RATE) as usize;
    let mut wave = vec![0.0; samples];
    match seed % KINDS {
        0 => hiss(&mut wave, &mut random),
        1 => hum(&mut wave, &mut random),
        2 => beeps(&mut wave, &mut random),
        3 => keys(&mut wave, &mut random),
        4 => chords(&mut wave, &mut random),
        5 => knocks(&mut wave, &mut random),
        6 => siren(&mut wave, &mut random),
        _ => bells(&mut wave, &mut random),
    }
    if random.random_bool(0.5) {
        let (level, loudest) = (10_f64.powf(random.random_range(-3.0..-1.0)), peak(&wave));
        wave.iter_mut().for_each(|sample| *sample += level * loudest * gaussian(&mut random));
    }
    let gain = 32_767.0 * 10_f64.powf(random.random_range(-2.2..-0.05)) / peak(&wave);
    wave.iter().map(|sample| (sample * gain) as i16).collect()
}

/// Somebody clears their throat, coughs, or knocks against the telephone: 0.15 to 0.7 s, about as loud as speech.
pub fn cough(seed: u64) -> Vec<i16> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut wave = vec![0.0; (0.7 * RATE) as usize];
    let mut at = 0;
    for _ in 0..random.random_range(1..4) {
        let length = (random.random_range(0.06..0.22) * RATE) as usize;
        let (fall, smooth) = (random.random_range(8.0..40.0), random.random_range(0.3..0.9));
        let (mut low, mut last) = (0.0, 0.0);
        for (since, sample) in wave.iter_mut().skip(at).take(length).enumerate() {
            let seconds = since as f64 / RATE;
            last = smooth * last + (1.0 - smooth) * gaussian(&mut random);
            // What is below speech does not come through.
            low += 0.02 * (last - low);
            *sample += (last - low) * (seconds * 200.0).min(1.0) * (-seconds * fall).exp();
        }
        at += length + (random.random_range(0.0..0.12) * RATE) as usize;
    }
    wave.truncate(at.clamp((0.15 * RATE) as usize, wave.len()));
    let gain = 16_000.0 / peak(&wave);
    wave.iter().map(|sample| (sample * gain) as i16).collect()
}

fn peak(wave: &[f64]) -> f64 {
    wave.iter().fold(1e-9, |loudest: f64, sample| loudest.max(sample.abs()))
}

fn choice<T: Copy>(of: &[T], random: &mut StdRng) -> T {
    of[random.random_range(0..of.len())]
}

/// Adds a tone from `from` on for so many samples; each is multiplied with what `shape` gives for the seconds since.
fn tone(wave: &mut [f64], from: usize, length: usize, hertz: f64, shape: impl Fn(f64) -> f64) {
    for (at, sample) in wave.iter_mut().skip(from).take(length).enumerate() {
        let seconds = at as f64 / RATE;
        *sample += (TAU * hertz * seconds).sin() * shape(seconds);
    }
}

/// White to brown noise, steady or swelling as wind does.
fn hiss(wave: &mut [f64], random: &mut StdRng) {
    let (smooth, swell) = (choice(&[0.0, 0.5, 0.9, 0.98], random), random.random_range(0.0..0.5));
    let mut last = 0.0;
    for (at, sample) in wave.iter_mut().enumerate() {
        last = smooth * last + (1.0 - smooth) * gaussian(random);
        *sample = last * (1.0 + swell * 2.0 * (TAU * 0.7 * at as f64 / RATE).sin());
    }
}

fn hum(wave: &mut [f64], random: &mut StdRng) {
    let (base, length) = (choice(&[50.0, 60.0, 100.0], random), wave.len());
    for partial in 1..9 {
        let level = random.random::<f64>() / f64::from(partial);
        tone(wave, 0, length, base * f64::from(partial), |_| level);
    }
}

/// Ringing, engaged and dial tones.
fn beeps(wave: &mut [f64], random: &mut StdRng) {
    let (hertz, length) = (choice(&EXCHANGES, random), wave.len());
    let (on, off) = (random.random_range(0.05..1.5), random.random_range(0.0..2.0));
    let gate = |seconds: f64| f64::from(seconds % (on + off) < on);
    tone(wave, 0, length, hertz, gate);
    if random.random_bool(0.4) {
        tone(wave, 0, length, hertz + 40.0, gate);
    }
}

fn keys(wave: &mut [f64], random: &mut StdRng) {
    let mut at = 0;
    while at < wave.len() {
        let length = (random.random_range(0.05..0.3) * RATE) as usize;
        tone(wave, at, length, choice(&ROWS, random), |_| 1.0);
        tone(wave, at, length, choice(&COLUMNS, random), |_| 1.0);
        at += length + (random.random_range(0.05..0.6) * RATE) as usize;
    }
}

/// A tune with chords.
fn chords(wave: &mut [f64], random: &mut StdRng) {
    let (beat, root) = (random.random_range(0.15..0.6), 110.0 * 2_f64.powf(random.random_range(0.0..2.0)));
    let (fall, mut at) = (random.random_range(0.5..8.0), 0);
    while at < wave.len() {
        for _ in 0..random.random_range(1..4) {
            let steps = choice(&PENTATONIC, random) + 12 * random.random_range(0..2);
            let hertz = root * 2_f64.powf(f64::from(steps) / 12.0);
            for partial in 1..5 {
                let level = 0.6_f64.powi(partial);
                let shape = |seconds: f64| level * (-seconds * fall).exp() * (seconds * 80.0).min(1.0);
                tone(wave, at, (2.0 * beat * RATE) as usize, hertz * f64::from(partial), shape);
            }
        }
        at += (beat * choice(&[0.5, 1.0, 1.0, 2.0], random) * RATE) as usize;
    }
}

fn knocks(wave: &mut [f64], random: &mut StdRng) {
    for _ in 0..random.random_range(2..30) {
        let (at, length) = (random.random_range(0..wave.len()), random.random_range(40..1_500));
        let (fall, level) = (random.random_range(40.0..900.0), random.random_range(0.2..1.0));
        for (since, sample) in wave.iter_mut().skip(at).take(length).enumerate() {
            *sample += level * gaussian(random) * (-(since as f64) / RATE * fall).exp();
        }
    }
}

fn siren(wave: &mut [f64], random: &mut StdRng) {
    let (centre, depth) = (random.random_range(500.0..1_500.0), random.random_range(50.0..450.0));
    let (rate, mut phase) = (random.random_range(0.2..4.0), 0.0);
    for (at, sample) in wave.iter_mut().enumerate() {
        phase += TAU * (centre + depth * (TAU * rate * at as f64 / RATE).sin()) / RATE;
        *sample = phase.sin();
    }
}

fn bells(wave: &mut [f64], random: &mut StdRng) {
    let mut at = 0;
    while at < wave.len() {
        let base = random.random_range(200.0..900.0);
        for partial in BELL {
            tone(wave, at, 2 * SAMPLE_RATE as usize, base * partial, |seconds| (-seconds * 3.0 * partial).exp());
        }
        at += (random.random_range(0.2..1.5) * RATE) as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coughs_are_short_and_differ() {
        for seed in 0..20 {
            let samples = cough(seed);
            assert!((2_400..=11_200).contains(&samples.len()), "{seed}: {} samples", samples.len());
            assert!(samples.iter().any(|sample| sample.unsigned_abs() > 15_000), "{seed} is faint");
            assert_ne!(samples, cough(seed + 1));
        }
    }

    #[test]
    fn every_kind_sounds_and_a_seed_repeats_it() {
        for seed in 0..3 * KINDS {
            let samples = noise(seed);
            assert!((8_000..96_001).contains(&samples.len()), "{seed}: {} samples", samples.len());
            assert!(samples.iter().any(|sample| sample.unsigned_abs() > 100), "{seed} is silent");
            assert_eq!(samples, noise(seed));
            assert_ne!(samples, noise(seed + KINDS));
        }
    }
}
