//! The voices of this process: a model for each language that has one, and espeak-ng for the others. What a model fails to begin, and all that
//! is to be said while it is loaded anew, espeak-ng says too: a caller would rather hear another voice than none.

use std::sync::Arc;

use milo_models::{
    demo::DemoFiles,
    engine::{EngineError, Language},
    espeak::Espeak,
    manifest::Manifest,
    onnx::OrtRuntime,
    queue::{Waiting, Work},
    synthesizer::{Speech, SpeechOptions, Synthesizer},
    vits::{Vits, VitsOptions},
};

use super::{Model, threads};
use crate::{
    config::{Config, Tts},
    metrics::Metrics,
};

/// Who speaks which language.
pub(super) struct Voices {
    espeak: Espeak,
    models: Vec<(Language, Vits)>,
    /// Where it is counted that espeak-ng says what a model fails to; none: it does not, and the fault is told.
    covered: Option<Arc<Metrics>>,
}

impl Voices {
    /// Loads the models that are configured. Their faults are told, as whoever tries them wants.
    pub(super) fn load(espeak: Espeak, tts: &Tts, ort: &OrtRuntime) -> Result<Self, EngineError> {
        let options = VitsOptions { threads: threads(tts.threads), ..VitsOptions::default() };
        let load = |(language, path)| Ok((language, Vits::load(path, language, ort, &espeak, options)?));
        let models = tts.voices.named().map(load).collect::<Result<_, EngineError>>()?;
        Ok(Self { espeak, models, covered: None })
    }

    /// The same for callers: what a model fails to begin, espeak-ng says.
    pub(super) fn covered(self, metrics: Arc<Metrics>) -> Self {
        Self { covered: Some(metrics), ..self }
    }

    /// What is to be known of them: a sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let fixed = self.models.iter().filter(|(_, model)| !model.has_speed());
        let says = |(language, _): &(Language, Vits)| {
            format!(
                "The voice of engines.tts.voices.{language} has one speed, which is part of its graph: no other that is asked \
                 for is heard. models/training/export.py exports one that can be told."
            )
        };
        fixed.map(says).collect()
    }

    fn all(&self) -> impl Iterator<Item = &dyn Synthesizer> {
        let models = self.models.iter().map(|(_, model)| model as &dyn Synthesizer);
        models.chain([&self.espeak as &dyn Synthesizer])
    }
}

/// What speaks, for health and the log: espeak-ng, and behind it the models of single languages.
pub(super) fn models(config: &Config, shipped: &DemoFiles, manifest: &Manifest) -> Vec<Model> {
    let tts = &config.engines.tts;
    let espeak = match &tts.path {
        Some(path) => Model::configured("tts", path),
        None => Model::shipped("tts", "espeak-ng", &shipped.espeak, manifest),
    };
    let named = tts.voices.named().map(|(_, path)| Model::configured("tts", path));
    std::iter::once(espeak).chain(named).collect()
}

impl Synthesizer for Voices {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        let Some((_, model)) = self.models.iter().find(|(own, _)| *own == language) else {
            return self.espeak.speak(text, language, options);
        };
        let Some(metrics) = self.covered.clone() else { return model.speak(text, language, options) };
        // Its speakers are not espeak-ng's variants.
        let plain = SpeechOptions { variant: None, ..options.clone() };
        let (espeak, clause) = (self.espeak.clone(), text.to_owned());
        let instead = move |why: &EngineError| {
            tracing::warn!(error = %why, "a voice failed; espeak-ng says it");
            metrics.stood_in("tts");
            espeak.speak(&clause, language, plain)
        };
        match model.speak(text, language, options) {
            Err(error @ EngineError::Stopped { .. }) => instead(&error),
            said => Ok(said?.or_else(instead)),
        }
    }

    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        match self.models.iter().find(|(own, _)| *own == language) {
            Some((_, model)) => model.check(language, options),
            None => self.espeak.check(language, options),
        }
    }

    fn waiting(&self) -> Waiting {
        self.all().fold(Waiting::default(), |sum, voice| {
            let waiting = voice.waiting();
            std::array::from_fn(|class| sum[class] + waiting[class])
        })
    }

    fn work(&self) -> Work {
        self.all().fold(Work::default(), |sum, voice| sum.and(&voice.work()))
    }

    fn stopped(&self) -> bool {
        self.all().any(Synthesizer::stopped)
    }
}
