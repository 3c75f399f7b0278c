//! Takes the echo of what we said out of what we hear: WebRTC's AEC3 in pure Rust (`sonora`), which finds the delay of each
//! call by itself (up to half a second) and follows it.
//!
//! It runs while we speak and until the last echo can have come back. Beside that, what is heard passes untouched; AEC3 sleeps
//! and keeps what it has learned. A voice that is plainly the caller's passes untouched as well ([`NearEnd`]), and what is
//! plainly our echo does not pass at all ([`Likeness`]), whether or not AEC3 knows the way that it took. AEC3's output lies
//! 8 ms behind its input; where one follows another they are faded into each other over 10 ms.

use sonora::{AudioProcessing, Config, config::EchoCanceller};

use super::{Noise, PIECE, fade, likeness::Likeness, near::NearEnd, stage};
use crate::{FRAME_MS, Frame};

/// Ticks after the last sound we sent in which its echo may come: one second. AEC3 looks back half of one, and is asleep
/// only when all it looks back on is silence.
const TAIL: u32 = 1_000 / FRAME_MS;
/// What stands in place of an echo: the hiss of a quiet line, -75 dBFS. Voice activity takes digital silence after a voice
/// for more of it.
const HISS: f32 = 10.0;

/// The echo control of one call.
#[derive(Debug)]
pub(super) struct EchoControl {
    /// Made when we first speak.
    canceller: Option<Box<AudioProcessing>>,
    /// What was heard a tick ago: AEC3 begins with it, so that it has something in hand when its output is first wanted.
    before: Frame,
    /// Ticks since we last sent a sound.
    silent_for: u32,
    near: NearEnd,
    likeness: Likeness,
    hiss: Noise,
    /// What passed a tick ago.
    passed: Passes,
}

/// What of a frame passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    /// All of it: no echo can be in it, or a caller is louder than any.
    Heard,
    /// What AEC3 leaves.
    Cancelled,
    /// It is our echo.
    Nothing,
}

impl EchoControl {
    pub(super) fn new() -> Self {
        Self {
            canceller: None,
            before: Frame::SILENCE,
            silent_for: TAIL,
            near: NearEnd::new(),
            likeness: Likeness::new(),
            hiss: Noise::new(1),
            passed: Passes::Heard,
        }
    }

    /// Takes the echo out of `heard`. Says whether it ran; where it did not, nothing is changed.
    pub(super) fn process(&mut self, heard: &mut Frame, sent: Option<&Frame>) -> bool {
        let raw = *heard;
        let ran = self.silent_for < TAIL;
        let sent = sent.filter(|sent| sent.samples().iter().any(|&sample| sample != 0));
        self.silent_for = if sent.is_some() { 0 } else { self.silent_for.saturating_add(1) };
        let runs = self.silent_for < TAIL;
        if ran || runs {
            let canceller = self.canceller.get_or_insert_with(|| {
                stage(Config { echo_canceller: Some(EchoCanceller::default()), ..Config::default() })
            });
            if !ran {
                cancel(canceller, &mut self.before, &Frame::SILENCE);
            }
            cancel(canceller, heard, sent.unwrap_or(&Frame::SILENCE));
        }
        let passes = if !runs {
            Passes::Heard
        } else {
            let is_echo = self.likeness.is_echo(&raw, sent);
            if self.near.speaks(&raw, sent) {
                Passes::Heard
            } else if is_echo {
                Passes::Nothing
            } else {
                Passes::Cancelled
            }
        };
        let cancelled = *heard;
        let hiss = Frame::new(std::array::from_fn(|_| (HISS * self.hiss.next()) as i16));
        let of = |passes| match passes {
            Passes::Heard => raw,
            Passes::Cancelled => cancelled,
            Passes::Nothing => hiss,
        };
        *heard = of(passes);
        if passes != self.passed {
            fade(&of(self.passed), heard);
        }
        self.passed = passes;
        self.before = raw;
        ran || runs
    }
}

/// 20 ms, in the two pieces that AEC3 takes.
fn cancel(canceller: &mut AudioProcessing, heard: &mut Frame, sent: &Frame) {
    let raw = *heard;
    let pieces = raw.samples().chunks_exact(PIECE).zip(sent.samples().chunks_exact(PIECE));
    for ((raw, sent), cleaned) in pieces.zip(heard.samples_mut().chunks_exact_mut(PIECE)) {
        let mut played = [0; PIECE];
        let done = canceller.process_render_i16(sent, &mut played).and(canceller.process_capture_i16(raw, cleaned));
        if done.is_err() {
            // It refuses rates and channels that differ from those it was made with, which these never do.
            cleaned.copy_from_slice(raw);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        FRAME_SAMPLES, SAMPLE_RATE,
        clean::{EchoPath, Echoes, Noise},
        wav,
    };

    pub(in crate::clean) fn recording(name: &str) -> Vec<i16> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/tests/recordings");
        wav::read(&folder.join(name)).expect("committed")
    }

    fn power(frames: &[Frame]) -> f32 {
        frames.iter().map(|frame| frame.rms().powi(2)).sum::<f32>() / frames.len() as f32 + 0.1
    }

    fn db(ratio: f32) -> f32 {
        10.0 * ratio.log10()
    }

    /// What comes back, and what is left of it.
    fn alone(echoes: Echoes, delay_ms: u32, return_db: f32) -> (Vec<Frame>, Vec<Frame>) {
        let mut said = recording("mg_appointment.wav");
        said.extend(recording("mg_barge.wav"));
        let (mut control, mut path) = (EchoControl::new(), EchoPath::new(echoes, delay_ms, return_db, 7));
        let back: Vec<Frame> = Frame::cut(&said).map(|frame| path.push(&frame)).collect();
        let left = std::iter::once(None).chain(Frame::cut(&said).map(Some)).zip(&back).map(|(sent, back)| {
            let mut heard = *back;
            control.process(&mut heard, sent.as_ref());
            heard
        });
        let left = left.collect();
        (back, left)
    }

    #[test]
    fn the_echo_goes_from_its_first_word_on() {
        for echoes in [Echoes::Line, Echoes::Room] {
            for delay_ms in [60, 120, 200] {
                for return_db in [-10.0, -20.0] {
                    let (back, left) = alone(echoes, delay_ms, return_db);
                    println!(
                        "{echoes:?} {delay_ms} {return_db} {:?}",
                        back.chunks(25)
                            .zip(left.chunks(25))
                            .map(|(b, l)| format!("{:.0}>{:.0}", db(power(b)), db(power(l))))
                            .collect::<Vec<_>>()
                            .join(" ")
                    );
                    let whole = db(power(&back) / power(&left));
                    let first = db(power(&back[..50]) / power(&left[..50]));
                    assert!(whole > 20.0, "{echoes:?}, {delay_ms} ms, {return_db} dB: {whole:.0} dB less echo");
                    assert!(first > 15.0, "{echoes:?}, {delay_ms} ms, {return_db} dB: {first:.0} dB less at first");
                }
            }
        }
    }

    /// By how many dB a caller comes out quieter who speaks into our voice from the fourth second on, for so many frames.
    fn lost(echoes: Echoes, delay_ms: u32, return_db: f32, frames: usize) -> f32 {
        let said =
            [recording("mg_appointment.wav"), recording("mg_hours.wav"), recording("mg_appointment.wav")].concat();
        let mut near = vec![0; 4 * SAMPLE_RATE as usize];
        near.extend(recording("mg_barge.wav").iter().map(|sample| sample / 2));
        let (mut control, mut path) = (EchoControl::new(), EchoPath::new(echoes, delay_ms, return_db, 5));
        let mut sent = None;
        let (mut spoken, mut kept) = (Vec::new(), Vec::new());
        for (far, near) in Frame::cut(&said).zip(Frame::cut(&near)) {
            let back = path.push(&far);
            let mut heard = near;
            for (heard, back) in heard.samples_mut().iter_mut().zip(back.samples()) {
                *heard = heard.saturating_add(*back);
            }
            control.process(&mut heard, sent.as_ref());
            sent = Some(far);
            if near.dbfs() > -50.0 && spoken.len() < frames {
                spoken.push(near);
                kept.push(heard);
            }
        }
        assert_eq!(spoken.len(), frames);
        db(power(&spoken) / power(&kept))
    }

    #[test]
    fn whoever_speaks_into_our_voice_keeps_their_level() {
        for (echoes, delay_ms) in [(Echoes::Line, 60), (Echoes::Room, 120), (Echoes::Room, 200)] {
            let lost = lost(echoes, delay_ms, -20.0, 60);
            assert!(lost.abs() < 3.0, "{echoes:?}, {delay_ms} ms: {lost:.1} dB lost");
        }
    }

    #[test]
    fn a_caller_without_an_echo_is_not_held_down() {
        // AEC3 by itself would, for want of an echo to learn from. We pause before these 200 ms are over.
        let lost = lost(Echoes::Line, 60, -90.0, 10);
        assert!(lost.abs() < 1.0, "{lost:.1} dB lost");
    }

    fn tone(n: usize) -> Frame {
        let at = |i| (n * FRAME_SAMPLES + i) as f32 * std::f32::consts::TAU * 250.0 / SAMPLE_RATE as f32;
        Frame::new(std::array::from_fn(|i| (6_000.0 * at(i).sin()) as i16))
    }

    #[test]
    fn while_we_are_silent_what_is_heard_passes_untouched_and_the_changes_do_not_click() {
        let mut control = EchoControl::new();
        let mut noise = Noise::new(2);
        let mut last = 0;
        // A tone of 250 Hz moves by 590 a sample at most; over a fade a little of the difference comes on top.
        let steepest = 900;
        for n in 0..300 {
            let speaking = (50..100).contains(&n) || (220..230).contains(&n);
            let sent = speaking.then(|| Frame::new(std::array::from_fn(|_| (3_000.0 * noise.next()) as i16)));
            let mut heard = tone(n);
            // Silence that is played is silence as well.
            control.process(&mut heard, sent.as_ref().or(Some(&Frame::SILENCE)));
            let asleep = n < 50 || (151..220).contains(&n) || n > 281;
            assert!(!asleep || heard == tone(n), "tick {n}");
            for &sample in heard.samples() {
                assert!((i32::from(sample) - last).abs() < steepest, "a click at tick {n}");
                last = i32::from(sample);
            }
        }
    }
}
