//! What it means that somebody speaks while Milo does.

use std::time::Duration;

use milo_media::Voice;
use milo_models::{
    text::{heard::is_back_channel, speakable},
    transcriber::Transcript,
};

use super::mouth::Mouth;

/// An echo of what Milo says ends when Milo pauses: it is no longer than this…
const ECHO: Duration = Duration::from_millis(700);
/// …and what it holds was said within this before the pause.
pub(super) const RECENT: Duration = Duration::from_millis(2_000);
/// A noise is short, and its words are less sure than this (the mean of the tokens' probabilities).
const NOISE: Duration = Duration::from_millis(600);
const UNSURE: f32 = 0.45;
/// Where no more than this is left of a reply that ends with a question, "eny" is the answer to it.
pub(super) const ASKED: Duration = Duration::from_millis(1_500);

/// Why a reply goes on that only a voice without words was heard into.
pub(super) const NO_WORDS: &str = "no words";
/// Why one goes on that was only agreed to.
const BACK_CHANNEL: &str = "back-channel";

/// To what of the caller's something that is said gives way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Yields {
    /// Words that are meant for Milo.
    #[default]
    Words,
    /// Any words: who says "eny" is there.
    AnyWord,
    /// Nothing: no answer to it is waited for.
    Nothing,
}

/// Whether the reply goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does, for this reason.
    GoesOn(&'static str),
    Interrupts,
}

/// Judges what was said, for so long, into what this mouth says.
pub(super) fn verdict(said: &Transcript, spoken_for: Duration, mouth: &Mouth, voice: &Voice) -> Verdict {
    let recent = || speakable(&mouth.recent(voice, RECENT), mouth.language());
    match judge(said, spoken_for, mouth.asks(voice, ASKED), recent) {
        Verdict::GoesOn(BACK_CHANNEL) if mouth.yields == Yields::AnyWord => Verdict::Interrupts,
        verdict => verdict,
    }
}

/// The same of a reply that is asked about, or not, and of which this was heard lately.
pub(super) fn judge(said: &Transcript, spoken_for: Duration, is_asked: bool, recent: impl Fn() -> String) -> Verdict {
    let text = said.text.trim();
    if !text.chars().any(char::is_alphanumeric) {
        return Verdict::GoesOn(NO_WORDS);
    }
    if spoken_for <= NOISE && said.confidence.is_some_and(|confidence| confidence < UNSURE) {
        return Verdict::GoesOn("noise");
    }
    if is_back_channel(text) && !is_asked {
        return Verdict::GoesOn(BACK_CHANNEL);
    }
    if spoken_for <= ECHO && !is_asked && is_within(text, &recent()) {
        return Verdict::GoesOn("echo");
    }
    Verdict::Interrupts
}

/// Whether all of these words stand one after the other in a text.
fn is_within(words: &str, text: &str) -> bool {
    let plain = |text: &str| -> Vec<String> {
        let words =
            text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'').filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let (words, text) = (plain(words), plain(text));
    !words.is_empty() && text.windows(words.len()).any(|part| part == words)
}

#[cfg(test)]
mod tests {
    use milo_models::engine::Language;

    use super::*;

    fn after(text: &str, ms: u64, confidence: Option<f32>, is_asked: bool) -> Verdict {
        let said = Transcript { confidence, ..Transcript::written(text.into(), Language::Mg) };
        let recent = || "Misokatra amin'ny valo maraina izahay".to_owned();
        judge(&said, Duration::from_millis(ms), is_asked, recent)
    }

    #[test]
    fn what_was_said_decides() {
        for (text, ms, confidence, is_asked, verdict) in [
            ("", 1_500, None, false, Verdict::GoesOn(NO_WORDS)),
            ("...", 1_500, None, false, Verdict::GoesOn(NO_WORDS)),
            ("valo", 300, Some(0.9), true, Verdict::Interrupts),
            ("ny", 300, Some(0.2), false, Verdict::GoesOn("noise")),
            ("andraso kely", 900, Some(0.2), false, Verdict::Interrupts),
            ("eny", 300, Some(0.9), false, Verdict::GoesOn("back-channel")),
            ("eny", 300, Some(0.9), true, Verdict::Interrupts),
            ("valo maraina", 500, Some(0.9), false, Verdict::GoesOn("echo")),
            ("Valo maraina?", 1_200, Some(0.9), false, Verdict::Interrupts),
            ("maraina valo", 500, Some(0.9), false, Verdict::Interrupts),
            ("tsia", 300, Some(0.9), false, Verdict::Interrupts),
            ("tsia", 300, None, false, Verdict::Interrupts),
        ] {
            assert_eq!(after(text, ms, confidence, is_asked), verdict, "{text}");
        }
    }
}
