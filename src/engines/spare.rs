//! A transcriber and a voice on a server, each with the local one for what that does not do.

use std::sync::Arc;

use milo_models::{
    engine::{EngineError, Language},
    synthesizer::{Speech, SpeechOptions, Synthesizer},
    transcriber::{Transcriber, Transcribing},
};
use tokio::{select, sync::mpsc};

use super::told::Told;

/// Pieces of sound that may wait for their listener.
const ROOM: usize = 16;

/// Hears by the server, and where that does not answer, by the local transcriber.
#[derive(Clone)]
pub(super) struct Hearing {
    pub(super) cloud: Arc<dyn Transcriber>,
    pub(super) local: Arc<dyn Transcriber>,
    pub(super) told: Told,
}

impl Transcriber for Hearing {
    fn transcribe(&self, samples: Vec<i16>, language: Option<Language>) -> Transcribing {
        let this = self.clone();
        Box::pin(async move {
            match this.cloud.transcribe(samples.clone(), language).await {
                Err(error) if !matches!(error, EngineError::Input(_)) => {
                    this.told.fell_back(&error);
                    this.local.transcribe(samples, language).await
                }
                Ok(heard) => {
                    this.told.answered();
                    Ok(heard)
                }
                unfit => unfit,
            }
        })
    }

    fn waiting(&self) -> usize {
        self.local.waiting()
    }

    fn stopped(&self) -> bool {
        self.local.stopped()
    }
}

/// Speaks by the server, and where no sample comes from it, by the local voice.
#[derive(Clone)]
pub(super) struct Speaking {
    pub(super) cloud: Arc<dyn Synthesizer>,
    /// The server's voice, as the configuration names it; the local one does not know that name.
    pub(super) named: Arc<str>,
    pub(super) local: Arc<dyn Synthesizer>,
    pub(super) told: Told,
}

/// A clause, as it was asked for.
struct Clause {
    text: String,
    language: Language,
    options: SpeechOptions,
}

impl Synthesizer for Speaking {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        let asked = match self.cloud.speak(text, language, options.clone()) {
            Ok(asked) => asked,
            Err(error @ EngineError::Input(_)) => return Err(error),
            Err(error) => {
                self.told.fell_back(&error);
                return self.by_local(text, language, options);
            }
        };
        let (pieces, speech) = mpsc::channel(ROOM);
        let (this, clause) = (self.clone(), Clause { text: text.into(), language, options });
        tokio::spawn(async move {
            select! {
                biased;
                () = pieces.closed() => {}
                () = this.pass_on(asked, clause, &pieces) => {}
            }
        });
        Ok(Speech::new(speech))
    }

    fn waiting(&self) -> usize {
        self.local.waiting()
    }

    fn stopped(&self) -> bool {
        self.local.stopped()
    }
}

impl Speaking {
    fn by_local(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        let variant = options.variant.filter(|variant| **variant != *self.named);
        self.local.speak(text, language, SpeechOptions { variant, ..options })
    }

    async fn pass_on(&self, mut speech: Speech, clause: Clause, to: &mpsc::Sender<Result<Vec<i16>, EngineError>>) {
        let mut is_heard = false;
        while let Some(piece) = speech.next().await {
            match piece {
                Ok(samples) => {
                    if !is_heard {
                        self.told.answered();
                    }
                    is_heard = true;
                    to.send(Ok(samples)).await.ok();
                }
                Err(error) if !is_heard => {
                    self.told.fell_back(&error);
                    let Clause { text, language, options } = clause;
                    return match self.by_local(&text, language, options) {
                        Ok(mut speech) => {
                            while let Some(piece) = speech.next().await {
                                to.send(piece).await.ok();
                            }
                        }
                        Err(error) => {
                            to.send(Err(error)).await.ok();
                        }
                    };
                }
                Err(error) => {
                    self.told.failed(&error);
                    to.send(Err(error)).await.ok();
                    return;
                }
            }
        }
    }
}
