//! The voice's dictionary without the voice's thread: how words sound, in phonemes and as sound, by the dictionary of this build or
//! by edited rules that are compiled on the spot. For `milo eval` and tests, in processes where no call is answered.

use std::{
    ffi::CString,
    fs,
    path::Path,
    sync::{MutexGuard, PoisonError},
};

use milo_media::{SAMPLE_RATE, resample::resample};

use super::{ENGINE, Espeak, WORKER, calibrate, data, ffi::Library, plain};
use crate::{
    engine::{EngineError, Language},
    shape::Shaper,
};
use std::path::PathBuf;

/// The rule files of the Malagasy voice.
const RULES: [&str; 2] = ["mg_rules", "mg_list"];
/// The library's usual speed and pitch.
const MANNER: (i32, i32) = (160, 50);
/// The library's usual range of pitch and gap between words.
const MELODY: (i32, i32) = (50, 0);
/// The voice that phonemes are asked of.
const PLAIN: &str = "mg";

/// What is softer counts as silence around an utterance; so much of it is kept in front and behind, in samples.
const SILENCE: u16 = 200;
const KEPT: (usize, usize) = (160, 320);

/// How somebody says something.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// Whose words they are.
    pub language: Language,
    /// One of espeak-ng's variants (`f4`).
    pub variant: &'a str,
    /// Words a minute.
    pub speed: u16,
    /// 0 to 100.
    pub pitch: u16,
    /// How far the pitch moves, 0 to 100.
    pub range: u16,
    /// Pause between words, in units of 10 ms.
    pub gap: u16,
}

/// The library, owned by whoever asks. While one lives, [`Espeak::load`] waits.
pub struct Pronouncer {
    library: Library,
    variants: Vec<String>,
    _alone: MutexGuard<'static, Option<(PathBuf, Espeak)>>,
}

impl Pronouncer {
    /// Unpacks the voice data below `folder`, compiles the rules of `source` where it is given, and starts the library on them.
    ///
    /// # Errors
    /// [`EngineError::Load`] when the voice already runs in this process, when a file is missing, or when the installed library is of
    /// another release or cannot compile the rules; the sentence names the mend.
    pub fn open(folder: &Path, source: Option<&Path>) -> Result<Self, EngineError> {
        let alone = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
        if alone.is_some() {
            return Err(EngineError::Load("the voice already runs in this process".into()));
        }
        let unwritten = |file: &Path, error: std::io::Error| {
            EngineError::Load(format!("the voice data file {} cannot be written: {error}", file.display()))
        };
        let voice = folder.join("espeak-ng-data");
        for (name, content) in data::FILES {
            let file = voice.join(name);
            let parent = file.parent().unwrap_or(&voice);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&file, content))
                .map_err(|error| unwritten(&file, error))?;
        }
        data::check(&voice)?;
        let variants = data::variants(&voice)?;
        let mut library = Library::open(&voice)?;
        if let Some(source) = source {
            for name in RULES {
                let from = source.join(name);
                let rules = fs::read(&from).map_err(|error| {
                    EngineError::Load(format!(
                        "the rules {} cannot be read: {error}; models/espeak has them",
                        from.display()
                    ))
                })?;
                let to = folder.join(name);
                fs::write(&to, rules).map_err(|error| unwritten(&to, error))?;
            }
            library.set_voice(PLAIN)?;
            library.compile(folder)?;
            library = Library::open(&voice)?;
        }
        library.set_voice(PLAIN)?;
        Ok(Self { library, variants, _alone: alone })
    }

    /// The names that [`Manner::variant`] takes, sorted. The library speaks in its plain voice for any other.
    pub fn variants(&self) -> &[String] {
        &self.variants
    }

    /// The phonemes of a word or clause, in the library's own names.
    pub fn phonemes(&mut self, text: &str) -> Result<String, EngineError> {
        self.library.phonemes(&whole(text)?, false)
    }

    /// The same, in the International Phonetic Alphabet.
    pub fn ipa(&mut self, text: &str) -> Result<String, EngineError> {
        self.library.phonemes(&whole(text)?, true)
    }

    /// A sentence as somebody says it: 16 kHz mono, as loud as the library makes it, without the silence around it. The Malagasy plain
    /// voice is back afterwards.
    pub fn speak(&mut self, text: &str, manner: &Manner<'_>) -> Result<Vec<i16>, EngineError> {
        let text = whole(text)?;
        self.library.set_voice(&format!("{}+{}", manner.language.code(), manner.variant))?;
        self.library.set_manner(manner.speed.into(), manner.pitch.into())?;
        self.library.set_melody(manner.range.into(), manner.gap.into())?;
        let mut samples = Vec::new();
        let spoken = self.library.synthesize(&text, |piece| {
            samples.extend_from_slice(piece);
            true
        });
        self.library.set_melody(MELODY.0, MELODY.1)?;
        self.library.set_voice(PLAIN)?;
        spoken?;
        let samples = resample(&samples, self.library.sample_rate(), SAMPLE_RATE);
        let is_loud = |sample: &i16| sample.unsigned_abs() > SILENCE;
        let Some((first, last)) = samples.iter().position(is_loud).zip(samples.iter().rposition(is_loud)) else {
            return Err(EngineError::Failed {
                engine: ENGINE,
                reason: "the library gave no sound for this text".into(),
            });
        };
        Ok(samples[first.saturating_sub(KEPT.0)..(last + KEPT.1).min(samples.len())].to_vec())
    }

    /// The sound, 16 kHz mono.
    pub fn sound(&mut self, text: &str) -> Result<Vec<i16>, EngineError> {
        let text = whole(text)?;
        let gain = calibrate(&mut self.library, Language::Mg)?;
        self.library.set_manner(MANNER.0, MANNER.1)?;
        let mut shaper = Shaper::new(ENGINE, self.library.sample_rate(), gain, 0)?;
        let mut samples = Vec::new();
        self.library.synthesize(&text, |piece| {
            shaper.push(piece, &mut samples);
            true
        })?;
        shaper.finish(&mut samples);
        Ok(samples)
    }
}

fn whole(text: &str) -> Result<CString, EngineError> {
    CString::new(plain(text))
        .map_err(|_| EngineError::Failed { engine: ENGINE, reason: "the text holds a zero byte".into() })
}
