//! `[engines.kserve]`: an inference server that runs graphs for engines of this process.

use std::path::{Path, PathBuf};

use milo_models::engine::Language;
use serde::{Deserialize, Serialize};

use super::{Engines, SpeechEngine, path, server};
use crate::config::{Faults, Secret};

/// `[engines.kserve]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Kserve {
    /// The server's address, below which its `v2` stands.
    pub url: Option<String>,
    /// What it is shown; unset: nothing.
    pub api_key: Option<Secret>,
    /// A file whose only line is the key, read in its place.
    pub api_key_file: Option<PathBuf>,
    /// How long one run of a graph may take, in seconds, connecting included; then the local engine does the work.
    pub timeout_s: f64,
    /// The model there that judges whether a pause is the end of a turn.
    pub turn: Option<String>,
    /// A Whisper whose encoder is there.
    pub whisper: Placed,
    /// Models that write letter by letter, each for its language.
    pub wav2vec2: Languages,
    /// Voices, each for its language.
    pub vits: Languages,
}

/// A model on the server, and what of it lies here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Placed {
    /// The graph's name there, `NAME` or `NAME:VERSION`.
    pub model: Option<String>,
    /// The folder with what belongs to it, in which its graph need not be.
    pub path: Option<PathBuf>,
}

/// One for each language.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Languages {
    /// Malagasy.
    pub mg: Placed,
    /// French.
    pub fr: Placed,
}

impl Default for Kserve {
    fn default() -> Self {
        Self {
            url: None,
            api_key: None,
            api_key_file: None,
            timeout_s: 2.0,
            turn: None,
            whisper: Placed::default(),
            wav2vec2: Languages::default(),
            vits: Languages::default(),
        }
    }
}

impl Placed {
    /// Name and folder, where one is named.
    pub fn named(&self) -> Option<(&str, &Path)> {
        Some((self.model.as_deref()?, self.path.as_deref()?))
    }

    fn is_set(&self) -> bool {
        self.model.is_some() || self.path.is_some()
    }

    fn check(&self, key: &str, faults: &mut Faults<'_>) {
        path(&format!("{key}.path"), self.path.as_deref(), faults);
        name(&format!("{key}.model"), self.model.as_deref(), faults);
        if self.path.is_none() && self.model.is_some() {
            faults.add(&format!("{key}.path"), "is missing: name the folder with what belongs to the model".into());
        }
        if self.model.is_none() && self.path.is_some() {
            faults.add(&format!("{key}.model"), "is missing: name the model as the server calls it".into());
        }
    }
}

impl Languages {
    /// Those that are named.
    pub fn named(&self) -> impl Iterator<Item = (Language, &str, &Path)> {
        let all = [(Language::Mg, &self.mg), (Language::Fr, &self.fr)];
        all.into_iter().filter_map(|(language, placed)| placed.named().map(|(model, path)| (language, model, path)))
    }

    fn is_set(&self) -> bool {
        self.mg.is_set() || self.fr.is_set()
    }
}

impl Kserve {
    pub(super) fn check(&self, engines: &Engines, faults: &mut Faults<'_>) {
        server("engines.kserve.url", self.url.as_deref(), faults);
        path("engines.kserve.api_key_file", self.api_key_file.as_deref(), faults);
        faults.within("engines.kserve.timeout_s", self.timeout_s, 0.05..=4.0);
        name("engines.kserve.turn", self.turn.as_deref(), faults);
        self.whisper.check("engines.kserve.whisper", faults);
        for (key, languages) in [("wav2vec2", &self.wav2vec2), ("vits", &self.vits)] {
            languages.mg.check(&format!("engines.kserve.{key}.mg"), faults);
            languages.fr.check(&format!("engines.kserve.{key}.fr"), faults);
        }
        let (hears, speaks) = (self.whisper.is_set() || self.wav2vec2.is_set(), self.vits.is_set());
        let is_asked = hears || speaks || self.turn.is_some();
        if is_asked && self.url.is_none() {
            faults.add("engines.kserve.url", "is missing: name the server whose models are named here".into());
        }
        let set = [
            ("url", self.url.is_some()),
            ("api_key", self.api_key.is_some()),
            ("api_key_file", self.api_key_file.is_some()),
        ];
        if let Some((key, _)) = set.into_iter().find(|(_, is_set)| *is_set && !is_asked) {
            let says =
                "is of a server that nothing is wanted of: name a model (turn, whisper, wav2vec2, vits), or remove it";
            faults.add(&format!("engines.kserve.{key}"), says.into());
        }
        if self.whisper.is_set() && self.wav2vec2.is_set() {
            faults.add("engines.kserve.wav2vec2", "stands beside `whisper`: one of them hears, name that".into());
        }
        let other = "asks another server for it already: only one of them can be";
        if hears && engines.stt.engine != SpeechEngine::Local {
            faults.add("engines.stt.engine", format!("stands beside [engines.kserve], and {other}"));
        }
        if speaks && engines.tts.engine != SpeechEngine::Local {
            faults.add("engines.tts.engine", format!("stands beside [engines.kserve.vits], and {other}"));
        }
        if self.turn.is_some() && !engines.turn.enabled {
            faults.add("engines.kserve.turn", "is never asked: [engines.turn] enabled is false".into());
        }
    }
}

/// A model's name is a part of an address.
fn name(key: &str, model: Option<&str>, faults: &mut Faults<'_>) {
    let is_name = |text: &str| {
        let is_of_names = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        !text.is_empty() && text.chars().all(is_of_names) && !text.chars().all(|letter| letter == '.')
    };
    let is_right = |text: &str| match text.split_once(':') {
        Some((name, version)) => is_name(name) && is_name(version),
        None => is_name(text),
    };
    if model.is_some_and(|model| !is_right(model)) {
        faults.add(key, "is no NAME or NAME:VERSION of letters, digits, `_`, `-` and `.`".into());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{ConfigError, Loaded, read::load_text};

    const URL: &str = "[engines.kserve]\nurl = \"http://triton:8000\"\n";
    const WHISPER: &str = "[engines.kserve.whisper]\nmodel = \"encoder:3\"\npath = \"/m/whisper\"\n";

    fn load(text: &str) -> Result<Loaded, ConfigError> {
        load_text(Path::new("milo.toml"), text, &[("HOME".into(), "/home/m".into())])
    }

    #[test]
    fn a_server_is_named_with_what_is_wanted_of_it() {
        let config = load(&[URL, WHISPER].concat()).unwrap().config;
        assert_eq!(config.engines.kserve.whisper.named(), Some(("encoder:3", Path::new("/m/whisper"))));
        let voice = "[engines.kserve.vits.fr]\nmodel = \"siwis\"\npath = \"/m/siwis\"\n";
        let kserve = load(&[URL, "turn = \"smart-turn\"\n", voice].concat()).unwrap().config.engines.kserve;
        assert_eq!((kserve.vits.named().count(), kserve.turn.as_deref()), (1, Some("smart-turn")));
    }

    #[test]
    fn what_cannot_be_asked_or_would_never_be_is_told_by_its_line() {
        let mg = "[engines.kserve.wav2vec2.mg]\nmodel = \"mg\"\npath = \"/m/mg\"\n";
        let elsewhere = "[engines.stt]\nengine = \"openai\"\nmodel = \"m\"\n";
        for (text, says) in [
            (WHISPER.to_owned(), "engines.kserve.url is missing"),
            (URL.to_owned(), "line 2: engines.kserve.url is of a server that nothing is wanted of"),
            (URL.replace("http://triton:8000", "triton:8000") + WHISPER, "engines.kserve.url is no address"),
            ([URL, "[engines.kserve.vits.mg]\nmodel = \"v\"\n"].concat(), "engines.kserve.vits.mg.path is missing"),
            ([URL, "[engines.kserve.vits.mg]\npath = \"/v\"\n"].concat(), "engines.kserve.vits.mg.model is missing"),
            ([URL, "turn = \"a/../b\"\n"].concat(), "engines.kserve.turn is no NAME or NAME:VERSION"),
            ([URL, "turn = \"..\"\n"].concat(), "engines.kserve.turn is no NAME or NAME:VERSION"),
            ([URL, "turn = \"t\"\n[engines.turn]\nenabled = false\n"].concat(), "engines.kserve.turn is never asked"),
            ([URL, WHISPER, mg].concat(), "engines.kserve.wav2vec2 stands beside `whisper`"),
            ([URL, WHISPER, elsewhere].concat(), "line 7: engines.stt.engine stands beside [engines.kserve]"),
            ([URL, "timeout_s = 9\nturn = \"t\"\n"].concat(), "engines.kserve.timeout_s = 9 is not within 0.05 to 4"),
            ([URL, "trun = \"t\"\n"].concat(), "did you mean engines.kserve.turn?"),
        ] {
            let told = load(&text).unwrap_err().to_string();
            assert!(told.contains(says), "{text}: {told}");
        }
    }
}
