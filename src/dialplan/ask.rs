//! What the verbs say that speak to the caller and wait for keys: `say`, `gather`, `menu`.

use std::collections::BTreeMap;

use milo_media::dtmf;
use milo_models::engine::Language;
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

/// Which digits are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gather {
    /// The variable that they are kept in; empty when nothing right came.
    pub into: String,
    /// What is asked; the first key ends it.
    pub prompt: Option<Prompt>,
    /// What is said before asking again.
    pub invalid: Option<Prompt>,
    /// The least number of keys, 1 to 64.
    #[serde(default = "one")]
    pub min: usize,
    /// The most; as soon as there are so many, they are complete.
    #[serde(default = "sixteen")]
    pub max: usize,
    /// Keys of which each says that there are no more.
    #[serde(default = "hash")]
    pub ends: String,
    /// How long the first key may take, in seconds, 1 to 120.
    #[serde(default = "ten")]
    pub first_seconds: u64,
    /// How long each further key may take, in seconds, 1 to 120; after that they are complete.
    #[serde(default = "five")]
    pub next_seconds: u64,
    /// How often it is asked again, 0 to 10.
    #[serde(default = "two")]
    pub retries: u32,
    /// The plan to go on with when nothing right came; without it, this plan goes on.
    pub failed: Option<String>,
}

impl Gather {
    pub(super) fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        self.prompt.iter().chain(&self.invalid)
    }

    pub(super) fn prompts_mut(&mut self) -> impl Iterator<Item = &mut Prompt> {
        self.prompt.iter_mut().chain(&mut self.invalid)
    }

    pub(super) fn fault(&self) -> Option<String> {
        if let Some(why) = variables::unfit(&self.into) {
            return Some(format!("gather: into: {why}"));
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
}

/// Which key leads where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Menu {
    /// What is asked; a key ends it.
    pub prompt: Prompt,
    /// What is done for each key: `{ 1 = [{ goto = "sales" }], "*" = [{ hangup = {} }] }`. Then the plan goes on.
    pub keys: BTreeMap<char, Block>,
    /// What is said before asking again.
    pub invalid: Option<Prompt>,
    /// How long a key may take, in seconds, 1 to 120.
    #[serde(default = "ten")]
    pub seconds: u64,
    /// How often it is asked again, 0 to 10.
    #[serde(default = "two")]
    pub retries: u32,
    /// What is done when no such key came.
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

    pub(super) fn fault(&self) -> Option<String> {
        if self.keys.is_empty() {
            return Some("menu: keys is empty; give at least one, such as { 1 = [{ goto = \"sales\" }] }".into());
        }
        if let Some(fault) = self.keys.keys().find_map(|key| strange(&key.to_string())) {
            return Some(format!("menu: keys: {fault}"));
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

fn one() -> usize {
    1
}

fn sixteen() -> usize {
    16
}

fn two() -> u32 {
    2
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
