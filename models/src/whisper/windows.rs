//! Where audio that is longer than the model's window is cut, and where in it there is sound.

use std::ops::Range;

use super::SAMPLES_PER_MS;

/// Energy is looked at in steps of 20 ms.
const STEP: usize = 20 * SAMPLES_PER_MS;

/// Ranges of at most `window` samples that together are the whole; each cut is at the quietest 100 ms of the second half
/// of its window, so that words stay whole where there is any pause.
pub fn cut(samples: &[i16], window: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while samples.len() - start > window {
        let end = start + quietest(&samples[start..start + window]);
        ranges.push(start..end);
        start = end;
    }
    ranges.push(start..samples.len());
    ranges
}

fn quietest(window: &[i16]) -> usize {
    const STEPS: usize = 5;
    let energies: Vec<f64> = window.chunks_exact(STEP).map(energy).collect();
    let half = energies.len() / 2;
    let around = |at: usize| energies[at - STEPS..at].iter().sum::<f64>();
    // The latest of equals: fewer windows.
    (half.max(STEPS)..=energies.len())
        .rev()
        .min_by(|a, b| around(*a).total_cmp(&around(*b)))
        .map_or(window.len(), |at| at * STEP - STEPS * STEP / 2)
}

/// From the first to the last 20 ms that are not much quieter (40 dB) than the loudest; the whole when all is silent.
pub(super) fn sounding(samples: &[i16]) -> Range<usize> {
    let energies: Vec<f64> = samples.chunks(STEP).map(energy).collect();
    let loudest = energies.iter().copied().fold(0.0, f64::max);
    let loud = |energy: &f64| *energy > 0.0 && *energy >= loudest * 1e-4;
    match (energies.iter().position(loud), energies.iter().rposition(loud)) {
        (Some(first), Some(last)) => first * STEP..((last + 1) * STEP).min(samples.len()),
        _ => 0..samples.len(),
    }
}

/// Mean square.
fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<i16> {
        (0..length as u64).map(|n| (n.wrapping_mul(6_364_136_223_846_793_005) >> 50) as i16 - 8_192).collect()
    }

    #[test]
    fn short_audio_is_one_range() {
        assert_eq!(cut(&noise(16_000), 16_000), vec![Range { start: 0, end: 16_000 }]);
        assert_eq!(cut(&[], 16_000), vec![Range { start: 0, end: 0 }]);
    }

    #[test]
    fn long_audio_is_cut_in_its_pauses() {
        let mut samples = noise(40_000);
        samples[12_000..14_400].fill(0);
        samples[25_000..27_000].fill(3);
        let ranges = cut(&samples, 16_000);
        assert_eq!(ranges.len(), 3);
        assert!((12_000..14_400).contains(&ranges[0].end), "{ranges:?}");
        assert!((25_000..27_000).contains(&ranges[1].end), "{ranges:?}");
        assert_eq!(ranges[2].end, 40_000);
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn without_a_pause_it_still_moves_on() {
        for window in [320, 1_000, 16_000] {
            let ranges = cut(&noise(50_000), window);
            assert!(ranges.iter().all(|range| !range.is_empty() && range.len() <= window), "{ranges:?}");
        }
    }

    #[test]
    fn the_sounding_part_is_found() {
        let mut samples = vec![0; 32_000];
        samples[8_000..16_000].copy_from_slice(&noise(8_000));
        assert_eq!(sounding(&samples), 8_000..16_000);
        assert_eq!(sounding(&[0; 100]), 0..100);
    }
}
