//! Tells a caller's voice from our echo by loudness alone: an echo is never louder than what we said less what the way back
//! takes, and how much that is shows while we speak and they do not.
//!
//! Echo control needs it. AEC3 does not know at first whether there is an echo at all, and until it does (many seconds, where
//! there is none) it holds down whatever is heard while we speak: a caller who interrupts would go unheard.

use std::collections::VecDeque;

use crate::{FRAME_MS, Frame};

/// What we say, this quiet or quieter, is silence (dBFS).
const SILENT: f32 = -45.0;
/// Ticks after which an echo may come back: half a second, as far as AEC3 looks.
const WAY_BACK: usize = 500 / FRAME_MS as usize;
/// Ticks of our voice from which the return is measured: a second and a half.
const MEASURED: usize = 1_500 / FRAME_MS as usize;
/// Until there are so many (a second), an echo of [`UNKNOWN`] is possible: it may still be on its way.
const ENOUGH: usize = 1_000 / FRAME_MS as usize;
const UNKNOWN: f32 = -12.0;
/// The share of them that is taken for echo at most; the loudest may be a caller's who has just begun.
const SHARE: f32 = 0.8;
/// A caller is louder than the usual return by this (dB); echoes of different words differ by less.
const LOUDER: f32 = 9.0;
/// A caller is louder than the noise by this (dB).
const OVER_NOISE: f32 = 6.0;
/// How fast the noise may rise: dB a tick, 3 dB a second.
const NOISE_RISE: f32 = 0.06;
/// The quietest line (dBFS).
const NOTHING: f32 = -80.0;
/// Ticks that a voice goes on after it was last plain: a tenth of a second.
const HOLD: u32 = 100 / FRAME_MS;

/// One call's loudness.
#[derive(Debug)]
pub(super) struct NearEnd {
    /// Loudness of what we said and heard (dBFS), as far back as an echo may come from.
    said: Loudness,
    heard: Loudness,
    /// The loudest that was heard against the loudest that was said (dB), for each tick of our voice.
    returned: VecDeque<f32>,
    /// Ticks since our voice began, pauses of up to half a second within it.
    speaking_for: usize,
    /// The quietest of late (dBFS).
    noise: f32,
    /// Ticks for which the voice still counts.
    hold: u32,
}

impl NearEnd {
    pub(super) fn new() -> Self {
        let (said, heard) = (Loudness::default(), Loudness::default());
        Self { said, heard, returned: VecDeque::new(), speaking_for: 0, noise: 0.0, hold: 0 }
    }

    /// Whether this frame holds a voice that cannot be our echo.
    pub(super) fn speaks(&mut self, heard: &Frame, sent: Option<&Frame>) -> bool {
        let heard = heard.dbfs().max(NOTHING);
        let sent = sent.map_or(NOTHING, |sent| sent.dbfs().max(NOTHING));
        self.noise = heard.min(self.noise + NOISE_RISE);
        let (said, back) = (self.said.push(sent), self.heard.push(heard));
        let plain = said > SILENT && heard > self.noise + OVER_NOISE && heard > said + self.usual() + LOUDER;
        self.hold = if plain { HOLD } else { self.hold.saturating_sub(1) };
        self.speaking_for = if said > SILENT { self.speaking_for + 1 } else { 0 };
        // What has only just been said may still be on its way: that nothing came back of it yet says nothing.
        if sent > SILENT && self.speaking_for > WAY_BACK {
            if self.returned.len() == MEASURED {
                self.returned.pop_front();
            }
            self.returned.push_back(back - said);
        }
        self.hold > 0
    }

    /// How loud our voice usually comes back (dB).
    fn usual(&self) -> f32 {
        let mut returned: Vec<f32> = self.returned.iter().copied().collect();
        returned.sort_by(f32::total_cmp);
        let usual = returned.get((returned.len() as f32 * SHARE) as usize).copied().unwrap_or(UNKNOWN);
        if returned.len() < ENOUGH { usual.max(UNKNOWN) } else { usual }
    }
}

/// The loudest of the last half second.
#[derive(Debug, Default)]
struct Loudness(VecDeque<f32>);

impl Loudness {
    fn push(&mut self, dbfs: f32) -> f32 {
        if self.0.len() == WAY_BACK {
            self.0.pop_front();
        }
        self.0.push_back(dbfs);
        self.0.iter().copied().fold(NOTHING, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::{EchoPath, Echoes, Noise, echo::tests::recording};

    /// Ticks in which somebody was taken to speak: before the caller did, and while.
    fn ticks(back: Option<(Echoes, u32, f32)>, noise: f32) -> (usize, usize) {
        let milo =
            [recording("mg_appointment.wav"), recording("mg_hours.wav"), recording("mg_appointment.wav")].concat();
        let mut caller = vec![0; 4 * 16_000];
        caller.extend(recording("mg_barge.wav").iter().map(|sample| sample / 2));
        let mut path = back.map(|(echoes, delay_ms, return_db)| EchoPath::new(echoes, delay_ms, return_db, 11));
        let (mut near, mut chance, mut sent, mut found) = (NearEnd::new(), Noise::new(6), None, (0, 0));
        for (tick, (said, caller)) in Frame::cut(&milo).zip(Frame::cut(&caller)).enumerate() {
            // Milo pauses soon after somebody has begun.
            let said = if tick < 215 { said } else { Frame::SILENCE };
            let back = path.as_mut().map_or(Frame::SILENCE, |path| path.push(&said));
            let heard = Frame::new(std::array::from_fn(|at| {
                let sum = f32::from(caller.samples()[at]) + f32::from(back.samples()[at]) + noise * chance.next();
                sum as i16
            }));
            let speaks = near.speaks(&heard, sent.as_ref());
            sent = Some(said);
            if tick < 200 {
                found.0 += usize::from(speaks);
            } else {
                found.1 += usize::from(speaks);
            }
        }
        found
    }

    #[test]
    fn our_echo_is_no_caller_and_a_caller_is_no_echo() {
        for echoes in [Echoes::Line, Echoes::Room] {
            for delay_ms in [60, 130, 200, 400] {
                for return_db in [-10.0, -20.0, -30.0] {
                    for noise in [0.0, 30.0, 500.0] {
                        let (nobody, _) = ticks(Some((echoes, delay_ms, return_db)), noise);
                        assert_eq!(nobody, 0, "{echoes:?}, {delay_ms} ms, {return_db} dB, noise of {noise}");
                    }
                }
            }
        }
        let (_, caller) = ticks(Some((Echoes::Room, 130, -30.0)), 10.0);
        assert!(caller > 10, "{caller} ticks of a caller over an echo");
        for noise in [0.0, 30.0, 300.0] {
            let (nobody, caller) = ticks(None, noise);
            assert!(nobody == 0 && caller > 20, "noise of {noise}: {nobody} ticks of nobody, {caller} of the caller");
        }
    }
}
