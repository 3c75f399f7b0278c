//! What a conversation's model may have done: which tools it has, and how one is done beside the conversation.
//!
//! ```text
//! a call ─► arguments become variables ─┬─ asks and sets only ─► a task beside the conversation ─► what came of it
//!                                       └─ any other verb ─► the plan does it on the line, and the conversation goes on after it
//! ```

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::tz::TimeZone;
use milo_models::{engine::Language, tools};
use serde_json::{Map, Value, json};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{House, Record, notes::Notes, webhook};
use crate::{
    agent::{Moment, News, Persona},
    campaign::Campaigns,
    dialplan::{Action, CALL_BACK_AT, CALL_BACK_WHY, Edition, ServedWords, TRANSFER_RESULT, Tool, Variables},
    likeness::{self, Likeness},
    mcp::{Mcp, Served},
    webhook::Webhooks,
};

/// The tools of one conversation.
pub struct Toolbox<'a> {
    edition: &'a Arc<Edition>,
    tools: Arc<[tools::Tool]>,
    /// Where the persona is at home: days are counted by the clock there.
    zone: TimeZone,
    /// Those of them that are servers'.
    served: Vec<Served>,
    /// What the caller hears of those.
    words: BTreeMap<String, ServedWords>,
    mcp: Mcp,
    variables: &'a mut Variables,
    webhooks: Arc<Webhooks>,
    campaigns: Campaigns,
    likeness: Option<Likeness>,
    plan: String,
    notes: Notes,
    begun: &'a mut Begun,
}

/// What the conversations of one call have begun beside them. It goes on until the call ends, also when nobody waits for it any more.
#[derive(Default)]
pub struct Begun {
    tasks: JoinSet<()>,
    number: u64,
    finished: Arc<Mutex<BTreeMap<u64, (String, Outcome)>>>,
}

/// Something that was begun.
pub struct Ticket {
    number: u64,
    over: watch::Receiver<()>,
}

impl Ticket {
    /// Waits until it is over. Cancel safe.
    pub async fn over(&self) {
        // The task keeps the other end and says nothing.
        let mut over = self.over.clone();
        while over.changed().await.is_ok() {}
    }
}

/// What a model wants done, as far as it is known.
pub struct Wanted<'a> {
    /// The tool, as the model calls it.
    pub name: String,
    /// What it is told, as texts.
    pub arguments: BTreeMap<String, String>,
    doer: Doer<'a>,
}

enum Doer<'a> {
    /// A file's verbs.
    Verbs(&'a Tool),
    /// A server.
    Server(Served, Map<String, Value>),
}

impl Wanted<'_> {
    /// Whether it is done beside the conversation.
    pub fn is_beside(&self) -> bool {
        self.verbs().is_none_or(Tool::is_beside)
    }

    /// Whether the call ends with it.
    pub fn hangs_up(&self) -> bool {
        self.verbs().is_some_and(Tool::hangs_up)
    }

    /// The file's tool, where it is one.
    fn verbs(&self) -> Option<&Tool> {
        match &self.doer {
            Doer::Verbs(tool) => Some(tool),
            Doer::Server(..) => None,
        }
    }
}

/// What came of something that was done beside the conversation.
#[derive(Debug)]
struct Outcome {
    set: Vec<(String, String)>,
    result: Report,
}

/// What the model is told, and whether it was done.
#[derive(Debug)]
pub struct Report {
    /// As JSON.
    pub told: String,
    /// Nothing failed, and there is what was to be told.
    pub is_done: bool,
}

impl<'a> Toolbox<'a> {
    /// Those of a persona.
    pub(super) fn new(
        (edition, persona): (&'a Arc<Edition>, &Persona),
        variables: &'a mut Variables,
        begun: &'a mut Begun,
        (house, plan, log): (&House, &str, &Record),
    ) -> Self {
        let known = persona.tools.iter().filter_map(|name| edition.dialplans.tool(name));
        let served: Vec<_> = persona.tools.iter().flat_map(|name| house.mcp.tools(name)).collect();
        let own = known.map(|tool| tool.for_model(persona.brief_tools));
        let mut tools: Vec<tools::Tool> = Vec::new();
        for tool in own.chain(served.iter().map(|served| served.tool.clone())) {
            // No protocol takes two of one name.
            if tools.iter().all(|known| known.name != tool.name) {
                tools.push(tool);
            }
        }
        let tools = tools.into();
        let mcp = house.mcp.clone();
        let (webhooks, campaigns, notes) = (Arc::clone(&house.webhooks), house.campaigns.clone(), log.notes());
        let is_local = notes.mode().is_some();
        let (zone, likeness) = (persona.zone.clone(), house.likeness.clone().filter(|_| !is_local));
        let (plan, words) = (plan.into(), persona.mcp.clone());
        Self { edition, tools, zone, served, words, mcp, variables, webhooks, campaigns, likeness, plan, notes, begun }
    }

    /// As the model is told of them.
    pub fn tools(&self) -> Arc<[tools::Tool]> {
        Arc::clone(&self.tools)
    }

    /// What a call means.
    ///
    /// # Errors
    /// What of the call is wrong, as the model is told.
    pub fn of(&self, call: &tools::Call) -> Result<Wanted<'a>, String> {
        let (tool, arguments) = call.check(&self.tools, Moment::now(&self.zone).day())?;
        let name = tool.name.clone();
        let gone = || format!("there is no tool {name:?}");
        let doer = if tool.schema.is_some() {
            let served = self.served.iter().find(|served| served.tool.name == name).ok_or_else(gone)?;
            Doer::Server(served.clone(), call.values())
        } else {
            Doer::Verbs(self.edition.dialplans.tool(&name).ok_or_else(gone)?)
        };
        Ok(Wanted { name, arguments, doer })
    }

    /// What the caller hears while it is done.
    pub fn meanwhile(&self, wanted: &Wanted<'_>, language: Language) -> Option<String> {
        let own = match &wanted.doer {
            Doer::Verbs(tool) => tool.meanwhile(language),
            Doer::Server(served, _) => served.words(&self.words)?.meanwhile(language),
        };
        Some(self.filled(own?, &wanted.arguments))
    }

    /// What the caller is asked before it is done.
    pub fn question(&self, wanted: &Wanted<'_>, language: Language) -> Option<String> {
        let fill = |text: &str| self.filled(text, &wanted.arguments);
        match &wanted.doer {
            Doer::Verbs(tool) => tool.confirm(language).map(fill),
            Doer::Server(served, _) => {
                let words = served.words(&self.words).cloned().unwrap_or_default();
                words.question(language, (served.destroys, &wanted.arguments), fill)
            }
        }
    }

    /// What the caller hears when it is done, as the file has it.
    pub fn says(&self, wanted: &Wanted<'_>, language: Language) -> Option<String> {
        let own = match &wanted.doer {
            Doer::Verbs(tool) => tool.says(language),
            Doer::Server(served, _) => served.words(&self.words)?.says(language),
        };
        own.map(str::to_owned)
    }

    /// A text of a tool with the values of these arguments and of what is known of the call.
    pub fn filled(&self, text: &str, arguments: &BTreeMap<String, String>) -> String {
        let mut variables = self.variables.clone();
        arguments.iter().for_each(|(name, value)| variables.set(name, value.clone()));
        variables.fill_text(text, |_| None)
    }

    /// Does what needs no line.
    pub fn begin(&mut self, wanted: Wanted<'_>) -> Ticket {
        let notes = self.notes.clone();
        let Wanted { name, arguments, doer } = wanted;
        let doing: Pin<Box<dyn Future<Output = Outcome> + Send>> = match doer {
            Doer::Verbs(tool) => {
                let (tool, edition, webhooks) = (tool.clone(), Arc::clone(self.edition), Arc::clone(&self.webhooks));
                let (plan, notes, likeness) = (self.plan.clone(), self.notes.clone(), self.likeness.clone());
                let (mut variables, campaigns) = (self.variables.clone(), self.campaigns.clone());
                prepare(&tool, arguments.clone(), &mut variables);
                Box::pin(async move {
                    let by = (&*edition, (&*webhooks, &campaigns, likeness.as_ref()), plan.as_str(), &notes);
                    let (set, failed) = perform(&tool, &mut variables, by).await;
                    let result = report(&tool, &variables, failed.as_deref());
                    Outcome { set: arguments.into_iter().chain(set).collect(), result }
                })
            }
            Doer::Server(served, values) => {
                let mcp = self.mcp.clone();
                Box::pin(async move {
                    let (told, is_done) = mcp.call(&served, values).await;
                    Outcome { set: Vec::new(), result: Report { told, is_done } }
                })
            }
        };
        self.begun.number += 1;
        let (number, finished) = (self.begun.number, Arc::clone(&self.begun.finished));
        let (is_going_on, over) = watch::channel(());
        self.begun.tasks.spawn(async move {
            let began = Instant::now();
            let outcome = doing.await;
            let after_ms = began.elapsed().as_millis() as u64;
            let told = notes.words(&outcome.result.told);
            notes.event("tool", json!({ "name": name, "told": told, "after_ms": after_ms }));
            finished.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (name, outcome));
            drop(is_going_on);
        });
        Ticket { number, over }
    }

    /// What came of it, if it is over: known from now on.
    pub fn take(&mut self, ticket: &Ticket) -> Option<Report> {
        let (_, outcome) = self.finished().remove(&ticket.number)?;
        Some(self.know(outcome))
    }

    /// What is over and was not taken yet, of which nobody waited for the end: known from now on.
    pub fn news(&mut self) -> Vec<News> {
        let all = std::mem::take(&mut *self.finished());
        let news = |(tool, outcome)| News::Done { tool, told: self.know(outcome).told };
        all.into_values().map(news).collect()
    }

    /// Whether there is such.
    pub fn has_news(&self) -> bool {
        !self.finished().is_empty()
    }

    /// The lock is taken as something ends, and as a turn is answered.
    fn finished(&self) -> MutexGuard<'_, BTreeMap<u64, (String, Outcome)>> {
        self.begun.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&mut self, outcome: Outcome) -> Report {
        outcome.set.into_iter().for_each(|(name, value)| self.variables.set(&name, value));
        outcome.result
    }

    /// The verbs of this are the plan's to do: they find their variables.
    pub fn prepare(&mut self, wanted: Wanted<'_>) {
        if let Doer::Verbs(tool) = wanted.doer {
            prepare(tool, wanted.arguments, self.variables);
        }
    }

    /// A tool that the plan has done on the line, and what came of it; `failed` is what of it was not done.
    pub fn done(&self, name: &str, failed: Option<&str>) -> Option<(&'a Tool, Report)> {
        let tool = self.edition.dialplans.tool(name)?;
        Some((tool, report(tool, self.variables, failed)))
    }
}

/// Nothing of what an earlier call has told is left.
fn prepare(tool: &Tool, arguments: BTreeMap<String, String>, variables: &mut Variables) {
    tool.tells.iter().for_each(|name| variables.set(name, String::new()));
    if tool.calls_somebody() {
        variables.set(TRANSFER_RESULT, String::new());
    }
    if tool.calls_back() {
        [CALL_BACK_AT, CALL_BACK_WHY].iter().for_each(|name| variables.set(name, String::new()));
    }
    arguments.into_iter().for_each(|(name, value)| variables.set(&name, value));
}

/// The variables that it has set, and why it was not done to its end.
async fn perform(
    tool: &Tool,
    variables: &mut Variables,
    (edition, (webhooks, campaigns, likeness), plan, notes): (
        &Edition,
        (&Webhooks, &Campaigns, Option<&Likeness>),
        &str,
        &Notes,
    ),
) -> (Vec<(String, String)>, Option<String>) {
    let mut all = Vec::new();
    for step in &tool.actions {
        let set = match variables.fill(step.get_ref()) {
            Ok(Action::Set(values)) => values.into_iter().collect(),
            Ok(Action::LookUp(look_up)) => {
                let found = likeness::look_up(&edition.dialplans, &look_up, likeness).await;
                vec![(look_up.into, found)]
            }
            Ok(Action::Request(request)) => match notes.request(&request, variables, campaigns).await {
                Ok(told) => told,
                Err(why) => return (all, Some(why.into())),
            },
            Ok(Action::Webhook(webhook)) => {
                let body = webhook::body(&webhook, (plan, None, variables), &notes.key().to_string());
                match webhook::ask(&webhook, body.to_string(), webhooks).await {
                    (Ok(answer), _) => answer.set,
                    (Err(why), tries) => {
                        notes.event("webhook", json!({ "result": "failed", "why": why, "tries": tries }));
                        return (all, Some(why));
                    }
                }
            }
            // No other is done beside a conversation.
            Ok(_) => continue,
            Err(why) => return (all, Some(why)),
        };
        set.iter().for_each(|(name, value)| variables.set(name, value.clone()));
        all.extend(set);
    }
    (all, None)
}

/// What there is to tell, or whether it was done.
fn report(tool: &Tool, variables: &Variables, failed: Option<&str>) -> Report {
    let told = variables.told(&tool.tells);
    let values: BTreeMap<_, _> = told.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let back = [CALL_BACK_AT, CALL_BACK_WHY].map(|name| if tool.calls_back() { variables.value(name) } else { "" });
    let transfer = if tool.calls_somebody() { variables.value(TRANSFER_RESULT) } else { "" };
    let (object, is_done) = match (failed, transfer) {
        (Some(why), _) => (json!({ "ok": false, "why": why }), false),
        (None, "answered" | "joined") => {
            (json!({ "ok": true, "result": "they have spoken, and the caller is back" }), true)
        }
        (None, "") if tool.calls_somebody() => (json!({ "ok": false, "why": "nobody was called" }), false),
        (None, "") if back != ["", ""] => {
            let who = match back {
                ["", why] => format!("a person calls back, nobody can say when; Milo does not: {why}"),
                [at, _] => format!("Milo calls back at {at}"),
            };
            let result = [("result", who.as_str())].into_iter();
            let values = values.iter().map(|(name, value)| (*name, *value));
            let all: BTreeMap<_, _> = values.chain(result).collect();
            // What the file says is of Milo's own call.
            (json!(all), !back[0].is_empty())
        }
        (None, "") if tool.tells.is_empty() => (json!({ "ok": true }), true),
        (None, "") if values.is_empty() => (json!({ "ok": false, "why": "nothing came of it" }), false),
        (None, "") => (json!(values), true),
        (None, why) => (json!({ "ok": false, "why": why }), false),
    };
    Report { told: tools::plainly(&object), is_done }
}
