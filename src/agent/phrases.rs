//! The personas' sentences as sound, made once at the start: a greeting needs no engine, and an apology can be spoken when the
//! voice itself has failed.

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
    /// Lets the voice speak every sentence of the personas once.
    pub async fn make<'a>(
        voice: &Arc<dyn Synthesizer>,
        personas: impl Iterator<Item = &'a Persona>,
    ) -> Result<Self, EngineError> {
        let mut made = HashMap::new();
        for persona in personas {
            for (language, _, text) in persona.sentences() {
                // What is only known during a call is spoken then.
                if text.is_empty() || text.contains("{{") {
                    continue;
                }
                let key = (text.to_owned(), language);
                if let Entry::Vacant(place) = made.entry(key) {
                    place.insert(spoken(voice, text, language).await?);
                }
            }
        }
        Ok(Self(made))
    }

    /// The sound of a sentence; a persona that was not among those given to `make` has none.
    pub fn sound(&self, persona: &Persona, phrase: Phrase, language: Language) -> Arc<[i16]> {
        let key = (persona.phrase(phrase, language).to_owned(), language);
        self.0.get(&key).cloned().unwrap_or_else(|| Arc::new([]))
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
