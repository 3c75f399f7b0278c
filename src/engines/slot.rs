//! The place of an engine in this process: the model in it may be changed while calls are up.
//!
//! ```text
//! whoever asks ─► slot ─► the model that is in it now ─► its thread: this job, to its end
//!                  ▲
//!                  └── another one is put there: whoever asks from now on
//! ```
//! A job stays with the model that began it, whose thread ends once the last of them is done ([`milo_models::queue`]).

use std::sync::{Arc, PoisonError, RwLock};

use milo_models::{
    engine::{EngineError, Language},
    language_model::{ChatRequest, LanguageModel, Reply},
    queue::{Class, Waiting, Work},
    synthesizer::{Speech, SpeechOptions, Synthesizer},
    transcriber::{Listen, Transcriber, Transcribing},
    translator::{Translation, Translator},
};

/// Clones are the same place. Its lock is held for as long as it takes to look what is in it.
pub struct Slot<T: ?Sized>(Arc<RwLock<Arc<T>>>);

impl<T: ?Sized> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Slot<T> {
    pub(super) fn of(model: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(model)))
    }

    /// The model that is in it.
    fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this one is.
    pub(super) fn put(&self, model: Arc<T>) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), model);
        // Not under the lock: it may be the last handle.
        drop(before);
    }
}

impl Transcriber for Slot<dyn Transcriber> {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        self.now().transcribe(samples, asked)
    }

    fn knows_words(&self) -> bool {
        self.now().knows_words()
    }

    fn takes_prompt(&self) -> bool {
        self.now().takes_prompt()
    }

    fn waiting(&self) -> Waiting {
        self.now().waiting()
    }

    fn work(&self) -> Work {
        self.now().work()
    }

    fn stopped(&self) -> bool {
        self.now().stopped()
    }
}

impl LanguageModel for Slot<dyn LanguageModel> {
    fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        self.now().reply(request)
    }

    fn waiting(&self) -> Waiting {
        self.now().waiting()
    }

    fn work(&self) -> Work {
        self.now().work()
    }

    fn stopped(&self) -> bool {
        self.now().stopped()
    }
}

impl Synthesizer for Slot<dyn Synthesizer> {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        self.now().speak(text, language, options)
    }

    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        self.now().check(language, options)
    }

    fn waiting(&self) -> Waiting {
        self.now().waiting()
    }

    fn work(&self) -> Work {
        self.now().work()
    }

    fn stopped(&self) -> bool {
        self.now().stopped()
    }
}

impl Slot<Translator> {
    /// As [`Translator::translate`].
    ///
    /// # Errors
    /// The same.
    pub fn translate(
        &self,
        text: &str,
        source: Language,
        target: Language,
        class: Class,
    ) -> impl Future<Output = Result<Translation, EngineError>> + Send + use<> {
        self.now().translate(text, source, target, class)
    }

    /// Texts that wait for their turn.
    pub fn waiting(&self) -> Waiting {
        self.now().waiting()
    }

    /// What it has done so far; another one begins anew.
    pub fn work(&self) -> Work {
        self.now().work()
    }

    /// Whether it can translate nothing now.
    pub fn stopped(&self) -> bool {
        self.now().stopped()
    }
}

#[cfg(test)]
mod tests {
    use milo_models::transcriber::Transcript;
    use tokio::sync::Notify;

    use super::*;

    /// Hears its own name, once it may.
    struct Named(&'static str, Arc<Notify>);

    impl Transcriber for Named {
        fn transcribe(&self, _: Vec<i16>, _: Listen) -> Transcribing {
            let (name, may) = (self.0, Arc::clone(&self.1));
            Box::pin(async move {
                may.notified().await;
                Ok(Transcript::written(name.into(), Language::Mg))
            })
        }

        fn knows_words(&self) -> bool {
            self.0 == "new"
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
    async fn what_was_begun_is_ended_by_the_model_that_began_it_and_that_one_goes_with_it() {
        let may = Arc::new(Notify::new());
        let old: Arc<dyn Transcriber> = Arc::new(Named("old", Arc::clone(&may)));
        let known = Arc::downgrade(&old);
        let slot = Slot::of(old);
        let elsewhere = slot.clone();
        let begun = slot.transcribe(vec![0], Listen::default());
        slot.put(Arc::new(Named("new", Arc::clone(&may))));
        assert!(elsewhere.knows_words(), "every handle is served by the new one");
        assert!(known.upgrade().is_none(), "nobody keeps the old one");
        let later = elsewhere.transcribe(vec![0], Listen::default());
        for (heard, by) in [(begun, "old"), (later, "new")] {
            may.notify_one();
            assert_eq!(heard.await.expect("heard").text, by);
        }
    }
}
