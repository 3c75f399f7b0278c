//! What a simulated caller sounds like: words by espeak-ng, files, hesitations, noise; made before anybody is called.

use milo_media::{SAMPLE_RATE, wav};
use milo_models::espeak::pronouncer::{Manner, Pronouncer};

use super::scenario::{HESITATION, Scenario, Turn, Voice};
use crate::{dialplan::Fault, phone::voiced};

/// A voice's loudest sample: as loud as the recordings of the scenario tests are.
const LOUDEST: i32 = 11_000;
/// Noise begins before the voice and ends after it, in samples.
const AROUND: (usize, usize) = (SAMPLE_RATE as usize * 3 / 10, SAMPLE_RATE as usize / 5);
/// Softer samples are pauses: the voice's level is measured without them.
const SOFT: u16 = 200;

/// The sound of each turn, 16 kHz; empty where the caller says nothing.
///
/// # Errors
/// A voice that is not there, a file that cannot be read or in which nobody speaks.
pub(super) fn of(scenario: &Scenario, pronouncer: &mut Pronouncer) -> Result<Vec<Vec<i16>>, Fault> {
    let turns = scenario.turns.iter().enumerate();
    let made = turns.map(|(number, turn)| {
        let wrong = |(key, says): (&str, String)| {
            // The voice may be the whole scenario's.
            let is_of_all = key.starts_with("voice") && turn.voice.is_none();
            let place = if is_of_all { String::new() } else { format!("turns[{number}].") };
            Fault { file: scenario.file.clone(), line: None, fault: format!("{place}{key}: {says}") }
        };
        let mut sound = clean(scenario, turn, pronouncer).map_err(wrong)?;
        if let Some(noise_db) = turn.noise_db {
            sound = noisy(&sound, noise_db, scenario.seed.wrapping_add(number as u64));
        }
        Ok(sound)
    });
    made.collect()
}

fn clean(scenario: &Scenario, turn: &Turn, pronouncer: &mut Pronouncer) -> Result<Vec<i16>, (&'static str, String)> {
    if let Some(file) = &turn.play {
        let samples = wav::read(&scenario.beside(file)).map_err(|error| ("play", error.to_string()))?;
        return if voiced(&samples) {
            Ok(samples)
        } else {
            Err(("play", format!("{} holds no voice above −45 dBFS", file.display())))
        };
    }
    let Some(text) = &turn.say else { return Ok(Vec::new()) };
    let voice = turn.voice.as_ref().unwrap_or(&scenario.voice);
    if !pronouncer.variants().contains(&voice.variant) {
        let known = pronouncer.variants().join(", ");
        return Err(("voice.variant", format!("{:?} is not known; these are: {known}", voice.variant)));
    }
    let hesitation = turn.hesitation_ms.unwrap_or_default() as usize * SAMPLE_RATE as usize / 1_000;
    say(text, voice, hesitation, pronouncer)
}

/// Words in this voice, with so many samples of silence at each hesitation.
fn say(
    text: &str,
    voice: &Voice,
    hesitation: usize,
    pronouncer: &mut Pronouncer,
) -> Result<Vec<i16>, (&'static str, String)> {
    let Voice { language, variant, speed, pitch, range, gap } = voice;
    for (key, value, least, most) in [
        ("voice.speed", *speed, 80, 450),
        ("voice.pitch", *pitch, 0, 100),
        ("voice.range", *range, 0, 100),
        ("voice.gap", *gap, 0, 500),
    ] {
        if !(least..=most).contains(&value) {
            return Err((key, format!("{value} is outside {least} to {most}")));
        }
    }
    let manner = Manner { language: *language, variant, speed: *speed, pitch: *pitch, range: *range, gap: *gap };
    let mut samples = Vec::new();
    let parts: Vec<_> = text.split(HESITATION).map(str::trim).collect();
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        if part.chars().any(char::is_alphanumeric) {
            // A comma keeps the voice up.
            let words = if is_last { (*part).to_owned() } else { format!("{part},") };
            samples.extend(pronouncer.speak(&words, &manner).map_err(|error| ("say", error.to_string()))?);
        }
        if !is_last {
            samples.resize(samples.len() + hesitation, 0);
        }
    }
    let loudest = samples.iter().map(|sample| i32::from(*sample).abs()).max().unwrap_or_default().max(1);
    samples.iter_mut().for_each(|sample| *sample = (i32::from(*sample) * LOUDEST / loudest) as i16);
    Ok(samples)
}

/// The same with white noise under it, around it too, so many dB below the voice.
fn noisy(voice: &[i16], below_db: f64, seed: u64) -> Vec<i16> {
    let loud = || voice.iter().filter(|sample| sample.unsigned_abs() > SOFT);
    let power = loud().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / loud().count().max(1) as f64;
    let level = power.sqrt() / 10_f64.powf(below_db / 20.0);
    let mut state = seed;
    let mut uniform = || {
        // Knuth's MMIX generator; its high bits are the random ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    // The sum of twelve has a variance of one (Irwin and Hall).
    let mut gaussian = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    let around = [vec![0; AROUND.0].as_slice(), voice, vec![0; AROUND.1].as_slice()].concat();
    around.into_iter().map(|sample| (f64::from(sample) + level * gaussian()) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_lies_as_far_below_the_voice_as_is_said_and_is_the_same_each_time() {
        let voice: Vec<i16> = (0..32_000).map(|n| if n / 8 % 2 == 0 { 8_000 } else { -8_000 }).collect();
        let noisy = |below, seed| super::noisy(&voice, below, seed);
        let with = noisy(20.0, 7);
        assert_eq!(with.len(), voice.len() + AROUND.0 + AROUND.1);
        let lead = &with[..AROUND.0];
        let level = (lead.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / lead.len() as f64).sqrt();
        assert!((700.0..900.0).contains(&level), "{level} is not about a tenth of 8,000");
        assert_eq!(with, noisy(20.0, 7));
        assert_ne!(with, noisy(20.0, 8));
        assert!(super::noisy(&[], 20.0, 1).iter().all(|sample| *sample == 0));
    }
}
