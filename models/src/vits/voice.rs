//! A voice out of what a folder holds: its graph, how texts become tokens for it, who speaks, and how loud it is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    ENGINE, Source, VitsOptions,
    graph::{Form, Manner, Model, Row, Sound},
    piper::{Phonemes, Settings},
    tokens::{Letters, Line, read},
};
use crate::{
    engine::{EngineError, Language, RemoteFault},
    espeak::Espeak,
    manifest,
    onnx::{Graph, OrtRuntime, Precision, graphs, single},
    queue::Standing,
    shape,
};

/// What the name of a Piper voice's file has behind that of its graph.
const PIPERS: &str = ".json";
/// How much VITS varies, where nothing beside the graph says it.
const NOISE: (f32, f32) = (0.667, 0.8);

/// config.json of transformers, as far as a graph does not tell it.
#[derive(Debug, Default, Deserialize)]
struct Config {
    model_type: Option<String>,
    vocab_size: Option<i64>,
    sampling_rate: Option<u32>,
    num_speakers: Option<usize>,
    noise_scale: Option<f32>,
    noise_scale_duration: Option<f32>,
    speaking_rate: Option<f32>,
}

/// tokenizer_config.json.
#[derive(Debug, Default, Deserialize)]
struct Reading {
    add_blank: Option<bool>,
    #[serde(default)]
    phonemize: bool,
    #[serde(default)]
    is_uroman: bool,
}

/// How a text becomes tokens.
enum Script {
    Letters(Letters),
    Phonemes(Phonemes),
}

/// What lies beside a graph.
struct Beside {
    script: Script,
    rate: u32,
    manner: Manner,
    speakers: Vec<String>,
}

/// A voice that can speak.
pub(super) struct Voice {
    pub(super) model: Model,
    script: Script,
    /// Samples a second.
    pub(super) rate: u32,
    /// As it speaks by itself.
    pub(super) manner: Manner,
    /// Whom the option `variant` may name, in the order of their numbers.
    pub(super) speakers: Vec<String>,
    /// By what its samples must be multiplied to reach the level of speech.
    pub(super) gain: f32,
}

impl Voice {
    /// Opens a folder, or a graph in one, and says a set sentence to nobody: what cannot speak is no voice, and how loud it is must be
    /// known. Of a graph that a server runs only what belongs beside it is read.
    pub(super) fn load(
        Source { path, server, language }: &Source,
        ort: &OrtRuntime,
        espeak: &Espeak,
        options: VitsOptions,
    ) -> Result<Self, EngineError> {
        let language = *language;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        manifest::verify(path)?;
        let (model, file) = match server {
            None => {
                let file = graph(path, ort.device().precision(Precision::Full))?;
                (Model::new(ort.graph(&file, options.threads)?)?, Some(file))
            }
            Some(_) if !folder.is_dir() => {
                return Err(EngineError::Load(format!("the folder {} of a voice is not there", folder.display())));
            }
            Some(server) => (Model::new(Graph::there(ENGINE, server)?)?, None),
        };
        let Beside { script, rate, manner, speakers } = match model.form() {
            Form::Transformers => of_transformers(folder, &model)?,
            Form::Sherpa => of_sherpa(folder, &model)?,
            Form::Piper => {
                let settings = file.map_or_else(|| settings_of_piper(path), |file| Ok(beside(&file)))?;
                of_piper(&settings, espeak)?
            }
        };
        if !(4_000..=192_000).contains(&rate) {
            return Err(model.wrong(&format!("is said to speak at {rate} Hz; 4000 to 192000 are possible")));
        }
        if !(0.1..=10.0).contains(&manner.pace) {
            return Err(
                model.wrong("is said to speak at a speed that is none (speaking_rate, length_scale): 0.1 to 10 are")
            );
        }
        let speakers = if model.has_speakers() { speakers } else { Vec::new() };
        let mut voice = Self { model, script, rate, manner, speakers, gain: 1.0 };
        voice.try_out(language)?;
        Ok(voice)
    }

    /// The tokens of a clause; none, where the voice knows nothing of it.
    pub(super) fn line(&self, text: &str, standing: &Standing) -> Result<Line, EngineError> {
        match &self.script {
            Script::Letters(letters) => Ok(letters.line(text)),
            Script::Phonemes(phonemes) => phonemes.line(text, standing),
        }
    }

    fn try_out(&mut self, language: Language) -> Result<(), EngineError> {
        let sentence = match language {
            Language::Mg => "Miarahaba anao tompoko.",
            Language::Fr => "Bonjour, comment allez-vous?",
        };
        let line = self.line(sentence, &Standing::default())?;
        if line.ids.is_empty() {
            return Err(self.model.wrong(&format!(
                "knows not one letter of {sentence:?} by the vocabulary beside it: it is no voice for {language}"
            )));
        }
        let sound =
            self.alone(&line.ids).map_err(|error| self.wrong(error, |error| format!("cannot speak: {error}")))?;
        let highest = match &self.script {
            Script::Letters(letters) => letters.highest(),
            Script::Phonemes(phonemes) => phonemes.highest(),
        };
        // A graph does not tell how many symbols it knows; one beyond them fails.
        self.alone(&[0, highest, 0]).map_err(|error| {
            self.wrong(error, |error| {
                format!(
                    "and the vocabulary beside it, which has ids up to {highest}, belong to different models ({error})"
                )
            })
        })?;
        self.gain = shape::gain_for(&to_pcm(&sound.samples));
        Ok(())
    }

    /// What a run that failed says about the graph: nothing, where its server has gone meanwhile.
    fn wrong(&self, error: EngineError, says: impl Fn(EngineError) -> String) -> EngineError {
        match error {
            EngineError::Remote { fault, .. } if fault != RemoteFault::Unfit => error,
            error => self.model.wrong(&says(error)),
        }
    }

    fn alone(&mut self, ids: &[i64]) -> Result<Sound, EngineError> {
        let none = || EngineError::Failed { engine: ENGINE, reason: "the graph gave nothing".into() };
        self.model.run(&[Row { ids, speaker: 0 }], self.manner)?.pop().unwrap_or_else(|| Err(none()))
    }
}

/// Samples as the rest of the house has them.
pub(super) fn to_pcm(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|sample| (sample.clamp(-1.0, 1.0) * 32_767.0) as i16).collect()
}

/// The graph of a voice: the file itself, or that of a folder, or of its `onnx` subfolder.
fn graph(path: &Path, precision: Precision) -> Result<PathBuf, EngineError> {
    let wrong = |says: &str| EngineError::Load(format!("the voice {} {says}", path.display()));
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        return Err(wrong("is not there"));
    }
    single(path, precision).ok_or_else(|| {
        wrong(if graphs(path).is_empty() {
            "holds no .onnx file: export the model (models/training/export.py), or correct the path"
        } else {
            "holds several graphs and no model.onnx: name the file of one"
        })
    })
}

fn of_transformers(folder: &Path, model: &Model) -> Result<Beside, EngineError> {
    let config: Config = settings(&folder.join("config.json"))?;
    let reading: Reading = settings(&folder.join("tokenizer_config.json"))?;
    let wrong = |says: String| Err(EngineError::Load(format!("{}: {says}", folder.display())));
    if let Some(kind) = config.model_type.filter(|kind| kind != "vits") {
        return wrong(format!("config.json is of a model of the type {kind:?}, and \"vits\" speaks"));
    }
    if reading.is_uroman || reading.phonemize {
        let wants = if reading.is_uroman { "is_uroman" } else { "phonemize" };
        return wrong(format!("tokenizer_config.json sets {wants}: it reads no letters as they are written"));
    }
    let file = folder.join("vocab.json");
    if !file.is_file() {
        return Err(model.wrong("has no vocab.json beside it: put the model's own there"));
    }
    let letters = Letters::of_vocabulary(&file, reading.add_blank.unwrap_or(true))?;
    if let Some(size) = config.vocab_size.filter(|size| *size <= letters.highest()) {
        return wrong(format!(
            "config.json tells of {size} symbols and vocab.json has ids up to {}: they belong to different models",
            letters.highest()
        ));
    }
    let manner = Manner {
        noise: config.noise_scale.unwrap_or(NOISE.0),
        noise_of_durations: config.noise_scale_duration.unwrap_or(NOISE.1),
        pace: config.speaking_rate.unwrap_or(1.0),
    };
    let rate = config.sampling_rate.unwrap_or(16_000);
    Ok(Beside { script: Script::Letters(letters), rate, manner, speakers: numbered(config.num_speakers.unwrap_or(1)) })
}

fn of_sherpa(folder: &Path, model: &Model) -> Result<Beside, EngineError> {
    let file = folder.join("tokens.txt");
    if !file.is_file() {
        return Err(model.wrong("has sherpa-onnx's inputs and no tokens.txt beside it: put the model's own there"));
    }
    if model.is_there() {
        let says = "has sherpa-onnx's inputs, and no server passes on the sample_rate in its metadata: serve what \
                    models/training/export.py writes, or a Piper voice";
        return Err(model.wrong(says));
    }
    let number = |key: &str| model.note(key).and_then(|value| value.trim().parse::<u32>().ok());
    let Some(rate) = number("sample_rate") else {
        return Err(model.wrong("has sherpa-onnx's inputs and no sample_rate in its metadata: export it with that"));
    };
    let letters = Letters::of_list(&file, number("add_blank").is_none_or(|add| add != 0))?;
    let manner = Manner { noise: NOISE.0, noise_of_durations: NOISE.1, pace: 1.0 };
    let speakers = numbered(number("n_speakers").unwrap_or(1) as usize);
    Ok(Beside { script: Script::Letters(letters), rate, manner, speakers })
}

/// The file of a Piper voice beside its graph.
fn beside(graph: &Path) -> PathBuf {
    let mut name = graph.as_os_str().to_owned();
    name.push(PIPERS);
    name.into()
}

/// The file of a Piper voice whose graph is elsewhere: it is named itself, or its graph is, or it is the only one of its folder.
fn settings_of_piper(path: &Path) -> Result<PathBuf, EngineError> {
    if !path.is_dir() {
        let is_itself = path.extension().is_some_and(|kind| kind == "json");
        return Ok(if is_itself { path.to_owned() } else { beside(path) });
    }
    let files = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = files.filter(|file| file.to_string_lossy().ends_with(&format!(".onnx{PIPERS}")));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        (found, _) => Err(EngineError::Load(format!(
            "the voice {} holds {} .onnx.json, and the graph on its server has Piper's inputs: name the file of one",
            path.display(),
            if found.is_some() { "several" } else { "no" }
        ))),
    }
}

fn of_piper(file: &Path, espeak: &Espeak) -> Result<Beside, EngineError> {
    if !file.is_file() {
        return Err(EngineError::Load(format!(
            "the graph has Piper's inputs and {} is not there: put the voice's own JSON beside it",
            file.display()
        )));
    }
    let settings = Settings::load(file)?;
    let script = Script::Phonemes(Phonemes::new(&settings, file, espeak)?);
    let inference = &settings.inference;
    let manner = Manner {
        noise: inference.noise_scale,
        noise_of_durations: inference.noise_w,
        pace: 1.0 / inference.length_scale,
    };
    let mut speakers = numbered(settings.num_speakers);
    for (name, number) in &settings.speaker_id_map {
        if let Some(speaker) = usize::try_from(*number).ok().and_then(|number| speakers.get_mut(number)) {
            speaker.clone_from(name);
        }
    }
    Ok(Beside { script, rate: settings.audio.sample_rate, manner, speakers })
}

/// Speakers without names are called by their numbers.
fn numbered(count: usize) -> Vec<String> {
    (0..count.clamp(1, 1 << 16)).map(|number| number.to_string()).collect()
}

/// A file of settings; a missing one is an empty one.
fn settings<T: DeserializeOwned + Default>(file: &Path) -> Result<T, EngineError> {
    if !file.is_file() {
        return Ok(T::default());
    }
    serde_json::from_str(&read(file)?).map_err(|error| {
        EngineError::Load(format!("{} is no configuration of a model ({error}); fetch it again", file.display()))
    })
}
