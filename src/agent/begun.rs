//! A turn of the caller on its way: whether it is over, what its words are, and the reply to them that is begun before that is sure.

use std::{
    future::pending,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use milo_models::{
    engine::{EngineError, Language},
    queue::{Class, Wanted},
    text::{heard, tongue},
    transcriber::{Listen, Transcribing, Transcript},
};
use tokio::{select, time::timeout};

use super::{Ear, again::again, draft::Draft, step::Marks};
use crate::{
    engines::Engines,
    store::{Stages, Stamp},
};

/// Words that are less sure than this do not say whether the caller has finished (the mean of the tokens' probabilities).
const BELIEVED: f32 = 0.6;
/// The transcriber has failed when it takes longer than this.
const TRANSCRIPT_LIMIT: Duration = Duration::from_secs(8);
/// Replies that may be begun for one turn before it is over.
const DRAFTS: u8 = 3;

type Transcribed = Result<Transcript, EngineError>;

/// The transcript that is begun on the likely end of a turn. Dropping it while it works skips the job.
#[derive(Default)]
pub(super) enum Early {
    #[default]
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
            Self::None | Self::Done(_) => pending().await,
        }
    }
}

/// A turn that is not answered yet. Nothing of it is known at first.
#[derive(Default)]
pub(super) struct Begun {
    early: Early,
    /// When the transcript is wanted, once the turn is over.
    wanted: Wanted,
    draft: Option<Draft>,
    drafts: u8,
    vad_stopped: Option<Instant>,
    transcribed: Option<Instant>,
    over: Option<TurnEnd>,
    /// Since when the transcript of a turn that is over is awaited.
    awaited: Option<tokio::time::Instant>,
}

/// What these words say about the end of the turn, where they are sure enough to be asked.
pub(super) fn says(transcript: &Transcript) -> Option<bool> {
    let is_believed = transcript.confidence.is_none_or(|confidence| confidence >= BELIEVED);
    is_believed.then(|| heard::is_over(&transcript.text)).flatten()
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
    /// Until when a caller who has not said all is given time.
    pause_until: Option<tokio::time::Instant>,
}

impl TurnEnd {
    /// When it was decided that it had.
    pub(super) fn decided(&self) -> tokio::time::Instant {
        self.decided.into()
    }
}

impl Begun {
    /// A turn that is over and was not transcribed, once more.
    pub(super) fn anew(end: TurnEnd, sound: Vec<i16>, engines: &Engines) -> Self {
        let early = Early::Working(transcribe(engines, sound, Listen::default()));
        Self { early, over: Some(end), awaited: Some(tokio::time::Instant::now()), ..Self::default() }
    }

    /// The caller may have finished: the transcript is begun.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    pub(super) fn likely_end(&mut self, ear: &mut Ear, engines: &Engines) {
        self.vad_stopped = Some(Instant::now());
        self.discard_draft();
        self.wanted = Wanted::perhaps();
        self.early = Early::Working(transcribe(engines, ear.turn(), guess(None, &self.wanted)));
    }

    /// They had not: what was begun is of no use.
    pub(super) fn resumed(&mut self) {
        self.discard_draft();
        self.early = Early::None;
    }

    /// They had not, although their silence had decided it.
    pub(super) fn went_on(&mut self) {
        self.discard_draft();
        *self = Self { drafts: self.drafts, ..Self::default() };
    }

    fn discard_draft(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.discard();
        }
    }

    /// The caller has finished. They are given `pause` in all if their words are found to be unfinished, and want an answer within the
    /// `budget` of a turn.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    pub(super) fn end(&mut self, ear: &mut Ear, engines: &Engines, pause: Duration, budget: Duration) {
        self.over = Some(TurnEnd {
            at: Stamp::now(),
            speech: ear.speech(),
            last_voiced: ear.last_voiced(),
            vad_stopped: self.vad_stopped,
            decided: Instant::now(),
            pause_until: Some(tokio::time::Instant::now() + pause.saturating_sub(ear.silence())),
        });
        let deadline = Instant::now() + budget;
        self.wanted.confirm(deadline);
        if matches!(self.early, Early::None) {
            let asked = Listen { wanted: Wanted::by(deadline), ..Listen::default() };
            self.early = Early::Working(transcribe(engines, ear.turn(), asked));
        }
        self.awaited = Some(tokio::time::Instant::now());
        ear.set_aside();
    }

    /// Whether the caller has begun to say something.
    pub(super) fn is_begun(&self) -> bool {
        self.is_over() || !matches!(self.early, Early::None)
    }

    /// Since when nothing but the transcript is waited for.
    pub(super) fn awaited(&self) -> Option<tokio::time::Instant> {
        self.awaited.filter(|_| !self.is_transcribed())
    }

    /// Whether the caller has finished, as far as their silence decides it.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Works on the transcript, then on the draft; ends each time that one of them has come further. Cancel safe.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    pub(super) async fn work(&mut self) {
        select! {
            () = self.early.work() => self.transcribed = Some(Instant::now()),
            () = async {
                match &mut self.draft {
                    Some(draft) => draft.work().await,
                    None => pending().await,
                }
            } => {}
        }
    }

    /// The transcript, once it is there and was understood.
    pub(super) fn transcript(&self) -> Option<&Transcript> {
        match &self.early {
            Early::Done(Ok(transcript)) => Some(transcript),
            _ => None,
        }
    }

    /// Whether the transcript has come, or will not.
    pub(super) fn is_transcribed(&self) -> bool {
        matches!(self.early, Early::Done(_))
    }

    /// What the words say about the end of the turn, where they are there and sure enough to be asked.
    pub(super) fn says(&self) -> Option<bool> {
        self.transcript().and_then(says)
    }

    /// Whether a reply should be begun before the turn is over: there are words, and neither is it known that more follow nor was it
    /// tried too often.
    pub(super) fn wants_draft(&self) -> bool {
        let has_words = self.transcript().is_some_and(|transcript| !transcript.text.trim().is_empty());
        has_words && self.draft.is_none() && self.drafts < DRAFTS && self.says() != Some(false)
    }

    /// A reply to the transcript was begun.
    pub(super) fn drafted(&mut self, draft: Draft) {
        self.drafts += 1;
        self.draft = Some(draft);
    }

    /// Until when a caller who has finished by their silence, and not by their words, is waited for.
    pub(super) fn waits(&self) -> Option<tokio::time::Instant> {
        self.over.filter(|_| self.says() == Some(false))?.pause_until
    }

    /// They go on, and it can be no part of this turn any more, which is answered.
    pub(super) fn wait_no_more(&mut self) {
        if let Some(end) = &mut self.over {
            end.pause_until = None;
        }
    }

    /// The whole turn, where it is over and transcribed.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    pub(super) fn take(&mut self) -> Option<Heard> {
        let mut end = self.over.filter(|_| self.is_transcribed())?;
        let now = Instant::now();
        let transcribed = self.transcribed.unwrap_or(now);
        if self.waits().is_some() && transcribed < now {
            // So long the end was in doubt.
            end.decided = now;
        }
        let Self { early: Early::Done(transcript), draft, drafts, awaited, .. } = mem::take(self) else { return None };
        // A turn that is heard once more has been waited for since then only.
        let since = awaited.map_or(end.decided(), |awaited| awaited.max(end.decided()));
        Some(Heard { transcript, transcribed: transcribed.max(end.decided), since, end, draft, drafts })
    }
}

/// What a finished turn of the caller brought.
pub(super) struct Heard {
    pub(super) transcript: Transcribed,
    transcribed: Instant,
    since: tokio::time::Instant,
    pub(super) end: TurnEnd,
    /// A reply to exactly this transcript, if one was begun.
    pub(super) draft: Option<Draft>,
    /// How often one was begun.
    pub(super) drafts: u8,
}

impl Heard {
    /// When it was decided that it was over, or it was heard once more.
    pub(super) fn since(&self) -> tokio::time::Instant {
        self.since
    }

    /// A turn that was written, and not said.
    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    pub(super) fn written(text: String, before: Language) -> Self {
        let now = Instant::now();
        // On one line, and not in parentheses: so the model is told what happened besides, and nobody else may tell it.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.trim_start_matches(|letter: char| letter == '(' || letter.is_whitespace()).to_owned();
        let end = TurnEnd {
            at: Stamp::now(),
            speech: (None, None),
            last_voiced: None,
            vad_stopped: None,
            decided: now,
            pause_until: None,
        };
        let language = tongue(&text).unwrap_or(before);
        let transcript = Transcript::written(text, language);
        Self { transcript: Ok(transcript), transcribed: now, since: now.into(), end, draft: None, drafts: 0 }
    }

    /// The time between each mark and the one before it; a mark that is missing leaves its stage empty. What was done before the turn
    /// was over took nobody's time.
    pub(super) fn stages(&self, marks: Marks, packet_out: Option<Instant>) -> Stages {
        // The clock of a leg is read as its tick begins: what comes to it within the tick leaves before it came.
        let between = |from: Option<Instant>, to: Option<Instant>| {
            from.zip(to).map(|(from, to)| to.saturating_duration_since(from).as_micros() as f64 / 1e3)
        };
        let TurnEnd { last_voiced, vad_stopped, decided, .. } = self.end;
        let (decided, transcribed) = (Some(decided), Some(self.transcribed));
        let [first_token, first_sample] =
            [marks.first_token, marks.first_sample].map(|mark| mark.map(|mark| mark.max(self.transcribed)));
        Stages {
            vad_ms: between(last_voiced, vad_stopped),
            end_of_turn_ms: between(vad_stopped, decided),
            stt_ms: between(decided, transcribed),
            llm_first_token_ms: between(transcribed, first_token),
            tts_first_sample_ms: between(first_token, first_sample),
            packet_out_ms: between(first_sample, packet_out),
            total_ms: between(last_voiced, packet_out),
        }
    }
}

/// How what may be the whole of a turn is transcribed: it is in nobody's way, until it is known to be all.
pub(super) fn guess(language: Option<Language>, wanted: &Wanted) -> Listen {
    Listen { language, class: Class::Speculative, wanted: wanted.clone(), ..Listen::default() }
}

/// Hands a turn to the transcriber; without a language, the model tells it.
pub(super) fn transcribe(engines: &Engines, turn: Vec<i16>, asked: Listen) -> Transcribing {
    let transcriber = Arc::clone(&engines.transcriber);
    Box::pin(async move {
        let transcript = again(|| transcriber.transcribe(turn.clone(), asked.clone()));
        timeout(TRANSCRIPT_LIMIT, transcript).await.unwrap_or_else(|_| {
            let reason = format!("no transcript came within {} s", TRANSCRIPT_LIMIT.as_secs());
            Err(EngineError::Stalled { engine: "transcriber", reason })
        })
    })
}
