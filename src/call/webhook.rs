//! The verb `webhook`: a program of the operator's is told of the call, and may set variables and say how it goes on.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use milo_media::{Heard, Voice};
use milo_models::engine::Language;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use super::{
    House, Record,
    ask::AHEAD,
    verbs::{Line, heard},
};
use crate::{
    agent::Stopgap,
    dialplan::{Variables, Webhook},
    store::{Key, Stamp},
    webhook::{Question, Webhooks},
};

/// Before it is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// What an answer may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// Values for variables; numbers, `true` and `false` as they are written.
    #[serde(default)]
    variables: BTreeMap<String, Value>,
    /// The plan to go on with.
    #[serde(default)]
    plan: Option<String>,
}

/// What was answered, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) set: Vec<(String, String)>,
    pub(super) plan: Option<String>,
}

impl Line {
    /// Asks; where that takes long, the caller is asked to wait, again and again, and keys are kept for whoever asks for them next.
    /// `None`: no right answer came.
    pub(super) async fn webhook(
        &mut self,
        webhook: &Webhook,
        (plan, language, variables): (&str, Language, &Variables),
        house: &House,
        log: &Record,
    ) -> Option<Answer> {
        let began = Instant::now();
        let body = body(webhook, (plan, Some(language), variables), &log.id());
        let stopgap = self.stopgap(house, language, log);
        let Self { ears, voice, until, typed, .. } = self;
        let asking = ask(webhook, body.to_string(), &house.webhooks);
        let listening = async {
            while let Some(heard) = heard(ears, *until).await {
                if let Heard::Digit(key) = heard {
                    log.digit(key);
                    if typed.len() < AHEAD {
                        typed.push_back(key);
                    }
                }
            }
        };
        let (answer, tries) = select! {
            answered = waited_for(asking, stopgap, voice, log) => answered,
            () = listening => (Err("the call is over".into()), 1),
        };
        let after_ms = began.elapsed().as_millis() as u64;
        let detail = match &answer {
            Ok(answer) => {
                let set: Vec<_> = answer.set.iter().map(|(name, _)| name).collect();
                json!({ "result": "answered", "sets": set, "plan": answer.plan, "tries": tries, "after_ms": after_ms })
            }
            Err(why) => json!({ "result": "failed", "why": why, "tries": tries, "after_ms": after_ms }),
        };
        log.event("webhook", detail);
        answer.ok()
    }
}

/// What comes of this; whoever waits for it hears that they are not forgotten, and what has begun of that to its end.
async fn waited_for<T>(asking: impl Future<Output = T>, mut stopgap: Stopgap, voice: &mut Voice, log: &Record) -> T {
    let mut asking = pin!(asking);
    let answered = loop {
        let due = stopgap.due();
        select! {
            biased;
            answered = &mut asking => break answered,
            () = stopgap.speak(voice), if stopgap.is_speaking() => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                stopgap.say();
                match stopgap.said() {
                    1 => log.event("filler", json!({ "for": "webhook" })),
                    times => log.event("stuck", json!({ "stage": "webhook", "times": times })),
                }
            }
        }
    };
    stopgap.speak(voice).await;
    answered
}

/// What it is told of the call.
pub(super) fn body(
    webhook: &Webhook,
    (plan, language, variables): (&str, Option<Language>, &Variables),
    call: &str,
) -> Value {
    json!({
        "call": call,
        "caller": variables.value("caller"),
        "called": variables.value("called"),
        "trunk": variables.value("trunk"),
        "plan": plan,
        "language": language,
        "variables": variables.told(&webhook.send),
    })
}

/// Asks, and asks again while nothing is heard; says also how often.
pub(super) async fn ask(webhook: &Webhook, body: String, webhooks: &Webhooks) -> (Result<Answer, String>, u32) {
    let url = match webhook.target() {
        Ok(url) => url,
        Err(why) => return (Err(why), 0),
    };
    let delivery = Key::new().to_string();
    let mut tries = 0;
    loop {
        tries += 1;
        let timestamp = Stamp::now().millis() / 1_000;
        let question = Question { url: &url, delivery: delivery.clone(), timestamp, body: body.clone() };
        match webhooks.ask(&question, Duration::from_secs(webhook.seconds)).await {
            Ok(said) => return (understood(webhook, said), tries),
            Err(unanswered) if unanswered.again && tries <= webhook.retries => sleep(PAUSE).await,
            Err(unanswered) => return (Err(unanswered.why), tries),
        }
    }
}

/// An answer, if it says nothing that the plan does not let it.
fn understood(webhook: &Webhook, said: Value) -> Result<Answer, String> {
    let Said { variables, plan } = match said {
        Value::Null => Said::default(),
        said => serde_json::from_value(said).map_err(|error| format!("its answer: {error}"))?,
    };
    if let Some(plan) = plan.as_ref().filter(|plan| !webhook.plans.contains(plan)) {
        return Err(format!("its answer: the plan {plan:?} is none of `plans`"));
    }
    let mut set = Vec::new();
    for (name, value) in variables {
        if !webhook.sets.contains(&name) {
            return Err(format!("its answer: the variable {name:?} is none of `sets`"));
        }
        let value = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null => String::new(),
            _ => return Err(format!("its answer: the variable {name:?} is neither text nor a number")),
        };
        if let Some(fault) = Variables::unkeepable(&name, &value) {
            return Err(format!("its answer: {fault}"));
        }
        set.push((name, value));
    }
    Ok(Answer { set, plan })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_only_what_the_plan_lets_it() {
        let webhook = Webhook {
            url: "https://crm.example.com/".into(),
            send: Vec::new(),
            sets: vec!["name".into(), "age".into()],
            plans: vec!["vip".into()],
            seconds: 5,
            retries: 0,
            failed: None,
        };
        let answer = understood(&webhook, json!({ "variables": { "name": "Rasoa", "age": 7 }, "plan": "vip" }));
        let set = vec![("age".to_owned(), "7".to_owned()), ("name".to_owned(), "Rasoa".to_owned())];
        assert_eq!(answer, Ok(Answer { set, plan: Some("vip".into()) }));
        assert_eq!(understood(&webhook, Value::Null), Ok(Answer { set: Vec::new(), plan: None }));
        for (said, why) in [
            (json!({ "plan": "other" }), "none of `plans`"),
            (json!({ "variables": { "caller": "boss" } }), "none of `sets`"),
            (json!({ "variables": { "name": ["a"] } }), "neither text nor"),
            (json!({ "variables": { "name": "x".repeat(1_001) } }), "longer than 1000"),
            (json!({ "goto": "vip" }), "unknown field"),
            (json!([1]), "its answer"),
        ] {
            let told = understood(&webhook, said).expect_err("a fault");
            assert!(told.contains(why), "{told}\n  not: {why}");
        }
    }
}
