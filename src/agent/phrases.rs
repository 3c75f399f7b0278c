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

/// Samples at 16 kHz by text and language.
#[derive(Clone, Debug, Default)]
pub struct SetPhrases(HashMap<(String, Language), Arc<[i16]>>);

impl SetPhrases {
    /// Lets the voice speak every sentence of the personas once, and these besides.
    pub async fn make<'a>(
        voice: &Arc<dyn Synthesizer>,
        personas: impl Iterator<Item = &'a Persona>,
        more: impl Iterator<Item = (Language, &'static str)>,
    ) -> Result<Self, EngineError> {
        let mut made = HashMap::new();
        let of_personas = personas.flat_map(Persona::sentences).map(|(language, _, text)| (language, text));
        for (language, text) in of_personas.chain(more.map(|more| -> (Language, &'a str) { more })) {
            // What is only known during a call is spoken then.
            if text.is_empty() || text.contains("{{") {
                continue;
            }
            let key = (text.to_owned(), language);
            if let Entry::Vacant(place) = made.entry(key) {
                place.insert(spoken(voice, text, language).await?);
            }
        }
        Ok(Self(made))
    }

    /// The sound of a sentence; a persona that was not among those given to `make` has none.
    pub fn sound(&self, persona: &Persona, phrase: Phrase, language: Language) -> Arc<[i16]> {
        self.sentence(persona.phrase(phrase, language), language)
    }

    /// The sound of a sentence that was given to `make`; none of another.
    pub fn sentence(&self, text: &str, language: Language) -> Arc<[i16]> {
        self.0.get(&(text.to_owned(), language)).cloned().unwrap_or_else(|| Arc::new([]))
    }
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
