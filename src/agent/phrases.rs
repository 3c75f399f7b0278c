//! Set sentences, the personas' and an interpreter's, as sound, made once at the start: a greeting needs no engine, and an apology can
//! be spoken when the voice itself has failed.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use milo_models::{
    engine::{EngineError, Language},
    synthesizer::{SpeechOptions, Synthesizer},
    text::{clauses::Clauses, speakable},
};

use super::{Persona, Phrase};
use crate::engines::{Mode, Timbre, Timbres};

/// What is said in place of a goodbye that names something of the call, where there is no voice to say it.
const GOODBYES: [(Language, &str); 2] =
    [(Language::Mg, "Misaotra, veloma tompoko!"), (Language::Fr, "Merci, au revoir!")];
/// What whoever waits hears of a plan that has no persona.
const WAITS: [(Language, &str); 2] =
    [(Language::Mg, "Andraso kely azafady."), (Language::Fr, "Un instant, s'il vous plaît.")];

/// Samples at 16 kHz by what they are of.
#[derive(Clone, Debug, Default)]
pub struct SetPhrases(HashMap<Known, Arc<[i16]>>);

/// A sentence, and how it sounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    text: String,
    language: Language,
    timbre: Timbre,
    /// Whether no server may have made it.
    is_local: bool,
}

impl Known {
    /// Of whoever speaks, if it is a persona.
    fn of(persona: Option<&Persona>, text: &str, language: Language) -> Self {
        let timbre = persona.map_or_else(Timbre::default, |persona| persona.voice.of(language).clone());
        let is_local = persona.is_some_and(|persona| persona.mode == Some(Mode::Local));
        Self { text: text.to_owned(), language, timbre, is_local }
    }
}

impl SetPhrases {
    /// Lets the voice speak every sentence of the personas once, and these besides; the second one, which no server has a part in, those of
    /// personas that are kept local.
    pub async fn make<'a>(
        (voice, within): (&Arc<dyn Synthesizer>, &Arc<dyn Synthesizer>),
        personas: impl Iterator<Item = &'a Persona>,
        more: impl Iterator<Item = (Language, &'static str)>,
    ) -> Result<Self, EngineError> {
        let mut made = HashMap::new();
        let mut known: Vec<(Known, &Timbres)> = Vec::new();
        let plain = Timbres::default();
        for persona in personas {
            // In its own voice, too, what is said where there is none to say its goodbye.
            let sentences = persona.sentences().map(|(language, _, text)| (language, text)).chain(GOODBYES);
            known.extend(sentences.map(|(language, text)| (Known::of(Some(persona), text, language), &persona.voice)));
        }
        let more = GOODBYES.into_iter().chain(WAITS).chain(more);
        known.extend(more.map(|(language, text)| (Known::of(None, text, language), &plain)));
        for (known, timbres) in known {
            // What is only known during a call is spoken then.
            if known.text.is_empty() || known.text.contains("{{") {
                continue;
            }
            let voice = timbres.voice(if known.is_local { within } else { voice });
            let (text, language) = (known.text.clone(), known.language);
            if let Entry::Vacant(place) = made.entry(known) {
                place.insert(spoken(&voice, &text, language).await?);
            }
        }
        Ok(Self(made))
    }

    /// The sound of a sentence; a persona that was not among those given to `make` has none.
    pub fn sound(&self, persona: &Persona, phrase: Phrase, language: Language) -> Arc<[i16]> {
        self.made(&Known::of(Some(persona), persona.phrase(phrase, language), language))
    }

    /// The sound of one of its openers.
    pub fn opener(&self, persona: &Persona, which: usize, language: Language) -> Arc<[i16]> {
        let text = persona.openers(language).get(which).map_or("", String::as_str);
        self.made(&Known::of(Some(persona), text, language))
    }

    /// The sound of a sentence that was given to `make`; none of another.
    pub fn sentence(&self, text: &str, language: Language) -> Arc<[i16]> {
        self.made(&Known::of(None, text, language))
    }

    fn made(&self, known: &Known) -> Arc<[i16]> {
        self.0.get(known).cloned().unwrap_or_else(|| Arc::new([]))
    }

    /// What is heard in place of a sentence that has no sound of its own, where the voice cannot say it; none where it has one.
    pub fn spare<'a>(&self, persona: &'a Persona, phrase: Phrase, language: Language) -> Option<(&'a str, Arc<[i16]>)> {
        if !self.sound(persona, phrase, language).is_empty() {
            return None;
        }
        let (text, sound) = match phrase {
            Phrase::Goodbye => self.plain_goodbye(Some(persona), language),
            _ => (persona.phrase(Phrase::Apology, language), self.sound(persona, Phrase::Apology, language)),
        };
        (!sound.is_empty()).then_some((text, sound))
    }

    /// The goodbye of whoever speaks, or one that suits everybody.
    pub fn goodbye(&self, persona: Option<&Persona>, language: Language) -> Arc<[i16]> {
        let own = persona.map(|persona| self.sound(persona, Phrase::Goodbye, language));
        own.filter(|sound| !sound.is_empty()).unwrap_or_else(|| self.plain_goodbye(persona, language).1)
    }

    /// What whoever waits hears where nobody speaks.
    pub(super) fn plain_wait(&self, language: Language) -> Arc<[i16]> {
        WAITS.iter().find(|(of, _)| *of == language).map(|(_, text)| self.sentence(text, language)).unwrap_or_default()
    }

    fn plain_goodbye(&self, persona: Option<&Persona>, language: Language) -> (&'static str, Arc<[i16]>) {
        let text = GOODBYES.iter().find(|(of, _)| *of == language).map_or("", |(_, text)| *text);
        (text, self.made(&Known::of(persona, text, language)))
    }
}

/// Words as sound.
pub(crate) async fn spoken(
    voice: &Arc<dyn Synthesizer>,
    text: &str,
    language: Language,
) -> Result<Arc<[i16]>, EngineError> {
    let words = speakable(text, language);
    match whole(voice, &words, language).await {
        // In the middle of a text nobody stands in for a voice, but where a clause is begun.
        Err(EngineError::Failed { .. }) => {
            let (mut clauses, mut samples) = (Clauses::new(), Vec::new());
            let begun = clauses.push(&words);
            for clause in begun.into_iter().chain(clauses.finish()) {
                samples.extend(whole(voice, &clause, language).await?);
            }
            Ok(samples.into())
        }
        said => said.map(Into::into),
    }
}

async fn whole(voice: &Arc<dyn Synthesizer>, words: &str, language: Language) -> Result<Vec<i16>, EngineError> {
    let mut speech = voice.speak(words, language, SpeechOptions::default())?;
    let mut samples = Vec::new();
    while let Some(chunk) = speech.next().await {
        samples.extend(chunk?);
    }
    Ok(samples)
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
        let known = texts.map(|(language, text)| Known::of(None, text, language));
        let made = known.enumerate().map(|(at, known)| (known, vec![at as i16].into()));
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

    #[test]
    fn a_sentence_is_known_by_the_voice_that_says_it() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let plain = Persona::parse(demo).expect("the demonstration");
        let other = Persona::parse(&format!("voice.mg = {{ variant = 'f2' }}\n{demo}")).expect("another voice");
        let text = plain.phrase(Phrase::Apology, Language::Mg);
        let known = [&plain, &other].map(|persona| Known::of(Some(persona), text, Language::Mg));
        let phrases =
            SetPhrases(known.into_iter().enumerate().map(|(at, known)| (known, vec![at as i16].into())).collect());
        let said = [&plain, &other].map(|persona| phrases.sound(persona, Phrase::Apology, Language::Mg)[0]);
        assert_eq!(said, [0, 1]);
        assert_eq!(phrases.sentence(text, Language::Mg)[0], 0, "who is no persona speaks plainly");
    }
}
