//! The transcriber in this process: which engine it is, what lies in its folders says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use milo_models::{
    ctc::{Ctc, CtcOptions},
    demo::{self, DemoFiles},
    engine::{EngineError, Language},
    manifest::Manifest,
    onnx::{self, OrtRuntime},
    transcriber::Transcriber,
    whisper::{Whisper, WhisperOptions},
};

use super::{Model, runtime, threads};
use crate::{
    config::{Config, SpeechEngine, Stt},
    error::Error,
};

/// Models that write letter by letter, as their config.json calls them.
const CTC: &str = "wav2vec2";
const WHISPER: &str = "whisper";

/// The transcriber alone, for a telephone that wants to know what it heard.
///
/// # Errors
/// As `load`.
pub fn transcriber(config: &Config) -> Result<Arc<dyn Transcriber>, Error> {
    let ort = runtime(config)?;
    load(None, config, &ort, &demo::unpack(&config.data_dir)?)
}

/// Loads what lies in `path`, else what is configured, else the one that ships.
///
/// # Errors
/// What lies there is no transcriber, or cannot be loaded.
pub(crate) fn load(
    path: Option<&Path>,
    config: &Config,
    ort: &OrtRuntime,
    shipped: &DemoFiles,
) -> Result<Arc<dyn Transcriber>, Error> {
    let stt = &config.engines.stt;
    // A Whisper on the server, or with its encoder there, is told what is to be told.
    let is_asked_here = stt.engine == SpeechEngine::Local && config.engines.kserve.whisper.named().is_none();
    let threads = threads(stt.threads);
    let by_language = by_language(stt);
    let folders = match path {
        None if !by_language.is_empty() => by_language,
        _ => {
            let folder = path.or(stt.path.as_deref()).unwrap_or(&shipped.whisper);
            match onnx::form(folder)?.as_deref() {
                Some(CTC) => vec![(language(folder)?, folder.to_owned())],
                // What names no form of its own is told by its graphs.
                Some(WHISPER) | None => {
                    // The one that ships has never seen any: what a server is told is not for it.
                    let is_told = is_asked_here || path.or(stt.path.as_deref()).is_some();
                    return Ok(Arc::new(Whisper::load(folder, ort, whisper_options(stt, is_told))?));
                }
                Some(other) => {
                    let says = format!(
                        "{} holds a model of the form `{other}`: `{WHISPER}` and `{CTC}` are what can hear here",
                        folder.display()
                    );
                    return Err(EngineError::Load(says).into());
                }
            }
        }
    };
    let useless = [
        ("beam", stt.beam > 1 && config.engines.kserve.whisper.named().is_none()),
        ("prompt", is_asked_here && stt.prompt.is_some()),
        ("hot_words", is_asked_here && !stt.hot_words.is_empty()),
    ];
    if let Some((key, _)) = useless.iter().find(|(_, is_set)| *is_set) {
        let says = format!("engines.stt.{key} is for a `{WHISPER}`, and a `{CTC}` hears here: remove the line");
        return Err(EngineError::Load(says).into());
    }
    for (language, folder) in &folders {
        if let Some(other) = onnx::form(folder)?.filter(|form| form != CTC) {
            let says = format!(
                "{} holds a model of the form `{other}`: engines.stt.{language} names a `{CTC}`, and engines.stt.path a `{WHISPER}`",
                folder.display()
            );
            return Err(EngineError::Load(says).into());
        }
    }
    Ok(Arc::new(Ctc::load(&folders, ort, CtcOptions { threads, ..CtcOptions::default() })?))
}

/// How a Whisper runs; where it is told nothing, neither words nor a text stand before an utterance.
pub(super) fn whisper_options(stt: &Stt, is_told: bool) -> WhisperOptions {
    WhisperOptions {
        threads: threads(stt.threads),
        batch: stt.batch,
        beam: stt.beam,
        prompt: stt.prompt.clone().filter(|_| is_told),
        hot_words: if is_told { stt.hot_words.clone() } else { Vec::new() },
        ..WhisperOptions::default()
    }
}

/// The language of a model that knows one, where nobody but its folder says which.
fn language(folder: &Path) -> Result<Language, EngineError> {
    Ctc::language_of(folder)?.ok_or_else(|| {
        EngineError::Load(format!(
            "{} does not say which language it hears: name it as `mg` or `fr` of [engines.stt], in place of `path`",
            folder.display()
        ))
    })
}

fn by_language(stt: &Stt) -> Vec<(Language, PathBuf)> {
    let named = [(Language::Mg, &stt.mg), (Language::Fr, &stt.fr)];
    named.into_iter().filter_map(|(language, folder)| Some((language, folder.clone()?))).collect()
}

/// What hears, for health and the log.
pub(crate) fn models(path: Option<&Path>, config: &Config, shipped: &DemoFiles, manifest: &Manifest) -> Vec<Model> {
    let stt = &config.engines.stt;
    match (path.or(stt.path.as_deref()), by_language(stt)) {
        (None, folders) if !folders.is_empty() => {
            folders.iter().map(|(_, folder)| Model::configured("stt", folder)).collect()
        }
        (Some(path), _) => vec![Model::configured("stt", path)],
        (None, _) => vec![Model::shipped("stt", "milo-ears-demo", &shipped.whisper, manifest)],
    }
}

#[cfg(test)]
mod tests {
    use milo_models::{engine::Language, transcriber::Listen};

    use super::*;

    fn tiny(form: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tests").join(form)
    }

    fn ears(change: impl Fn(&mut Stt)) -> Result<Arc<dyn Transcriber>, String> {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: data.path().into(), ..Config::default() };
        change(&mut config.engines.stt);
        transcriber(&config).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_folder_says_which_engine_hears() {
        let named = |form: &'static str| ears(move |stt| stt.path = Some(tiny(form)));
        assert!(!named("whisper_tiny/merged").unwrap().knows_words());
        assert!(named("whisper_tiny/timed").unwrap().knows_words());
        assert!(named("ctc_tiny/masked").unwrap().knows_words());
        let nobody = named("ctc_tiny/plain").err().unwrap();
        assert!(nobody.contains("name it as `mg` or `fr` of [engines.stt]"), "{nobody}");
        let other = named("translator_tiny/merged").err().unwrap();
        assert!(other.contains("of the form `m2m_100`: `whisper` and `wav2vec2`"), "{other}");
        let useless = ears(|stt| (stt.mg, stt.beam) = (Some(tiny("ctc_tiny/plain")), 3)).err().unwrap();
        assert!(useless.contains("engines.stt.beam is for a `whisper`"), "{useless}");
        let other = ears(|stt| stt.fr = Some(tiny("whisper_tiny/merged"))).err().unwrap();
        assert!(other.contains("engines.stt.fr names a `wav2vec2`"), "{other}");
    }

    #[tokio::test]
    async fn two_folders_are_two_languages() {
        let ears = ears(|stt| {
            stt.mg = Some(tiny("ctc_tiny/masked"));
            stt.fr = Some(tiny("ctc_tiny/plain"));
        });
        let ears = ears.unwrap();
        for language in [Language::Mg, Language::Fr] {
            let heard = ears.transcribe(vec![0; 8_000], Listen::to(Some(language))).await.unwrap();
            assert_eq!(heard.language, language);
        }
    }
}
