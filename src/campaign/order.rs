//! What is asked for: whom a campaign calls as, when, how many at once, and how often again.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    opening::{Opening, Written},
    outcome::Outcome,
};
use crate::{
    call::Wanted,
    dialplan::TrunkNames,
    store::{Attempt, Stamp},
};

/// Characters of a campaign's name.
const LONGEST_NAME: usize = 200;
/// Calls of one campaign at once: when nobody says so, and at most.
const AT_ONCE: (u32, u32) = (1, 10_000);
/// How long somebody may ring, in seconds: when nobody says so, and at most.
const RING: (u64, u64) = (30, 180);
/// How long it may be until somebody is called again, in seconds, and how often.
const LONGEST_PAUSE: u64 = 30 * 24 * 3_600;
const MOST_RETRIES: u32 = 20;

/// A campaign that is to be called.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignOrder, example = json!({
    "name": "Reminders of December",
    "list": "number\n0341234567\n",
    "trunk": "carrier",
    "plan": "outgoing",
    "ring_timeout_s": 30,
    "at_once": 2,
    "open": {"zone": "Indian/Antananarivo", "hours": [{"days": ["mon-fri"], "from": "08:00", "to": "17:00"}]},
    "retries": {"busy": {"after_s": 300, "times": 2}, "no_answer": {"after_s": 3600, "times": 1}}
}))]
pub struct Order {
    /// What it is called.
    #[schema(min_length = 1, max_length = 200, example = "Reminders of December")]
    pub name: String,
    /// Whom to call: CSV with a head. `number` is who, `zone` their time zone, every other column a variable of the plan. One that stands
    /// needs none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "number\n0341234567\n")]
    pub list: String,
    /// It begins when somebody resumes it.
    #[serde(default)]
    pub paused: bool,
    /// It goes on when nobody is left to call, and the list may be empty: callers who want to be called back come into it by its name
    /// (`request` in plans and tools).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standing: bool,
    /// The trunk that numbers go over, or several.
    #[schema(value_type = Option<TrunkNames>)]
    pub trunk: Option<TrunkNames>,
    /// What happens when somebody answers; the plan `outgoing` when it is left out.
    #[schema(example = "outgoing")]
    pub plan: Option<String>,
    /// Who calls; as the trunk says when it is left out.
    #[schema(example = "0201234567")]
    pub caller_id: Option<String>,
    /// Whoever is called is not to see who calls.
    #[serde(default)]
    pub privacy: bool,
    /// How long somebody may ring; half a minute when it is left out.
    #[serde(default = "ring")]
    #[schema(minimum = 1, maximum = 180)]
    pub ring_timeout_s: u64,
    /// Calls of it at once, on all Milos together; one when it is left out.
    #[serde(default = "at_once")]
    #[schema(minimum = 1, maximum = 10000)]
    pub at_once: u32,
    /// Places of `[limits] calls` that it leaves to those who call in; a fifth of them when it is left out.
    #[schema(minimum = 0, example = 10)]
    pub leave: Option<usize>,
    /// When it may call; at any time when it is left out.
    #[serde(default)]
    #[schema(value_type = Written)]
    pub open: Opening,
    /// Who is called again.
    #[serde(default)]
    pub retries: Retries,
    /// In place of the header `Idempotency-Key`.
    #[serde(default, skip_serializing)]
    #[schema(min_length = 1, max_length = 255)]
    pub idempotency_key: Option<String>,
}

fn ring() -> u64 {
    RING.0
}

fn at_once() -> u32 {
    AT_ONCE.0
}

/// Who is called again, by what came of the call. What stands here not is not tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = CampaignRetries)]
pub struct Retries {
    /// They speak with somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    busy: Option<Retry>,
    /// It rang for too long, or nothing was heard at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_answer: Option<Retry>,
    /// They, or the network, do not take the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Retry>,
    /// It could not be placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Retry>,
    /// An answering machine answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Retry>,
    /// Milo was stopped while the call was up.
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<Retry>,
}

/// After how long, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignRetry)]
struct Retry {
    /// In so many seconds, or as soon as its hours allow it then.
    #[schema(minimum = 1, maximum = 2592000)]
    after_s: u64,
    /// After so many calls with this outcome no more.
    #[schema(minimum = 1, maximum = 20)]
    times: u32,
}

impl Retries {
    fn of(&self, outcome: Outcome) -> Option<Retry> {
        match outcome {
            Outcome::Busy => self.busy,
            Outcome::NoAnswer => self.no_answer,
            Outcome::Refused => self.refused,
            Outcome::Failed => self.failed,
            Outcome::Machine => self.machine,
            Outcome::Interrupted => self.interrupted,
            Outcome::Answered | Outcome::Cancelled => None,
        }
    }

    /// When somebody is called again of whose last call this came, the last of `tried`; never, where there is none.
    pub(super) fn due(&self, outcome: Outcome, tried: &[Attempt], now: Stamp) -> Option<Stamp> {
        let retry = self.of(outcome)?;
        let so_far = tried.iter().filter(|attempt| attempt.outcome == outcome.as_str()).count();
        let pause = i64::try_from(retry.after_s).unwrap_or(i64::MAX).saturating_mul(1_000);
        (so_far <= retry.times as usize).then(|| Stamp::from_millis(now.millis().saturating_add(pause)))
    }
}

impl Order {
    /// What is impossible about it, where so many calls may be up at once.
    pub(super) fn fault(&self, limit: usize) -> Option<String> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Some(format!("name: it has 1 to {LONGEST_NAME} characters, and no control characters"));
        }
        let within = |field: &str, value: u64, most: u64| {
            (!(1..=most).contains(&value)).then(|| format!("{field} = {value} is not within 1 to {most}"))
        };
        let mut retries =
            Outcome::ALL.into_iter().filter_map(|outcome| Some((outcome.as_str(), self.retries.of(outcome)?)));
        within("ring_timeout_s", self.ring_timeout_s, RING.1)
            .or_else(|| within("at_once", self.at_once.into(), AT_ONCE.1.into()))
            .or_else(|| {
                retries.find_map(|(name, retry)| {
                    within(&format!("retries.{name}.after_s"), retry.after_s, LONGEST_PAUSE)
                        .or_else(|| within(&format!("retries.{name}.times"), retry.times.into(), MOST_RETRIES.into()))
                })
            })
            .or_else(|| {
                let leave = self.leave(limit);
                (leave >= limit).then(|| {
                    format!(
                        "leave = {leave} leaves no place for the campaign: {limit} calls may be up ([limits] calls)"
                    )
                })
            })
    }

    /// Places that it leaves to those who call in, where so many calls may be up at once.
    pub(super) fn leave(&self, limit: usize) -> usize {
        self.leave.unwrap_or(limit / 5)
    }

    /// The call of one line.
    pub(super) fn wanted(&self, to: String, variables: BTreeMap<String, String>) -> Wanted {
        Wanted {
            to,
            trunks: self.trunk.clone(),
            plan: self.plan.clone(),
            variables,
            caller_id: self.caller_id.clone(),
            private: self.privacy,
            headers: BTreeMap::new(),
            ring: Duration::from_secs(self.ring_timeout_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(more: Value) -> Order {
        let mut whole = json!({ "name": "n" });
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn attempts(outcomes: &[&str]) -> Vec<Attempt> {
        let at = Stamp::from_millis(0);
        let attempt =
            |outcome: &&str| Attempt { call: None, began: at, ended: at, outcome: (*outcome).to_owned(), detail: None };
        outcomes.iter().map(attempt).collect()
    }

    #[test]
    fn each_outcome_is_tried_again_as_often_as_it_says() {
        let retries = order(
            json!({ "retries": { "busy": { "after_s": 5, "times": 2 }, "machine": { "after_s": 60, "times": 1 } } }),
        )
        .retries;
        let due = |outcome: Outcome, tried: &[&str]| {
            retries.due(outcome, &attempts(tried), Stamp::from_millis(1_000)).map(Stamp::millis)
        };
        assert_eq!(due(Outcome::Busy, &["busy"]), Some(6_000));
        assert_eq!(due(Outcome::Busy, &["busy", "machine", "busy"]), Some(6_000));
        assert_eq!(due(Outcome::Busy, &["busy", "busy", "busy"]), None, "two times again");
        assert_eq!(due(Outcome::Machine, &["busy", "machine"]), Some(61_000));
        assert_eq!(due(Outcome::Machine, &["machine", "machine"]), None);
        assert_eq!(due(Outcome::NoAnswer, &["no_answer"]), None, "nothing is said of it");
        assert_eq!(due(Outcome::Answered, &["answered"]), None);
    }

    #[test]
    fn what_is_impossible_is_told_by_its_field() {
        assert_eq!(order(json!({})).fault(50), None);
        assert_eq!((order(json!({})).leave(50), order(json!({ "leave": 3 })).leave(50)), (10, 3));
        assert_eq!(order(json!({})).fault(1), None, "a fifth of one is none");
        for (more, says) in [
            (json!({ "name": " " }), "name: "),
            (json!({ "at_once": 0 }), "at_once = 0 is not within 1 to 10000"),
            (json!({ "ring_timeout_s": 181 }), "ring_timeout_s = 181"),
            (json!({ "retries": { "busy": { "after_s": 0, "times": 1 } } }), "retries.busy.after_s = 0"),
            (json!({ "retries": { "interrupted": { "after_s": 1, "times": 21 } } }), "retries.interrupted.times = 21"),
            (json!({ "leave": 50 }), "leave = 50 leaves no place"),
        ] {
            let fault = order(more.clone()).fault(50).expect(says);
            assert!(fault.starts_with(says), "{more}: {fault}");
        }
        for unknown in [json!({ "name": "n", "at_onse": 1 }), json!({ "name": "n", "retries": { "answered": {} } })] {
            assert!(serde_json::from_value::<Order>(unknown.clone()).is_err(), "{unknown}");
        }
    }
}
