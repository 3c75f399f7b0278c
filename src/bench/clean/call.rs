//! One simulated call: Milo speaks, a caller begins to speak, and the agent's own ears decide what is what.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::Result;
use milo_media::{Cleaned, Cleaner, Cleaning, FRAME_SAMPLES, Frame};
use milo_models::silero::{VadStream, VoiceActivity};

use super::line::CallersLine;
use crate::agent::{Decision, Endpointer, Patience, Turn};

/// Ticks after the caller's last sample: its turn ends meanwhile.
const AFTER: usize = 45;

/// Who says what, when.
pub(super) struct Script<'a> {
    /// What Milo says from the first tick on.
    pub(super) milo: &'a [i16],
    /// What the caller says…
    pub(super) caller: &'a [i16],
    /// …from this tick on.
    pub(super) caller_at: usize,
    /// Milo speaks on until then, whatever it hears: what the caller's words cost when it does not fall silent for its own echo.
    pub(super) speaks_on: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Milo fell silent although nobody had spoken.
    pub(super) interrupted_by_nobody: bool,
    /// How often it paused although nobody had spoken.
    pub(super) paused_for_nobody: u32,
    /// Ticks that it spoke before the caller did.
    pub(super) spoken: u32,
    /// From the caller's first sample to the decision that they speak, in ticks.
    pub(super) noticed_after: Option<usize>,
    /// The caller's turns, as the transcriber gets them.
    pub(super) turns: Vec<Vec<i16>>,
    /// Time that cleaning took.
    pub(super) cleaning: Duration,
    /// Ticks in all.
    pub(super) ticks: u32,
}

/// The agent's ears and mouth while it speaks, as in `agent::Conversation::speak`: an onset pauses the voice, a confirmed one
/// ends it.
struct Agent {
    detector: VadStream,
    endpointer: Endpointer,
    turn: Turn,
    voice: VecDeque<Frame>,
    paused: bool,
}

impl Agent {
    fn speak(&mut self) -> Option<Frame> {
        if self.paused { None } else { self.voice.pop_front() }
    }

    /// `speaks_on`: whatever it hears, it does not fall silent for it.
    async fn hear(&mut self, heard: Cleaned, speaks_on: bool) -> Result<Option<Decision>> {
        self.endpointer.hear(&heard.activity);
        self.turn.hear(heard, self.endpointer.hushed());
        let probability = self.detector.push(&heard.activity).await?;
        let decision = self.endpointer.push(probability);
        match decision {
            Some(Decision::Onset) => {
                self.turn.begin();
                self.paused = !speaks_on;
            }
            Some(Decision::Retracted) => {
                self.turn.abandon();
                self.paused = false;
            }
            Some(Decision::Confirmed) if !speaks_on => {
                self.voice.clear();
                self.paused = false;
            }
            Some(Decision::End) => self.turn.end(),
            _ => {}
        }
        Ok(decision)
    }
}

/// Plays the script through the line and these cleaners.
pub(super) async fn run(
    script: &Script<'_>,
    mut line: CallersLine<'_>,
    cleaning: Cleaning,
    activity: &VoiceActivity,
    patience: Patience,
) -> Result<Outcome> {
    let mut cleaner = Cleaner::new(cleaning);
    let mut agent = Agent {
        detector: activity.stream(),
        endpointer: Endpointer::new(patience),
        turn: Turn::default(),
        voice: Frame::cut(script.milo).collect(),
        paused: false,
    };
    let mut caller = Frame::cut(script.caller);
    let ticks = script.caller_at + script.caller.len().div_ceil(FRAME_SAMPLES) + AFTER;
    let mut outcome = Outcome { ticks: u32::try_from(ticks)?, ..Outcome::default() };
    let mut sent_before = None;
    for tick in 0..ticks {
        let said = if tick < script.caller_at { None } else { caller.next() };
        let sent = agent.speak();
        let heard = line.tick(&sent.unwrap_or(Frame::SILENCE), &said.unwrap_or(Frame::SILENCE));
        let began = now();
        let heard = cleaner.hear(&heard, sent_before.as_ref());
        outcome.cleaning += now() - began;
        sent_before = sent;
        let speaks = !agent.voice.is_empty();
        let alone = tick < script.caller_at;
        let decision = agent.hear(heard, alone && script.speaks_on).await?;
        outcome.spoken += u32::from(alone && sent.is_some());
        match decision {
            Some(Decision::Onset) if alone && speaks => outcome.paused_for_nobody += 1,
            Some(Decision::Confirmed) if alone => outcome.interrupted_by_nobody |= speaks,
            Some(Decision::Confirmed) => {
                outcome.noticed_after.get_or_insert(tick - script.caller_at);
            }
            Some(Decision::End) => {
                if !alone {
                    outcome.turns.push(agent.turn.words());
                }
                agent.turn.forget();
            }
            _ => {}
        }
    }
    if agent.endpointer.speaking() && !script.caller.is_empty() {
        outcome.turns.push(agent.turn.words());
    }
    Ok(outcome)
}

#[expect(clippy::disallowed_methods, reason = "the edge: a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}
