//! The agent's ear: frames of the leg through voice activity into decisions, and the audio of the turn that is being spoken.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use milo_media::{Cleaner, Cleaning, Closed, Ears, FRAME_MS, Heard, SAMPLE_RATE};
use milo_models::{end_of_turn::Judging, engine::EngineError, silero::VadStream};
use tokio::{select, time::timeout};

use super::{
    Detector,
    endpoint::{Decision, Endpointer, Patience},
    turn::Turn,
};
use crate::engines::Judge;

/// Voice activity has failed when one window takes longer than this.
const WINDOW_LIMIT: Duration = Duration::from_secs(2);

/// What Milo says is louder than this, in dBFS; what may go on behind it is not.
const OURS: f32 = -40.0;

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
    /// What is asked how the likely end of a turn sounds; none: silence alone decides.
    judge: Option<Judge>,
    judging: Option<Judging>,
    judged: Option<Result<f32, EngineError>>,
    /// What is asked who has answered; none: nobody asks.
    answerer: Option<Box<Detector>>,
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
            judge: None,
            judging: None,
            judged: None,
            answerer: None,
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

    /// The same, and how a likely end sounds says how long the silence after it must last.
    #[must_use]
    pub fn judged_by(self, judge: Option<Judge>) -> Self {
        Self { judge, ..self }
    }

    /// The same, and what it hears shows who has answered.
    #[must_use]
    pub fn watched_by(self, answerer: Option<Box<Detector>>) -> Self {
        Self { answerer, ..self }
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
                        if let (Some(answerer), Some(probability)) = (&mut self.answerer, probability) {
                            answerer.judge(probability);
                        }
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
                                Decision::LikelyEnd => {
                                    self.judged = None;
                                    self.judging = self.judge.as_ref().map(|judge| judge.judge(self.turn.sound()));
                                }
                                // Nobody waits for the judgement any more.
                                Decision::Resumed => self.judging = None,
                                Decision::End => {
                                    self.turn.end();
                                    self.judged = self.judging.take().map(|_| Err(too_late())).or(self.judged.take());
                                }
                                Decision::Confirmed => {}
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
            let heard = match &mut self.judging {
                None => self.ears.next().await,
                Some(judging) => select! {
                    biased;
                    finished = judging => {
                        self.judging = None;
                        finished.iter().for_each(|finished| self.endpointer.sounds(*finished));
                        self.judged = Some(finished);
                        continue;
                    }
                    heard = self.ears.next() => heard,
                },
            };
            match heard {
                Heard::Frame(_) if matches!(self.state, State::Held) => {}
                Heard::Frame(heard) => {
                    let cleaned = self.cleaner.hear(&heard.frame, heard.sent.as_ref());
                    if let Some(answerer) = &mut self.answerer {
                        answerer.hear(&heard.frame, heard.sent.is_some_and(|sent| sent.dbfs() > OURS));
                    }
                    self.newest = Some(heard.arrived);
                    self.heard_to = Some(heard.at + FRAME);
                    self.endpointer.hear(&cleaned.activity);
                    self.turn.hear(cleaned, self.endpointer.hushed());
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
        (self.judging, self.judged) = (None, None);
        self.endpointer.reset();
        self.turn.forget();
    }

    /// The sound of the turn so far, 16 kHz, from a little before its onset, as a transcriber should hear it.
    pub fn turn(&mut self) -> Vec<i16> {
        self.turn.words()
    }

    /// The sound of the turn that was set aside, until it is answered.
    pub(super) fn turn_aside(&self) -> Vec<i16> {
        self.turn.words_aside()
    }

    /// The turn was taken to be answered: what comes now belongs to the next one, unless it is taken up again.
    pub fn set_aside(&mut self) {
        self.turn.set_aside();
    }

    /// The caller goes on with the turn that was set aside. False when it would be longer than a turn may be.
    pub fn take_up(&mut self) -> bool {
        let goes_on = self.turn.take_up(self.longest);
        if goes_on {
            self.endpointer.went_on();
        }
        goes_on
    }

    /// How long the caller was silent when the newest turn ended, and has been since.
    pub(super) fn silence(&self) -> Duration {
        self.endpointer.silence()
    }

    /// What the words of the turn say at its likely end: that they are all, that more follows, or nothing.
    pub(super) fn reads(&mut self, is_over: Option<bool>) {
        self.endpointer.reads(is_over);
    }

    /// These words were understood, perhaps not all of them: they may say who has answered.
    pub(super) fn understood(&mut self, words: &str) {
        self.answerer.iter_mut().for_each(|answerer| answerer.read(words));
    }

    /// Whether nobody asks any more who has answered.
    pub(super) fn is_sure(&self) -> bool {
        self.answerer.as_ref().is_none_or(|answerer| answerer.is_settled())
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

    /// How finished the pause sounded that is over now, 0 to 1, or why nobody said it. Told once.
    pub(super) fn judgement(&mut self) -> Option<Result<f32, EngineError>> {
        self.judged.take()
    }

    /// When the last packet with speech in it arrived.
    pub fn last_voiced(&self) -> Option<Instant> {
        self.last_voiced
    }

    /// When the newest speech was heard, from its beginning to its end so far.
    pub(super) fn speech(&self) -> (Option<Instant>, Option<Instant>) {
        self.speech
    }

    /// How long the newest speech has lasted.
    pub(super) fn spoken_for(&self) -> Duration {
        let (from, to) = self.speech;
        from.zip(to).map(|(from, to)| to.saturating_duration_since(from)).unwrap_or_default()
    }

    /// Whether the caller is speaking now.
    pub fn speaking(&self) -> bool {
        self.endpointer.speaking()
    }

    /// Gives the leg's ears back, for the dialplan's next verb.
    pub fn into_ears(self) -> Ears {
        self.ears
    }

    /// The same, and what was asked who has answered.
    pub fn into_parts(self) -> (Ears, Option<Box<Detector>>) {
        (self.ears, self.answerer)
    }
}

fn too_late() -> EngineError {
    let reason = "the silence had ended the turn before an answer came".into();
    EngineError::Failed { engine: "end of turn", reason }
}

fn late() -> EngineError {
    let reason = format!("no answer came within {} s", WINDOW_LIMIT.as_secs());
    EngineError::Failed { engine: "voice activity detector", reason }
}
