//! What happens in a call, written down by whoever sees it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use milo_models::engine::Language;
use serde_json::{Value, json};

use crate::{
    after::Exchange,
    agent::News,
    engines::Mode,
    store::{CallLog, Key, NewTurn, Stamp},
};

/// What stands in the log for what was said or pressed in private.
pub(super) const UNSAID: &str = "…";

/// What happens in a call goes here, from whoever sees it.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    pub(super) log: Arc<CallLog>,
    /// What is said and pressed is not written down.
    private: Arc<AtomicBool>,
    /// When that was over last. The lock is taken as it ends, and by whoever writes down what was said a while ago.
    private_until: Arc<Mutex<Option<Instant>>>,
    /// What the language model does not know yet of the call. The lock is taken as something happens, and as a turn is answered.
    pub(super) news: Arc<Mutex<VecDeque<News>>>,
    /// What was said so far, for whoever the call is handed over to. The lock is taken as a turn ends, and as a hand-over begins.
    said: Arc<Mutex<VecDeque<Exchange>>>,
    /// The persona that has spoken last, and the language that is spoken: that of the last turn, before it that of the plan. The lock is
    /// taken as a conversation begins, as a turn ends, and by whoever goes on in its place.
    speaker: Arc<Mutex<(Option<String>, Option<Language>)>>,
    /// A persona has spoken that is kept local: what was said goes to no server, whoever speaks next.
    is_local: Arc<AtomicBool>,
    /// The number that is called back for this call: one, however often it is wished. The lock is taken as it is wished.
    called_back: Arc<Mutex<Option<String>>>,
}

/// As many turns as are remembered; the oldest is forgotten first.
const TURNS: usize = 64;

/// As much news as a model is told at once; the oldest is forgotten first.
const NEWS: usize = 8;

impl Notes {
    pub(super) fn of(log: CallLog, language: Option<Language>) -> Self {
        Self {
            log: Arc::new(log),
            private: Arc::default(),
            private_until: Arc::default(),
            news: Arc::default(),
            said: Arc::default(),
            speaker: Arc::new(Mutex::new((None, language))),
            is_local: Arc::default(),
            called_back: Arc::default(),
        }
    }

    /// This persona speaks from now on, by the engines of this mode.
    pub(super) fn speaks(&self, persona: &str, mode: Option<Mode>) {
        self.is_local.fetch_or(mode == Some(Mode::Local), Ordering::Relaxed);
        self.speaker.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(persona.to_owned());
    }

    /// Who may read what was said in the call: the mode of whoever must not let a server, as soon as one such has spoken.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.is_local.load(Ordering::Relaxed).then_some(Mode::Local)
    }

    /// This is spoken now.
    pub(super) fn spoken(&self, language: Language) {
        self.speaker.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(language);
    }

    /// Who has spoken last, and in what.
    pub(super) fn speaker(&self) -> (Option<String>, Option<Language>) {
        self.speaker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something that the language model is to know when it answers next.
    pub(super) fn news(&self, news: News) {
        let mut all = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == NEWS {
            all.pop_front();
        }
        all.push_back(news);
    }

    /// Something was said; what was said in private stands there as the log may have it.
    pub(super) fn said(&self, exchange: Exchange) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == TURNS {
            said.pop_front();
        }
        said.push_back(exchange);
    }

    /// One of two between whom Milo interprets has said something, and the other was told it or not: a turn in which nobody was answered.
    pub(super) fn interpreted(&self, turn: NewTurn) {
        let (heard, said, heard_from) = (turn.heard.clone(), turn.said_heard.clone(), turn.heard_from.clone());
        self.said(Exchange { heard, said, by_person: false, heard_from });
        self.log.turn(turn);
    }

    /// What was said so far.
    pub(super) fn so_far(&self) -> Vec<Exchange> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes the one place that this call has for a number that Milo calls back. False: it had that already. `None`: another has it.
    pub(super) fn may_call_back(&self, target: &str) -> Option<bool> {
        let mut taken = self.called_back.lock().unwrap_or_else(PoisonError::into_inner);
        match &*taken {
            Some(other) => (other == target).then_some(false),
            None => {
                *taken = Some(target.to_owned());
                Some(true)
            }
        }
    }

    /// Gives it back: nobody is called.
    pub(super) fn calls_nobody_back(&self) {
        *self.called_back.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The call's key in the log.
    pub(super) fn key(&self) -> Key {
        self.log.key()
    }

    /// Something happened.
    pub(super) fn event(&self, kind: &str, detail: Value) {
        self.log.event(Stamp::now(), kind, detail);
    }

    /// Something happened of which programs of the operator's are told more than its row has, since the log has that elsewhere.
    pub(super) fn event_and(&self, kind: &str, detail: Value, more: Value) {
        self.log.event_and(Stamp::now(), kind, detail, more);
    }

    /// Whether anything since then was private: what was said within is written down later.
    pub(super) fn was_private_since(&self, then: Instant) -> bool {
        let until = *self.private_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_private() || until.is_some_and(|until| until >= then)
    }

    /// What was heard or is told, as the log may have it.
    pub(super) fn words<'a>(&self, said: &'a str) -> &'a str {
        if self.is_private() || !self.log.keeps_words() { UNSAID } else { said }
    }

    /// A party of the call has sent a text within it.
    pub(super) fn texted(&self, by: &str, text: &str) {
        self.event("message", json!({ "from": by, "text": self.words(text) }));
    }

    /// The call is recorded into this file.
    pub(super) fn recording(&self, name: &str) {
        self.log.recording(name);
    }

    /// From here on the log keeps to itself what is said and pressed (a card number), or no longer does.
    pub(super) fn keep_private(&self, private: bool) {
        if self.private.swap(private, Ordering::Relaxed) && !private {
            *self.private_until.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(tokio::time::Instant::now().into_std());
        }
    }

    /// Whether it does now.
    pub(super) fn is_private(&self) -> bool {
        self.private.load(Ordering::Relaxed)
    }
}
