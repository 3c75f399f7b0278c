//! One item of a batch, as it is asked for, kept and done.

use base64::{Engine, engine::general_purpose::STANDARD};
use milo_media::sound_file::Container;
use milo_models::{engine::Language, transcriber::Listen};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Kind;
use crate::chat::{Say, before, translatable};

/// A kind of sound file that is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sound {
    /// WAV, 16 kHz mono.
    #[default]
    Wav,
    /// MP3.
    Mp3,
    /// Ogg Opus.
    Ogg,
}

impl Sound {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wav, Self::Mp3, Self::Ogg];

    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
        }
    }

    /// How it is written; none where Milo was built without it.
    pub fn container(self) -> Option<Container> {
        match self {
            Self::Wav => Some(Container::Wav),
            Self::Mp3 => Container::mp3(),
            Self::Ogg => Some(Container::Ogg),
        }
    }
}

/// A text to be translated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Translate {
    pub(super) text: String,
    #[serde(default = "malagasy")]
    pub(super) source: Language,
    #[serde(default = "french")]
    pub(super) target: Language,
}

fn malagasy() -> Language {
    Language::Mg
}

fn french() -> Language {
    Language::Fr
}

/// A text to be spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tts {
    text: String,
    language: Option<Language>,
    voice: Option<String>,
    speed: Option<f32>,
    #[serde(default)]
    pub(super) format: Sound,
}

impl Tts {
    pub(super) fn say(&self) -> Say {
        Say { text: self.text.clone(), language: self.language, voice: self.voice.clone(), speed: self.speed }
    }
}

/// A sound to be transcribed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stt {
    /// In base64; kept as a file.
    #[serde(default, skip_serializing)]
    audio: String,
    language: Option<Language>,
    #[serde(default)]
    words: bool,
    /// What is to stand before the words.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
}

impl Stt {
    pub(super) fn listen(&self) -> Listen {
        let Self { language, words, prompt, .. } = self;
        Listen { language: *language, words: *words, prompt: prompt.as_deref().and_then(before), ..Listen::default() }
    }
}

/// An item that can be done.
#[derive(Debug)]
pub struct Task(What);

#[derive(Debug)]
pub(super) enum What {
    Translate(Translate),
    Tts(Tts),
    /// With the bytes of its file, while it is new.
    Stt(Stt, Vec<u8>),
}

impl Task {
    /// An item of a request: a text or a sound alone, or an object; what it does not say itself, `defaults` say.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(kind: Kind, item: Value, defaults: &Map<String, Value>) -> Result<Self, String> {
        let mut whole = defaults.clone();
        match item {
            Value::String(text) => {
                let name = if kind == Kind::Stt { "audio" } else { "text" };
                whole.insert(name.into(), text.into());
            }
            Value::Object(own) => whole.extend(own),
            _ => return Err("it is neither a text nor an object".into()),
        }
        let what = match kind {
            Kind::Translate => What::Translate(read(whole)?),
            Kind::Tts => What::Tts(read(whole)?),
            Kind::Stt => {
                let mut stt: Stt = read(whole)?;
                let audio = std::mem::take(&mut stt.audio);
                let audio = audio.trim();
                // What browsers put before it in a data URL.
                let audio = audio.split_once(";base64,").map_or(audio, |(_, audio)| audio);
                let bytes = STANDARD.decode(audio).map_err(|wrong| format!("audio is no base64: {wrong}"))?;
                if bytes.is_empty() {
                    return Err("audio is empty: there is nothing to transcribe".into());
                }
                What::Stt(stt, bytes)
            }
        };
        match &what {
            What::Translate(Translate { text, source, target }) => {
                translatable(text, *source, *target)?;
            }
            What::Tts(tts) => {
                tts.say().check().map_err(|wrong| wrong.to_string())?;
                if tts.format.container().is_none() {
                    return Err("this Milo was built without MP3: ask for ogg or wav".into());
                }
            }
            What::Stt(..) => {}
        }
        Ok(Self(what))
    }

    /// The same out of its row.
    pub(super) fn of_row(kind: &str, row: Value) -> Result<What, String> {
        let Value::Object(row) = row else { return Err("its row is none".into()) };
        Ok(match kind {
            "translate" => What::Translate(read(row)?),
            "tts" => What::Tts(read(row)?),
            "stt" => What::Stt(read(row)?, Vec::new()),
            other => return Err(format!("this Milo knows no batch of the kind {other:?}")),
        })
    }

    /// How it is to be heard; none of what is not heard.
    pub(super) fn listen(&self) -> Option<Listen> {
        match &self.0 {
            What::Stt(stt, _) => Some(stt.listen()),
            What::Translate(_) | What::Tts(_) => None,
        }
    }

    /// What its row holds, and what its file.
    pub(super) fn kept(self) -> (Value, Option<Vec<u8>>) {
        let (row, file) = match self.0 {
            What::Translate(translate) => (serde_json::to_value(translate), None),
            What::Tts(tts) => (serde_json::to_value(tts), None),
            What::Stt(stt, bytes) => (serde_json::to_value(stt), Some(bytes)),
        };
        (plain(row.unwrap_or_default()), file)
    }
}

fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(fields)).map_err(|wrong| wrong.to_string())
}

/// Postgres keeps no zero character in JSON, and nobody misses it.
pub(super) fn plain(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: Kind, item: Value, defaults: Value) -> Result<(Value, Option<Vec<u8>>), String> {
        let Value::Object(defaults) = defaults else { panic!("no object: {defaults}") };
        Task::read(kind, item, &defaults).map(Task::kept)
    }

    #[test]
    fn an_item_is_a_text_or_an_object_and_the_batch_says_what_it_does_not() {
        let (row, file) = read(Kind::Translate, json!("Salama\0 daholo"), json!({ "source": "mg" })).unwrap();
        assert_eq!((row, file), (json!({ "text": "Salama\u{fffd} daholo", "source": "mg", "target": "fr" }), None));
        let own = json!({ "text": "Bonjour", "source": "fr", "target": "mg" });
        assert_eq!(read(Kind::Translate, own.clone(), json!({ "target": "fr" })).unwrap().0, own);
        let (row, _) = read(Kind::Tts, json!("Salama"), json!({ "speed": 2.0, "format": "ogg" })).unwrap();
        assert_eq!((&row["speed"], &row["format"], &row["voice"]), (&json!(2.0), &json!("ogg"), &Value::Null));
        let (row, file) =
            read(Kind::Stt, json!("data:audio/wav;base64,UklGRg=="), json!({ "language": "fr" })).unwrap();
        assert_eq!((row, file), (json!({ "language": "fr", "words": false }), Some(b"RIFF".to_vec())));
        let asked = json!({ "prompt": " Rakoto\0, Rasoa ", "words": true });
        let (row, _) = read(Kind::Stt, json!("UklGRg=="), asked).unwrap();
        let Ok(What::Stt(stt, _)) = Task::of_row("stt", row) else { panic!("it is none any more") };
        let listen = stt.listen();
        assert_eq!((listen.prompt.as_deref(), listen.words), (Some("Rakoto\u{fffd}, Rasoa"), true));
        let (row, _) = read(Kind::Stt, json!({ "audio": "UklGRg==", "prompt": " " }), json!({})).unwrap();
        let Ok(What::Stt(stt, _)) = Task::of_row("stt", row) else { panic!("it is none any more") };
        assert_eq!(stt.listen(), Listen::default(), "nothing stands before it");
        assert!(Task::of_row("tts", read(Kind::Tts, json!("a"), json!({})).unwrap().0).is_ok());
    }

    #[test]
    fn what_cannot_be_done_is_said_before_anything_is() {
        for (kind, item, says) in [
            (Kind::Translate, json!(3), "neither a text nor an object"),
            (Kind::Translate, json!(" "), "empty"),
            (Kind::Translate, json!("x".repeat(5_001)), "5001"),
            (Kind::Translate, json!({ "text": "a", "target": "mg" }), "differ"),
            (Kind::Translate, json!({ "text": "a", "sourse": "mg" }), "sourse"),
            (Kind::Translate, json!({ "text": "a", "target": "en" }), "en"),
            (Kind::Translate, json!({ "target": "fr" }), "text"),
            (Kind::Tts, json!({ "text": "a", "speed": 9 }), "speed"),
            (Kind::Tts, json!({ "text": "a", "format": "aiff" }), "aiff"),
            (Kind::Stt, json!("%%%"), "base64"),
            (Kind::Stt, json!({}), "empty"),
            (Kind::Stt, json!({ "audio": "UklGRg==", "prompt": 3 }), "string"),
            (Kind::Tts, json!({ "text": "a", "prompt": "b" }), "prompt"),
        ] {
            let wrong = read(kind, item.clone(), json!({})).expect_err(says);
            assert!(wrong.contains(says), "{item}: {wrong}");
        }
    }
}
