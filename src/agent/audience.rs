//! Who follows a conversation besides by ear: a page that shows what is heard and said, whichever way it is connected.

use std::{future::pending, sync::Arc};

use milo_models::engine::Language;
use tokio::sync::{Mutex, mpsc};

use crate::engines::Mode;

/// Events that wait. Whoever reads them does nothing else; full, the newest is lost, and told in the program's own lines.
const EVENTS: usize = 64;
/// What was written and waits to be answered; more is refused.
const TYPED: usize = 4;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// The caller speaks, or no longer does.
    Speaking(bool),
    /// This is what the caller said, or seems to have said so far.
    Heard {
        /// The words.
        text: String,
        /// What it was said in.
        language: Language,
        /// They may go on.
        is_partial: bool,
    },
    /// A part of a reply is about to be heard.
    Clause(String),
    /// A whole reply, before any of it is heard: for those who take replies so.
    Whole {
        /// The words.
        text: String,
        /// Their sound, 16 kHz.
        samples: Vec<i16>,
        /// Who answered; nobody, where Milo speaks by itself.
        mode: Option<Mode>,
    },
    /// What was not heard yet of a reply is to be forgotten: the caller has spoken into it.
    Cleared,
    /// A reply, or a sentence of Milo's own, is over.
    Said {
        /// All of it.
        text: String,
        /// As much as left.
        heard: String,
        /// The caller has spoken into it.
        interrupted: bool,
        /// Who answered; nobody, where Milo spoke by itself.
        mode: Option<Mode>,
        /// From the end of what the caller said to the first sound of the answer, in milliseconds.
        total_ms: Option<f64>,
    },
    /// An engine failed; the caller hears an apology.
    Failed,
}

/// How a caller takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As on the telephone: it is greeted, hears a reply while it is made, and is asked whether it is still there.
    Live,
    /// It speaks when it likes, and takes each reply as one piece. Nobody speaks to it first.
    Patient,
}

/// Whoever follows.
#[derive(Clone, Debug)]
pub struct Audience {
    events: mpsc::Sender<Happened>,
    manner: Manner,
    remembered: Arc<[(String, String)]>,
    /// A lock, since a record is lent and not given to the conversation that alone reads this.
    typed: Arc<Mutex<mpsc::Receiver<String>>>,
}

impl Audience {
    /// Somebody who takes part so, and what was said with them before: what was heard, and what was answered. Returned with the events
    /// is what takes what they write in place of saying it.
    pub fn new(
        manner: Manner,
        remembered: Vec<(String, String)>,
    ) -> (Self, mpsc::Receiver<Happened>, mpsc::Sender<String>) {
        let ((events, happened), (types, typed)) = (mpsc::channel(EVENTS), mpsc::channel(TYPED));
        let typed = Arc::new(Mutex::new(typed));
        (Self { events, manner, remembered: remembered.into(), typed }, happened, types)
    }

    /// What they write next. Cancel safe.
    pub async fn typed(&self) -> String {
        match self.typed.lock().await.recv().await {
            Some(text) => text,
            None => pending().await,
        }
    }

    /// Whether nobody speaks to it first.
    pub fn is_patient(&self) -> bool {
        self.manner == Manner::Patient
    }

    pub(super) fn remembered(&self) -> &[(String, String)] {
        &self.remembered
    }

    /// Something happened. Never waits.
    pub fn tell(&self, happened: Happened) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(happened) {
            tracing::warn!("whoever follows a conversation is too slow; it was not told of something");
        }
    }
}
