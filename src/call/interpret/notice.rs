//! What an interpreter says of itself, to each in their language. The sounds are made with the plans, so that it can be said when the
//! voice has failed.

use milo_models::engine::Language;

/// One of its sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It begins.
    Begins,
    /// It did not understand who hears this.
    NotUnderstood,
    /// It understood them, and is not sure how to say it.
    NotTranslated,
    /// They have said more than it could tell the other so far.
    TooFast,
    /// It has ended, and the call goes on without it.
    Ends,
}

impl Notice {
    const ALL: [Self; 5] = [Self::Begins, Self::NotUnderstood, Self::NotTranslated, Self::TooFast, Self::Ends];

    pub(super) fn words(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Begins, Language::Fr) => "Cet appel est traduit par une machine. Faites des phrases courtes.",
            (Self::Begins, Language::Mg) => "Adikan'ny milina ity antso ity. Mampiasà fehezanteny fohy.",
            (Self::NotUnderstood, Language::Fr) => "Je n'ai pas compris. Répétez, s'il vous plaît.",
            (Self::NotUnderstood, Language::Mg) => "Tsy azoko ny teninao. Avereno azafady.",
            (Self::NotTranslated, Language::Fr) => "Je n'ai pas pu traduire cela. Dites-le autrement, s'il vous plaît.",
            (Self::NotTranslated, Language::Mg) => "Tsy vitako ny nandika izany. Lazao amin'ny teny hafa azafady.",
            (Self::TooFast, Language::Fr) => {
                "Un instant, s'il vous plaît. Vos derniers mots n'ont pas été traduits : redites-les ensuite."
            }
            (Self::TooFast, Language::Mg) => {
                "Andraso kely azafady. Tsy voadika ny teninao farany: avereno rehefa avy eo."
            }
            (Self::Ends, Language::Fr) => "La traduction ne marche plus. L'appel continue sans elle.",
            (Self::Ends, Language::Mg) => "Tsy mandeha intsony ny fandikana. Mitohy tsy misy azy ny antso.",
        }
    }
}

/// All that an interpreter says of itself.
pub fn interpreter_sentences() -> impl Iterator<Item = (Language, &'static str)> {
    let each = |language: Language| Notice::ALL.map(|notice| (language, notice.words(language)));
    [Language::Mg, Language::Fr].into_iter().flat_map(each)
}
