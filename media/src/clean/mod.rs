//! Cleaning of what a caller says before voice activity and the transcriber hear it.
//!
//! ```text
//!  heard at tick n ─► HighPass ─┬─► NoiseSuppression ─► Gain ─► Cleaned::speech, for the transcriber
//!                               └─► EchoControl ──────────────► Cleaned::activity, for voice activity
//!  sent at tick n-1 ─────────────────────┘
//! ```
//! The leg's task pairs what it heard with what it sent on its one clock ([`crate::HeardFrame::sent`]); the work itself is
//! done by whoever listens, never on the leg's 20 ms clock, and only by a listener that wants it: an echo call or music
//! pays nothing. A part that is off costs nothing and changes no sample.

mod echo;
mod gain;
mod high_pass;
mod likeness;
mod near;
mod noise;
mod path;

use sonora::{AudioProcessing, Config, StreamConfig};

use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE};
use echo::EchoControl;
use gain::Gain;
use high_pass::HighPass;
use noise::NoiseSuppression;

pub use path::{EchoPath, Echoes, Noise};

/// What is cleaned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own: all sixteen mixtures make sense")]
pub struct Cleaning {
    /// Our own echo out of what is heard, while we speak and for a second after.
    pub echo: bool,
    /// Loud steady noise.
    pub noise: bool,
    /// Quiet callers up and loud ones down, slowly.
    pub gain: bool,
    /// What lies below speech: direct current and hum.
    pub high_pass: bool,
}

/// 20 ms of what a caller said, cleaned in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// Without our echo: shows whether somebody speaks.
    pub activity: Frame,
    /// What they say. Our echo is in it.
    pub speech: Frame,
    /// Whether echo control ran. Where it did not, `activity` is what was heard.
    pub echoing: bool,
}

/// The cleaners of one call.
#[derive(Debug)]
pub struct Cleaner {
    high_pass: Option<HighPass>,
    echo: Option<EchoControl>,
    noise: Option<NoiseSuppression>,
    gain: Option<Gain>,
}

impl Cleaner {
    /// Cleaners that have heard nothing yet.
    pub fn new(cleaning: Cleaning) -> Self {
        Self {
            high_pass: cleaning.high_pass.then(HighPass::new),
            echo: cleaning.echo.then(EchoControl::new),
            noise: cleaning.noise.then(NoiseSuppression::new),
            gain: cleaning.gain.then(Gain::new),
        }
    }

    /// Cleans 20 ms, in their order. `sent` is what left for the caller in the tick before; `None` when nothing was played.
    pub fn hear(&mut self, heard: &Frame, sent: Option<&Frame>) -> Cleaned {
        let mut speech = *heard;
        if let Some(high_pass) = &mut self.high_pass {
            high_pass.process(&mut speech);
        }
        let mut activity = speech;
        let echoing = self.echo.as_mut().is_some_and(|echo| echo.process(&mut activity, sent));
        if let Some(noise) = &mut self.noise {
            noise.process(&mut speech);
        }
        if let Some(gain) = &mut self.gain {
            gain.process(&mut speech);
        }
        Cleaned { activity, speech, echoing }
    }
}

/// Samples of the 10 ms that `sonora` takes at a time.
const PIECE: usize = SAMPLE_RATE as usize / 100;

/// One stage of WebRTC's audio processing at the house's rate.
fn stage(config: Config) -> Box<AudioProcessing> {
    let stream = StreamConfig::new(SAMPLE_RATE, 1);
    Box::new(AudioProcessing::builder().config(config).capture_config(stream).render_config(stream).build())
}

/// Begins `to` as `from`: half a frame later it is all itself.
fn fade(from: &Frame, to: &mut Frame) {
    const OVER: usize = FRAME_SAMPLES / 2;
    for (at, (to, &from)) in to.samples_mut().iter_mut().zip(from.samples()).take(OVER).enumerate() {
        let share = at as f32 / OVER as f32;
        *to = (f32::from(from) * (1.0 - share) + f32::from(*to) * share).round() as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_off_changes_no_sample() {
        let mut cleaner = Cleaner::new(Cleaning::default());
        let mut noise = Noise::new(1);
        for _ in 0..100 {
            let heard = Frame::new(std::array::from_fn(|_| (20_000.0 * noise.next()) as i16));
            let cleaned = cleaner.hear(&heard, Some(&heard));
            assert_eq!(cleaned, Cleaned { activity: heard, speech: heard, echoing: false });
        }
    }

    #[test]
    fn everything_together_leaves_speech_recognisable_and_silence_silent() {
        let mut cleaner = Cleaner::new(Cleaning { echo: true, noise: true, gain: true, high_pass: true });
        let speech = echo::tests::recording("mg_appointment.wav");
        let (mut before, mut after) = (0.0, 0.0);
        for frame in Frame::cut(&speech) {
            let cleaned = cleaner.hear(&frame, None);
            before += frame.rms().powi(2);
            after += cleaned.speech.rms().powi(2);
        }
        let changed = 10.0 * (after / before).log10();
        assert!((-6.0..12.0).contains(&changed), "{changed} dB");
        for n in 0..100 {
            let silence = cleaner.hear(&Frame::SILENCE, None);
            assert!(n < 5 || silence.speech.dbfs() < -70.0, "{n}: {silence:?}");
        }
    }
}
