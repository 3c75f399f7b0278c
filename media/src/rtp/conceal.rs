//! What is heard in place of a lost packet: the last pitch periods again, faded out over 60 ms, then silence.
//!
//! The idea is that of G.711 Appendix I, with one difference: the appendix delays all audio by 3.75 ms to blend into the
//! repetition; here the step at its start is spread over a quarter of a period instead, so that nothing is delayed.

/// What a stream sounded like lately.
#[derive(Debug)]
pub(super) struct Concealer {
    /// Samples in a millisecond.
    millisecond: usize,
    /// The last 60 ms of output.
    history: Vec<i16>,
    /// The same as it was when the loss began, while one lasts.
    template: Vec<i16>,
    loss: Option<Loss>,
}

/// A loss that lasts.
#[derive(Clone, Copy, Debug)]
struct Loss {
    /// Pitch period in samples.
    pitch: usize,
    /// Samples invented so far.
    invented: usize,
    /// The next sample of the template.
    at: usize,
    /// Periods the next wrap goes back: 1, later 2, then 3, against a buzz.
    periods: usize,
    /// Difference between the last true sample and the one before the repetition.
    step: f32,
    /// What is left of the sound, from 1 to 0; how much less it is with each sample, and from which on.
    gain: f32,
    ebb: f32,
    ebbs_from: usize,
    /// Nothing is missing: the sender says nothing.
    on_purpose: bool,
}

/// Milliseconds of history: three of the longest periods and a quarter, and 20 ms with the longest lag.
const HISTORY_MS: usize = 60;
/// Milliseconds until the fade begins and until it ends.
const FADE_MS: (usize, usize) = (10, 60);
/// Milliseconds in which true audio is blended in again, and in which it ebbs away when it ends on purpose.
const RECOVER_MS: usize = 5;

impl Concealer {
    /// For a stream of this rate in Hz.
    pub(super) fn new(rate: u32) -> Self {
        let millisecond = rate as usize / 1000;
        let history = vec![0; HISTORY_MS * millisecond];
        let mut concealer = Self { millisecond, template: history.clone(), history, loss: None };
        concealer.loss = Some(Loss { gain: 0.0, on_purpose: true, ..concealer.begin() });
        concealer
    }

    /// Takes true samples, in order; blends them in when they follow a loss.
    pub(super) fn hear(&mut self, samples: &mut [i16]) {
        if let Some(mut loss) = self.loss.take() {
            let blend = samples.len().min(RECOVER_MS * self.millisecond);
            for (index, sample) in samples[..blend].iter_mut().enumerate() {
                let share = (index + 1) as f32 / (blend + 1) as f32;
                let invented = self.invent_one(&mut loss);
                *sample = (f32::from(*sample) * share + invented * (1.0 - share)) as i16;
            }
        }
        self.remember(samples);
    }

    /// Appends this many invented samples. `true` when they stand for something that is missing, and can be heard.
    pub(super) fn invent(&mut self, count: usize, out: &mut Vec<i16>) -> bool {
        let start = out.len();
        let mut loss = self.loss.unwrap_or_else(|| self.begin());
        let audible = loss.gain > 0.0;
        if audible {
            out.extend((0..count).map(|_| self.invent_one(&mut loss) as i16));
        } else {
            out.resize(start + count, 0);
        }
        self.loss = Some(loss);
        self.remember(&out[start..]);
        audible && !loss.on_purpose
    }

    /// The audio stops on purpose (an event, silence suppression): it ebbs away at once, silence follows.
    pub(super) fn fall_silent(&mut self) {
        let mut loss = self.loss.unwrap_or_else(|| self.begin());
        if !loss.on_purpose {
            loss.ebb = loss.gain / (RECOVER_MS * self.millisecond) as f32;
            loss.ebbs_from = 0;
            loss.on_purpose = true;
        }
        self.loss = Some(loss);
    }

    /// Nothing was heard yet, or the sender says nothing on purpose: there is nothing to conceal.
    pub(super) fn is_silent(&self) -> bool {
        self.loss.is_some_and(|loss| loss.on_purpose)
    }

    /// The last samples that were played, at most 60 ms.
    pub(super) fn recent(&self, count: usize) -> &[i16] {
        &self.history[self.history.len() - count..]
    }

    fn begin(&mut self) -> Loss {
        self.template.copy_from_slice(&self.history);
        let pitch = self.pitch();
        let end = self.template.len();
        let step = f32::from(self.template[end - 1]) - f32::from(self.template[end - 1 - pitch]);
        let (from, to) = (FADE_MS.0 * self.millisecond, FADE_MS.1 * self.millisecond);
        let ebb = 1.0 / (to - from) as f32;
        Loss {
            pitch,
            invented: 0,
            at: end - pitch,
            periods: 1,
            step,
            gain: 1.0,
            ebb,
            ebbs_from: from,
            on_purpose: false,
        }
    }

    fn invent_one(&self, loss: &mut Loss) -> f32 {
        if loss.gain <= 0.0 {
            return 0.0;
        }
        let length = self.template.len();
        let quarter = loss.pitch / 4;
        let mut sample = f32::from(self.template[loss.at]);
        // Near the wrap the sound leads over to what stands before the place it will jump to.
        let left = length - loss.at;
        if left <= quarter {
            let share = (quarter - left + 1) as f32 / (quarter + 1) as f32;
            let before = f32::from(self.template[loss.at - loss.periods * loss.pitch]);
            sample += (before - sample) * share;
        }
        if loss.invented < quarter {
            sample += loss.step * (1.0 - loss.invented as f32 / quarter as f32);
        }
        let gain = loss.gain;
        if loss.invented >= loss.ebbs_from {
            // The last step ends in silence, whatever rounding has left.
            loss.gain = if gain < loss.ebb * 1.5 { 0.0 } else { gain - loss.ebb };
        }
        loss.invented += 1;
        loss.at += 1;
        if loss.at == length {
            loss.at -= loss.periods * loss.pitch;
            loss.periods = (1 + loss.invented / (10 * self.millisecond)).min(3);
        }
        sample * gain
    }

    /// The lag of 5 to 15 ms at which the last 20 ms resemble what came before them most.
    fn pitch(&self) -> usize {
        let (shortest, longest) = (5 * self.millisecond, 15 * self.millisecond);
        let coarse = (shortest..=longest).step_by(2).map(|lag| (lag, self.likeness(lag, 2)));
        let best = coarse.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(shortest, |(lag, _)| lag);
        let fine = (best.max(shortest + 1) - 1..=(best + 1).min(longest)).map(|lag| (lag, self.likeness(lag, 1)));
        fine.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(best, |(lag, _)| lag)
    }

    /// Normalised correlation of the last 20 ms with those `lag` earlier, on every `step`th sample.
    fn likeness(&self, lag: usize, step: usize) -> f32 {
        let end = self.template.len();
        let start = end - 20 * self.millisecond;
        let now = self.template[start..].iter().step_by(step);
        let then = self.template[start - lag..end - lag].iter().step_by(step);
        let (mut product, mut power) = (0f32, 1f32);
        for (&now, &then) in now.zip(then) {
            product += f32::from(now) * f32::from(then);
            power += f32::from(then) * f32::from(then);
        }
        product / power.sqrt()
    }

    /// These were played, and followed on what was played before.
    pub(super) fn remember(&mut self, samples: &[i16]) {
        let length = self.history.len();
        let samples = &samples[samples.len().saturating_sub(length)..];
        self.history.copy_within(samples.len().., 0);
        self.history[length - samples.len()..].copy_from_slice(samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f32, from: usize, count: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU * hertz / 8000.0;
        (from..from + count).map(|at| (8000.0 * (step * at as f32).sin()) as i16).collect()
    }

    fn rms(samples: &[i16]) -> f32 {
        (samples.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_lost_packet_of_a_tone_sounds_like_the_tone() {
        let mut concealer = Concealer::new(8000);
        concealer.hear(&mut sine(210.0, 0, 800));
        let mut invented = Vec::new();
        assert!(concealer.invent(160, &mut invented));
        let truth = sine(210.0, 800, 160);
        let error: Vec<i16> = invented[..80].iter().zip(&truth).map(|(a, b)| a - b).collect();
        assert!(rms(&error) < 0.12 * rms(&truth), "error {} of {}", rms(&error), rms(&truth));
        let mut after = sine(210.0, 960, 160);
        concealer.hear(&mut after);
        let all = [sine(210.0, 700, 100), invented, after].concat();
        let steepest = all.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max();
        assert!(steepest < Some(2200), "no click, where the tone itself moves 1320 a sample: {steepest:?}");
    }

    #[test]
    fn a_long_loss_fades_to_silence_within_60_ms() {
        let mut concealer = Concealer::new(8000);
        concealer.hear(&mut sine(300.0, 0, 800));
        let mut invented = Vec::new();
        while invented.len() < 800 {
            concealer.invent(160, &mut invented);
        }
        assert!(rms(&invented[..80]) > 5000.0);
        assert!(rms(&invented[240..320]) < rms(&invented[80..160]));
        assert!(invented[480..].iter().all(|&sample| sample == 0));
        assert!(!concealer.invent(160, &mut invented), "silence is no invention");
    }

    #[test]
    fn silence_is_concealed_by_silence() {
        let mut out = Vec::new();
        Concealer::new(8000).invent(160, &mut out);
        assert_eq!(out, vec![0; 160]);
    }
}
