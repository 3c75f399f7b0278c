//! Who speaks: a persona file of `dialplans/personas/`.

use jiff::tz::TimeZone;
use std::borrow::Cow;

use milo_models::{engine::Language, text::dialect::Dialect};
use serde::{Deserialize, Deserializer, de::Error};

use super::Moment;
use crate::{
    after::Form,
    config,
    dialplan::{Variables, madagascar, zone},
};

/// The longest reply that may be asked for, in tokens.
pub(crate) const MOST_TOKENS: usize = 4_096;

/// What the agent is told to be, and the sentences it must be able to say when a model cannot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persona {
    /// The language model's system prompt.
    pub prompt: String,
    /// Replies whose first tokens have a mean logprob below this are replaced by `not_understood`.
    pub min_logprob: Option<f32>,
    /// Longest reply, in tokens.
    pub max_tokens: usize,
    /// Sampling temperature; 0 is greedy.
    pub temperature: f32,
    /// The words of which region the model's Malagasy replies are spoken with; `models/dialects/` has them.
    #[serde(default, deserialize_with = "dialect")]
    pub dialect: Option<Dialect>,
    /// What goes on behind the voice.
    pub ambience: Option<Backdrop>,
    /// How long the caller is given to finish.
    #[serde(default)]
    pub turns: Turns,
    /// What its model may have done: files of `dialplans/tools/`, without their ending, and tools of `[[mcp]]` as `SERVER/TOOL` or `SERVER/*`.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Whether the model is told the names and arguments of its tools only, as the shipped one was trained.
    #[serde(default)]
    pub brief_tools: bool,
    /// By whose clock it lives: an IANA name or a fixed offset, `+03:00`; `Indian/Antananarivo` when it is left out.
    #[serde(default = "madagascar", deserialize_with = "zone")]
    pub zone: TimeZone,
    /// What the model writes down of a call once it is over; none: nothing.
    pub after: Option<Form>,
    /// Malagasy sentences.
    pub mg: Phrases,
    /// French sentences.
    pub fr: Phrases,
}

fn dialect<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Dialect>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// Of `[conversation]`'s, what this persona has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turns {
    /// Silence that ends a turn of which it is not known whether it is over, in milliseconds.
    pub end_of_turn_ms: Option<u64>,
    /// Silence that ends one that seems to go on, in milliseconds.
    pub longest_pause_ms: Option<u64>,
}

impl Turns {
    /// The rhythm of talking with these in it.
    pub fn within(self, conversation: &config::Conversation) -> config::Conversation {
        config::Conversation {
            end_of_turn_ms: self.end_of_turn_ms.unwrap_or(conversation.end_of_turn_ms),
            longest_pause_ms: self.longest_pause_ms.unwrap_or(conversation.longest_pause_ms),
            ..conversation.clone()
        }
    }

    fn check(self) -> Result<(), String> {
        let (end, pause) = (config::Conversation::END_OF_TURN_MS, config::Conversation::LONGEST_PAUSE_MS);
        for (key, value, range) in
            [("end_of_turn_ms", self.end_of_turn_ms, end), ("longest_pause_ms", self.longest_pause_ms, pause)]
        {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                return Err(format!("[turns]: {key} = {value} is not within {} to {}", range.start(), range.end()));
            }
        }
        Ok(())
    }
}

/// A sound that goes on for the whole conversation, and steps back under the voice.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backdrop {
    /// A sound file, as a path within the folder of dialplans.
    pub file: String,
    /// Its level while nobody speaks, in dB relative to the file.
    #[serde(default = "Backdrop::level")]
    pub level_db: f32,
    /// Its level under the voice.
    #[serde(default = "Backdrop::ducked")]
    pub ducked_db: f32,
}

impl Backdrop {
    fn level() -> f32 {
        -18.0
    }

    fn ducked() -> f32 {
        -30.0
    }
}

/// The sentences that need no language model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrases {
    greeting: String,
    not_understood: String,
    are_you_there: String,
    apology: String,
    goodbye: String,
    /// When the answer takes long; none: nothing is said.
    wait: Option<String>,
}

/// Which of a persona's sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phrase {
    /// When the call begins.
    Greeting,
    /// When no words were understood, or the reply cannot be trusted.
    NotUnderstood,
    /// After silence.
    AreYouThere,
    /// When an engine failed.
    Apology,
    /// Before Milo hangs up by itself.
    Goodbye,
    /// When the answer takes long; empty where nothing is said.
    Wait,
}

impl Phrase {
    /// All of them, for whoever prepares their sound.
    pub const ALL: [Self; 6] =
        [Self::Greeting, Self::NotUnderstood, Self::AreYouThere, Self::Apology, Self::Goodbye, Self::Wait];
}

impl Persona {
    /// Reads a persona file; the fault names line, key and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let persona: Self = toml::from_str(text).map_err(|fault| fault.to_string())?;
        if !(1..=MOST_TOKENS).contains(&persona.max_tokens) {
            return Err(format!("max_tokens = {} is not within 1 to {MOST_TOKENS}", persona.max_tokens));
        }
        if !(0.0..=2.0).contains(&persona.temperature) {
            return Err(format!("temperature = {} is not within 0 to 2", persona.temperature));
        }
        if let Some(Backdrop { level_db, ducked_db, .. }) = &persona.ambience
            && !((-60.0..=0.0).contains(level_db) && (-60.0..=*level_db).contains(ducked_db))
        {
            return Err(format!(
                "[ambience]: level_db = {level_db} and ducked_db = {ducked_db}: within -60 to 0, the second not above the first"
            ));
        }
        persona.turns.check()?;
        persona.after.as_ref().map_or(Ok(()), Form::check)?;
        for (language, phrase) in [Language::Mg, Language::Fr].into_iter().flat_map(|l| Phrase::ALL.map(|p| (l, p))) {
            let text = persona.phrase(phrase, language);
            // They must be there when an engine is not: their sound is made at the start.
            if matches!(phrase, Phrase::Apology | Phrase::Wait) && text.contains("{{") {
                return Err(format!(
                    "[{language}]: {phrase:?} is made sound before the call: it can name nothing of it"
                ));
            }
            if phrase == Phrase::Wait && !text.is_empty() && !text.chars().any(char::is_alphanumeric) {
                return Err(format!("[{language}]: wait = {text:?} holds nothing that can be said; leave it out"));
            }
            if phrase != Phrase::Wait && persona.phrase(phrase, language).trim().is_empty() {
                return Err(format!("[{language}]: {phrase:?} is empty; Milo must have something to say"));
            }
        }
        Ok(persona)
    }

    /// The prompt and every sentence, as they stand in the file: `{{name}}` is something that is known during the call only.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let sentences = [Language::Mg, Language::Fr]
            .into_iter()
            .flat_map(|language| Phrase::ALL.map(|phrase| self.phrase(phrase, language)));
        [self.prompt.as_str()].into_iter().chain(sentences)
    }

    /// What is to be spoken and read in a call, or without one: where its texts name something, with that in its place.
    pub fn told_of(&self, variables: &Variables, language: Language) -> Cow<'_, Self> {
        if !self.texts().any(|text| text.contains("{{")) {
            return Cow::Borrowed(self);
        }
        let moment = Moment::now(&self.zone);
        Cow::Owned(self.told(language, |text, language| variables.fill_text(text, |name| moment.value(name, language))))
    }

    /// `fill` gives a text its values, in a language; the prompt's in that of the call.
    fn told(&self, language: Language, fill: impl Fn(&str, Language) -> String) -> Self {
        let mut told = self.clone();
        told.prompt = fill(&self.prompt, language);
        for (language, phrases) in [(Language::Mg, &mut told.mg), (Language::Fr, &mut told.fr)] {
            let Phrases { greeting, not_understood, are_you_there, apology, goodbye, wait } = phrases;
            for text in [greeting, not_understood, are_you_there, apology, goodbye].into_iter().chain(wait) {
                *text = fill(text, language);
            }
        }
        told
    }

    /// A sentence in a language.
    pub fn phrase(&self, phrase: Phrase, language: Language) -> &str {
        let phrases = match language {
            Language::Mg => &self.mg,
            Language::Fr => &self.fr,
        };
        match phrase {
            Phrase::Greeting => &phrases.greeting,
            Phrase::NotUnderstood => &phrases.not_understood,
            Phrase::AreYouThere => &phrases.are_you_there,
            Phrase::Apology => &phrases.apology,
            Phrase::Goodbye => &phrases.goodbye,
            Phrase::Wait => phrases.wait.as_deref().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use milo_models::text::speakable_in;

    use super::*;

    #[test]
    fn a_dialect_is_one_whose_words_are_known() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        assert_eq!(Persona::parse(demo).expect("the demonstration").dialect, None);
        let with =
            |name: &str| Persona::parse(&demo.replace("temperature", &format!("dialect = {name:?}\ntemperature")));
        let bara = with("bara").expect("a dialect").dialect.expect("a dialect");
        assert_eq!(speakable_in("Ratsy", Language::Mg, Some(bara)), "Raty");
        let refused = with("antandroy").expect_err("no words");
        assert!(refused.contains("antandroy") && refused.contains("toliara"), "{refused}");
    }

    #[test]
    fn a_persona_may_give_callers_more_time_than_others() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let with = |turns: &str| Persona::parse(&format!("{demo}\n[turns]\n{turns}\n"));
        let usual = config::Conversation::default();
        let own = with("end_of_turn_ms = 900").expect("a persona").turns.within(&usual);
        assert_eq!((own.end_of_turn_ms, own.longest_pause_ms), (900, usual.longest_pause_ms));
        assert_eq!(own.silence_hangup_s, usual.silence_hangup_s);
        let refused = with("longest_pause_ms = 60000").expect_err("a minute");
        assert!(refused.contains("longest_pause_ms") && refused.contains("10000"), "{refused}");
        assert!(with("longest_pause = 2").expect_err("no such key").contains("longest_pause_ms"));
    }

    #[test]
    fn what_is_to_be_written_down_after_a_call_is_looked_at_when_the_file_is_read() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let with = |after: &str| Persona::parse(&format!("{demo}\n[after]\n{after}\n"));
        assert_eq!(Persona::parse(demo).expect("the demonstration").after, None);
        let whole = with("outcomes = ['sold']\n[after.fields]\norder = { type = 'string' }").expect("a persona");
        assert!(whole.after.is_some());
        assert!(with("summery = true").expect_err("no such key").contains("`summary`"));
        let refused = with("[after.fields]\norder = { type = 'text' }").expect_err("no such type");
        assert!(refused.contains("[after.fields]: order: type \"text\" is not one of object"), "{refused}");
    }

    #[test]
    fn what_is_known_of_a_call_is_put_into_all_its_texts() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let plain = Persona::parse(demo).expect("a persona");
        let nothing = Variables::default();
        assert!(matches!(plain.told_of(&nothing, Language::Mg), Cow::Borrowed(_)));
        let text = demo.replace("Salama tompoko!", "Salama {{name}}!").replace("prompt = \"", "prompt = \"{{date}} ");
        let persona = Persona::parse(&text).expect("a persona");
        let told = persona.told(Language::Fr, |text, language| {
            text.replace("{{name}}", "Rasoa").replace("{{date}}", language.code())
        });
        assert!(told.prompt.starts_with("fr Ianao"), "{}", told.prompt);
        assert!(told.phrase(Phrase::Greeting, Language::Mg).starts_with("Salama Rasoa!"));
        let nobody = persona.told_of(&nothing, Language::Mg).into_owned();
        assert!(nobody.phrase(Phrase::Greeting, Language::Mg).starts_with("Salama !"));
        assert!(nobody.texts().all(|text| !text.contains("{{")), "{nobody:?}");
        let zoned = |zone: &str| Persona::parse(&format!("zone = {zone:?}\n{demo}"));
        assert!(zoned("Europe/Paris").is_ok());
        assert!(zoned("Mars/Olympus").expect_err("no zone").contains("Mars/Olympus"));
    }
}
