//! Comfort noise (RFC 3389): the far side is silent on purpose and says how its room sounds.
//!
//! A packet tells a level and, if it likes, reflection coefficients; white noise through the all-pole lattice they make has
//! that colour. The noise lies over what is played: it swells when it is announced and ebbs away when audio comes back.

/// The loudest noise that is believed, in dB below the overload point: louder than this is no background.
const LOUDEST: u8 = 30;
/// Reflection coefficients that are used; a sender may send more, for finer detail.
const ORDER: usize = 12;
/// Milliseconds in which the noise swells or ebbs away.
const SWELL_MS: f32 = 10.0;

/// The noise of one stream.
#[derive(Debug)]
pub(super) struct ComfortNoise {
    /// How much nearer the gain comes to where it goes, a sample.
    swell: f32,
    /// Root mean square of the white noise that the lattice is fed with; 0 when there should be none.
    wanted: f32,
    /// The same now.
    gain: f32,
    order: usize,
    reflection: [f32; ORDER],
    /// Backward prediction errors of the lattice.
    state: [f32; ORDER + 1],
    random: u32,
}

impl ComfortNoise {
    /// For audio of this rate in Hz.
    pub(super) fn new(rate: u32) -> Self {
        let swell = 4.0 * 1000.0 / (SWELL_MS * rate as f32);
        Self {
            swell,
            wanted: 0.0,
            gain: 0.0,
            order: 0,
            reflection: [0.0; ORDER],
            state: [0.0; ORDER + 1],
            random: 0x5eed,
        }
    }

    /// A packet of comfort noise has its turn (RFC 3389 sections 3.1 and 3.2). One that is empty tells nothing new.
    pub(super) fn announce(&mut self, payload: &[u8]) {
        let Some((&level, coefficients)) = payload.split_first() else { return };
        let order = coefficients.len().min(ORDER);
        if order != self.order {
            self.state = [0.0; ORDER + 1];
        }
        self.order = order;
        let mut power = 1.0;
        for (reflection, &byte) in self.reflection.iter_mut().zip(coefficients) {
            *reflection = 258.0 * (f32::from(byte.min(254)) - 127.0) / 32_768.0;
            power *= 1.0 - *reflection * *reflection;
        }
        // What comes out of the lattice is louder than what goes in by what the coefficients foretell.
        let level = f32::from((level & 0x7f).max(LOUDEST));
        self.wanted = 32_768.0 * 10f32.powf(-level / 20.0) * power.sqrt();
    }

    /// Audio comes again, or the stream is over.
    pub(super) fn ebb(&mut self) {
        self.wanted = 0.0;
    }

    /// Adds the noise to what is played, if there is any.
    pub(super) fn add(&mut self, samples: &mut [i16]) {
        if self.wanted == 0.0 && self.gain == 0.0 {
            return;
        }
        for sample in samples {
            self.gain += (self.wanted - self.gain) * self.swell;
            let noise = self.next();
            *sample = (f32::from(*sample) + noise) as i16;
        }
        if self.wanted == 0.0 && self.gain < 0.5 {
            self.gain = 0.0;
            self.state = [0.0; ORDER + 1];
        }
    }

    /// One sample of the all-pole lattice, fed with evenly spread noise of the gain's root mean square.
    fn next(&mut self) -> f32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let even = (self.random >> 8) as f32 / 8_388_608.0 - 1.0;
        let mut forward = even * 1.732 * self.gain;
        for stage in (0..self.order).rev() {
            forward -= self.reflection[stage] * self.state[stage];
            self.state[stage + 1] = self.state[stage] + self.reflection[stage] * forward;
        }
        self.state[0] = forward;
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dbov(samples: &[i16]) -> f32 {
        let power: f32 = samples.iter().map(|&sample| f32::from(sample).powi(2)).sum();
        10.0 * (power / samples.len() as f32 / 32_768f32.powi(2)).log10()
    }

    fn noise(payload: &[u8], count: usize) -> Vec<i16> {
        let mut noise = ComfortNoise::new(8000);
        noise.announce(payload);
        let mut samples = vec![0; count + 400];
        noise.add(&mut samples);
        samples.split_off(400)
    }

    /// The correlation of each sample with the next.
    fn neighbours(samples: &[i16]) -> f32 {
        let product = |lag: usize| -> f32 {
            samples.iter().zip(&samples[lag..]).map(|(&a, &b)| f32::from(a) * f32::from(b)).sum()
        };
        product(1) / product(0)
    }

    #[test]
    fn it_is_as_loud_as_announced_with_and_without_a_colour() {
        let coloured = [45, 27, 190, 100, 140, 127, 127, 127, 130, 120, 127];
        for payload in [&[50u8][..], &[62], &coloured] {
            let level = dbov(&noise(payload, 80_000));
            assert!((level + f32::from(payload[0])).abs() < 1.0, "{level} dBov for {payload:?}");
        }
        assert!(neighbours(&noise(&[50], 80_000)).abs() < 0.05, "white");
        assert!(neighbours(&noise(&[50, 7], 80_000)) > 0.8, "k1 near -1 is a rumble");
        assert!(neighbours(&noise(&[50, 247], 80_000)) < -0.8, "k1 near 1 is a hiss");
    }

    #[test]
    fn it_is_never_as_loud_as_a_voice_and_never_wild() {
        assert!(dbov(&noise(&[0], 8000)) < -29.0);
        let mut state = 3u32;
        for length in 0..300 {
            let wild: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if state >> 31 == 0 { 255 } else { (state >> 20) as u8 }
            })
            .take(length)
            .collect();
            assert!(dbov(&noise(&wild, 4000)) < -20.0, "{wild:?}");
        }
    }

    #[test]
    fn it_swells_and_ebbs_away() {
        let mut noise = ComfortNoise::new(16_000);
        noise.announce(&[40]);
        let mut frame = [0i16; 320];
        noise.add(&mut frame);
        assert!(dbov(&frame[..16]) < dbov(&frame[200..]) - 6.0);
        noise.ebb();
        for _ in 0..5 {
            frame = [0; 320];
            noise.add(&mut frame);
        }
        assert_eq!(frame, [0; 320]);
        frame = [7; 320];
        noise.add(&mut frame);
        assert_eq!(frame, [7; 320]);
    }
}
