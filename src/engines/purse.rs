//! What is asked of servers costs, and how much that may be a day: once it is spent, the engines of this process do it until midnight, UTC.
//!
//! Paid is what a server has read, heard or was given to say, whether its answer was waited for or not: one that was late, broke off or was
//! outrun has done its work. Nothing is paid to one that refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milo_models::{
    engine::{EngineError, RemoteFault},
    language_model::Usage,
};
use serde::{Deserialize, Serialize};

use crate::{
    config::{self, LlmEngine},
    metrics::Metrics,
    store::{LogWriter, Stamp},
};

/// Prices are of so many tokens, and of so many characters.
const MILLION: f64 = 1e6;
/// What Anthropic takes of a token that is in its cache, and of one that is put there, in terms of one that is read.
const CACHE_READ: f64 = 0.1;
const CACHE_WRITE: f64 = 1.25;
const MS_PER_MINUTE: f64 = 60_000.0;

/// What was taken of servers within a day, as far as it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day, UTC: `2026-11-30`.
    pub day: String,
    /// Of conversations.
    pub prompt_tokens: u64,
    /// Those of them that were in the server's cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Those of them that were put there.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// Of replies.
    pub completion_tokens: u64,
    /// How much was heard, in milliseconds.
    #[serde(default)]
    pub heard_ms: u64,
    /// How much was said, in characters.
    #[serde(default)]
    pub spoken_characters: u64,
}

/// What a reply took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Taken {
    /// Of the conversation.
    pub prompt_tokens: u64,
    /// Those of them that were in the server's cache.
    pub cache_read_tokens: u64,
    /// Those of them that were put there.
    pub cache_write_tokens: u64,
    /// Of the reply.
    pub completion_tokens: u64,
    /// In the currency of the configuration's prices; nothing of the local model.
    pub cost: f64,
}

impl Taken {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cost += other.cost;
    }
}

/// The day's spending, as health shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = Spending)]
pub struct Spending {
    /// Tokens of conversations that the server has read today, UTC.
    pub prompt_tokens: u64,
    /// Those of them that it had in its cache.
    pub cache_read_tokens: u64,
    /// Those of them that it put there.
    pub cache_write_tokens: u64,
    /// Tokens of its replies.
    pub completion_tokens: u64,
    /// Seconds of sound that a server was given to hear.
    pub heard_s: f64,
    /// Characters that a server was given to say.
    pub spoken_characters: u64,
    /// All of it, in the currency of the configuration's prices.
    #[schema(example = 3.17)]
    pub cost: f64,
    /// What it may cost a day; null: there is no limit.
    #[schema(example = 20.0)]
    pub daily_cost: Option<f64>,
}

impl Spending {
    /// That nothing is left of it, as a sentence.
    pub(super) fn fault(self) -> Option<String> {
        let most = self.daily_cost.filter(|most| self.cost >= *most)?;
        Some(format!(
            "What servers were asked has cost {:.2} today, and may cost {most:.2}: the local engines do it until midnight, UTC.",
            self.cost
        ))
    }
}

/// What a server was given that hears or speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sound {
    /// So many milliseconds to hear.
    Heard(u64),
    /// So many characters to say.
    Spoken(u64),
}

/// Whether a server has done work that it did not tell the end of: it was too slow, or broke off.
pub(super) fn has_worked(error: &EngineError) -> bool {
    matches!(error, EngineError::Remote { fault: RemoteFault::Late | RemoteFault::Broken, .. })
}

/// What is paid.
struct Prices {
    prompt: f64,
    cache_read: f64,
    cache_write: f64,
    completion: f64,
    /// Of a minute that is heard.
    minute: f64,
    /// Of characters that are said.
    characters: f64,
}

impl Prices {
    fn of(engines: &config::Engines) -> Self {
        let config::Engines { llm, stt, tts, .. } = engines;
        let (read, write) = match llm.engine {
            LlmEngine::Anthropic => (CACHE_READ, CACHE_WRITE),
            LlmEngine::Openai | LlmEngine::Local => (1.0, 1.0),
        };
        Self {
            prompt: llm.prompt_price,
            cache_read: llm.cache_read_price.unwrap_or(llm.prompt_price * read),
            cache_write: llm.cache_write_price.unwrap_or(llm.prompt_price * write),
            completion: llm.completion_price,
            minute: stt.minute_price,
            characters: tts.character_price,
        }
    }

    fn tokens(&self, usage: Usage) -> f64 {
        let cached = usage.cache_read_tokens + usage.cache_write_tokens;
        let parts = [
            (usage.prompt_tokens.saturating_sub(cached), self.prompt),
            (usage.cache_read_tokens, self.cache_read),
            (usage.cache_write_tokens, self.cache_write),
            (usage.completion_tokens, self.completion),
        ];
        parts.into_iter().map(|(tokens, price)| tokens as f64 * price).sum::<f64>() / MILLION
    }

    fn sound(&self, sound: Sound) -> f64 {
        match sound {
            Sound::Heard(ms) => ms as f64 / MS_PER_MINUTE * self.minute,
            Sound::Spoken(characters) => characters as f64 / MILLION * self.characters,
        }
    }
}

/// Of all servers together. Its lock is held for an addition.
pub(super) struct Purse {
    prices: Prices,
    most: Option<f64>,
    today: Mutex<Today>,
}

#[derive(Default)]
struct Today {
    spent: Spent,
    /// The database knows it all.
    is_noted: bool,
}

impl Purse {
    pub(super) fn new(engines: &config::Engines) -> Self {
        Self {
            prices: Prices::of(engines),
            most: Some(engines.llm.daily_cost).filter(|most| *most > 0.0),
            today: Mutex::default(),
        }
    }

    /// Of the day of `now`: what was taken before midnight is of yesterday.
    fn on(&self, now: Stamp) -> MutexGuard<'_, Today> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.day();
        if today.spent.day < day {
            *today = Today { spent: Spent { day, ..Spent::default() }, is_noted: true };
        }
        today
    }

    /// What the database knows of a day, at the start.
    pub(super) fn knows(&self, spent: Spent) {
        *self.today.lock().unwrap_or_else(PoisonError::into_inner) = Today { spent, is_noted: true };
    }

    /// Whether something is left of what the day may cost.
    pub(super) fn has_left(&self, now: Stamp) -> bool {
        self.most.is_none_or(|most| self.so_far(now).cost < most)
    }

    /// A reply took so much, and costs that.
    pub(super) fn take(&self, usage: Usage, now: Stamp) {
        let mut today = self.on(now);
        today.spent.prompt_tokens += usage.prompt_tokens;
        today.spent.cache_read_tokens += usage.cache_read_tokens;
        today.spent.cache_write_tokens += usage.cache_write_tokens;
        today.spent.completion_tokens += usage.completion_tokens;
        today.is_noted = false;
    }

    /// A server was given so much to hear, or to say.
    fn take_sound(&self, sound: Sound, now: Stamp) {
        let mut today = self.on(now);
        match sound {
            Sound::Heard(ms) => today.spent.heard_ms += ms,
            Sound::Spoken(characters) => today.spent.spoken_characters += characters,
        }
        today.is_noted = false;
    }

    /// What that is.
    pub(super) fn of(&self, usage: Usage) -> Taken {
        let Usage { prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens } = usage;
        let cost = self.prices.tokens(usage);
        Taken { prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens, cost }
    }

    /// What was spent on the day of `now`.
    pub(super) fn so_far(&self, now: Stamp) -> Spending {
        let spent = self.on(now).spent.clone();
        let Spent { prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens, .. } = spent;
        let usage = Usage { prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens };
        let sounds = [Sound::Heard(spent.heard_ms), Sound::Spoken(spent.spoken_characters)];
        Spending {
            prompt_tokens,
            cache_read_tokens,
            cache_write_tokens,
            completion_tokens,
            heard_s: spent.heard_ms as f64 / 1e3,
            spoken_characters: spent.spoken_characters,
            cost: self.prices.tokens(usage) + sounds.into_iter().map(|sound| self.prices.sound(sound)).sum::<f64>(),
            daily_cost: self.most,
        }
    }

    /// The database learns what was taken so far, where it does not know.
    pub(super) fn note(&self, log: &LogWriter, now: Stamp) {
        let mut today = self.on(now);
        if !today.is_noted {
            today.is_noted = true;
            log.spent(today.spent.clone());
        }
    }
}

/// What a server is given to hear or to say, which is paid however it ends: whoever leaves before the answer had it done.
pub(super) struct Bill {
    purse: Arc<Purse>,
    metrics: Arc<Metrics>,
    sound: Option<Sound>,
}

impl Bill {
    pub(super) fn of(purse: &Arc<Purse>, metrics: &Arc<Metrics>, sound: Sound) -> Self {
        Self { purse: Arc::clone(purse), metrics: Arc::clone(metrics), sound: Some(sound) }
    }

    /// The server did not do it, for this reason: where it has not begun either, nothing is paid.
    pub(super) fn failed(&mut self, error: &EngineError) {
        if !has_worked(error) {
            self.sound = None;
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let Some(sound) = self.sound else { return };
        self.purse.take_sound(sound, Stamp::now());
        let engine = match sound {
            Sound::Heard(_) => "stt",
            Sound::Spoken(_) => "tts",
        };
        self.metrics.speech_cost(engine, self.purse.prices.sound(sound));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Llm;

    fn asked(llm: Llm) -> config::Engines {
        config::Engines { llm, ..config::Engines::default() }
    }

    #[test]
    fn a_day_costs_what_its_tokens_cost_and_the_next_begins_with_nothing() {
        let llm = Llm { prompt_price: 3.0, completion_price: 15.0, daily_cost: 0.006, ..Llm::default() };
        let purse = Purse::new(&asked(llm));
        let now = Stamp::from_millis(1_796_000_000_000);
        let tomorrow = Stamp::from_millis(1_796_000_000_000 + 86_400_000);
        let reply = Usage { prompt_tokens: 1_000, completion_tokens: 100, ..Usage::default() };
        assert!((purse.of(reply).cost - 0.0045).abs() < 1e-9 && purse.has_left(now));
        purse.take(reply, now);
        assert!(purse.has_left(now), "one more may begin, whatever it comes to");
        purse.take(reply, now);
        assert!(!purse.has_left(now) && (purse.so_far(now).cost - 0.009).abs() < 1e-9);
        assert!(purse.has_left(tomorrow), "midnight has passed");
        assert_eq!(purse.so_far(tomorrow).prompt_tokens, 0);
        // After a start it is as it was before.
        purse.knows(Spent { day: tomorrow.day(), prompt_tokens: 2_000_000, ..Spent::default() });
        assert!(!purse.has_left(tomorrow));
    }

    #[test]
    fn what_a_cache_holds_has_its_own_price() {
        let usage = Usage {
            prompt_tokens: 1_000_000,
            cache_read_tokens: 500_000,
            cache_write_tokens: 100_000,
            completion_tokens: 10_000,
        };
        let llm = |engine| Llm { engine, prompt_price: 3.0, completion_price: 15.0, ..Llm::default() };
        let named = Llm { cache_read_price: Some(1.0), cache_write_price: Some(5.0), ..llm(LlmEngine::Anthropic) };
        // 400,000 are read as ever; then those of the cache, those for it, and the reply.
        for (llm, cost) in [
            (llm(LlmEngine::Anthropic), 1.2 + 0.15 + 0.375 + 0.15),
            (llm(LlmEngine::Openai), 3.0 + 0.15),
            (named, 1.2 + 0.5 + 0.5 + 0.15),
        ] {
            let purse = Purse::new(&asked(llm));
            assert!((purse.of(usage).cost - cost).abs() < 1e-9, "{} is not {cost}", purse.of(usage).cost);
            let now = Stamp::from_millis(1_796_000_000_000);
            purse.take(usage, now);
            assert!((purse.so_far(now).cost - cost).abs() < 1e-9, "the day costs as much");
        }
    }

    #[test]
    fn hearing_and_speaking_are_paid_unless_the_server_refused_and_count_for_the_day() {
        let mut engines = asked(Llm { daily_cost: 0.02, ..Llm::default() });
        (engines.stt.minute_price, engines.tts.character_price) = (0.006, 15.0);
        let (purse, metrics) = (Arc::new(Purse::new(&engines)), Arc::new(Metrics::new()));
        let ask = |sound, failed: Option<RemoteFault>| {
            let mut bill = Bill::of(&purse, &metrics, sound);
            failed.into_iter().for_each(|fault| {
                bill.failed(&EngineError::Remote { engine: "e", at: "a".into(), fault, says: String::new() });
            });
        };
        for refused in [RemoteFault::Down, RemoteFault::Busy, RemoteFault::Refused, RemoteFault::Failed] {
            ask(Sound::Heard(60_000), Some(refused));
        }
        let now = Stamp::now();
        assert_eq!(purse.so_far(now).cost, 0.0, "nothing was done");
        ask(Sound::Heard(60_000), None);
        ask(Sound::Heard(60_000), Some(RemoteFault::Late));
        assert!((purse.so_far(now).cost - 0.012).abs() < 1e-9 && purse.has_left(now));
        ask(Sound::Spoken(1_000), Some(RemoteFault::Broken));
        assert!((purse.so_far(now).cost - 0.027).abs() < 1e-9 && !purse.has_left(now));
    }

    #[test]
    fn without_a_limit_there_is_always_something_left() {
        let purse = Purse::new(&config::Engines::default());
        let now = Stamp::from_millis(1_796_000_000_000);
        purse.take(Usage { prompt_tokens: u64::from(u32::MAX), completion_tokens: 1, ..Usage::default() }, now);
        assert!(purse.has_left(now));
        assert_eq!(purse.so_far(now).cost, 0.0);
    }
}
