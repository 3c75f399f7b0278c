//! What a server's tokens cost, and how much it may cost a day: once that is spent, the local model answers until midnight, UTC.

use std::sync::{Mutex, MutexGuard, PoisonError};

use milo_models::language_model::Usage;
use serde::{Deserialize, Serialize};

use crate::{
    config::Llm,
    store::{LogWriter, Stamp},
};

/// Prices are of so many tokens.
const MILLION: f64 = 1e6;

/// What was taken of a model within a day, as far as it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day, UTC: `2026-11-30`.
    pub day: String,
    /// Of conversations.
    pub prompt_tokens: u64,
    /// Of replies.
    pub completion_tokens: u64,
}

/// What a reply took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Taken {
    /// Of the conversation.
    pub prompt_tokens: u64,
    /// Of the reply.
    pub completion_tokens: u64,
    /// In the currency of the configuration's prices; nothing of the local model.
    pub cost: f64,
}

impl Taken {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
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
    /// Tokens of its replies.
    pub completion_tokens: u64,
    /// In the currency of the configuration's prices.
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
            "The language model's server has cost {:.2} today, and may cost {most:.2}: the local one answers until midnight, UTC.",
            self.cost
        ))
    }
}

/// Of one server. Its lock is held for an addition.
pub(super) struct Purse {
    prompt_price: f64,
    completion_price: f64,
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
    pub(super) fn new(llm: &Llm) -> Self {
        Self {
            prompt_price: llm.prompt_price,
            completion_price: llm.completion_price,
            most: Some(llm.daily_cost).filter(|most| *most > 0.0),
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

    fn cost(&self, prompt_tokens: u64, completion_tokens: u64) -> f64 {
        (prompt_tokens as f64 * self.prompt_price + completion_tokens as f64 * self.completion_price) / MILLION
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
        today.spent.completion_tokens += usage.completion_tokens;
        today.is_noted = false;
    }

    /// What that is.
    pub(super) fn of(&self, usage: Usage) -> Taken {
        let Usage { prompt_tokens, completion_tokens } = usage;
        Taken { prompt_tokens, completion_tokens, cost: self.cost(prompt_tokens, completion_tokens) }
    }

    /// What was spent on the day of `now`.
    pub(super) fn so_far(&self, now: Stamp) -> Spending {
        let Spent { prompt_tokens, completion_tokens, .. } = self.on(now).spent;
        let cost = self.cost(prompt_tokens, completion_tokens);
        Spending { prompt_tokens, completion_tokens, cost, daily_cost: self.most }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_costs_what_its_tokens_cost_and_the_next_begins_with_nothing() {
        let purse = Purse::new(&Llm { prompt_price: 3.0, completion_price: 15.0, daily_cost: 0.006, ..Llm::default() });
        let now = Stamp::from_millis(1_796_000_000_000);
        let tomorrow = Stamp::from_millis(1_796_000_000_000 + 86_400_000);
        let reply = Usage { prompt_tokens: 1_000, completion_tokens: 100 };
        assert!((purse.of(reply).cost - 0.0045).abs() < 1e-9 && purse.has_left(now));
        purse.take(reply, now);
        assert!(purse.has_left(now), "one more may begin, whatever it comes to");
        purse.take(reply, now);
        assert!(!purse.has_left(now) && (purse.so_far(now).cost - 0.009).abs() < 1e-9);
        assert!(purse.has_left(tomorrow), "midnight has passed");
        assert_eq!(purse.so_far(tomorrow).prompt_tokens, 0);
        // After a start it is as it was before.
        purse.knows(Spent { day: tomorrow.day(), prompt_tokens: 2_000_000, completion_tokens: 0 });
        assert!(!purse.has_left(tomorrow));
    }

    #[test]
    fn without_a_limit_there_is_always_something_left() {
        let purse = Purse::new(&Llm::default());
        let now = Stamp::from_millis(1_796_000_000_000);
        purse.take(Usage { prompt_tokens: u64::from(u32::MAX), completion_tokens: 1 }, now);
        assert!(purse.has_left(now));
        assert_eq!(purse.so_far(now).cost, 0.0);
    }
}
