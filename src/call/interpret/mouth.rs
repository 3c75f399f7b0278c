//! What an interpreter says to one party, one after the other.

use std::{future::pending, sync::Arc};

use milo_media::Voice;
use milo_models::engine::{EngineError, Language};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{FAILURES, backlog::SECONDS, notice::Notice, utterance::Utterance};
use crate::{
    agent::{SetPhrases, announce},
    call::Record,
    engines::Engines,
};

/// What is to be said.
pub(super) enum Saying<'a> {
    /// What the other has said, in this party's language.
    Translated(Utterance<'a>),
    /// A sentence of the interpreter's own, and its place among those that wait.
    Notice(Notice, OwnedSemaphorePermit),
}

/// Sentences of its own that may wait to be said to one party, or be said just now.
const NOTICES: usize = 2;
/// What may wait at one mouth: what is translated has its place in a backlog, of a second at least.
const WAITING: usize = SECONDS as usize + NOTICES;

/// How one party is told what the interpreter has to say of itself.
#[derive(Clone)]
pub(super) struct Notices<'a> {
    to: mpsc::Sender<Saying<'a>>,
    places: Arc<Semaphore>,
}

impl Notices<'_> {
    /// Tells them so, unless they are being told something already and more waits: they hear enough.
    pub(super) fn tell(&self, notice: Notice) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            // There is room for as many.
            self.to.try_send(Saying::Notice(notice, place)).ok();
        }
    }
}

/// The two ways to a mouth, for what the other says and for what the interpreter does, and its own end of them.
pub(super) fn ways<'a>() -> (mpsc::Sender<Saying<'a>>, Notices<'a>, mpsc::Receiver<Saying<'a>>) {
    let (to, sayings) = mpsc::channel(WAITING);
    (to.clone(), Notices { to, places: Arc::new(Semaphore::new(NOTICES)) }, sayings)
}

/// The mouth at one party's ear.
pub(super) struct Mouth<'a> {
    pub(super) voice: Voice,
    pub(super) language: Language,
    pub(super) sayings: mpsc::Receiver<Saying<'a>>,
    /// How the other learns that it was not heard.
    pub(super) other: Notices<'a>,
    pub(super) engines: &'a Engines,
    pub(super) phrases: &'a SetPhrases,
    pub(super) log: &'a Record,
}

impl Mouth<'_> {
    /// Says what it is given, until the voice has failed too often.
    pub(super) async fn speak(mut self) -> EngineError {
        let mut failures = 0;
        while let Some(saying) = self.sayings.recv().await {
            // What was said before has left, so nothing is lost: what comes now begins anew.
            self.voice.flush();
            let mut utterance = match saying {
                Saying::Notice(notice, _place) => {
                    let sound = self.phrases.sentence(notice.words(self.language), self.language);
                    self.voice.play_all(&sound).await;
                    self.voice.drained().await;
                    continue;
                }
                Saying::Translated(utterance) => utterance,
            };
            let words = utterance.translation.as_ref().map(|translation| translation.text.clone()).unwrap_or_default();
            utterance.begins();
            match announce(&words, self.language, &self.engines.voice, &mut self.voice).await {
                Ok(()) => {
                    failures = 0;
                    utterance.heard_whole(self.voice.played().first_sent_since_idle);
                }
                Err(error) => {
                    failures += 1;
                    self.log.event("engine_failed", json!({ "error": error.to_string() }));
                    utterance.not_told(error.to_string());
                    if failures == FAILURES {
                        return error;
                    }
                    self.other.tell(Notice::NotTranslated);
                }
            }
        }
        pending().await
    }
}
