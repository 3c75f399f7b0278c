//! A transcriber and a voice on a server, each with the local one for what that does not do.

use std::sync::Arc;

use milo_models::{
    engine::{EngineError, Language},
    queue::{Class, Waiting, Work},
    synthesizer::{Piece, Speech, SpeechOptions, Synthesizer},
    transcriber::{Listen, Transcriber, Transcribing},
};
use tokio::{select, sync::mpsc};

use super::{
    Elsewhere,
    line::Line,
    mind::Mode,
    purse::{Bill, Purse, Sound},
    told::Told,
};
use crate::{config::Config, store::Stamp};

/// Pieces of sound that may wait for their listener.
const ROOM: usize = 16;
const SAMPLES_PER_MS: usize = 16;

/// Ears on a server, and the line in which others than calls wait for them.
pub(super) fn beside(ears: Elsewhere<dyn Transcriber>, config: &Config) -> (Elsewhere<dyn Transcriber>, Arc<Line>) {
    (ears, Line::of("transcriber", config.engines.stt.parallel))
}

/// The local transcriber, or a server with the local one behind it.
pub(super) fn hearing(
    cloud: Option<(Elsewhere<dyn Transcriber>, Arc<Line>)>,
    local: Arc<dyn Transcriber>,
    (told, purse): (&Told, &Arc<Purse>),
) -> Arc<dyn Transcriber> {
    let (told, purse) = (told.clone(), Arc::clone(purse));
    match cloud {
        Some(((cloud, hears), line)) => Arc::new(Hearing { cloud, hears: hears.into(), line, local, told, purse }),
        None => local,
    }
}

/// The local voice, or a server with the local one behind it.
pub(super) fn speaking(
    cloud: Option<(Elsewhere<dyn Synthesizer>, Arc<Line>)>,
    named: Option<&str>,
    local: Arc<dyn Synthesizer>,
    (told, purse): (&Told, &Arc<Purse>),
) -> Arc<dyn Synthesizer> {
    let (told, purse) = (told.clone(), Arc::clone(purse));
    match cloud {
        Some(((cloud, speaks), line)) => {
            let named = named.unwrap_or_default().into();
            Arc::new(Speaking { cloud, speaks: speaks.into(), line, named, local, told, purse })
        }
        None => local,
    }
}

/// Hears by the server, and where that does not answer, by the local transcriber.
#[derive(Clone)]
struct Hearing {
    cloud: Arc<dyn Transcriber>,
    /// The languages that the server hears.
    hears: Arc<[Language]>,
    line: Arc<Line>,
    local: Arc<dyn Transcriber>,
    told: Told,
    /// What servers cost.
    purse: Arc<Purse>,
}

impl Transcriber for Hearing {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        let this = self.clone();
        let turn = self.line.join(asked.wanted.at_most(asked.class));
        Box::pin(async move {
            let place = turn?.await;
            // The local one would hear the words, and not when they were said.
            let only_there = asked.words && !this.local.knows_words();
            let has_no_times = asked.words && !this.cloud.knows_words() && this.local.knows_words();
            // Who knows one language takes every sound for it: where the language is not known, the local one hears.
            let is_foreign = asked.language.map_or(this.hears.len() < 2, |language| !this.hears.contains(&language));
            let only_here = has_no_times || is_foreign;
            // A prompt helps, and what is heard without it is heard all the same.
            let prompt = asked.prompt.clone().filter(|_| this.local.takes_prompt());
            let here = Listen { prompt, ..asked.clone() };
            let prompt = asked.prompt.clone().filter(|_| this.cloud.takes_prompt());
            let there = Listen { prompt, ..asked.clone() };
            if only_here || !may_ask(&this.told, &this.purse, only_there || this.local.stopped()) {
                drop(place);
                return this.local.transcribe(samples, here).await;
            }
            let sound = Sound::Heard((samples.len() / SAMPLES_PER_MS) as u64);
            let mut bill = Bill::of(&this.purse, this.told.metrics(), sound);
            let heard = this.cloud.transcribe(samples.clone(), there).await;
            if let Err(error) = &heard {
                bill.failed(error);
            }
            drop(place);
            match heard {
                Err(error) if !matches!(error, EngineError::Input(_)) => {
                    this.told.fell_back(&error);
                    if only_there { Err(error) } else { this.local.transcribe(samples, here).await }
                }
                Ok(heard) => {
                    this.told.answered();
                    Ok(heard)
                }
                unfit => unfit,
            }
        })
    }

    fn knows_words(&self) -> bool {
        self.cloud.knows_words() || self.local.knows_words()
    }

    fn takes_prompt(&self) -> bool {
        self.cloud.takes_prompt() || self.local.takes_prompt()
    }

    fn waiting(&self) -> Waiting {
        self.local.waiting()
    }

    /// Both: a server that runs a graph leaves the rest of the work to a thread of this process.
    fn work(&self) -> Work {
        self.local.work().and(&self.cloud.work())
    }

    fn stopped(&self) -> bool {
        self.local.stopped()
    }
}

/// Speaks by the server, and where no sample comes from it, by the local voice.
#[derive(Clone)]
struct Speaking {
    cloud: Arc<dyn Synthesizer>,
    /// The languages that the server speaks.
    speaks: Arc<[Language]>,
    line: Arc<Line>,
    /// The server's voice, as the configuration names it; the local one does not know that name.
    named: Arc<str>,
    local: Arc<dyn Synthesizer>,
    told: Told,
    /// What servers cost.
    purse: Arc<Purse>,
}

/// Whether a server is asked: it is not left alone for a while, and something is left of what the day may cost. One that `alone` can do it
/// is asked although it rests.
fn may_ask(told: &Told, purse: &Purse, alone: bool) -> bool {
    if !purse.has_left(Stamp::now()) {
        told.spent();
        return false;
    }
    alone || told.may_ask()
}

/// A clause, as it was asked for.
struct Clause {
    text: String,
    language: Language,
    options: SpeechOptions,
}

impl Synthesizer for Speaking {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        let clause = Clause { text: text.into(), language, options };
        // A call is told at once whether there is a place.
        let class = clause.options.wanted.at_most(clause.options.class);
        let asked = match class {
            Class::Call => Some(self.ask(&clause)?),
            _ => None,
        };
        let turn = self.line.join(class)?;
        let (pieces, speech) = mpsc::channel(ROOM);
        let this = self.clone();
        tokio::spawn(async move {
            let say = async {
                let _place = turn.await;
                match asked.map_or_else(|| this.ask(&clause), Ok) {
                    Ok((speech, Mode::Cloud)) => this.pass_on(speech, clause, &pieces).await,
                    Ok((speech, Mode::Local)) => all(speech, &pieces).await,
                    Err(error) => {
                        pieces.send(Err(error)).await.ok();
                    }
                }
            };
            select! {
                biased;
                () = pieces.closed() => {}
                () = say => {}
            }
        });
        Ok(Speech::new(speech))
    }

    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        if self.speaks.contains(&language) { &self.cloud } else { &self.local }.check(language, options)
    }

    fn waiting(&self) -> Waiting {
        self.local.waiting()
    }

    /// Both: a server that runs a graph leaves the rest of the work to a thread of this process.
    fn work(&self) -> Work {
        self.local.work().and(&self.cloud.work())
    }

    fn stopped(&self) -> bool {
        self.local.stopped()
    }
}

impl Speaking {
    /// The server's speech, or the local voice's where the server has no place.
    fn ask(&self, clause: &Clause) -> Result<(Speech, Mode), EngineError> {
        if !self.speaks.contains(&clause.language) {
            let said = self.local.speak(&clause.text, clause.language, clause.options.clone());
            return Ok((said?, Mode::Local));
        }
        if !may_ask(&self.told, &self.purse, self.local.stopped()) {
            return Ok((self.by_local(clause)?, Mode::Local));
        }
        match self.cloud.speak(&clause.text, clause.language, clause.options.clone()) {
            Ok(speech) => Ok((speech, Mode::Cloud)),
            Err(error @ EngineError::Input(_)) => Err(error),
            Err(error) => {
                self.told.fell_back(&error);
                Ok((self.by_local(clause)?, Mode::Local))
            }
        }
    }

    fn by_local(&self, clause: &Clause) -> Result<Speech, EngineError> {
        let variant = clause.options.variant.clone().filter(|variant| **variant != *self.named);
        let say = |variant: Option<String>| {
            self.local.speak(&clause.text, clause.language, SpeechOptions { variant, ..clause.options.clone() })
        };
        match say(variant.clone()) {
            // One of the server's speakers, perhaps: what is to be said is said, in the voice that is there.
            Err(EngineError::Input(_)) if variant.is_some() => say(None),
            said => said,
        }
    }

    async fn pass_on(&self, mut speech: Speech, clause: Clause, to: &mpsc::Sender<Result<Piece, EngineError>>) {
        let mut is_heard = false;
        let sound = Sound::Spoken(clause.text.chars().count() as u64);
        let mut bill = Bill::of(&self.purse, self.told.metrics(), sound);
        while let Some(piece) = speech.next_piece().await {
            match piece {
                Ok(piece) => {
                    if !is_heard {
                        self.told.answered();
                    }
                    is_heard = true;
                    to.send(Ok(piece)).await.ok();
                }
                Err(error) if !is_heard => {
                    self.told.fell_back(&error);
                    bill.failed(&error);
                    return match self.by_local(&clause) {
                        Ok(speech) => all(speech, to).await,
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

async fn all(mut speech: Speech, to: &mpsc::Sender<Result<Piece, EngineError>>) {
    while let Some(piece) = speech.next_piece().await {
        to.send(piece).await.ok();
    }
}
