//! Listening: from the caller's first word to the transcript of a finished turn.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use milo_models::{
    engine::{EngineError, Language},
    text::tongue,
    transcriber::{Listen, Transcribing, Transcript},
};
use serde_json::Value;
use tokio::{
    select,
    time::{sleep_until, timeout},
};

use super::{Conversation, Ear, Happened, ear::Noticed, endpoint::Decision, reply::Marks};
use crate::{
    engines::Engines,
    store::{Stages, Stamp},
};

/// The transcriber has failed when it takes longer than this.
const TRANSCRIPT_LIMIT: Duration = Duration::from_secs(8);

/// What a finished turn of the caller brought.
pub(super) struct Heard {
    pub(super) transcript: Result<Transcript, EngineError>,
    transcribed: Instant,
    pub(super) end: TurnEnd,
}

/// When a turn ended.
#[derive(Clone, Copy)]
pub(super) struct TurnEnd {
    pub(super) at: Stamp,
    /// When it was heard, from where to where.
    pub(super) speech: (Option<Instant>, Option<Instant>),
    last_voiced: Option<Instant>,
    vad_stopped: Option<Instant>,
    decided: Instant,
}

/// What listening came to.
pub(super) enum Listened {
    Turn(Box<Heard>),
    Silence,
    TimeUp,
    /// Voice activity failed.
    Deaf(EngineError),
    Closed,
}

/// How long nothing may be understood.
pub(super) struct Quiet {
    patience: Duration,
    until: tokio::time::Instant,
}

impl Quiet {
    pub(super) fn from_now(patience: Duration) -> Self {
        Self { patience, until: tokio::time::Instant::now() + patience }
    }

    fn begin(&mut self) {
        *self = Self::from_now(self.patience);
    }
}

type Transcribed = Result<Transcript, EngineError>;

/// The transcript that is begun on the likely end of a turn. Dropping it while it works skips the job.
pub(super) enum Early {
    None,
    Working(Transcribing),
    Done(Transcribed),
}

impl Early {
    /// Works while there is something to do; ends when the transcript is there, and never otherwise. Cancel safe.
    pub(super) async fn work(&mut self) {
        match self {
            Self::Working(transcribing) => {
                let done = transcribing.await;
                *self = Self::Done(done);
            }
            Self::None | Self::Done(_) => std::future::pending().await,
        }
    }
}

impl Conversation<'_> {
    /// Listens until the caller has finished a turn, or until it was quiet for too long. The transcript is begun on the
    /// likely end and taken anew when the caller goes on, also after the end, as long as the transcript is awaited.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    pub(super) async fn listen(&mut self, ear: &mut Ear, quiet: &mut Quiet) -> Listened {
        // What failed while Milo spoke, and still does, was told to nobody.
        if let Some(error) = ear.deafness() {
            return Listened::Deaf(error.clone());
        }
        let mut early = Early::None;
        let mut vad_stopped = None;
        let mut over: Option<TurnEnd> = None;
        loop {
            if let (Some(end), Early::Done(_)) = (&over, &early)
                && let Early::Done(transcript) = std::mem::replace(&mut early, Early::None)
            {
                ear.answered();
                return Listened::Turn(Box::new(Heard { transcript, transcribed: Instant::now(), end: *end }));
            }
            let noticed = select! {
                noticed = ear.next() => noticed,
                () = early.work() => {
                    if let (None, Early::Done(Ok(transcript))) = (&over, &early) {
                        let Transcript { text, language, .. } = transcript;
                        self.record.tell(|| Happened::Heard { text: text.clone(), language: *language, is_partial: true });
                    }
                    continue;
                }
                text = self.record.typed(), if over.is_none() && !ear.speaking() => {
                    return Listened::Turn(Box::new(Heard::written(text, self.language)));
                }
                () = sleep_until(quiet.until), if over.is_none() && !ear.speaking() => return Listened::Silence,
                () = sleep_until(self.limits.until) => return Listened::TimeUp,
            };
            match noticed {
                // They had not finished. But a turn that was cut for its length is answered, whatever follows.
                Noticed::Turn(Decision::Confirmed) if over.is_some() && ear.take_up() => {
                    self.record.event("went_on", Value::Null);
                    (early, vad_stopped, over) = (Early::None, None, None);
                }
                Noticed::Turn(Decision::Onset) => self.record.tell(|| Happened::Speaking(true)),
                Noticed::Turn(Decision::Retracted) => self.record.tell(|| Happened::Speaking(false)),
                Noticed::Turn(_) if over.is_some() => {}
                Noticed::Turn(Decision::LikelyEnd) => {
                    vad_stopped = Some(Instant::now());
                    early = Early::Working(transcribe(self.engines, ear.turn(), None));
                }
                Noticed::Turn(Decision::Resumed) => {
                    self.paused(ear.judgement(), true);
                    early = Early::None;
                }
                Noticed::Turn(Decision::End) => {
                    self.paused(ear.judgement(), false);
                    over = Some(TurnEnd {
                        at: Stamp::now(),
                        speech: ear.speech(),
                        last_voiced: ear.last_voiced(),
                        vad_stopped,
                        decided: Instant::now(),
                    });
                    if matches!(early, Early::None) {
                        early = Early::Working(transcribe(self.engines, ear.turn(), None));
                    }
                    ear.set_aside();
                    self.record.tell(|| Happened::Speaking(false));
                }
                Noticed::Turn(Decision::Confirmed) => {}
                Noticed::Digit(digit) => {
                    self.record.digit(digit);
                    quiet.begin();
                }
                Noticed::Held => {
                    self.held();
                    quiet.until = self.limits.until;
                }
                Noticed::Resumed => {
                    self.resumed();
                    quiet.begin();
                }
                Noticed::Deaf(error) => {
                    self.deaf(&error);
                    // What was said before is answered first.
                    if over.is_none() {
                        return Listened::Deaf(error);
                    }
                }
                Noticed::Closed(why) => {
                    self.closed(&why);
                    return Listened::Closed;
                }
            }
        }
    }
}

/// Hands a turn to the transcriber; without a language, the model tells it.
pub(super) fn transcribe(engines: &Engines, turn: Vec<i16>, language: Option<Language>) -> Transcribing {
    let transcriber = Arc::clone(&engines.transcriber);
    Box::pin(async move {
        timeout(TRANSCRIPT_LIMIT, transcriber.transcribe(turn, Listen::to(language))).await.unwrap_or_else(|_| {
            let reason = format!("no transcript came within {} s", TRANSCRIPT_LIMIT.as_secs());
            Err(EngineError::Failed { engine: "transcriber", reason })
        })
    })
}

impl Heard {
    /// A turn that was written, and not said.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    fn written(text: String, before: Language) -> Self {
        let now = Instant::now();
        let end =
            TurnEnd { at: Stamp::now(), speech: (None, None), last_voiced: None, vad_stopped: None, decided: now };
        let language = tongue(&text).unwrap_or(before);
        let transcript = Transcript::written(text, language);
        Self { transcript: Ok(transcript), transcribed: now, end }
    }

    /// The time between each mark and the one before it; a mark that is missing leaves its stage empty.
    pub(super) fn stages(&self, marks: Marks, packet_out: Option<Instant>) -> Stages {
        // The clock of a leg is read as its tick begins: what comes to it within the tick leaves before it came.
        let between = |from: Option<Instant>, to: Option<Instant>| {
            from.zip(to).map(|(from, to)| to.saturating_duration_since(from).as_micros() as f64 / 1e3)
        };
        let TurnEnd { last_voiced, vad_stopped, decided, .. } = self.end;
        let (decided, transcribed) = (Some(decided), Some(self.transcribed));
        Stages {
            vad_ms: between(last_voiced, vad_stopped),
            end_of_turn_ms: between(vad_stopped, decided),
            stt_ms: between(decided, transcribed),
            llm_first_token_ms: between(transcribed, marks.first_token),
            tts_first_sample_ms: between(marks.first_token, marks.first_sample),
            packet_out_ms: between(marks.first_sample, packet_out),
            total_ms: between(last_voiced, packet_out),
        }
    }
}
