//! The catalogue of models that may be fetched: where each lies, what it is for, and under which licence.
//!
//! `models/catalogue.toml` is in the binary; a file of the same form may list others. What ships stands in the manifest
//! ([`crate::manifest`]), and so does what was fetched: a pull leaves one beside the files.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    engine::{EngineError, Language},
    manifest::{self, FILE_NAME},
};

const CATALOGUE: &str = include_str!("../catalogue.toml");
/// A larger file is no catalogue, in bytes.
const LARGEST: u64 = 1 << 20;
/// Endings and a beginning that the data folder needs for itself: what has not yet come whole, and what ships.
const PART: &str = ".part";
const VERSION: &str = ".version";
const SHIPPED: &str = "demo-";

/// All models that may be fetched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The models.
    #[serde(rename = "model", default)]
    pub models: Vec<Entry>,
}

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Entry {
    /// Its name, and that of its folder.
    pub name: String,
    /// What runs it.
    pub engine: Engine,
    /// What a voice speaks.
    pub language: Option<Language>,
    /// SPDX expression of the weights' licence, or where it stands.
    pub licence: String,
    /// Whether the licence forbids commerce.
    pub non_commercial: bool,
    /// Whether nobody of the project has fetched or made it.
    pub unverified: bool,
    /// About what its files take, in MB.
    pub size_mb: Option<u32>,
    /// Why no engine of this version runs it.
    pub not_run: Option<String>,
    /// The key of the engine's section that names it: `path`, or one for a language or a way.
    pub key: Key,
    /// Whence it comes.
    pub source: Source,
}

/// What names a model in its engine's section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// `path`: the only one.
    #[default]
    Path,
    /// `mg_fr`: from Malagasy into French.
    MgFr,
    /// `fr_mg`: from French into Malagasy.
    FrMg,
}

impl Key {
    /// As it stands in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::MgFr => "mg_fr",
            Self::FrMg => "fr_mg",
        }
    }
}

/// Which engine runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Voice activity.
    Vad,
    /// The end of a turn.
    Turn,
    /// The transcriber.
    Stt,
    /// The translator.
    Translate,
    /// The language model.
    Llm,
    /// The voice.
    Tts,
}

/// Whence a model comes.
#[derive(Clone, Debug)]
pub enum Source {
    /// From a server in Hugging Face's form.
    Hub(Hosted),
    /// From a command that makes it, in which `{folder}` stands for its folder.
    Export(String),
}

/// A model on a server.
#[derive(Clone, Debug)]
pub struct Hosted {
    /// OWNER/NAME.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// Its files, at least one. Where the configuration names a file and no folder, it is the first.
    pub files: Vec<Wanted>,
}

/// One file of a model on a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Relative to the repository, and to the model's folder.
    pub path: String,
    /// In hexadecimal, small letters; none, where nobody has checked it.
    pub sha256: Option<String>,
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    engine: Engine,
    language: Option<Language>,
    licence: String,
    #[serde(default)]
    non_commercial: bool,
    #[serde(default)]
    unverified: bool,
    size_mb: Option<u32>,
    not_run: Option<String>,
    #[serde(default)]
    key: Key,
    repo: Option<String>,
    revision: Option<String>,
    #[serde(rename = "file", default)]
    files: Vec<Wanted>,
    export: Option<String>,
}

impl Catalogue {
    /// The one in the binary.
    ///
    /// # Errors
    /// [`EngineError::Load`] with the place of the fault.
    pub fn known() -> Result<Self, EngineError> {
        Self::parse(CATALOGUE, Path::new("models/catalogue.toml"))
    }

    /// One of the operator's.
    ///
    /// # Errors
    /// [`EngineError::Load`] when the file cannot be read, or with the place of the fault.
    pub fn read(file: &Path) -> Result<Self, EngineError> {
        let fault = |says: String| EngineError::Load(format!("the catalogue {} {says}", file.display()));
        let length = fs::metadata(file).map_err(|error| fault(format!("cannot be read: {error}")))?.len();
        if length > LARGEST {
            return Err(fault(format!("has more than {LARGEST} bytes")));
        }
        Self::parse(&fs::read_to_string(file).map_err(|error| fault(format!("cannot be read: {error}")))?, file)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, EngineError> {
        let catalogue: Self = manifest::read_toml(text, file)?;
        for (n, entry) in catalogue.models.iter().enumerate() {
            if catalogue.models[..n].iter().any(|before| before.name == entry.name) {
                return Err(EngineError::Load(format!("{}: two models are named {}", file.display(), entry.name)));
            }
        }
        Ok(catalogue)
    }

    /// The model of this name.
    pub fn named(&self, name: &str) -> Option<&Entry> {
        self.models.iter().find(|entry| entry.name == name)
    }
}

impl Entry {
    /// What the configuration says of this model where it lies in this folder. None, where no engine of this version runs it.
    pub fn setting(&self, folder: &Path) -> Option<Setting> {
        if self.not_run.is_some() {
            return None;
        }
        let files = match &self.source {
            Source::Hub(Hosted { files, .. }) => files.as_slice(),
            Source::Export(_) => &[],
        };
        let is_piper = files.iter().any(|file| file.path.ends_with(".onnx.json"));
        let value = match self.engine {
            Engine::Vad | Engine::Turn | Engine::Llm => folder.join(&files.first()?.path),
            // The graph of a Piper voice lies deep in its folder.
            Engine::Tts if is_piper => folder.join(&files.first()?.path),
            Engine::Stt | Engine::Translate | Engine::Tts => folder.to_owned(),
        };
        let (section, key) = match self.language.filter(|_| self.engine == Engine::Tts) {
            Some(language) => ("engines.tts.voices", language.code()),
            None => (self.engine.section(), self.key.name()),
        };
        Some(Setting { section, key, value })
    }
}

/// A line of the configuration that puts a model into use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The section.
    pub section: &'static str,
    /// The key in it.
    pub key: &'static str,
    /// The file or folder.
    pub value: PathBuf,
}

impl Engine {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        self.section().trim_start_matches("engines.")
    }

    /// The section of the configuration whose `path` names its model.
    fn section(self) -> &'static str {
        match self {
            Self::Vad => "engines.vad",
            Self::Turn => "engines.turn",
            Self::Stt => "engines.stt",
            Self::Translate => "engines.translate",
            Self::Llm => "engines.llm",
            Self::Tts => "engines.tts",
        }
    }
}

impl TryFrom<Written> for Entry {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let name = written.name;
        if !is_name(&name) {
            return Err(format!(
                "{name:?} is no name: 1 to 64 small letters, digits, - _ . and none of {SHIPPED}… and …{PART}"
            ));
        }
        let source = match (written.repo, written.export) {
            (Some(repo), None) => Source::Hub(
                Hosted::new(repo, written.revision, written.files).map_err(|says| format!("{name}: {says}"))?,
            ),
            (None, Some(command)) if written.files.is_empty() && written.revision.is_none() => Source::Export(command),
            _ => return Err(format!("{name}: give either repo with its [[model.file]], or export")),
        };
        if (written.engine == Engine::Tts) != written.language.is_some() {
            return Err(format!("{name}: a voice, and nothing else, has a language, mg or fr"));
        }
        Ok(Self {
            name,
            engine: written.engine,
            language: written.language,
            licence: written.licence,
            non_commercial: written.non_commercial,
            unverified: written.unverified,
            size_mb: written.size_mb,
            not_run: written.not_run,
            key: written.key,
            source,
        })
    }
}

impl Hosted {
    fn new(repo: String, revision: Option<String>, files: Vec<Wanted>) -> Result<Self, String> {
        let is_word = |text: &str| {
            let is_known = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
            !text.is_empty() && text.len() <= 128 && text.chars().all(is_known) && !text.chars().all(|dot| dot == '.')
        };
        let revision = revision.unwrap_or_else(|| "main".into());
        if repo.split('/').count() != 2 || !repo.split('/').all(is_word) {
            return Err(format!("repo = {repo:?} is not OWNER/NAME"));
        }
        if !is_word(&revision) {
            return Err(format!("revision = {revision:?} is no branch, tag or commit"));
        }
        if files.is_empty() {
            return Err("there is no [[model.file]]".into());
        }
        for (n, file) in files.iter().enumerate() {
            file.check()?;
            // One would be the folder of the other.
            let is_in_the_way = |other: &Wanted| {
                let (one, other) = (Path::new(&file.path), Path::new(&other.path));
                one.starts_with(other) || other.starts_with(one)
            };
            if files[..n].iter().any(is_in_the_way) {
                return Err(format!("the file {:?} is listed twice, or lies in another", file.path));
            }
        }
        Ok(Self { repo, revision, files })
    }
}

impl Wanted {
    fn check(&self) -> Result<(), String> {
        let path = &self.path;
        let stays_inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let is_plain = !path.is_empty() && path.len() <= 256 && !path.contains(['\\', '\n', '\r']);
        if !stays_inside || !is_plain {
            return Err(format!("the path {path:?} is not that of a file inside the repository"));
        }
        if path.ends_with(PART) || path.ends_with(VERSION) || path == FILE_NAME {
            return Err(format!("the file {path:?} would be in the way of what Milo writes itself"));
        }
        let is_sum =
            |sum: &String| sum.len() == 64 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match &self.sha256 {
            Some(sum) if !is_sum(sum) => Err(format!("sha256 = {sum:?} of {path} is not 64 hexadecimal small letters")),
            _ => Ok(()),
        }
    }
}

/// Whether a model, and its folder, may be called so.
pub fn is_name(text: &str) -> bool {
    let is_known = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter);
    (1..=64).contains(&text.len())
        && text.chars().all(is_known)
        && !text.starts_with(['.', '-'])
        && !text.starts_with(SHIPPED)
        && !text.ends_with(PART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo;

    #[test]
    fn the_catalogue_is_sound_and_claims_no_sum_that_nobody_has_seen() {
        let shipped = demo::manifest().unwrap();
        for entry in Catalogue::known().unwrap().models {
            assert!(shipped.models.iter().all(|model| model.name != entry.name), "{} ships", entry.name);
            assert_eq!(entry.licence.contains("-NC-"), entry.non_commercial, "{}", entry.name);
            match &entry.source {
                Source::Hub(hosted) => {
                    assert!(entry.size_mb.is_some(), "{}", entry.name);
                    let sums = hosted.files.iter().filter(|file| file.sha256.is_some()).count();
                    assert!(!entry.unverified || sums == 0, "{}", entry.name);
                }
                Source::Export(command) => assert!(command.ends_with("{folder}"), "{command}"),
            }
        }
    }

    #[test]
    fn the_key_to_set_is_that_of_the_engine() {
        let catalogue = Catalogue::known().unwrap();
        for (name, setting) in [
            ("whisper-small", Some(("engines.stt", "path", "/m"))),
            ("whisper-mg", Some(("engines.stt", "path", "/m"))),
            ("nllb-200-distilled-600m", Some(("engines.translate", "path", "/m"))),
            (
                "mistral-7b-instruct-v0.3-q4-k-m",
                Some(("engines.llm", "path", "/m/Mistral-7B-Instruct-v0.3-Q4_K_M.gguf")),
            ),
            ("smart-turn-v3", Some(("engines.turn", "path", "/m/smart-turn-v3.2-cpu.onnx"))),
            ("mms-tts-mlg", Some(("engines.tts.voices", "mg", "/m"))),
            ("mms-tts-fra", Some(("engines.tts.voices", "fr", "/m"))),
            (
                "piper-fr-siwis-medium",
                Some(("engines.tts.voices", "fr", "/m/fr/fr_FR/siwis/medium/fr_FR-siwis-medium.onnx")),
            ),
            ("opus-mt-mg-fr", Some(("engines.translate", "mg_fr", "/m"))),
            ("opus-mt-fr-mg", Some(("engines.translate", "fr_mg", "/m"))),
        ] {
            let found = catalogue.named(name).unwrap().setting(Path::new("/m"));
            let setting = setting.map(|(section, key, value)| Setting { section, key, value: value.into() });
            assert_eq!(found, setting, "{name}");
        }
    }

    #[test]
    fn a_wrong_entry_is_told_with_what_would_be_right() {
        let sum = "A".repeat(64);
        let model = "[[model]]\nname = \"m\"\nengine = \"llm\"\nlicence = \"MIT\"\n";
        for (rest, says) in [
            ("", "give either repo"),
            ("repo = \"a/b\"\nexport = \"make\"", "give either repo"),
            ("export = \"make\"\nrevision = \"main\"", "give either repo"),
            ("repo = \"a/b\"", "no [[model.file]]"),
            ("repo = \"a\"\n[[model.file]]\npath = \"x\"", "not OWNER/NAME"),
            ("repo = \"../b\"\n[[model.file]]\npath = \"x\"", "not OWNER/NAME"),
            ("repo = \"a/b\"\nrevision = \"x/y\"\n[[model.file]]\npath = \"x\"", "no branch"),
            ("repo = \"a/b\"\n[[model.file]]\npath = \"../x\"", "inside the repository"),
            ("repo = \"a/b\"\n[[model.file]]\npath = \"/x\"", "inside the repository"),
            ("repo = \"a/b\"\n[[model.file]]\npath = \"manifest.toml\"", "in the way"),
            ("repo = \"a/b\"\n[[model.file]]\npath = \"x.part\"", "in the way"),
            ("repo = \"a/b\"\n[[model.file]]\npath = \"x\"\n[[model.file]]\npath = \"x/y\"", "lies in another"),
            ("repo = \"a/b\"\nsize = 3\n[[model.file]]\npath = \"x\"", "unknown field"),
            (&format!("repo = \"a/b\"\n[[model.file]]\npath = \"x\"\nsha256 = \"{sum}\""), "64 hexadecimal"),
        ] {
            let error = Catalogue::parse(&[model, rest].concat(), Path::new("c.toml")).unwrap_err().to_string();
            assert!(error.starts_with("c.toml, line ") && error.contains(says), "{rest}: {error}");
        }
        let twice = [model, "export = \"a\"\n", model, "export = \"b\""].concat();
        assert!(Catalogue::parse(&twice, Path::new("c.toml")).unwrap_err().to_string().contains("two models"));
        for name in ["", "demo-1", "a/b", "..", ".a", "x.part", "Big", "-x"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
