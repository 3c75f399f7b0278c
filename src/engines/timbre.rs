//! How a persona's voice sounds, in each language: a variant, a speed, a pitch.

use std::{ops::RangeInclusive, sync::Arc};

use milo_models::{
    engine::{EngineError, Language},
    queue::{Waiting, Work},
    synthesizer::{Speech, SpeechOptions, Synthesizer},
};
use serde::Deserialize;

/// Words a minute, and the pitch, that voices know.
const SPEED: RangeInclusive<u16> = 80..=450;
const PITCH: RangeInclusive<u16> = 0..=100;

/// A persona's voice in one language; what is left out is the voice's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timbre {
    /// One of espeak-ng's variants (`f2`), or a speaker of a VITS.
    variant: Option<String>,
    /// Speed in words a minute.
    speed: Option<u16>,
    /// Pitch, 0 to 100.
    pitch: Option<u8>,
}

/// A persona's voice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timbres {
    #[serde(default)]
    mg: Timbre,
    #[serde(default)]
    fr: Timbre,
}

impl Timbre {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// A clause's options, in this voice.
    pub fn within(&self, options: SpeechOptions) -> SpeechOptions {
        SpeechOptions {
            variant: self.variant.clone().or(options.variant),
            speed: self.speed.unwrap_or(options.speed),
            pitch: self.pitch.unwrap_or(options.pitch),
            ..options
        }
    }
}

impl Timbres {
    /// In a language.
    pub fn of(&self, language: Language) -> &Timbre {
        match language {
            Language::Mg => &self.mg,
            Language::Fr => &self.fr,
        }
    }

    fn is_plain(&self) -> bool {
        self.mg.is_plain() && self.fr.is_plain()
    }

    /// Refuses what no voice knows. Which variants there are, the voices say: [`Timbres::check_with`].
    pub fn check(&self) -> Result<(), String> {
        for (language, timbre) in [(Language::Mg, &self.mg), (Language::Fr, &self.fr)] {
            let named = [("speed", timbre.speed, SPEED), ("pitch", timbre.pitch.map(u16::from), PITCH)];
            for (key, value, range) in named {
                if let Some(value) = value.filter(|value| !range.contains(value)) {
                    let (least, most) = (range.start(), range.end());
                    return Err(format!("[voice.{language}]: {key} = {value} is not within {least} to {most}"));
                }
            }
        }
        Ok(())
    }

    /// Refuses what this voice does not know.
    pub fn check_with(&self, voice: &dyn Synthesizer) -> Result<(), String> {
        for language in [Language::Mg, Language::Fr] {
            let timbre = self.of(language);
            if !timbre.is_plain() {
                let options = timbre.within(SpeechOptions::default());
                voice.check(language, &options).map_err(|error| format!("[voice.{language}]: {error}"))?;
            }
        }
        Ok(())
    }

    /// This voice, sounding so.
    pub fn voice(&self, voice: &Arc<dyn Synthesizer>) -> Arc<dyn Synthesizer> {
        if self.is_plain() {
            return Arc::clone(voice);
        }
        Arc::new(Voiced { voice: Arc::clone(voice), timbres: self.clone() })
    }
}

/// A voice that sounds as a persona wants it.
struct Voiced {
    voice: Arc<dyn Synthesizer>,
    timbres: Timbres,
}

impl Synthesizer for Voiced {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        let timbre = self.timbres.of(language);
        match self.voice.speak(text, language, timbre.within(options.clone())) {
            // The voice was changed since the plans were read, and does not know it: what is to be said is said.
            Err(EngineError::Input(_)) if !timbre.is_plain() => self.voice.speak(text, language, options),
            said => said,
        }
    }

    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        self.voice.check(language, &self.timbres.of(language).within(options.clone()))
    }

    fn waiting(&self) -> Waiting {
        self.voice.waiting()
    }

    fn work(&self) -> Work {
        self.voice.work()
    }

    fn stopped(&self) -> bool {
        self.voice.stopped()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;

    /// Knows one variant, and remembers how it was to speak.
    #[derive(Default)]
    struct Known(Mutex<Vec<SpeechOptions>>);

    impl Synthesizer for Known {
        fn speak(&self, _: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
            self.check(language, &options)?;
            self.0.lock().expect("no panic").push(options);
            Ok(Speech::new(mpsc::channel(1).1))
        }

        fn check(&self, _: Language, options: &SpeechOptions) -> Result<(), EngineError> {
            match options.variant.as_deref() {
                None | Some("f2") => Ok(()),
                Some(other) => Err(EngineError::Input(format!("{other:?} is not known; these are: f2"))),
            }
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    fn timbres(text: &str) -> Timbres {
        toml::from_str(text).expect("timbres")
    }

    #[test]
    fn a_persona_speaks_in_its_voice_and_in_the_plain_one_where_that_is_gone() {
        let known = Arc::new(Known::default());
        let voice: Arc<dyn Synthesizer> = Arc::<Known>::clone(&known);
        let own = timbres("mg = { variant = 'f2', speed = 140 }\nfr = { variant = 'gone' }");
        let spoken = own.voice(&voice);
        for language in [Language::Mg, Language::Fr] {
            spoken.speak("Salama", language, SpeechOptions::default()).expect("it is said");
        }
        let asked = known.0.lock().expect("no panic");
        let how: Vec<_> = asked.iter().map(|asked| (asked.variant.as_deref(), asked.speed, asked.pitch)).collect();
        assert_eq!(how, [(Some("f2"), 140, 50), (None, 155, 50)]);
        assert!(
            Arc::ptr_eq(&Timbres::default().voice(&voice), &voice),
            "nothing is in between where nothing is wanted"
        );
    }

    #[test]
    fn what_a_voice_does_not_know_is_told_with_those_that_it_knows() {
        let voice = Known::default();
        assert_eq!(timbres("mg = { variant = 'f2' }").check_with(&voice), Ok(()));
        let refused = timbres("fr = { variant = 'f9' }").check_with(&voice).expect_err("no such variant");
        assert!(
            refused.contains("[voice.fr]: ") && refused.contains("\"f9\" is not known; these are: f2"),
            "{refused}"
        );
        for (text, why) in [
            ("mg = { speed = 30 }", "[voice.mg]: speed = 30 is not within 80 to 450"),
            ("fr = { pitch = 101 }", "[voice.fr]: pitch = 101 is not within 0 to 100"),
        ] {
            assert!(timbres(text).check().expect_err(text).contains(why), "{text}");
        }
        assert!(toml::from_str::<Timbres>("mg = { voice = 'f2' }").is_err());
    }
}
