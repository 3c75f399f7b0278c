//! The agent's ear: frames of the leg through voice activity into decisions, and the audio of the turn that is being spoken.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use milo_media::{Cleaner, Cleaning, Closed, Ears, FRAME_MS, Heard, SAMPLE_RATE};
use milo_models::{engine::EngineError, silero::VadStream};
use tokio::time::timeout;

use super::{
    endpoint::{Decision, Endpointer, Patience},
    turn::Turn,
};

/// Voice activity has failed when one window takes longer than this.
const WINDOW_LIMIT: Duration = Duration::from_secs(2);

/// How long a frame is.
const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);

/// What the ear noticed.
#[derive(Debug)]
pub enum Noticed {
    /// The caller began, paused or finished.
    Turn(Decision),
    /// A key was pressed.
    Digit(char),
    /// The other side put us on hold…
    Held,
    /// …and came back.
    Resumed,
    /// The leg has ended.
    Closed(Closed),
    /// Voice activity failed: told once. The ear is deaf until the engine is back ([`Ear::deafness`]).
    Deaf(EngineError),
}

type Probing = Pin<Box<dyn Future<Output = (VadStream, Result<Option<f32>, EngineError>)> + Send>>;

/// Listens to one leg.
pub struct Ear {
    ears: Ears,
    cleaner: Cleaner,
    detector: Option<VadStream>,
    probing: Option<Probing>,
    endpointer: Endpointer,
    turn: Turn,
    newest: Option<Instant>,
    last_voiced: Option<Instant>,
    /// When the newest frame had been heard to its end; and when what is said now began and ended, by the same clock.
    heard_to: Option<Instant>,
    speech: (Option<Instant>, Option<Instant>),
    onset: Duration,
    state: State,
    /// Samples of the longest turn.
    longest: usize,
}

/// Whether what is heard is listened to.
#[derive(Debug)]
enum State {
    Listening,
    /// Music on hold is not the caller.
    Held,
    /// Voice activity failed, and this was told.
    Deaf(EngineError),
}

impl Ear {
    /// An ear for a leg, with a detector of its own. What it hears is cleaned first.
    pub fn new(ears: Ears, cleaning: Cleaning, detector: VadStream, patience: Patience) -> Self {
        Self {
            ears,
            cleaner: Cleaner::new(cleaning),
            detector: Some(detector),
            probing: None,
            endpointer: Endpointer::new(patience),
            turn: Turn::default(),
            newest: None,
            last_voiced: None,
            heard_to: None,
            speech: (None, None),
            onset: patience.onset,
            state: State::Listening,
            longest: (patience.longest.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize,
        }
    }

    /// Listens until something is noticed. Cancel safe: what was heard meanwhile stays.
    pub async fn next(&mut self) -> Noticed {
        loop {
            if let Some(probing) = &mut self.probing {
                let (detector, probability) = probing.await;
                self.probing = None;
                self.detector = Some(detector);
                match probability {
                    _ if matches!(self.state, State::Held) => {}
                    // Of what came since the engine failed, no window is whole yet.
                    Ok(None) if matches!(self.state, State::Deaf(_)) => {}
                    Ok(probability) => {
                        self.state = State::Listening;
                        if probability.is_some_and(|probability| probability >= 0.5) {
                            let ended = |at: Instant| at.checked_sub(self.endpointer.quiet());
                            self.last_voiced = self.newest.and_then(ended);
                            self.speech.1 = self.heard_to.and_then(ended);
                        }
                        if let Some(decision) = self.endpointer.push(probability) {
                            match decision {
                                Decision::Onset => {
                                    self.turn.begin();
                                    // It was noticed as long after it began as it takes to be one.
                                    self.speech.0 = self.heard_to.and_then(|at| at.checked_sub(self.onset));
                                }
                                Decision::Retracted => self.turn.abandon(),
                                Decision::End => self.turn.end(),
                                _ => {}
                            }
                            return Noticed::Turn(decision);
                        }
                    }
                    Err(error) => {
                        self.forget();
                        let told = matches!(self.state, State::Deaf(_));
                        self.state = State::Deaf(error.clone());
                        if !told {
                            return Noticed::Deaf(error);
                        }
                    }
                }
            }
            match self.ears.next().await {
                Heard::Frame(_) if matches!(self.state, State::Held) => {}
                Heard::Frame(heard) => {
                    let cleaned = self.cleaner.hear(&heard.frame, heard.sent.as_ref());
                    self.newest = Some(heard.arrived);
                    self.heard_to = Some(heard.at + FRAME);
                    self.endpointer.hear(&cleaned.activity);
                    self.turn.hear(cleaned);
                    if let Some(mut detector) = self.detector.take() {
                        self.probing = Some(Box::pin(async move {
                            let probability = timeout(WINDOW_LIMIT, detector.push(&cleaned.activity)).await;
                            (detector, probability.unwrap_or_else(|_| Err(late())))
                        }));
                    }
                }
                Heard::Digit(digit) => return Noticed::Digit(digit),
                Heard::Held => {
                    self.forget();
                    self.state = State::Held;
                    return Noticed::Held;
                }
                Heard::Resumed => {
                    self.state = State::Listening;
                    return Noticed::Resumed;
                }
                Heard::Closed(why) => return Noticed::Closed(why),
            }
        }
    }

    fn forget(&mut self) {
        self.endpointer.reset();
        self.turn.forget();
    }

    /// The sound of the turn so far, 16 kHz, from a little before its onset.
    pub fn turn(&mut self) -> Vec<i16> {
        self.turn.sound()
    }

    /// The turn was taken to be answered: what comes now belongs to the next one, unless it is taken up again.
    pub fn set_aside(&mut self) {
        self.turn.set_aside();
    }

    /// The caller goes on with the turn that was set aside. False when it would be longer than a turn may be.
    pub fn take_up(&mut self) -> bool {
        self.turn.take_up(self.longest)
    }

    /// The turn that was set aside is answered.
    pub fn answered(&mut self) {
        self.turn.answered();
    }

    /// Why nothing is heard, as long as voice activity fails.
    pub fn deafness(&self) -> Option<&EngineError> {
        match &self.state {
            State::Deaf(error) => Some(error),
            State::Listening | State::Held => None,
        }
    }

    /// When the last packet with speech in it arrived.
    pub fn last_voiced(&self) -> Option<Instant> {
        self.last_voiced
    }

    /// When the newest speech was heard, from its beginning to its end so far.
    pub(super) fn speech(&self) -> (Option<Instant>, Option<Instant>) {
        self.speech
    }

    /// Whether the caller is speaking now.
    pub fn speaking(&self) -> bool {
        self.endpointer.speaking()
    }

    /// Gives the leg's ears back, for the dialplan's next verb.
    pub fn into_ears(self) -> Ears {
        self.ears
    }
}

fn late() -> EngineError {
    let reason = format!("no answer came within {} s", WINDOW_LIMIT.as_secs());
    EngineError::Failed { engine: "voice activity detector", reason }
}
