//! A telephone line: 8 kHz, G.711 and back to 16 kHz, as a call's sound arrives.

use milo_media::{PCMU, SAMPLE_RATE, resample::resample};
use rand::{RngExt, rngs::StdRng};

/// Silence around an utterance, in samples: a quarter of a second in front, 0.3 s behind.
const BEFORE: usize = SAMPLE_RATE as usize / 4;
const BEHIND: usize = SAMPLE_RATE as usize * 3 / 10;
/// How loud the loudest moment is.
const PEAK: f64 = 0.5 * 32_767.0;

/// Sound of 16 kHz as it comes out of a telephone.
pub(super) fn narrow(samples: &[i16]) -> Vec<i16> {
    let (mut payload, mut back) = (Vec::new(), Vec::new());
    let eight = resample(samples, SAMPLE_RATE, PCMU.sample_rate);
    (PCMU.encoder)().encode(&eight, &mut payload);
    (PCMU.decoder)().decode(&payload, &mut back);
    resample(&back, PCMU.sample_rate, SAMPLE_RATE)
}

/// An utterance on a line: silences around it, white noise so many dB below it if that is wanted, half of full scale, [`narrow`].
pub(super) fn telephone(voice: &[i16], noise_db: Option<f64>, random: &mut StdRng) -> Vec<i16> {
    let power = voice.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / voice.len().max(1) as f64;
    let level = noise_db.map_or(0.0, |db| (power * 10_f64.powf(-db / 10.0)).sqrt());
    let mut whole = vec![0.0; BEFORE];
    whole.extend(voice.iter().map(|&sample| f64::from(sample)));
    whole.resize(BEFORE + voice.len() + BEHIND, 0.0);
    if level > 0.0 {
        whole.iter_mut().for_each(|sample| *sample += level * gaussian(random));
    }
    let loudest = whole.iter().fold(1.0_f64, |loudest, sample| loudest.max(sample.abs()));
    let samples: Vec<i16> = whole.iter().map(|sample| (sample * PEAK / loudest) as i16).collect();
    narrow(&samples)
}

/// A value of the normal distribution, near enough: the sum of twelve even ones.
pub(super) fn gaussian(random: &mut StdRng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn tone(hertz: f64) -> Vec<i16> {
        let sample = |n: u32| (f64::from(n) * hertz * std::f64::consts::TAU / 16_000.0).sin() * 9_000.0;
        (0..16_000).map(|n| sample(n) as i16).collect()
    }

    fn level(samples: &[i16]) -> f64 {
        (samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_telephone_carries_what_lies_below_four_kilohertz() {
        let (low, high) = (tone(1_000.0), tone(6_000.0));
        assert_eq!(narrow(&low).len(), low.len());
        assert!((level(&narrow(&low)) / level(&low) - 1.0).abs() < 0.05);
        assert!(level(&narrow(&high)) < level(&high) / 100.0);
    }

    #[test]
    fn noise_is_as_far_below_the_voice_as_was_asked() {
        let mut random = StdRng::seed_from_u64(1);
        let (voice, clean) = (tone(1_000.0), telephone(&tone(1_000.0), None, &mut random));
        assert_eq!(clean.len(), BEFORE + voice.len() + BEHIND);
        assert!(level(&clean[..BEFORE - 200]) < 20.0);
        let noisy = telephone(&voice, Some(15.0), &mut random);
        // Half of the white noise lies above what the telephone carries.
        let apart = 20.0 * (level(&noisy[BEFORE + 1_000..BEFORE + 15_000]) / level(&noisy[..BEFORE - 200])).log10();
        assert!((apart - 18.0).abs() < 1.5, "{apart} dB");
    }
}
