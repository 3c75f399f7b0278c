//! A reply that is not in the caller's language: which voice speaks which clause of it, and which replies are not said at all.
//!
//! ```text
//!  a clause ─┬─ surely Malagasy, surely French ─► that language's voice ──── by whoever does as they are told
//!            │                                   └─ not said: not understood ─ by a model that was told the caller's language in vain
//!            ├─ surely neither ─┬─ the reply begins so, to a caller whose language is known ─► not said either
//!            │                  └─ a title or quotation later in it; nobody knows what the caller speaks ─► as it stands
//!            └─ a name, a number ─► the voice of the clause before it, or of the caller's language
//! ```

use milo_models::{
    engine::Language,
    text::{Tongue, surely},
};

/// What whoever wants to speak the other language calls it ("miteny frantsay ve ianao", "en malgache").
const NAMES: [&str; 4] = ["frantsay", "français", "malagasy", "malgache"];

/// In what the clauses of a reply are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tongues {
    /// The caller's own words have shown which of the two languages they speak.
    is_known: bool,
    /// They have named a language, and may be answered in it.
    is_named: bool,
    /// The newest that a clause has shown since the model was asked.
    newest: Option<Language>,
    /// Clauses that were spoken in the other of the two languages.
    pub(super) other: usize,
    /// Clauses that were in neither, and were spoken as they stood.
    pub(super) neither: usize,
    /// The reply was in a language in which it is not said.
    pub(super) is_unfit: bool,
}

/// Whether these words show which of the two languages whoever says them speaks.
pub(super) fn is_known(words: &str) -> bool {
    matches!(surely(words), Some(Tongue::Of(_)))
}

impl Tongues {
    /// Of a reply to these words, of a caller of whom that is known, or is not.
    pub(super) fn to(is_known: bool, words: &str) -> Self {
        let words = words.to_lowercase();
        Self { is_known, is_named: NAMES.iter().any(|name| words.contains(name)), ..Self::default() }
    }

    /// The model is asked anew.
    pub(super) fn again(&mut self) {
        (self.newest, self.is_unfit) = (None, false);
    }

    /// The voice for the next clause of a reply to a caller of this language, by somebody who does as they are told, or does not; none where
    /// the reply is not said.
    pub(super) fn of(&mut self, clause: &str, caller: Language, heeds: bool) -> Option<Language> {
        let language = match (surely(clause), self.newest) {
            (None, newest) => newest.unwrap_or(caller),
            (Some(Tongue::Of(language)), newest)
                if language == caller || heeds || self.is_named || newest.is_some() =>
            {
                self.newest = Some(language);
                language
            }
            (Some(Tongue::Other), newest) if newest.is_some() || (heeds && !self.is_known) => {
                self.neither += 1;
                newest.unwrap_or(caller)
            }
            (Some(Tongue::Of(_) | Tongue::Other), _) => {
                self.is_unfit = true;
                return None;
            }
        };
        self.other += usize::from(language != caller);
        Some(language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The voices of these clauses of a reply to a Malagasy caller; none where the reply ends there unsaid.
    fn voices(clauses: &[&str], heeds: bool) -> Vec<Option<Language>> {
        let mut tongues = Tongues::to(is_known("firy ny vidin'ny tapakila"), "");
        clauses.iter().map(|clause| tongues.of(clause, Language::Mg, heeds)).collect()
    }

    #[test]
    fn a_clause_is_spoken_by_the_voice_of_its_language_where_whoever_wrote_it_heeds_what_they_are_told() {
        const FRENCH: &str = "Nous ouvrons à huit heures du matin.";
        const MALAGASY: &str = "Misokatra amin'ny valo ora izahay.";
        const ENGLISH: &str = "We are open at eight in the morning.";
        let (mg, fr) = (Some(Language::Mg), Some(Language::Fr));
        assert_eq!(voices(&["Rakoto.", FRENCH, "034 12 345 67", MALAGASY], true), [mg, fr, fr, mg]);
        assert_eq!(voices(&["Rakoto.", FRENCH], false), [mg, None]);
        assert_eq!(voices(&[MALAGASY, FRENCH], false), [mg, fr], "it has begun to answer as it should");
        assert_eq!(voices(&[ENGLISH], true), [None]);
        assert_eq!(voices(&[MALAGASY, ENGLISH], true), [mg, mg], "a title, a quotation");
        let mut asked_for = Tongues::to(true, "mahay miteny frantsay ve ianao");
        assert_eq!(asked_for.of("Oui, bien sûr.", Language::Mg, false), fr, "it was asked for it");
        let mut to_anybody = Tongues::to(is_known("hello there"), "hello there");
        assert_eq!((to_anybody.of(ENGLISH, Language::Mg, true), to_anybody.neither), (mg, 1));
        assert_eq!(Tongues::default().of(ENGLISH, Language::Mg, false), None, "it was trained with none such");
    }
}
