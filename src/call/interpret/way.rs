//! One direction: what one party says is cut into turns, understood and translated.

use std::{future::pending, time::Duration};

use milo_models::{
    engine::{EngineError, Language},
    transcriber::Listen,
};
use serde_json::json;
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Account, FAILURES,
    backlog::{Backlog, SECONDS},
    mouth::{Notices, Saying},
    notice::Notice,
    utterance::{NOT_UNDERSTOOD, TOO_FAST, Utterance},
};
use crate::{
    agent::{Decision, Ear, Noticed},
    call::House,
    chat::Untranslated,
    engines::Engines,
};

/// Voice activity may fail for so long before the interpreter gives up.
const DEAF: Duration = Duration::from_secs(3);
/// How long a turn may take to be understood and translated.
const LIMIT: Duration = Duration::from_secs(15);
/// Words of which the transcriber is less sure (a mean log-probability below -1, where Whisper's own makers give a transcript up) are not
/// told to anybody: the other would believe them.
const UNSURE: f32 = 0.37;

/// From one party to the other.
pub(super) struct Way<'a> {
    pub(super) who: &'static str,
    pub(super) from: Language,
    pub(super) to: Language,
    /// How the speaker is told what became of it, and the other what was said.
    pub(super) speaker: Notices<'a>,
    pub(super) other: mpsc::Sender<Saying<'a>>,
    pub(super) backlog: Backlog,
    pub(super) house: &'a House,
    pub(super) engines: &'a Engines,
    pub(super) account: Account<'a>,
}

/// A turn that is over, and its sound.
struct Turn<'a> {
    utterance: Utterance<'a>,
    sound: Vec<i16>,
}

/// What can be told of a turn, besides that an engine failed.
enum Understood {
    Translated,
    Unclear,
    /// For this reason.
    NotTranslated(String),
}

impl<'a> Way<'a> {
    /// Interprets until engines fail.
    pub(super) async fn follow(self, ear: Ear) -> EngineError {
        // Each turn has its place in the backlog, and a place is a second at least.
        let (turns, waiting) = mpsc::channel(SECONDS as usize);
        select! {
            error = self.listen(ear, turns) => error,
            error = self.interpret(waiting) => error,
        }
    }

    /// Cuts what is said into turns.
    async fn listen(&self, mut ear: Ear, turns: mpsc::Sender<Turn<'a>>) -> EngineError {
        let mut deaf_until: Option<Instant> = None;
        loop {
            let noticed = select! {
                noticed = ear.next() => noticed,
                () = sleep_until(deaf_until.unwrap_or_else(Instant::now)), if deaf_until.is_some() => {
                    deaf_until = None;
                    match ear.deafness() {
                        Some(error) => return error.clone(),
                        None => continue,
                    }
                }
            };
            match noticed {
                Noticed::Turn(Decision::End) => {
                    let sound = ear.turn();
                    let about = (self.who, (self.from, self.to));
                    let mut utterance = Utterance::new(about, sound.len(), ear.last_voiced(), self.account);
                    utterance.place = self.backlog.place(sound.len());
                    if utterance.place.is_none() {
                        utterance.not_told(TOO_FAST);
                        self.speaker.tell(Notice::TooFast);
                    } else {
                        // As many as there are places for have room.
                        turns.try_send(Turn { utterance, sound }).ok();
                    }
                }
                Noticed::Deaf(error) => {
                    self.account.log.event("deaf", json!({ "by": self.who, "error": error.to_string() }));
                    deaf_until = Some(Instant::now() + DEAF);
                }
                // The bridge tells of it.
                Noticed::Closed(_) => pending().await,
                Noticed::Turn(_) | Noticed::Digit(_) | Noticed::Held | Noticed::Resumed => {}
            }
        }
    }

    /// Has turns told to the other, one after the other.
    async fn interpret(&self, mut turns: mpsc::Receiver<Turn<'a>>) -> EngineError {
        let (mut failures, mut is_excused) = (0, false);
        while let Some(Turn { mut utterance, sound }) = turns.recv().await {
            let understood = timeout(LIMIT, self.understand(&mut utterance, sound)).await;
            let understood = understood.unwrap_or_else(|_| Err(late()));
            failures = if understood.is_err() { failures + 1 } else { 0 };
            match understood {
                Ok(Understood::Translated) => {
                    is_excused = false;
                    // The other's mouth is in the same house.
                    self.other.send(Saying::Translated(utterance)).await.ok();
                }
                // Noise is mostly that: once is enough.
                Ok(Understood::Unclear) => {
                    utterance.not_told(NOT_UNDERSTOOD);
                    if !std::mem::replace(&mut is_excused, true) {
                        self.speaker.tell(Notice::NotUnderstood);
                    }
                }
                Ok(Understood::NotTranslated(why)) => {
                    is_excused = false;
                    utterance.not_told(why);
                    self.speaker.tell(Notice::NotTranslated);
                }
                Err(error) => {
                    self.account.log.event("engine_failed", json!({ "error": error.to_string() }));
                    utterance.not_told(error.to_string());
                    if failures == FAILURES {
                        return error;
                    }
                    self.speaker.tell(Notice::NotTranslated);
                }
            }
        }
        pending().await
    }

    /// The words of a turn, and the same in the other language.
    async fn understand(&self, utterance: &mut Utterance<'_>, sound: Vec<i16>) -> Result<Understood, EngineError> {
        let heard = self.engines.transcriber.transcribe(sound, Listen::to(Some(self.from))).await?;
        let is_sure = heard.confidence.is_none_or(|confidence| confidence >= UNSURE);
        let has_words = heard.text.contains(char::is_alphanumeric);
        utterance.heard_confidence = heard.confidence;
        let said = utterance.said.insert(heard.text.trim().to_owned());
        if !has_words || !is_sure {
            return Ok(Understood::Unclear);
        }
        // By those who may hear it: what was said to a persona that is kept local no server translates either.
        match self.house.chats.in_mode(self.account.mode()).translate(said, self.from, self.to).await {
            Ok(translation) => {
                utterance.translation = Some(translation);
                Ok(Understood::Translated)
            }
            Err(Untranslated::Engine(error)) => Err(error),
            Err(why) => Ok(Understood::NotTranslated(why.to_string())),
        }
    }
}

fn late() -> EngineError {
    EngineError::Failed { engine: "interpreter", reason: format!("no translation came within {} s", LIMIT.as_secs()) }
}
