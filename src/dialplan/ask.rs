//! What the verbs say that speak to the caller and wait for keys: `say`, `gather`, `menu`.

use std::collections::BTreeMap;

use milo_media::dtmf;
use milo_models::{engine::Language, text::heard};
use serde::{Deserialize, Serialize};

use super::{
    Block,
    variables::{self, Place},
};

/// As many keys as are asked for at once.
const KEYS: usize = 64;
/// As often as the same is asked again.
const RETRIES: u32 = 10;

/// What the caller hears: `{ say = "words" }` in the plan's language, or `{ play = "sounds/file.ogg" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Prompt {
    /// Words, spoken by the voice.
    Say(String),
    /// A sound file, as a path within the folder of dialplans.
    Play(String),
}

impl Prompt {
    pub(super) fn sound(&self) -> Option<&String> {
        match self {
            Self::Play(file) => Some(file),
            Self::Say(_) => None,
        }
    }

    pub(super) fn words(&mut self) -> Option<(Place, &mut String)> {
        match self {
            Self::Say(words) => Some((Place::Words, words)),
            Self::Play(_) => None,
        }
    }
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// The words.
    pub text: String,
    /// `mg` or `fr`; the plan's language when it is left out.
    pub language: Option<Language>,
    /// Whether a key ends it; the key is then the first of a `gather` or `menu` that follows.
    #[serde(default)]
    pub interruptible: bool,
}

impl Say {
    pub(super) fn fault(&self) -> Option<String> {
        self.text.trim().is_empty().then(|| "say: text is empty".into())
    }
}

/// What is asked for: digits, or words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gather {
    /// The variable that the answer is kept in; empty when nothing right came.
    pub into: String,
    /// Whether it is asked for keys, for words, or for whichever comes first.
    #[serde(default)]
    pub input: Input,
    /// What words must be to be right, and what `into` is then: `text`, the words themselves; `digits`, one by one or in
    /// numbers ("zéro trente-quatre" is `034`); `number`, a single one ("dimy ambin'ny folo" is `15`); `yes_no`, `yes` or
    /// `no`; `choice`, the one of `choices`; `date`, a day ("rahampitso", "le cinq janvier"), `2027-01-05` by the clock of the plan;
    /// `telephone`, a number of Madagascar or, with its + or 00, of another country, `+261341234567`. All are understood in Malagasy
    /// and in French. Of keys, `date` takes `DDMMYYYY`, or `DDMM` for the next such day, and `telephone` the number, `00` for a +.
    #[serde(default)]
    pub kind: Kind,
    /// With `kind = "choice"`: the words, or rows of words, of which one is to be said; a comma stands between two of them, so that a
    /// variable may hold several: `["{{choices}}"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// With `kind = "date"`: whether a day that is over is right.
    #[serde(default)]
    pub past: bool,
    /// With `kind = "date"`: how many days away it may be, 1 to 3,650.
    pub within_days: Option<u16>,
    /// Whether what was understood is read back, in the language of the answer. A yes, or the key 1, keeps it; a no, or 2, has it asked
    /// for again, as one of the `retries`, and so has what is twice neither.
    #[serde(default)]
    pub confirm: bool,
    /// The language in which words are listened for; left out, they may be in either.
    pub language: Option<Language>,
    /// The variable that the words themselves are kept in; empty when keys were pressed.
    pub transcript: Option<String>,
    /// The variable that tells how sure the words are, in percent; 100 for keys.
    pub confidence: Option<String>,
    /// Words of which Milo is less sure than this, in percent, are not right: 0 to 100.
    #[serde(default)]
    pub min_confidence: u8,
    /// What is asked; the first key, or word, ends it.
    pub prompt: Option<Prompt>,
    /// What is said before asking again, but for a no to what was read back. Without it and `prompt`, Milo asks in its own words.
    pub invalid: Option<Prompt>,
    /// The least number of keys, or of digits that are said, 1 to 64; `date` and `telephone` have their own.
    #[serde(default = "one")]
    pub min: usize,
    /// The most; as soon as there are so many keys, they are complete.
    #[serde(default = "sixteen")]
    pub max: usize,
    /// Keys of which each says that there are no more.
    #[serde(default = "hash")]
    pub ends: String,
    /// How long the first key, or the first word, may take, in seconds, 1 to 120; while the caller has the call on hold no time passes.
    #[serde(default = "ten")]
    pub first_seconds: u64,
    /// How long each further key may take, in seconds, 1 to 120; after that they are complete.
    #[serde(default = "five")]
    pub next_seconds: u64,
    /// Silence after which what is said is complete, in milliseconds, 200 to 5,000; left out, as in a conversation.
    pub pause_ms: Option<u64>,
    /// How long it may be spoken, in seconds, 1 to 30; then it is complete.
    #[serde(default = "twenty")]
    pub speech_seconds: u64,
    /// How often it is asked again, 0 to 10.
    #[serde(default = "two")]
    pub retries: u32,
    /// The plan to go on with when nothing right came; without it, this plan goes on.
    pub failed: Option<String>,
}

/// How a caller may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Keys.
    #[default]
    Digits,
    /// Words.
    Speech,
    /// Either.
    Both,
}

/// What words must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any words: `into` is the words themselves.
    #[default]
    Text,
    /// Digits, one by one or in numbers: "zéro trente-quatre" is `034`.
    Digits,
    /// One number: "dimy ambin'ny folo" is `15`.
    Number,
    /// Yes or no, as `yes` or `no`.
    YesNo,
    /// One of `choices`, as it stands there.
    Choice,
    /// A day, as ISO 8601 has it.
    Date,
    /// A telephone number, as E.164 has it.
    Telephone,
}

impl Gather {
    pub(super) fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        self.prompt.iter().chain(&self.invalid)
    }

    /// Its texts in which variables have their place.
    pub(super) fn texts_mut(&mut self) -> Vec<(Place, &mut String)> {
        let Self { prompt, invalid, choices, .. } = self;
        let prompts = prompt.iter_mut().chain(invalid).filter_map(Prompt::words);
        prompts.chain(choices.iter_mut().map(|choice| (Place::Words, choice))).collect()
    }

    /// Each of the choices.
    pub fn each_choice(&self) -> impl Iterator<Item = &str> {
        self.choices.iter().flat_map(|choices| choices.split(',')).map(str::trim)
    }

    /// The variables that it sets.
    pub(super) fn sets(&self) -> impl Iterator<Item = &String> {
        [&self.into].into_iter().chain(&self.transcript).chain(&self.confidence)
    }

    pub(super) fn fault(&self) -> Option<String> {
        for (field, name) in [
            ("into", Some(&self.into)),
            ("transcript", self.transcript.as_ref()),
            ("confidence", self.confidence.as_ref()),
        ] {
            if let Some(why) = name.and_then(|name| variables::unfit(name)) {
                return Some(format!("gather: {field}: {why}"));
            }
        }
        if let Some(fault) = self.speech_fault() {
            return Some(format!("gather: {fault}"));
        }
        if let Some(fault) = self.kind_fault() {
            return Some(format!("gather: {fault}"));
        }
        if !(1..=KEYS).contains(&self.min) {
            return Some(format!("gather: min = {} is not within 1 to {KEYS}", self.min));
        }
        if !(self.min..=KEYS).contains(&self.max) {
            return Some(format!("gather: max = {} is not within min = {} to {KEYS}", self.max, self.min));
        }
        for (field, seconds) in [("first_seconds", self.first_seconds), ("next_seconds", self.next_seconds)] {
            if !(1..=120).contains(&seconds) {
                return Some(format!("gather: {field} = {seconds} is not within 1 to 120"));
            }
        }
        if self.retries > RETRIES {
            return Some(format!("gather: retries = {} is not within 0 to {RETRIES}", self.retries));
        }
        strange(&self.ends).map(|fault| format!("gather: ends = {:?}: {fault}", self.ends))
    }

    fn speech_fault(&self) -> Option<String> {
        if self.input == Input::Digits {
            let field = match self {
                _ if !matches!(self.kind, Kind::Text | Kind::Date | Kind::Telephone) => "kind",
                _ if self.language.is_some() => "language",
                _ if self.transcript.is_some() => "transcript",
                _ if self.confidence.is_some() => "confidence",
                _ => return None,
            };
            return Some(format!("{field} is about words; keys alone are asked for: input = \"speech\" or \"both\""));
        }
        if (self.kind == Kind::Choice) == self.choices.is_empty() {
            return Some("choices and kind = \"choice\" go together: the words of which one is to be said".into());
        }
        if let Some(choice) = self.each_choice().find(|choice| heard::choice(choice, [*choice]).is_none()) {
            return Some(format!("choices: {choice:?} has no words"));
        }
        if self.min_confidence > 100 {
            return Some(format!("min_confidence = {} is not within 0 to 100", self.min_confidence));
        }
        if let Some(pause) = self.pause_ms.filter(|pause| !(200..=5_000).contains(pause)) {
            return Some(format!("pause_ms = {pause} is not within 200 to 5000"));
        }
        (!(1..=30).contains(&self.speech_seconds))
            .then(|| format!("speech_seconds = {} is not within 1 to 30", self.speech_seconds))
    }
}

/// Which key leads where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Menu {
    /// What is asked; a key ends it.
    pub prompt: Prompt,
    /// What is done for each key: `{ 1 = [{ goto = "sales" }], "*" = [{ hangup = {} }] }`. Then the plan goes on.
    pub keys: BTreeMap<char, Block>,
    /// Words that stand for a key, which the caller may say in place of pressing it: `{ 1 = ["varotra", "vente"] }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<char, Vec<String>>,
    /// What is said before asking again.
    pub invalid: Option<Prompt>,
    /// How long a key, or a word, may take, in seconds, 1 to 120.
    #[serde(default = "ten")]
    pub seconds: u64,
    /// How often it is asked again, 0 to 10.
    #[serde(default = "two")]
    pub retries: u32,
    /// What is done when no such key, or word, came.
    #[serde(default)]
    pub otherwise: Block,
}

impl Menu {
    pub(super) fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        [&self.prompt].into_iter().chain(&self.invalid)
    }

    pub(super) fn prompts_mut(&mut self) -> impl Iterator<Item = &mut Prompt> {
        [&mut self.prompt].into_iter().chain(&mut self.invalid)
    }

    /// The key that these words stand for; none when they name no key, or several.
    pub fn key_of(&self, said: &str) -> Option<char> {
        let mut named = self
            .words
            .iter()
            .filter(|(_, words)| words.iter().any(|word| heard::choice(said, [word.as_str()]).is_some()));
        let (key, _) = named.next()?;
        named.next().is_none().then_some(*key)
    }

    pub(super) fn fault(&self) -> Option<String> {
        if self.keys.is_empty() {
            return Some("menu: keys is empty; give at least one, such as { 1 = [{ goto = \"sales\" }] }".into());
        }
        if let Some(fault) = self.keys.keys().find_map(|key| strange(&key.to_string())) {
            return Some(format!("menu: keys: {fault}"));
        }
        if let Some(key) = self.words.keys().find(|key| !self.keys.contains_key(key)) {
            return Some(format!("menu: words: {key:?} is none of its keys"));
        }
        if let Some(word) = self.words.values().flatten().find(|word| heard::choice(word, [word.as_str()]).is_none()) {
            return Some(format!("menu: words: {word:?} has no words"));
        }
        if !(1..=120).contains(&self.seconds) {
            return Some(format!("menu: seconds = {} is not within 1 to 120", self.seconds));
        }
        (self.retries > RETRIES).then(|| format!("menu: retries = {} is not within 0 to {RETRIES}", self.retries))
    }
}

/// What among these is no key that a caller can press.
pub(super) fn strange(keys: &str) -> Option<String> {
    let strange = keys.chars().find(|key| !dtmf::is_key(*key) || key.is_ascii_lowercase())?;
    Some(format!("{strange:?} is no key; there are 0 to 9, *, # and A to D"))
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn sixteen() -> usize {
    16
}

fn two() -> u32 {
    2
}

fn twenty() -> u64 {
    20
}

fn five() -> u64 {
    5
}

fn ten() -> u64 {
    10
}

fn hash() -> String {
    "#".into()
}
