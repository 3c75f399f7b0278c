//! Engines whose graph an inference server runs (`[engines.kserve]`), out of the configuration. Each stands where a server stands that hears
//! or speaks by itself: it is asked first, left alone while it fails, asked nothing for a persona that is kept local, and what it does not
//! do the local engine does.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use milo_models::{
    ctc::{Ctc, CtcOptions},
    end_of_turn::EndOfTurn,
    engine::{EngineError, Language},
    espeak::Espeak,
    onnx::OrtRuntime,
    queue::{Waiting, Work},
    remote::RemoteOptions,
    synthesizer::{Speech, SpeechOptions, Synthesizer},
    transcriber::Transcriber,
    vits::{Vits, VitsOptions},
    whisper::Whisper,
};

use super::{
    Elsewhere,
    awaited::Awaited,
    ears,
    servers::{Server, Servers, key},
    threads,
};
use crate::config::{Config, Engines};

/// The protocol, as health names it.
pub(super) const PROTOCOL: &str = "kserve";
const BOTH: [Language; 2] = [Language::Mg, Language::Fr];

/// Why an engine is not there yet; none where it is.
pub(super) type Absent = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl Servers {
    /// What hears in place of the local transcriber, and which languages: a server by itself, or with its help.
    pub(super) fn ears(
        &mut self,
        config: &Config,
        ort: &OrtRuntime,
    ) -> Result<Option<Elsewhere<dyn Transcriber>>, EngineError> {
        match self.transcriber(&config.engines)? {
            Some(ears) => Ok(Some((ears, BOTH.to_vec()))),
            None => self.served_ears(config, ort),
        }
    }

    /// What speaks in place of the local voice, and which languages.
    pub(super) fn voices(
        &mut self,
        config: &Config,
        ort: &OrtRuntime,
        espeak: &Espeak,
    ) -> Result<Option<Elsewhere<dyn Synthesizer>>, EngineError> {
        match self.voice(&config.engines)? {
            Some(voice) => Ok(Some((voice, BOTH.to_vec()))),
            None => self.served_voices(config, ort, espeak),
        }
    }

    /// What hears with a graph on the server, and in which languages.
    fn served_ears(
        &mut self,
        config: &Config,
        ort: &OrtRuntime,
    ) -> Result<Option<Elsewhere<dyn Transcriber>>, EngineError> {
        let (engines, kserve) = (&config.engines, &config.engines.kserve);
        let (ort, rest) = (ort.clone(), rest(engines));
        let letters: Vec<_> = kserve.wav2vec2.named().collect();
        let (awaited, hears) = if let Some((model, folder)) = kserve.whisper.named() {
            let server = self.graph("stt", model, engines)?;
            let (folder, options) = (folder.to_owned(), ears::whisper_options(&engines.stt, true));
            let load = move || -> Result<Arc<dyn Transcriber>, EngineError> {
                Ok(Arc::new(Whisper::load_served(&folder, &server, &ort, options.clone())?))
            };
            (Awaited::load("transcriber", rest, load)?, BOTH.to_vec())
        } else if !letters.is_empty() {
            let hears = letters.iter().map(|(language, ..)| *language).collect();
            let one = |(language, model, folder): (Language, &str, &Path)| {
                Ok((language, folder.to_owned(), self.graph("stt", model, engines)?))
            };
            let models = letters.into_iter().map(one).collect::<Result<Vec<(_, PathBuf, _)>, EngineError>>()?;
            let options = CtcOptions { threads: threads(engines.stt.threads), ..CtcOptions::default() };
            let load = move || -> Result<Arc<dyn Transcriber>, EngineError> {
                Ok(Arc::new(Ctc::load_served(&models, &ort, options)?))
            };
            (Awaited::load("transcriber", rest, load)?, hears)
        } else {
            return Ok(None);
        };
        self.absent.push(absent(&awaited));
        Ok(Some((awaited, hears)))
    }

    /// What speaks with a graph on the server, and which languages.
    fn served_voices(
        &mut self,
        config: &Config,
        ort: &OrtRuntime,
        espeak: &Espeak,
    ) -> Result<Option<Elsewhere<dyn Synthesizer>>, EngineError> {
        let engines = &config.engines;
        let kserve = &engines.kserve;
        let mut voices = Vec::new();
        for (language, model, path) in kserve.vits.named() {
            let server = self.graph("tts", model, engines)?;
            let (path, ort, espeak) = (path.to_owned(), ort.clone(), espeak.clone());
            let options = VitsOptions { threads: threads(engines.tts.threads), ..VitsOptions::default() };
            let load = move || -> Result<Arc<dyn Synthesizer>, EngineError> {
                Ok(Arc::new(Vits::load_served(&path, language, &server, &ort, &espeak, options)?))
            };
            let awaited = Awaited::load("voice", rest(engines), load)?;
            self.absent.push(absent(&awaited));
            voices.push((language, awaited));
        }
        let speaks = voices.iter().map(|(language, _)| *language).collect::<Vec<_>>();
        Ok((!speaks.is_empty()).then(|| (Arc::new(Served(voices)) as Arc<dyn Synthesizer>, speaks)))
    }

    /// What judges pauses with a graph on the server.
    pub(super) fn served_judge(&mut self, engines: &Engines) -> Result<Option<Arc<Awaited<EndOfTurn>>>, EngineError> {
        let kserve = &engines.kserve;
        let Some(model) = &kserve.turn else { return Ok(None) };
        let server = self.graph("turn", model, engines)?;
        let load = move || Ok(Arc::new(EndOfTurn::load_served(&server)?));
        let awaited = Awaited::load("end of turn", rest(engines), load)?;
        self.absent.push(absent(&awaited));
        Ok(Some(awaited))
    }

    /// How the server is asked for this model.
    fn graph(&mut self, job: &'static str, model: &str, engines: &Engines) -> Result<RemoteOptions, EngineError> {
        let kserve = &engines.kserve;
        self.asked.push(Server { job, engine: PROTOCOL, model: model.to_owned(), resting: false });
        let a_run = Duration::from_secs_f64(kserve.timeout_s);
        Ok(RemoteOptions {
            url: kserve.url.clone().unwrap_or_default(),
            model: model.to_owned(),
            key: key(kserve.api_key_file.as_deref(), kserve.api_key.as_ref())?,
            proxy: engines.proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
            ca: engines.ca.clone(),
            connect: Duration::from_secs_f64(engines.connect_timeout_s),
            first: a_run,
            between: a_run,
            // The engine's thread asks, one run after the other.
            parallel: 1,
            again: self.counts(job),
        })
    }
}

/// How long an engine whose server is away waits from one try to the next.
fn rest(engines: &Engines) -> Duration {
    Duration::from_secs_f64(engines.rest_s)
}

fn absent<T: ?Sized + Send + Sync + 'static>(awaited: &Arc<Awaited<T>>) -> Absent {
    let awaited = Arc::clone(awaited);
    Arc::new(move || awaited.absent())
}

/// A voice for each language that is served.
struct Served(Vec<(Language, Arc<Awaited<dyn Synthesizer>>)>);

impl Synthesizer for Served {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        match self.0.iter().find(|(own, _)| *own == language) {
            Some((_, voice)) => voice.speak(text, language, options),
            None => Err(EngineError::Input(format!("no server speaks {language}"))),
        }
    }

    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        self.0.iter().find(|(own, _)| *own == language).map_or(Ok(()), |(_, voice)| voice.check(language, options))
    }

    fn waiting(&self) -> Waiting {
        self.0.iter().fold(Waiting::default(), |sum, (_, voice)| {
            let waiting = voice.waiting();
            std::array::from_fn(|class| sum[class] + waiting[class])
        })
    }

    fn work(&self) -> Work {
        self.0.iter().fold(Work::default(), |sum, (_, voice)| sum.and(&voice.work()))
    }

    fn stopped(&self) -> bool {
        self.0.iter().any(|(_, voice)| voice.stopped())
    }
}
