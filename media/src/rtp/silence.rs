//! What leaves while nothing is said.

use crate::FRAME_MS;

/// What is sent while nothing is played, or nothing but digital silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// Packets of silence, as many as of sound.
    #[default]
    Send,
    /// After 200 ms a packet of comfort noise (RFC 3389) with the level of our silence, and one every few seconds; to peers
    /// that did not agree on it, as [`Silence::Send`].
    ComfortNoise,
    /// After 200 ms nothing, but for a packet of silence every few seconds, so that the peer does not take us for gone. A codec
    /// that leaves silence out by itself (Opus) does it in its own way.
    Suppress,
}

/// Root mean square, squared, up to which a packet is silence: A-law has no zero, its least value is 8.
const SILENT: i64 = 16 * 16;
/// Milliseconds of silence that are sent as sound: no pause between two words is cut.
const HANGOVER_MS: u32 = 200;
/// After so many milliseconds without a packet one is sent. Receivers that judge a line look at five seconds and more.
const KEEP_ALIVE_MS: u32 = 3_000;
/// The level of nothing at all, in dB below the overload point (RFC 3389 section 3.1).
const NOTHING: u8 = 127;

/// What is to be done with a packet's worth of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// They are encoded.
    Sound,
    /// A packet of comfort noise with this level takes their place.
    Noise(u8),
    /// Only time passes.
    Nothing,
}

/// Watches what is to be sent for silence.
#[derive(Debug, Default)]
pub(super) struct Hush {
    policy: Silence,
    /// How long it has been silent.
    silent_ms: u32,
    /// Since the last packet left.
    idle_ms: u32,
}

impl Hush {
    pub(super) fn new(policy: Silence) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Whether a codec that can should leave silence out by itself.
    pub(super) fn by_codec(&self) -> bool {
        self.policy == Silence::Suppress
    }

    /// Samples of a packet of `ptime_ms` are due. `noise`: the peer takes comfort noise. `pauses`: the codec leaves silence
    /// out by itself.
    pub(super) fn judge(&mut self, samples: &[i16], ptime_ms: u32, noise: bool, pauses: bool) -> Leaves {
        let sum: i64 = samples.iter().map(|&sample| i64::from(i32::from(sample) * i32::from(sample))).sum();
        let power = sum / samples.len().max(1) as i64;
        self.silent_ms = if power <= SILENT { self.silent_ms.saturating_add(ptime_ms) } else { 0 };
        let begins = self.silent_ms.saturating_sub(ptime_ms) <= HANGOVER_MS;
        let due = begins || self.idle_ms + ptime_ms >= KEEP_ALIVE_MS;
        let leaves = match self.policy {
            _ if self.silent_ms <= HANGOVER_MS => Leaves::Sound,
            Silence::ComfortNoise if noise && due => Leaves::Noise(level(power)),
            Silence::ComfortNoise if noise => Leaves::Nothing,
            Silence::Suppress if !pauses && !due => Leaves::Nothing,
            Silence::Send | Silence::ComfortNoise | Silence::Suppress => Leaves::Sound,
        };
        self.idle_ms = if leaves == Leaves::Nothing { self.idle_ms + ptime_ms } else { 0 };
        leaves
    }

    /// Something else has left in place of our sound: another stream's packet, or a key. The silence after it begins anew.
    pub(super) fn passed(&mut self) {
        self.idle_ms = 0;
        self.silent_ms = 0;
    }

    /// 20 ms in which another stream passes, or pauses. Says when it pauses for so long that a packet of ours is due.
    pub(super) fn is_due(&mut self) -> bool {
        self.idle_ms += FRAME_MS;
        let due = self.idle_ms >= KEEP_ALIVE_MS;
        if due {
            self.idle_ms = 0;
        }
        due
    }
}

/// A mean power in dB below the overload point.
fn level(power: i64) -> u8 {
    if power == 0 {
        return NOTHING;
    }
    (-10.0 * (power as f64 / (32_768.0 * 32_768.0)).log10()).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves in so many seconds of packets of 20 ms of this value, after one that is loud.
    fn leaves(policy: Silence, value: i16, seconds: u32, noise: bool, pauses: bool) -> Vec<Leaves> {
        let mut hush = Hush::new(policy);
        assert_eq!(hush.judge(&[500; 160], 20, noise, pauses), Leaves::Sound);
        (0..seconds * 50).map(|_| hush.judge(&[value; 160], 20, noise, pauses)).collect()
    }

    #[test]
    fn by_default_silence_is_sent_like_sound() {
        assert_eq!(leaves(Silence::Send, 0, 10, true, true), [Leaves::Sound; 500]);
        assert_eq!(leaves(Silence::ComfortNoise, 0, 10, false, true), [Leaves::Sound; 500], "who takes no noise");
        assert_eq!(leaves(Silence::Suppress, 0, 10, true, true), [Leaves::Sound; 500], "the codec sees to it");
        assert_eq!(leaves(Silence::Suppress, 17, 10, true, false), [Leaves::Sound; 500], "a soft sound is no silence");
    }

    #[test]
    fn noise_is_announced_where_sound_ends_and_every_few_seconds() {
        let left = leaves(Silence::ComfortNoise, 8, 10, true, false);
        assert_eq!(left[..10], [Leaves::Sound; 10], "the hangover");
        let noise: Vec<_> = (0..500).filter(|at| left[*at] != Leaves::Nothing).skip(10).collect();
        assert_eq!(noise, [10, 160, 310, 460]);
        assert!(noise.iter().all(|at| left[*at] == Leaves::Noise(72)), "8 of 32768 is 72 dB below");
        assert_eq!(leaves(Silence::ComfortNoise, 0, 1, true, false)[10], Leaves::Noise(127));
    }

    #[test]
    fn what_is_suppressed_says_every_few_seconds_that_we_are_there() {
        let left = leaves(Silence::Suppress, 0, 10, false, false);
        let sound: Vec<_> = (0..500).filter(|at| left[*at] == Leaves::Sound).skip(10).collect();
        assert_eq!(sound, [10, 160, 310, 460]);
        let mut hush = Hush::new(Silence::Suppress);
        assert_eq!((0..100).filter(|_| hush.judge(&[0; 160], 20, false, false) == Leaves::Sound).count(), 11);
        assert_eq!(hush.judge(&[500; 160], 20, false, false), Leaves::Sound, "the first sound leaves at once");
    }

    #[test]
    fn a_stream_that_pauses_is_helped_out() {
        let mut hush = Hush::default();
        let due: Vec<_> = (0..400).filter(|_| hush.is_due()).collect();
        assert_eq!(due, [149, 299]);
        hush.passed();
        assert!((0..149).all(|_| !hush.is_due()));
    }

    #[test]
    fn silence_after_a_key_or_another_stream_is_announced_anew() {
        let mut hush = Hush::new(Silence::ComfortNoise);
        let left = |hush: &mut Hush| (0..12).map(|_| hush.judge(&[0; 160], 20, true, false)).collect::<Vec<_>>();
        let first = left(&mut hush);
        assert_eq!(first[9..], [Leaves::Sound, Leaves::Noise(127), Leaves::Nothing]);
        assert_eq!(left(&mut hush), [Leaves::Nothing; 12]);
        hush.passed();
        assert_eq!(left(&mut hush), first);
    }
}
