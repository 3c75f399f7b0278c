//! What every voice takes and gives, wherever it runs: a clause in, its sound out, piece by piece.

use std::{mem, ops::Range};

use tokio::sync::mpsc;

use crate::{
    engine::{EngineError, Language},
    queue::{Class, Waiting, Wanted, Work},
};

/// What turns text into speech: [`crate::espeak::Espeak`] and [`crate::vits::Vits`] in this process, [`crate::openai::Speaker`] on a
/// server.
pub trait Synthesizer: Send + Sync {
    /// Puts a clause in line. The text is plain: no markup in it is obeyed. Numbers, dates and money are best made words before
    /// ([`crate::text::speakable`]). Called within a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::Input`] when there is nothing to say, the text is too long or an option is out of its range;
    /// [`EngineError::Overloaded`] at once when there is no place.
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError>;

    /// Whether it can speak so, as far as it knows now.
    ///
    /// # Errors
    /// [`EngineError::Input`], a sentence that names what it knows.
    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError>;

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
    /// One of espeak-ng's variants by its name (`f2`, `m3`), or a speaker of a VITS that has several; `None` is the plain one, or the
    /// first. A server speaks with the voice that is configured.
    pub variant: Option<String>,
    /// Speed in words a minute, 80 to 450.
    pub speed: u16,
    /// Pitch, 0 to 100; 50 is the variant's own, and the only one of a VITS and of voices on servers.
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

/// A word, and where it sounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it stands in the text that was given.
    pub text: String,
    /// In samples at 16 kHz, from the beginning of what it is told with.
    pub samples: Range<u64>,
}

/// A piece of a clause's sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// 16 kHz mono.
    pub samples: Vec<i16>,
    /// The words that begin in it, from its own beginning on; none, where the voice does not tell.
    pub words: Vec<Word>,
}

impl From<Vec<i16>> for Piece {
    fn from(samples: Vec<i16>) -> Self {
        Self { samples, words: Vec::new() }
    }
}

/// One clause being spoken; dropping it cancels the rest.
pub struct Speech {
    pieces: mpsc::Receiver<Result<Piece, EngineError>>,
    /// Samples that were given out.
    given: u64,
    /// Words of what was given out that nobody has asked for.
    words: Vec<Word>,
    /// Who says it where nothing comes.
    spare: Option<Spare>,
}

/// Begins another voice's speech, for this reason.
type Spare = Box<dyn FnOnce(&EngineError) -> Result<Speech, EngineError> + Send + Sync>;

impl Speech {
    /// The listener's side of a clause.
    pub fn new(pieces: mpsc::Receiver<Result<Piece, EngineError>>) -> Self {
        Self { pieces, given: 0, words: Vec::new(), spare: None }
    }

    /// The same; where an engine fails before its first piece, or ends without one, another voice says it.
    #[must_use]
    pub fn or_else(
        self,
        spare: impl FnOnce(&EngineError) -> Result<Self, EngineError> + Send + Sync + 'static,
    ) -> Self {
        Self { spare: Some(Box::new(spare)), ..self }
    }

    /// The next samples (16 kHz mono, any number of them, never none); `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Vec<i16>, EngineError>> {
        let Piece { samples, words } = match self.next_piece().await? {
            Ok(piece) => piece,
            Err(error) => return Some(Err(error)),
        };
        let from = self.given;
        self.given += samples.len() as u64;
        self.words.extend(words.into_iter().map(|Word { text, samples }| {
            let samples = from + samples.start..from + samples.end;
            Word { text, samples }
        }));
        Some(Ok(samples))
    }

    /// The same with its words, for whoever passes it on. Cancel safe.
    pub async fn next_piece(&mut self) -> Option<Result<Piece, EngineError>> {
        let piece = self.pieces.recv().await;
        let Some(spare) = self.spare.take() else { return piece };
        let failed = match piece {
            Some(Err(error)) if !matches!(error, EngineError::Input(_)) => error,
            // Its thread has let go of it.
            None => EngineError::Stopped { engine: "voice" },
            piece => return piece,
        };
        match spare(&failed) {
            Ok(Self { pieces, .. }) => {
                self.pieces = pieces;
                self.pieces.recv().await
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// The words that begin in what came of [`Speech::next`] since this was asked last, from the beginning of the clause's sound on. Only
    /// voices whose model says how long each sound lasts tell them.
    pub fn take_words(&mut self) -> Vec<Word> {
        mem::take(&mut self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice that says this and is over.
    fn saying(pieces: Vec<Result<Piece, EngineError>>) -> Speech {
        let (say, speech) = mpsc::channel(8);
        pieces.into_iter().for_each(|piece| say.try_send(piece).expect("there is room"));
        Speech::new(speech)
    }

    async fn all(mut speech: Speech) -> (Vec<i16>, Option<String>) {
        let mut samples = Vec::new();
        while let Some(piece) = speech.next().await {
            match piece {
                Ok(piece) => samples.extend(piece),
                Err(error) => return (samples, Some(error.to_string())),
            }
        }
        (samples, None)
    }

    #[tokio::test]
    async fn another_voice_says_what_one_fails_to_begin_and_nothing_of_what_it_has_begun() {
        let sound = |sample| Ok(Piece::from(vec![sample; 2]));
        let failed = || Err(EngineError::Failed { engine: "voice", reason: "of a test".into() });
        let unfit = || Err(EngineError::Input("nothing to say".into()));
        for (own, heard, error) in [
            (vec![sound(1), sound(1)], vec![1; 4], None),
            (vec![failed()], vec![2; 2], None),
            (vec![], vec![2; 2], None),
            (vec![sound(1), failed()], vec![1; 2], Some("the voice failed: of a test")),
            (vec![unfit()], vec![], Some("nothing to say")),
        ] {
            let speech = saying(own).or_else(move |_| Ok(saying(vec![sound(2)])));
            assert_eq!(all(speech).await, (heard, error.map(str::to_owned)));
        }
        let neither = saying(vec![failed()]).or_else(|why| Err(EngineError::Input(format!("neither: {why}"))));
        assert_eq!(all(neither).await.1.as_deref(), Some("neither: the voice failed: of a test"));
    }
}
