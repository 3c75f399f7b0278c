//! Single engines of the process, for whoever needs no more: `milo replay` hears, `milo eval` speaks.

use std::{path::Path, sync::Arc};

use milo_models::{demo, silero::VoiceActivity, synthesizer::Synthesizer, transcriber::Transcriber};

use super::{
    Judge, Line, Model, Purse, Told, beside, breaker, ears, espeak, hearing, judge, notice, runtime,
    servers::Servers,
    speaking,
    voices::{self, Voices},
};
use crate::{config::Config, error::Error, metrics::Metrics};

/// What listens in a call, alone: for whoever hears calls again.
pub struct Listening {
    /// Voice activity.
    pub activity: VoiceActivity,
    /// Whether a pause is the end of a turn; none: silence alone tells.
    pub end_of_turn: Option<Judge>,
    /// Speech to text.
    pub transcriber: Arc<dyn Transcriber>,
}

impl Listening {
    /// Loads it from the configuration, as [`super::Engines::load`] does. Blocks while it reads.
    ///
    /// # Errors
    /// A model cannot be loaded, or what is said of a server is not right.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let ort = runtime(config)?;
        let shipped = demo::unpack(&config.data_dir)?;
        let (mut servers, metrics) = (Servers::default(), Arc::new(Metrics::new()));
        let cloud = servers.ears(config, &ort)?.map(|ears| beside(ears, config));
        let told = Told::new("stt", Arc::clone(&metrics), breaker(config));
        let served = servers.served_judge(&config.engines)?;
        let served = served.map(|judge| (judge, Told::new("turn", metrics, breaker(config))));
        Ok(Self {
            activity: notice(config, &ort, &shipped)?,
            end_of_turn: judge(config, &ort, &shipped, served)?,
            transcriber: hearing(
                cloud,
                ears::load(None, config, &ort, &shipped)?,
                (&told, &Arc::new(Purse::new(&config.engines))),
            ),
        })
    }
}

/// Who speaks in a call, alone: for whoever measures it.
pub struct Talking {
    /// What it is called.
    pub model: Model,
    /// Text to speech.
    pub voice: Arc<dyn Synthesizer>,
    told: Told,
}

impl Talking {
    /// Loads it from the configuration, as [`super::Engines::load`] does. Blocks while it reads.
    ///
    /// # Errors
    /// The voice cannot be loaded, or what is said of a server is not right.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let (settings, shipped) = (&config.engines.tts, demo::unpack(&config.data_dir)?);
        let ort = runtime(config)?;
        let (mut servers, espeak) = (Servers::default(), espeak(config, &shipped)?);
        let cloud = servers.voices(config, &ort, &espeak)?;
        let served: Vec<_> = config.engines.kserve.vits.named().map(|(_, model, _)| model).collect();
        let model = match (&cloud, &settings.model) {
            (Some(_), _) if !served.is_empty() => {
                let name = served.join(", ");
                Model { name: name.clone(), ..Model::configured("tts", Path::new(&name)) }
            }
            (Some(_), Some(name)) => Model { name: name.clone(), ..Model::configured("tts", Path::new(name)) },
            _ => {
                // espeak-ng, and behind it whoever speaks a language in its place.
                let all = voices::models(config, &shipped, &demo::manifest()?);
                let name = all.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
                Model { name, ..all[0].clone() }
            }
        };
        let cloud = cloud.map(|voice| (voice, Line::of("voice", settings.parallel)));
        let told = Told::new("tts", Arc::new(Metrics::new()), breaker(config));
        let local = Voices::load(espeak, settings, &ort)?;
        let voice = speaking(
            cloud,
            settings.voice.as_deref(),
            Arc::new(local),
            (&told, &Arc::new(Purse::new(&config.engines))),
        );
        Ok(Self { model, voice, told })
    }

    /// How often the local voice has stood in for the server's.
    pub fn stood_in(&self) -> u64 {
        self.told.stood_in()
    }
}
