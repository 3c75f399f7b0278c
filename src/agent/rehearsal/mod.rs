//! Turn taking over a recording, in virtual time: what listening and speaking (`listen.rs`, `speak.rs`) decide of a caller, frame by frame,
//! with the ears of a call and no leg, model or voice. How long an engine takes is measured, and counts as in a call: a transcript that
//! takes 90 ms is there in the fifth frame after.
//!
//! ```text
//!  caller ─► Cleaner ─► voice activity ─► Endpointer ─► a likely end ─► judgement, transcript ─┐
//!  Milo ────────┘                             ▲                                                │
//!   └─► Replies: is this said into one?       └──────── later, by as much as they took ────────┘
//! ```
//! What a caller would have done if Milo had spoken at other times is not known: they say here what they said then.

mod replies;

use std::time::{Duration, Instant};

use milo_media::{Cleaner, Cleaning, FRAME_MS, Frame, SAMPLE_RATE};
use milo_models::{
    engine::EngineError,
    silero::VadStream,
    transcriber::{Listen, Transcript},
};

pub(crate) use replies::{Logged, Replies};

use super::{
    Decision, Endpointer, Patience, Turn,
    begun::says,
    interruption::{Verdict, judge},
    speak::CERTAIN,
};
use crate::engines::Listening;

/// A frame, in milliseconds.
const FRAME: f64 = FRAME_MS as f64;
/// A reply whose voice is not in the recording is no longer waited for, in milliseconds.
const REPLY: f64 = 10_000.0;

/// What was decided. Times are milliseconds from the beginning of the recording.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// A turn of the caller's was over.
    Turn(Ended),
    /// Somebody spoke into a reply, and it was known what that meant.
    Spoken(SpokenInto),
}

/// A turn that was over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) from_ms: f64,
    pub(crate) to_ms: f64,
    /// When it was decided that it was.
    pub(crate) decided_ms: f64,
    /// When its words were there, too: a reply to them could begin.
    pub(crate) known_ms: f64,
    pub(crate) heard: String,
}

/// What was said into a reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpokenInto {
    pub(crate) from_ms: f64,
    pub(crate) to_ms: f64,
    /// When it was decided.
    pub(crate) at_ms: f64,
    /// Why the reply went on; none: it ended.
    pub(crate) went_on: Option<&'static str>,
    /// The words as far as they were known then.
    pub(crate) heard: Option<String>,
    /// Whether the reply was a question, and nearly over: then "eny" is an answer.
    pub(crate) is_asked: bool,
    /// Whether the reply is in the recording. One to a turn that was not over then would only have been about to begin.
    pub(crate) is_said: bool,
}

/// A turn on its way.
#[derive(Default)]
struct Begun {
    /// From when on the transcript is there.
    transcript: Option<(f64, Result<Transcript, EngineError>)>,
    over: Option<Over>,
}

/// The silence has decided that it is over.
#[derive(Clone, Copy)]
struct Over {
    from_ms: f64,
    to_ms: f64,
    decided_ms: f64,
    /// Until when a caller is given time whose words go on.
    pause_until: f64,
}

impl Begun {
    fn transcript(&self, now: f64) -> Option<&Result<Transcript, EngineError>> {
        self.transcript.as_ref().filter(|(from, _)| *from <= now).map(|(_, transcript)| transcript)
    }

    fn says(&self, now: f64) -> Option<bool> {
        self.transcript(now)?.as_ref().ok().and_then(says)
    }
}

/// What is spoken into.
struct Floor {
    is_said: bool,
    is_asked: bool,
    recent: String,
    /// Since when it is sure that somebody speaks, as long as it is not decided what that means.
    since: Option<f64>,
}

/// One caller's turns.
pub(crate) struct Rehearsal<'e> {
    engines: &'e Listening,
    cleaner: Cleaner,
    detector: VadStream,
    endpointer: Endpointer,
    patience: Patience,
    turn: Turn,
    /// Frames so far.
    frames: usize,
    sent: Option<Frame>,
    /// From where to where the newest speech is.
    speech: (f64, f64),
    judgement: Option<(f64, f32)>,
    begun: Begun,
    into: Option<Floor>,
    withdrawn: bool,
    /// Since when a turn waits for its reply's first sound, and where the last reply began.
    awaited: Option<f64>,
    replied: Option<f64>,
    seen: Vec<Seen>,
}

impl<'e> Rehearsal<'e> {
    /// Of a caller who has said nothing yet.
    pub(crate) fn new(engines: &'e Listening, cleaning: Cleaning, patience: Patience) -> Self {
        Self {
            engines,
            cleaner: Cleaner::new(cleaning),
            detector: engines.activity.stream(),
            endpointer: Endpointer::new(patience),
            patience,
            turn: Turn::default(),
            frames: 0,
            sent: None,
            speech: (0.0, 0.0),
            judgement: None,
            begun: Begun::default(),
            into: None,
            withdrawn: false,
            awaited: None,
            replied: None,
            seen: Vec::new(),
        }
    }

    /// Somebody begins to talk with the caller, and waits like this.
    pub(crate) fn waits(&mut self, patience: Patience) {
        self.forget();
        (self.patience, self.endpointer) = (patience, Endpointer::new(patience));
    }

    /// 20 ms of both sides. What is not listened to (the call was on hold, or with somebody else) is passed over.
    ///
    /// # Errors
    /// An engine fails.
    pub(crate) async fn hear(
        &mut self,
        (heard, sent): (&Frame, &Frame),
        is_listened_to: bool,
        replies: &Replies,
    ) -> Result<(), EngineError> {
        let now = self.frames as f64 * FRAME;
        let spoken = replies.at(self.frames);
        if let Some(reply) = spoken {
            self.replied = Some(reply.from as f64 * FRAME);
            self.awaited = None;
        }
        self.awaited = self.awaited.filter(|since| now - since < REPLY);
        if is_listened_to {
            self.catch_up(now);
            let cleaned = self.cleaner.hear(heard, self.sent.as_ref());
            self.endpointer.hear(&cleaned.activity);
            self.turn.hear(cleaned, self.endpointer.hushed());
            let probability = self.detector.push(&cleaned.activity).await?;
            if probability.is_some_and(|probability| probability >= 0.5) {
                self.speech.1 = now + FRAME - milliseconds(self.endpointer.quiet());
            }
            if let Some(decision) = self.endpointer.push(probability) {
                self.decided(decision, now, replies).await?;
            }
        } else {
            self.forget();
        }
        // Nothing was played where there is nothing.
        self.sent = sent.samples().iter().any(|sample| *sample != 0).then_some(*sent);
        self.frames += 1;
        Ok(())
    }

    /// What was decided, in its order.
    pub(crate) fn seen(self) -> Vec<Seen> {
        self.seen
    }

    fn forget(&mut self) {
        self.endpointer.reset();
        self.turn.forget();
        (self.begun, self.into, self.judgement, self.withdrawn) = (Begun::default(), None, None, false);
    }

    /// What the engines have said by now, and what follows from it.
    fn catch_up(&mut self, now: f64) {
        if let Some((_, finished)) = self.judgement.take_if(|(from, _)| *from <= now) {
            self.endpointer.sounds(finished);
        }
        if let Some(since) = self.into.as_ref().and_then(|into| into.since) {
            let is_certain =
                self.begun.over.is_none() && self.endpointer.speaking() && now - since >= milliseconds(CERTAIN);
            if self.begun.transcript(now).is_some() || is_certain {
                self.judge(now);
            }
        }
        if self.into.as_ref().is_none_or(|into| into.since.is_none()) {
            if self.begun.over.is_none() && self.begun.transcript(now).is_some() {
                self.endpointer.reads(self.begun.says(now));
            }
            self.take(now);
        }
    }

    /// What was said into the reply is understood, or has lasted for so long that it need not be.
    fn judge(&mut self, now: f64) {
        let Some(into) = &mut self.into else { return };
        let (from_ms, to_ms) = self.speech;
        let spoken_for = Duration::from_secs_f64((to_ms - from_ms).max(0.0) / 1e3);
        let said = self.begun.transcript(now).and_then(|said| said.as_ref().ok());
        let verdict = said.map(|said| judge(said, spoken_for, into.is_asked, || into.recent.clone()));
        let went_on = match verdict {
            Some(Verdict::GoesOn(why)) => Some(why),
            Some(Verdict::Interrupts) | None => None,
        };
        let heard = said.map(|said| said.text.clone());
        self.seen.push(Seen::Spoken(SpokenInto {
            from_ms,
            to_ms,
            at_ms: now,
            went_on,
            heard,
            is_asked: into.is_asked,
            is_said: into.is_said,
        }));
        if went_on.is_some() {
            into.since = None;
            if self.begun.over.is_some() {
                self.turn.answered();
            }
            self.withdrawn = self.begun.over.is_none();
            self.begun = Begun::default();
        } else {
            self.into = None;
        }
    }

    /// The turn is answered, where it is over, its words are there, and nothing is waited for any more.
    fn take(&mut self, now: f64) {
        let Some(over) = self.begun.over else { return };
        let waits = self.begun.says(now) == Some(false);
        let Some((known, transcript)) = self.begun.transcript.take_if(|(known, _)| {
            *known <= now && (!waits || (now >= over.pause_until && !self.endpointer.speaking()))
        }) else {
            return;
        };
        self.begun = Begun::default();
        self.turn.answered();
        let Over { from_ms, to_ms, decided_ms, pause_until } = over;
        let decided_ms = if waits { pause_until.max(decided_ms) } else { decided_ms };
        let heard = transcript.map(|transcript| transcript.text.trim().to_owned()).unwrap_or_default();
        // A reply that has begun since is the one to it: then Milo had less patience.
        self.awaited = (!heard.is_empty() && self.replied.is_none_or(|replied| replied < to_ms)).then_some(now);
        if !heard.is_empty() {
            let known_ms = known.max(decided_ms);
            self.seen.push(Seen::Turn(Ended { from_ms, to_ms, decided_ms, known_ms, heard }));
        }
    }

    async fn decided(&mut self, decision: Decision, now: f64, replies: &Replies) -> Result<(), EngineError> {
        let is_said_into = self.into.as_ref().is_some_and(|into| into.since.is_some());
        match decision {
            Decision::Onset => {
                self.turn.begin();
                self.withdrawn = false;
                self.speech.0 = now + FRAME - milliseconds(self.patience.onset);
                if self.begun.over.is_none() {
                    self.into = self.spoken_into(replies);
                }
            }
            Decision::Retracted => self.turn.abandon(),
            Decision::Confirmed => {
                if let Some(over) = &mut self.begun.over {
                    let longest = (self.patience.longest.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
                    if self.turn.take_up(longest) {
                        self.endpointer.went_on();
                        self.begun = Begun::default();
                    } else {
                        over.pause_until = now;
                    }
                }
                self.is_sure(now);
            }
            Decision::LikelyEnd => {
                self.judgement = self.judged(now).await;
                if self.begun.over.is_none() && (self.into.is_none() || is_said_into) {
                    self.begun.transcript = Some(self.transcribed(now).await);
                }
            }
            Decision::Resumed => {
                self.judgement = None;
                if self.begun.over.is_none() && (self.into.is_none() || is_said_into || self.withdrawn) {
                    self.withdrawn = false;
                    self.begun.transcript = None;
                    self.is_sure(now);
                }
            }
            Decision::End => {
                self.turn.end();
                self.judgement = None;
                let withdrawn = std::mem::take(&mut self.withdrawn);
                if self.begun.over.is_none() && !withdrawn && (self.into.is_none() || is_said_into) {
                    self.end(now).await;
                }
            }
        }
        Ok(())
    }

    /// The reply that is being said, or is about to be.
    fn spoken_into(&self, replies: &Replies) -> Option<Floor> {
        match replies.at(self.frames) {
            Some(reply) => {
                let (is_asked, recent) = (reply.asks(self.frames), reply.recent(self.frames));
                Some(Floor { is_said: true, is_asked, recent, since: None })
            }
            None => self.awaited.map(|_| Floor { is_said: false, is_asked: false, recent: String::new(), since: None }),
        }
    }

    /// What is said into a reply is somebody's voice.
    fn is_sure(&mut self, now: f64) {
        if let Some(into) = &mut self.into {
            into.since.get_or_insert(now);
        }
    }

    /// The caller's silence has lasted.
    async fn end(&mut self, now: f64) {
        let (from_ms, to_ms) = self.speech;
        let pause = self.patience.pause.saturating_sub(self.endpointer.silence());
        let over = Over { from_ms, to_ms, decided_ms: now, pause_until: now + milliseconds(pause) };
        self.begun.over = Some(over);
        if self.begun.transcript.is_none() {
            self.begun.transcript = Some(self.transcribed(now).await);
        }
        self.turn.set_aside();
    }

    /// How finished the turn sounds, and when that is known; none where nobody says it.
    async fn judged(&self, now: f64) -> Option<(f64, f32)> {
        let judging = self.engines.end_of_turn.as_ref()?.judge(self.turn.sound());
        let (finished, took) = timed(judging).await;
        finished.ok().map(|finished| (now + took, finished))
    }

    /// The turn's words, and when they are known.
    async fn transcribed(&self, now: f64) -> (f64, Result<Transcript, EngineError>) {
        let (transcript, took) = timed(self.engines.transcriber.transcribe(self.turn.words(), Listen::to(None))).await;
        (now + took, transcript)
    }
}

/// What comes of some work, and how long it took, in milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: what engines take is measured by the wall clock, as in a call"
)]
async fn timed<T>(work: impl Future<Output = T>) -> (T, f64) {
    let began = Instant::now();
    let done = work.await;
    (done, milliseconds(began.elapsed()))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
