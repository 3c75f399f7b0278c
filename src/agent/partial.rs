//! What the caller has said so far, while they speak, for whoever follows the conversation in writing.
//!
//! The turn is transcribed anew about once a second, never twice at once, and gives way to calls' own work. Words are shown once two transcripts
//! one after the other agree on them (local agreement: Macháček, Dabre and Bojar 2023, "Turning Whisper into Real-Time Transcription
//! System"), so that what is shown stays.

use std::future::pending;

use milo_models::{
    engine::Language,
    queue::Class,
    transcriber::{Listen, Transcribing},
};
use tokio::time::{Duration, Instant};

use super::Ear;
use crate::engines::Engines;

/// The first transcript is begun after so much speech, and the next ones as long after the last one came…
const EVERY: Duration = Duration::from_millis(900);
/// …or so many times as long as it took: the transcriber has others to listen to.
const SHARE: u32 = 4;

/// The transcripts of one turn so far.
#[derive(Default)]
pub(super) struct Partials {
    /// Whether anybody reads them.
    are_read: bool,
    /// When the next one is begun.
    due: Option<Instant>,
    working: Option<(Transcribing, Instant)>,
    newest: Vec<String>,
    agreed: usize,
}

impl Partials {
    /// Of no turn yet; where nobody reads them, none are made.
    pub(super) fn new(are_read: bool) -> Self {
        Self { are_read, ..Self::default() }
    }

    /// The caller speaks.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.are_read);
        self.resume();
    }

    /// The caller may have finished, or has: the whole turn is transcribed.
    pub(super) fn end(&mut self) {
        (self.due, self.working) = (None, None);
    }

    /// They go on.
    pub(super) fn resume(&mut self) {
        self.due = self.are_read.then(|| Instant::now() + EVERY);
    }

    /// When the next transcript should be begun.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.working.is_none())
    }

    /// Begins it.
    pub(super) fn transcribe(&mut self, ear: &mut Ear, engines: &Engines) {
        let asked = Listen { class: Class::Speculative, ..Listen::default() };
        self.working = Some((engines.transcriber.transcribe(ear.turn(), asked), Instant::now()));
    }

    /// Waits until more words are sure than were before: all of those. Cancel safe; what fails is left out.
    pub(super) async fn next(&mut self) -> (String, Language) {
        loop {
            let Some((transcribing, began)) = &mut self.working else { return pending().await };
            let transcript = transcribing.await;
            self.due = Some(Instant::now() + EVERY.max(began.elapsed() * SHARE));
            self.working = None;
            let Ok(transcript) = transcript else { continue };
            if let Some(text) = self.agree(&transcript.text) {
                return (text, transcript.language);
            }
        }
    }

    /// Takes a transcript that was shown already.
    pub(super) fn read(&mut self, text: &str) {
        self.agree(text);
    }

    /// Takes the newest transcript; the words that it and the one before agree on, where there are more than before.
    fn agree(&mut self, text: &str) -> Option<String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let plain = |word: &str| word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
        let same = words.iter().zip(&self.newest).take_while(|(new, old)| plain(new) == plain(old)).count();
        self.newest = words;
        if same <= self.agreed {
            return None;
        }
        self.agreed = same;
        Some(self.newest[..same].join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_two_transcripts_agree_on_are_shown_and_they_stay() {
        let mut partials = Partials::default();
        let shown: Vec<_> = [
            "amin'ny ora",
            "Amin'ny ora, firy no",
            "amin'ny ora firy ny miso",
            "amin'ny ora firy no misokatra",
            "amin'ny ora firy no misokatra ny birao",
        ]
        .into_iter()
        .map(|text| partials.agree(text))
        .collect();
        let expected =
            [None, Some("Amin'ny ora,"), Some("amin'ny ora firy"), None, Some("amin'ny ora firy no misokatra")];
        assert_eq!(shown, expected.map(|text| text.map(str::to_owned)));
    }
}
