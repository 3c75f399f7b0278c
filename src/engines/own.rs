//! The engines as one persona wants them: within this process, in its voice, held to its language.

use std::{borrow::Cow, sync::Arc};

use milo_models::{
    engine::Language,
    queue::{Waiting, Work},
    transcriber::{Listen, Transcriber, Transcribing},
};

use super::{Engines, Judge, Mode, Timbres};

impl Engines {
    /// The same for a persona that wants this: with [`Mode::Local`] no server hears, answers, speaks, learns what is looked up, or runs a
    /// graph on what was said, wherever it stands; with [`Mode::Cloud`] the server is asked first, whatever is so otherwise.
    pub fn in_mode(&self, mode: Option<Mode>) -> Cow<'_, Self> {
        if mode.is_none() || mode == Some(self.mind.mode()) && mode == Some(Mode::Cloud) {
            return Cow::Borrowed(self);
        }
        let mind = self.mind.in_mode(mode);
        if mode == Some(Mode::Cloud) {
            return Cow::Owned(Self { mind, ..self.clone() });
        }
        let (transcriber, voice) = self.swaps.within();
        let end_of_turn = self.end_of_turn.clone().map(Judge::within);
        Cow::Owned(Self { transcriber, voice, mind, end_of_turn, embedder: None, is_local: true, ..self.clone() })
    }

    /// The same for a persona that sounds so, and where it speaks one language only, hears that.
    pub fn of_persona(&self, mode: Option<Mode>, timbres: &Timbres, only: Option<Language>) -> Self {
        let own = self.in_mode(mode).into_owned();
        let voice = timbres.voice(&own.voice);
        let transcriber = match only {
            Some(language) => Arc::new(Held { transcriber: own.transcriber, language }) as Arc<dyn Transcriber>,
            None => own.transcriber,
        };
        Self { voice, transcriber, ..own }
    }

    /// Whether it is kept that way.
    pub fn is_local(&self) -> bool {
        self.is_local
    }
}

/// Hears one language, where nobody asks for another.
struct Held {
    transcriber: Arc<dyn Transcriber>,
    language: Language,
}

impl Transcriber for Held {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        let language = asked.language.or(Some(self.language));
        self.transcriber.transcribe(samples, Listen { language, ..asked })
    }

    fn knows_words(&self) -> bool {
        self.transcriber.knows_words()
    }

    fn takes_prompt(&self) -> bool {
        self.transcriber.takes_prompt()
    }

    fn waiting(&self) -> Waiting {
        self.transcriber.waiting()
    }

    fn work(&self) -> Work {
        self.transcriber.work()
    }

    fn stopped(&self) -> bool {
        self.transcriber.stopped()
    }
}

#[cfg(test)]
mod tests {
    use milo_models::transcriber::Transcript;

    use super::*;

    /// Understands what it was asked to hear.
    struct Told;

    impl Transcriber for Told {
        fn transcribe(&self, _: Vec<i16>, asked: Listen) -> Transcribing {
            let text = format!("{:?}", asked.language);
            Box::pin(async move { Ok(Transcript::written(text, asked.language.unwrap_or(Language::Mg))) })
        }

        fn knows_words(&self) -> bool {
            false
        }

        fn takes_prompt(&self) -> bool {
            false
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn whoever_is_held_to_a_language_hears_it_unless_another_is_asked_for() {
        let held = Held { transcriber: Arc::new(Told), language: Language::Fr };
        for (asked, heard) in [(None, "Some(Fr)"), (Some(Language::Mg), "Some(Mg)")] {
            let transcript = held.transcribe(Vec::new(), Listen::to(asked)).await.expect("it hears");
            assert_eq!(transcript.text, heard);
        }
    }
}
