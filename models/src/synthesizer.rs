//! What every voice takes and gives, wherever it runs: a clause in, its sound out, piece by piece.

use tokio::sync::mpsc;

use crate::{
    engine::{EngineError, Language},
    queue::{Class, Waiting, Wanted, Work},
};

/// What turns text into speech: [`crate::espeak::Espeak`] in this process, [`crate::openai::Speaker`] on a server.
pub trait Synthesizer: Send + Sync {
    /// Puts a clause in line. The text is plain: no markup in it is obeyed. Numbers, dates and money are best made words before
    /// ([`crate::text::speakable`]). Called within a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::Input`] when there is nothing to say, the text is too long or an option is out of its range;
    /// [`EngineError::Overloaded`] at once when there is no place.
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError>;

    /// How many clauses wait for their turn.
    fn waiting(&self) -> Waiting;

    /// What its thread in this process has done so far; nothing where a server does it.
    fn work(&self) -> Work;

    /// Whether it can say nothing now: it is being loaded anew.
    fn stopped(&self) -> bool;
}

/// Longest text of one job in bytes: more than a minute of speech. Longer text is cut first (`text::clauses`).
pub const MAX_TEXT: usize = 2_000;

/// How a clause is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechOptions {
    /// One of espeak-ng's variants by its name (`f2`, `m3`); `None` is the plain one. A server speaks with the voice that is
    /// configured.
    pub variant: Option<String>,
    /// Speed in words a minute, 80 to 450.
    pub speed: u16,
    /// Pitch, 0 to 100; 50 is the variant's own, and the only one of voices on servers.
    pub pitch: u8,
    /// Whose it is.
    pub class: Class,
    /// When its first sound is wanted.
    pub wanted: Wanted,
}

impl Default for SpeechOptions {
    /// The plain voice at 155 words a minute, about six Malagasy syllables a second, in a call.
    fn default() -> Self {
        Self { variant: None, speed: 155, pitch: 50, class: Class::Call, wanted: Wanted::default() }
    }
}

/// One clause being spoken; dropping it cancels the rest.
pub struct Speech {
    pieces: mpsc::Receiver<Result<Vec<i16>, EngineError>>,
}

impl Speech {
    /// The listener's side of a clause.
    pub fn new(pieces: mpsc::Receiver<Result<Vec<i16>, EngineError>>) -> Self {
        Self { pieces }
    }

    /// The next samples (16 kHz mono, any number of them, never none); `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Vec<i16>, EngineError>> {
        self.pieces.recv().await
    }
}
