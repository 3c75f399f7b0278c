//! Callers of whom no words are understood, one turn after the other: it is asked for them again, otherwise each time, and not for ever.
//!
//! ```text
//!  once ──► "say that again"   twice ──► "more slowly"   three times ─┬─ a plan for failures ─► it has the call
//!                                                                     └─ none ─► "in few words"   four times ─► goodbye, and why
//! ```

use milo_media::Voice;
use milo_models::engine::Language;
use serde_json::json;

use super::{Audience, Conversation, Ear, Ending, Phrase, Reply, interruption::Yields, own::Uttering};

/// What Milo has said about hearing nothing since it last understood something.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// It has asked whether anybody is there, and nobody has spoken since.
    pub(super) has_asked: bool,
    /// Turns in which no words were understood.
    wordless: usize,
}

/// What is said about a turn in which no words were understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    /// The persona's own.
    Usual,
    Slowly,
    Shortly,
    /// Somebody else has the call now.
    HandedOn,
    Goodbye,
}

impl Excuse {
    /// The one of the turn of this number, where a plan goes on for failures, or none does.
    fn of(wordless: usize, is_relieved: bool) -> Self {
        match (wordless, is_relieved) {
            (0 | 1, _) => Self::Usual,
            (2, _) => Self::Slowly,
            (_, true) => Self::HandedOn,
            (3, false) => Self::Shortly,
            (_, false) => Self::Goodbye,
        }
    }

    fn is_last(self) -> bool {
        matches!(self, Self::HandedOn | Self::Goodbye)
    }

    /// Its words; none where they are the persona's.
    fn words(self, language: Language) -> Option<&'static str> {
        Some(match (self, language) {
            (Self::Usual, _) => return None,
            (Self::Slowly, Language::Mg) => "Mbola tsy azoko tsara. Azonao averina miadana ve azafady?",
            (Self::Slowly, Language::Fr) => {
                "Je n'ai toujours pas compris. Pouvez-vous répéter plus lentement, s'il vous plaît?"
            }
            (Self::Shortly, Language::Mg) => {
                "Miala tsiny, tsy azoko. Manatòna ny telefaonina, ary lazao amin'ny teny fohy azafady."
            }
            (Self::Shortly, Language::Fr) => {
                "Pardon, je n'y arrive pas. Rapprochez-vous du téléphone et dites-le en peu de mots, s'il vous plaît."
            }
            (Self::HandedOn, Language::Mg) => {
                "Miala tsiny, tsy azoko ny teninao. Ampitaiko ny antsonao, andraso kely azafady."
            }
            (Self::HandedOn, Language::Fr) => {
                "Excusez-moi, je ne vous comprends pas. Je transmets votre appel, un instant, s'il vous plaît."
            }
            (Self::Goodbye, Language::Mg) => {
                "Miala tsiny, tsy azoko ny teninao, ka tsy afaka manampy anao aho. Antsoy indray azafady. Veloma tompoko!"
            }
            (Self::Goodbye, Language::Fr) => {
                "Excusez-moi, je n'arrive pas à vous comprendre et je ne peux pas vous aider. Rappelez plus tard, s'il vous \
                 plaît. Au revoir!"
            }
        })
    }
}

impl Conversation<'_> {
    /// A turn had no words: noise, or a voice that is not understood. The caller is told; an ending where that was tried often enough.
    pub(super) async fn not_understood(
        &mut self,
        doubt: &mut Doubt,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Option<Ending> {
        doubt.has_asked = false;
        doubt.wordless += 1;
        self.record.event("nothing_understood", json!({ "times": doubt.wordless }));
        // Whoever takes replies whole ends what they have begun themselves.
        if self.record.audience().is_some_and(Audience::is_patient) {
            return self.say(Phrase::NotUnderstood, ear, voice).await;
        }
        let is_relieved = self.limits.is_relieved;
        let excuse = Excuse::of(doubt.wordless, is_relieved);
        // Who spoke into the last of them, and was not understood then either, hears it to its end.
        let was_last = Excuse::of(doubt.wordless - 1, is_relieved).is_last();
        let yields = if was_last { Yields::Nothing } else { Yields::Words };
        let Uttering { ending, is_interrupted, .. } = self.excuse(excuse, yields, ear, voice).await;
        ending.or((excuse.is_last() && !is_interrupted).then_some(Ending::NotUnderstood))
    }

    async fn excuse(&mut self, excuse: Excuse, yields: Yields, ear: &mut Ear, voice: &mut Voice) -> Uttering {
        let Some(words) = excuse.words(self.language) else {
            return self.say_as((Phrase::NotUnderstood, yields), ear, voice).await;
        };
        let reply = Reply::words(words, &self.engines.voice, self.language);
        let said = self.say_all(reply, yields, ear, voice).await;
        if !said.is_unsaid() {
            return said;
        }
        // The sound of these was made before.
        let phrase = if excuse == Excuse::Goodbye { Phrase::Goodbye } else { Phrase::NotUnderstood };
        self.say_as((phrase, yields), ear, voice).await
    }
}

#[cfg(test)]
mod tests {
    use milo_models::text::tongue;

    use super::*;

    #[test]
    fn each_turn_without_words_is_excused_otherwise_and_the_last_ends_it() {
        let all = |is_relieved| [1, 2, 3, 4, 5].map(|n| Excuse::of(n, is_relieved));
        use Excuse::{Goodbye, HandedOn, Shortly, Slowly, Usual};
        assert_eq!(all(false), [Usual, Slowly, Shortly, Goodbye, Goodbye]);
        assert_eq!(all(true), [Usual, Slowly, HandedOn, HandedOn, HandedOn]);
        for excuse in [Slowly, Shortly, HandedOn, Goodbye] {
            for language in [Language::Mg, Language::Fr] {
                assert_eq!(excuse.words(language).and_then(tongue), Some(language), "{excuse:?}");
            }
        }
    }
}
