//! Set sentences, the personas' and an interpreter's, as sound, made once at the start: a greeting needs no engine, and an apology can
//! be spoken when the voice itself has failed.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use milo_models::{
    engine::{EngineError, Language},
    synthesizer::{SpeechOptions, Synthesizer},
    text::speakable,
};

use super::{Persona, Phrase};
use crate::engines::Mode;

/// What is said in place of a goodbye that names something of the call, where there is no voice to say it.
const GOODBYES: [(Language, &str); 2] =
    [(Language::Mg, "Misaotra, veloma tompoko!"), (Language::Fr, "Merci, au revoir!")];
/// What whoever waits hears of a plan that has no persona.
const WAITS: [(Language, &str); 2] =
    [(Language::Mg, "Andraso kely azafady."), (Language::Fr, "Un instant, s'il vous plaît.")];

/// Samples at 16 kHz by text and language, and by whether no server may have made them.
#[derive(Clone, Debug, Default)]
pub struct SetPhrases(HashMap<(String, Language, bool), Arc<[i16]>>);

impl SetPhrases {
    /// Lets the voice speak every sentence of the personas once, and these besides; the second one, which no server has a part in, those of
    /// personas that are kept local.
    pub async fn make<'a>(
        (voice, within): (&Arc<dyn Synthesizer>, &Arc<dyn Synthesizer>),
        personas: impl Iterator<Item = &'a Persona>,
        more: impl Iterator<Item = (Language, &'static str)>,
    ) -> Result<Self, EngineError> {
        let mut made = HashMap::new();
        let mut texts: Vec<(Language, &str, bool)> = Vec::new();
        for persona in personas {
            texts.extend(persona.sentences().map(|(language, _, text)| (language, text, is_local(persona))));
        }
        texts.extend(GOODBYES.into_iter().chain(WAITS).chain(more).map(|(language, text)| (language, text, false)));
        for (language, text, is_local) in texts {
            // What is only known during a call is spoken then.
            if text.is_empty() || text.contains("{{") {
                continue;
            }
            if let Entry::Vacant(place) = made.entry((text.to_owned(), language, is_local)) {
                place.insert(spoken(if is_local { within } else { voice }, text, language).await?);
            }
        }
        Ok(Self(made))
    }

    /// The sound of a sentence; a persona that was not among those given to `make` has none.
    pub fn sound(&self, persona: &Persona, phrase: Phrase, language: Language) -> Arc<[i16]> {
        self.made(persona.phrase(phrase, language), language, is_local(persona))
    }

    /// The sound of one of its openers.
    pub fn opener(&self, persona: &Persona, which: usize, language: Language) -> Arc<[i16]> {
        let text = persona.openers(language).get(which).map_or("", String::as_str);
        self.made(text, language, is_local(persona))
    }

    /// The sound of a sentence that was given to `make`; none of another.
    pub fn sentence(&self, text: &str, language: Language) -> Arc<[i16]> {
        self.made(text, language, false)
    }

    fn made(&self, text: &str, language: Language, is_local: bool) -> Arc<[i16]> {
        self.0.get(&(text.to_owned(), language, is_local)).cloned().unwrap_or_else(|| Arc::new([]))
    }

    /// What is heard in place of a sentence that has no sound of its own, where the voice cannot say it; none where it has one.
    pub fn spare<'a>(&self, persona: &'a Persona, phrase: Phrase, language: Language) -> Option<(&'a str, Arc<[i16]>)> {
        if !self.sound(persona, phrase, language).is_empty() {
            return None;
        }
        let (text, sound) = match phrase {
            Phrase::Goodbye => self.plain_goodbye(language),
            _ => (persona.phrase(Phrase::Apology, language), self.sound(persona, Phrase::Apology, language)),
        };
        (!sound.is_empty()).then_some((text, sound))
    }

    /// The goodbye of whoever speaks, or one that suits everybody.
    pub fn goodbye(&self, persona: Option<&Persona>, language: Language) -> Arc<[i16]> {
        let own = persona.map(|persona| self.sound(persona, Phrase::Goodbye, language));
        own.filter(|sound| !sound.is_empty()).unwrap_or_else(|| self.plain_goodbye(language).1)
    }

    /// What whoever waits hears where nobody speaks.
    pub(super) fn plain_wait(&self, language: Language) -> Arc<[i16]> {
        WAITS.iter().find(|(of, _)| *of == language).map(|(_, text)| self.sentence(text, language)).unwrap_or_default()
    }

    fn plain_goodbye(&self, language: Language) -> (&'static str, Arc<[i16]>) {
        let text = GOODBYES.iter().find(|(of, _)| *of == language).map_or("", |(_, text)| *text);
        (text, self.sentence(text, language))
    }
}

fn is_local(persona: &Persona) -> bool {
    persona.mode == Some(Mode::Local)
}

/// Words as sound.
pub(crate) async fn spoken(
    voice: &Arc<dyn Synthesizer>,
    text: &str,
    language: Language,
) -> Result<Arc<[i16]>, EngineError> {
    let mut speech = voice.speak(&speakable(text, language), language, SpeechOptions::default())?;
    let mut samples = Vec::new();
    while let Some(chunk) = speech.next().await {
        samples.extend(chunk?);
    }
    Ok(samples.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_names_something_of_the_call_has_another_beside_it_that_needs_no_voice() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let named = demo.replace("Misaotra niantso. Veloma tompoko!", "Veloma {{caller}}!");
        let named =
            Persona::parse(&named.replace("Mbola eo ve ianao?", "{{caller}}, mbola eo ve?")).expect("a persona");
        let plain = Persona::parse(demo).expect("the demonstration");
        let texts = plain.sentences().map(|(language, _, text)| (language, text)).chain(GOODBYES);
        let made = texts
            .enumerate()
            .map(|(at, (language, text))| ((text.to_owned(), language, false), vec![at as i16].into()));
        let phrases = SetPhrases(made.collect());
        assert_eq!(phrases.spare(&plain, Phrase::Goodbye, Language::Mg), None, "it has a sound");
        let (text, sound) = phrases.spare(&named, Phrase::Goodbye, Language::Mg).expect("another");
        assert_eq!((text, &sound), ("Misaotra, veloma tompoko!", &phrases.goodbye(Some(&named), Language::Mg)));
        assert_ne!(phrases.goodbye(Some(&plain), Language::Mg), sound);
        assert_eq!(phrases.goodbye(None, Language::Mg), sound);
        let (text, _) = phrases.spare(&named, Phrase::AreYouThere, Language::Mg).expect("another");
        assert_eq!(text, plain.phrase(Phrase::Apology, Language::Mg));
        assert_eq!(SetPhrases::default().spare(&named, Phrase::Goodbye, Language::Fr), None, "nothing was made");
    }
}
