//! Who speaks: a persona file of `dialplans/personas/`.

use jiff::tz::TimeZone;
use std::borrow::Cow;

use milo_models::{engine::Language, text::dialect::Dialect};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{Greeting, Moment, Reach, Remembering, memory};
use crate::{
    after::Form,
    config,
    dialplan::{Variables, madagascar, zone},
    engines::Mode,
};

/// The longest reply that may be asked for, in tokens.
pub(crate) const MOST_TOKENS: usize = 4_096;

/// What the agent is told to be, and the sentences it must be able to say when a model cannot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persona {
    /// The language model's system prompt.
    pub prompt: String,
    /// Where its turns are heard, answered and spoken: `local`, within this process and by no server at all, or `cloud`, by the server
    /// that is configured; none: as `[engines]` says.
    pub mode: Option<Mode>,
    /// Replies whose first tokens have a mean logprob below this are replaced by `not_understood`.
    pub min_logprob: Option<f32>,
    /// Longest reply, in tokens.
    pub max_tokens: usize,
    /// Sampling temperature; 0 is greedy.
    pub temperature: f32,
    /// Exchanges of a call that its model sees again, at most.
    #[serde(default = "Persona::exchanges")]
    pub exchanges: usize,
    /// Tokens of a call that its model sees, at most, as they are estimated; none: as many as it takes.
    pub context_tokens: Option<usize>,
    /// Whether what it does not see again is summed up for it.
    #[serde(default)]
    pub summarise: bool,
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
    /// For how long what came of a call is known when its caller calls again; none: it is not.
    pub memory: Option<Remembering>,
    /// Malagasy sentences.
    pub mg: Phrases,
    /// French sentences.
    pub fr: Phrases,
}

fn dialect<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Dialect>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// Of `[conversation]`'s, what this persona has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    greeting: Greeting,
    not_understood: String,
    are_you_there: String,
    apology: String,
    goodbye: String,
    /// When the answer takes long; none: nothing is said.
    wait: Option<String>,
    /// A few words each, before an answer that is known to take long; none: nothing is said.
    #[serde(default)]
    openers: Vec<String>,
}

/// As many openers has a language, and as many characters each: a second of speech.
const OPENERS: usize = 8;
const LONGEST_OPENER: usize = 30;

/// Refuses openers that are none.
fn fit(openers: &[String]) -> Result<(), String> {
    if openers.len() > OPENERS {
        return Err(format!("openers are {}, {OPENERS} are the most", openers.len()));
    }
    for text in openers {
        if !text.chars().any(char::is_alphanumeric) {
            return Err(format!("openers: {text:?} holds nothing that can be said; leave it out"));
        }
        if text.chars().count() > LONGEST_OPENER {
            return Err(format!(
                "openers: {text:?} is longer than {LONGEST_OPENER} characters: a few words, \"Eny àry.\""
            ));
        }
    }
    Ok(())
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
    /// Before an answer that is known to take long; there may be several, or none.
    Opener,
}

impl Phrase {
    /// Those of which a persona has one.
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
        persona.reach().check(&persona.prompt)?;
        persona.turns.check()?;
        persona.after.as_ref().map_or(Ok(()), Form::check)?;
        persona.memory.map_or(Ok(()), |memory| memory.check(persona.after.as_ref()))?;
        for language in [Language::Mg, Language::Fr] {
            let phrases = persona.phrases(language);
            let checked = phrases.greeting.check().and_then(|()| fit(&phrases.openers));
            checked.map_err(|fault| format!("[{language}]: {fault}"))?;
        }
        for (language, phrase, text) in persona.sentences() {
            // They must be there when an engine is not: their sound is made at the start.
            if matches!(phrase, Phrase::Apology | Phrase::Wait | Phrase::Opener) && text.contains("{{") {
                return Err(format!(
                    "[{language}]: {phrase:?} is made sound before the call: it can name nothing of it"
                ));
            }
            if phrase == Phrase::Wait && !text.is_empty() && !text.chars().any(char::is_alphanumeric) {
                return Err(format!("[{language}]: wait = {text:?} holds nothing that can be said; leave it out"));
            }
            if phrase != Phrase::Wait && text.trim().is_empty() {
                return Err(format!("[{language}]: {phrase:?} is empty; Milo must have something to say"));
            }
        }
        Ok(persona)
    }

    /// The prompt and every sentence, as they stand in the file: `{{name}}` is something that is known during the call only.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        [self.prompt.as_str()].into_iter().chain(self.sentences().map(|(_, _, text)| text))
    }

    /// Every sentence that may be said, the greetings of every part of the day among them.
    pub fn sentences(&self) -> impl Iterator<Item = (Language, Phrase, &str)> {
        let every = [Language::Mg, Language::Fr].into_iter().flat_map(|l| Phrase::ALL.map(|p| (l, p)));
        let every = every.chain([Language::Mg, Language::Fr].map(|language| (language, Phrase::Opener)));
        every.flat_map(move |(language, phrase)| {
            let texts = match phrase {
                Phrase::Greeting => self.phrases(language).greeting.texts(),
                Phrase::Opener => self.openers(language).iter().map(String::as_str).collect(),
                _ => vec![self.phrase(phrase, language)],
            };
            texts.into_iter().map(move |text| (language, phrase, text))
        })
    }

    /// How far back its model sees.
    pub fn reach(&self) -> Reach {
        Reach { exchanges: self.exchanges, tokens: self.context_tokens, is_summed_up: self.summarise }
    }

    fn exchanges() -> usize {
        4
    }

    /// What is to be spoken and read in a call, or without one: where its texts name something, with that in its place, and of its
    /// greetings that of the moment.
    pub fn told_of(&self, variables: &Variables, language: Language) -> Cow<'_, Self> {
        let greets_alike = |phrases: &Phrases| matches!(phrases.greeting, Greeting::Always(_));
        if !self.texts().any(|text| text.contains("{{")) && [&self.mg, &self.fr].into_iter().all(greets_alike) {
            return Cow::Borrowed(self);
        }
        let moment = Moment::now(&self.zone);
        let known = |name: &str| memory::value(variables.remembered()?, name, &self.zone);
        let value = |name: &str, language| moment.value(name, language).or_else(|| known(name));
        let fill = |text: &str, language| variables.fill_text(text, |name| value(name, language));
        Cow::Owned(self.told((language, moment.hour()), fill))
    }

    /// `fill` gives a text its values, in a language; the prompt's in that of the call.
    fn told(&self, (language, hour): (Language, i8), fill: impl Fn(&str, Language) -> String) -> Self {
        let mut told = self.clone();
        told.prompt = fill(&self.prompt, language);
        for (language, phrases) in [(Language::Mg, &mut told.mg), (Language::Fr, &mut told.fr)] {
            let Phrases { greeting, not_understood, are_you_there, apology, goodbye, wait, openers: _ } = phrases;
            *greeting = Greeting::Always(fill(greeting.at(hour), language));
            for text in [not_understood, are_you_there, apology, goodbye].into_iter().chain(wait) {
                *text = fill(text, language);
            }
        }
        told
    }

    fn phrases(&self, language: Language) -> &Phrases {
        match language {
            Language::Mg => &self.mg,
            Language::Fr => &self.fr,
        }
    }

    /// A sentence in a language; of several greetings, the one for no part of the day.
    pub fn phrase(&self, phrase: Phrase, language: Language) -> &str {
        let phrases = self.phrases(language);
        match phrase {
            Phrase::Greeting => phrases.greeting.otherwise(),
            Phrase::NotUnderstood => &phrases.not_understood,
            Phrase::AreYouThere => &phrases.are_you_there,
            Phrase::Apology => &phrases.apology,
            Phrase::Goodbye => &phrases.goodbye,
            Phrase::Wait => phrases.wait.as_deref().unwrap_or_default(),
            Phrase::Opener => phrases.openers.first().map_or("", String::as_str),
        }
    }

    /// What may be said before an answer that is known to take long.
    pub fn openers(&self, language: Language) -> &[String] {
        &self.phrases(language).openers
    }
}

#[cfg(test)]
mod tests {
    use milo_models::text::speakable_in;

    use super::*;
    use crate::store::{Memory, Stamp};

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
    fn openers_are_a_few_words_each_and_made_sound_with_the_other_sentences() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let with = |openers: &str| Persona::parse(&demo.replace("[fr]\n", &format!("[fr]\nopeners = {openers}\n")));
        let persona = with("['Bien sûr.', 'Voyons.']").expect("a persona");
        assert_eq!((persona.openers(Language::Fr).len(), persona.openers(Language::Mg).len()), (2, 0));
        let made = persona.sentences().filter(|(_, phrase, _)| *phrase == Phrase::Opener).map(|(.., text)| text);
        assert_eq!(made.collect::<Vec<_>>(), ["Bien sûr.", "Voyons."]);
        for (openers, why) in [
            ("['…']", "[fr]: openers: \"…\" holds nothing that can be said"),
            ("['Je vais voir cela tout de suite pour vous.']", "is longer than 30 characters"),
            ("['{{caller}}']", "[fr]: Opener is made sound before the call"),
            (
                "['Oui.', 'Oui.', 'Oui.', 'Oui.', 'Oui.', 'Oui.', 'Oui.', 'Oui.', 'Oui.']",
                "openers are 9, 8 are the most",
            ),
            ("'Oui.'", "sequence"),
        ] {
            let refused = with(openers).expect_err(openers);
            assert!(refused.contains(why), "{refused}");
        }
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
    fn each_of_its_greetings_is_prepared_and_that_of_the_hour_said() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let with =
            |table: &str| Persona::parse(&demo.replace("\"Bonjour! Ici Milo. Que puis-je faire pour vous?\"", table));
        let persona = with("{ evening = 'Bonsoir {{name}} !', otherwise = 'Bonjour !' }").expect("a persona");
        let greetings: Vec<_> =
            persona.sentences().filter(|(_, phrase, _)| *phrase == Phrase::Greeting).map(|(.., text)| text).collect();
        assert_eq!(greetings[1..], ["Bonsoir {{name}} !", "Bonjour !"]);
        let said = |hour| {
            let told = persona.told((Language::Mg, hour), |text, _| text.replace("{{name}}", "Rasoa"));
            told.phrase(Phrase::Greeting, Language::Fr).to_owned()
        };
        assert_eq!((said(19).as_str(), said(9).as_str()), ("Bonsoir Rasoa !", "Bonjour !"));
        let plain = with("{ evening = 'Bonsoir !', otherwise = 'Bonjour !' }").expect("a persona");
        let now = plain.told_of(&Variables::default(), Language::Mg);
        assert!(["Bonsoir !", "Bonjour !"].contains(&now.phrase(Phrase::Greeting, Language::Fr)), "{now:?}");
        let refused = with("{ evening = '', otherwise = 'Bonjour !' }").expect_err("nothing to say");
        assert!(refused.contains("[fr]: greeting: evening is empty"), "{refused}");
        assert!(
            with("{ night = 'Bonsoir !', otherwise = 'Bonjour !' }").expect_err("no such part").contains("`night`")
        );
    }

    #[test]
    fn how_far_back_a_model_sees_is_looked_at_when_the_file_is_read() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let with = |keys: &str| Persona::parse(&format!("{keys}\n{demo}"));
        let usual = Reach { exchanges: 4, tokens: None, is_summed_up: false };
        assert_eq!(with("").expect("the demonstration").reach(), usual);
        let far = with("exchanges = 60\ncontext_tokens = 12_000\nsummarise = true").expect("a persona").reach();
        assert_eq!(far, Reach { exchanges: 60, tokens: Some(12_000), is_summed_up: true });
        for (keys, why) in [
            ("exchanges = 0", "exchanges = 0 is not within 1 to 200"),
            ("context_tokens = 20", "context_tokens = 20 is not within 256 to 1000000"),
        ] {
            let refused = with(keys).expect_err(keys);
            assert!(refused.contains(why), "{refused}");
        }
        let long = demo.replace("prompt = \"", &format!("context_tokens = 300\nprompt = \"{}", "a ".repeat(500)));
        let refused = Persona::parse(&long).expect_err("no room");
        assert!(refused.contains("context_tokens = 300: the prompt alone is some 3"), "{refused}");
    }

    #[test]
    fn a_caller_is_remembered_by_what_is_written_down_after_a_call() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let with = |rest: &str| Persona::parse(&format!("{demo}\n{rest}\n"));
        let known = with("[after]\n[memory]").expect("a persona").memory.expect("a memory");
        assert_eq!(known, Remembering { days: 90 });
        for (rest, why) in [
            ("[memory]\ndays = 30", "[memory] keeps what [after] has written down"),
            ("[after]\nsummary = false\n[memory]", "[memory] keeps what [after] has written down"),
            ("[after]\n[memory]\ndays = 0", "[memory]: days = 0 is not within 1 to 3650"),
            ("[after]\n[memory]\nweeks = 2", "`days`"),
        ] {
            let refused = with(rest).expect_err(rest);
            assert!(refused.contains(why), "{refused}");
        }
        let text = demo.replace("Salama tompoko!", "Salama {{memory.name}}! {{memory.summary}}");
        let persona = Persona::parse(&text).expect("a persona");
        let mut variables = Variables::default();
        let greets = |variables: &Variables| {
            let told = persona.told_of(variables, Language::Mg);
            told.phrase(Phrase::Greeting, Language::Mg).to_owned()
        };
        assert!(greets(&variables).starts_with("Salama !  Milo"), "{}", greets(&variables));
        variables.remember(Memory {
            last_call: Stamp::from_millis(0),
            name: Some("Rasoa".into()),
            language: "mg".into(),
            summary: Some("é".repeat(500)),
            is_local: false,
        });
        let greeting = greets(&variables);
        assert!(greeting.starts_with("Salama Rasoa!") && greeting.contains(&"é".repeat(500)), "{greeting}");
    }

    #[test]
    fn what_is_known_of_a_call_is_put_into_all_its_texts() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let plain = Persona::parse(demo).expect("a persona");
        let nothing = Variables::default();
        assert!(matches!(plain.told_of(&nothing, Language::Mg), Cow::Borrowed(_)));
        let text = demo.replace("Salama tompoko!", "Salama {{name}}!").replace("prompt = \"", "prompt = \"{{date}} ");
        let persona = Persona::parse(&text).expect("a persona");
        let told = persona.told((Language::Fr, 12), |text, language| {
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
