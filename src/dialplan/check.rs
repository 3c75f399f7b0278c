//! What can be wrong with plans that could be read: each verb, and how plans lead to one another.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use milo_models::engine::Language;

use super::{
    Action, Block, Bridge, Detect, Dial, Knowledge, LookUp, Plan, Step, Surroundings, TextMessage, Tool, TrunkNames,
    fault::{Fault, Source},
    ready,
    request::read_back,
    variables,
};
use crate::{
    agent::{Moment, Persona, Remembering},
    engines::Mode,
};

/// What plans may name.
pub(super) struct Known<'a> {
    pub(super) folder: &'a Path,
    pub(super) personas: &'a BTreeMap<String, Persona>,
    pub(super) tools: &'a [(&'a Source, Tool)],
    pub(super) knowledge: &'a BTreeMap<String, Knowledge>,
    pub(super) around: &'a Surroundings,
}

/// Checks all plans, and gives the names of the header fields that they ask for and of the variables that they set or are given.
pub(super) fn check(
    plans: &[(&Source, Plan)],
    known: &Known<'_>,
    faults: &mut Vec<Fault>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let names: BTreeMap<&str, &Plan> = plans.iter().map(|(_, plan)| (plan.name.as_str(), plan)).collect();
    let blocks = plans.iter().map(|(_, plan)| &plan.actions).chain(known.tools.iter().map(|(_, tool)| &tool.actions));
    let all: Vec<_> = blocks.flat_map(steps).map(Step::get_ref).collect();
    let given = plans.iter().flat_map(|(_, plan)| plan.variables.iter().map(String::as_str));
    let told = known.tools.iter().flat_map(|(_, tool)| tool.takes.iter().map(|argument| argument.name.as_str()));
    let set = all.iter().flat_map(|action| action.sets()).chain(given).chain(told);
    let set: BTreeSet<String> = set.map(Into::into).collect();
    let lines: BTreeSet<&str> = all.iter().filter_map(|action| action.line()).collect();
    let own = plans.iter().flat_map(|(_, plan)| plan.variables.iter().map(String::as_str));
    let told = known.tools.iter().flat_map(|(_, tool)| tool.takes.iter().map(|argument| argument.name.as_str()));
    let read_back = read_back(&all, own.chain(told));
    let names_of = Names { plans: names.keys().copied().collect(), set: &set, lines };
    let mut headers = BTreeSet::new();
    for (n, (source, plan)) in plans.iter().enumerate() {
        let mut wrong = |at: usize, fault: String| {
            faults.push(source.fault(Some(at), format!("plan {:?}: {fault}", plan.name)));
        };
        if plans[..n].iter().any(|(_, other)| other.name == plan.name) {
            wrong(plan.at, "name: another plan has it".into());
        }
        headers.extend(plan.headers.keys().map(|name| name.to_ascii_lowercase()));
        if !plan.accept_language.is_empty() {
            headers.insert(super::choose::ACCEPT_LANGUAGE.into());
        }
        if let Some(fault) = plan.hours.iter().find_map(super::Window::fault) {
            wrong(plan.at, fault);
        }
        if let Some(fault) = plan.variables.iter().find_map(|name| variables::unfit(name)) {
            wrong(plan.at, format!("variables: {fault}"));
        }
        order(plan, &mut wrong);
        if let Some(way) = round(plan, &names) {
            wrong(plan.at, format!("goto: {way} leads round without anything that takes time"));
        }
        for step in steps(&plan.actions) {
            let (at, action) = (step.span().start, step.get_ref());
            let faults = verb(action, known, &names_of, &mut headers);
            faults.into_iter().chain(unread(action, &read_back, [None; 2])).for_each(|fault| wrong(at, fault));
        }
    }
    for (source, tool) in known.tools {
        let mut wrong = |at: Option<usize>, fault: String| faults.push(source.fault(at, fault));
        tool.fault(&set).into_iter().for_each(|fault| wrong(None, fault));
        for text in tool.texts() {
            let unknown = variables::unknown_in(text, &[], &set, &mut headers);
            unknown.into_iter().for_each(|fault| wrong(source.text.find(text), fault));
        }
        for step in steps(&tool.actions) {
            let (at, action) = (step.span().start, step.get_ref());
            let faults = verb(action, known, &names_of, &mut headers);
            let confirm = [Language::Mg, Language::Fr].map(|language| tool.confirm(language));
            let faults = faults.into_iter().chain(unread(action, &read_back, confirm));
            Tool::unfit(action).into_iter().chain(faults).for_each(|fault| wrong(Some(at), fault));
        }
    }
    (headers, set)
}

/// A number that Milo is to call, and nobody has read back.
fn unread(action: &Action, read_back: &BTreeSet<&str>, confirm: [Option<&str>; 2]) -> Option<String> {
    match action {
        Action::Request(request) => request.unread(read_back, confirm),
        _ => None,
    }
}

/// What verbs may name of the plans.
struct Names<'a> {
    plans: BTreeSet<&'a str>,
    set: &'a BTreeSet<String>,
    lines: BTreeSet<&'a str>,
}

/// What is wrong with one verb, those within it left out; the header fields that it asks for are added to `headers`.
fn verb(action: &Action, known: &Known<'_>, names: &Names<'_>, headers: &mut BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut wrong = |fault: String| faults.push(fault);
    let named = action.verb();
    if let Some(fault) = variables::unknown(action, names.set, headers) {
        wrong(format!("{named}: {fault}"));
    } else if let Some(fault) = variables::misplaced(action) {
        wrong(format!("{named}: {fault}"));
    } else if let Some(fault) = variables::sample(action).fault() {
        wrong(fault);
    }
    for sound in action.sounds() {
        if let Err(fault) = known.around.check_sound(known.folder, sound) {
            wrong(format!("{named}: {fault}"));
        }
    }
    outside(action, known.around).into_iter().for_each(|fault| wrong(format!("{named}: {fault}")));
    for (field, name) in leads_to(action).into_iter().filter(|(_, name)| !names.plans.contains(name)) {
        let plans: Vec<_> = names.plans.iter().copied().collect();
        wrong(format!("{field}: no plan {name:?}; known: {}", plans.join(", ")));
    }
    if let Action::Bridge(Bridge { queue: Some(line), .. }) = action
        && !names.lines.contains(line.as_str())
    {
        let lines: Vec<_> = names.lines.iter().copied().collect();
        wrong(format!("bridge: queue: no plan has a queue {line:?}; known: {}", lines.join(", ")));
    }
    if let Action::LookUp(LookUp { within, .. }) = action
        && !(known.knowledge.contains_key(within) || within.is_empty() && known.knowledge.len() == 1)
    {
        let folders: Vec<_> = known.knowledge.keys().map(String::as_str).collect();
        let what = if within.is_empty() {
            "left out, and there is not one folder in knowledge/".to_owned()
        } else {
            format!("no folder knowledge/{within}")
        };
        wrong(format!("look_up: within: {what}; known: {}", folders.join(", ")));
    }
    if let Action::Converse { persona, .. } = action
        && !known.personas.contains_key(persona)
    {
        let personas: Vec<_> = known.personas.keys().map(String::as_str).collect();
        wrong(format!("converse: no persona {persona:?}; known: {}", personas.join(", ")));
    }
    faults
}

/// Checks what the personas' texts ask for of a call, and the tools that they name.
pub(super) fn personas(
    (known, sources): (&Known<'_>, &[Source]),
    set: &BTreeSet<String>,
    headers: &mut BTreeSet<String>,
    faults: &mut Vec<Fault>,
) {
    for (source, persona) in sources.iter().filter_map(|source| Some((source, known.personas.get(&source.name())?))) {
        if persona.mode == Some(Mode::Cloud)
            && let Err(fault) = known.around.check_cloud()
        {
            let at = source.text.find("\nmode").map(|before| before + 1);
            faults.push(source.fault(at, format!("mode = \"cloud\": {fault}")));
        }
        let wrong = match known.around.check_heeds(persona.mode) {
            Ok(()) => persona.check_room().err(),
            Err(fault) => persona.only_framed().map(|key| format!("{key}: {fault}")),
        };
        if let Some(fault) = wrong {
            let key = fault.split([' ', ':']).next().unwrap_or_default();
            let at = source.text.find(&format!("\n{key}")).map_or(0, |before| before + 1);
            faults.push(source.fault(Some(at), fault));
        }
        let own = known.tools.iter().map(|(_, tool)| tool.name.as_str());
        let tools: BTreeSet<_> = own.chain(ready::names()).collect();
        for name in &persona.tools {
            let fault = match name.split_once('/') {
                Some((server, _)) => known.around.check_mcp(server).err().map(|fault| format!("tools: {fault}")),
                None if tools.contains(name.as_str()) => None,
                None => {
                    let tools: Vec<_> = tools.iter().copied().collect();
                    Some(format!("tools: no tool {name:?}; known: {}", tools.join(", ")))
                }
            };
            let Some(fault) = fault else { continue };
            faults.push(source.fault(source.text.find(&format!("{name:?}")), fault));
        }
        let remembered = persona.memory.map(|_| Remembering::NAMES);
        let more: Vec<_> = Moment::NAMES.into_iter().chain(remembered.into_iter().flatten()).collect();
        for text in persona.texts() {
            let unknown = variables::unknown_in(text, &more, set, headers);
            faults.extend(unknown.map(|fault| source.fault(source.text.find(text), fault)));
        }
    }
}

/// What a verb names of the configuration that is not there.
fn outside(action: &Action, around: &Surroundings) -> Vec<String> {
    let in_field = |field: &'static str| move |fault: String| format!("{field}: {fault}");
    let account = |field, name: &String| around.check_account(name).map_err(in_field(field)).err();
    match action {
        Action::Dial(Dial { trunk, account: named, .. })
        | Action::Message(TextMessage { trunk, account: named, .. }) => {
            let trunks = trunk.iter().flat_map(TrunkNames::names);
            let unknown = trunks.filter_map(|name| around.check_trunk(name).map_err(in_field("trunk")).err());
            unknown.chain(named.iter().filter_map(|name| account("account", name))).collect()
        }
        Action::Transfer(transfer) => transfer.account.iter().filter_map(|name| account("account", name)).collect(),
        Action::Queue(queue) => queue.accounts.iter().filter_map(|name| account("accounts", name)).collect(),
        // One that is no address is told elsewhere.
        Action::Webhook(webhook) => {
            let url = webhook.target().ok();
            url.and_then(|url| around.check_host(&url).map_err(in_field("url")).err()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Every verb of a block and of the blocks within it, in the order of the file.
pub(super) fn steps(block: &Block) -> Vec<&Step> {
    let within = |step| [step].into_iter().chain(Step::get_ref(step).blocks().into_iter().flat_map(steps));
    block.iter().flat_map(within).collect()
}

/// The verbs before the answer, and those in place of it.
fn order(plan: &Plan, wrong: &mut impl FnMut(usize, String)) {
    let instead = |action: &Action| matches!(action, Action::Reject { .. } | Action::Redirect { .. });
    let Some(last) = plan.actions.last() else {
        let least = "actions is empty; give at least { hangup = {} } or { reject = { status = 404 } }";
        return wrong(plan.actions_at, least.into());
    };
    let mut begins = plan.actions.iter().skip_while(|step| matches!(step.get_ref(), Action::Ring { .. })).peekable();
    let early = begins.next_if(|step| matches!(step.get_ref(), Action::Early {}));
    let first = begins.find(|step| early.is_none() || !step.get_ref().is_heard_early());
    if !first.is_some_and(|step| matches!(step.get_ref(), Action::Answer {}) || instead(step.get_ref())) {
        let begin = "after ringing, a plan begins with { answer = {} } or { reject = { status = 404 } }; { early = {} } \
                     before it lets play, tone and music be heard before it";
        wrong(plan.actions_at, begin.into());
    }
    if let Some(step) = first.filter(|step| early.is_some() && matches!(step.get_ref(), Action::Redirect { .. })) {
        let place = "redirect does not follow early: what is heard before the answer leads to answer or reject";
        wrong(step.span().start, place.into());
    }
    for step in steps(&plan.actions).into_iter().filter(|step| matches!(step.get_ref(), Action::Early {})) {
        if !early.is_some_and(|early| std::ptr::eq(early, step)) {
            wrong(step.span().start, "early stands once, and before answer or reject".into());
        }
    }
    for step in steps(&plan.actions).into_iter().filter(|step| instead(step.get_ref())) {
        if !std::ptr::eq(step, last) || !first.is_some_and(|first| std::ptr::eq(step, first)) {
            let verb = step.get_ref().verb();
            let place = "stands in place of answer: nothing but ring and what is heard early goes before it, nothing \
                         follows it";
            wrong(step.span().start, format!("{verb} {place}"));
        }
    }
}

/// The plan that a field names, if it does.
fn named<'a>(field: &'static str, plan: &'a Option<String>) -> Option<(&'static str, &'a str)> {
    plan.as_deref().map(|name| (field, name))
}

/// The plans with which a call may go on, and the fields that name them.
fn leads_to(action: &Action) -> Vec<(&'static str, &str)> {
    match action {
        Action::Goto(name) => vec![("goto", name)],
        Action::Converse { failed, detect, .. } => {
            named("converse: failed", failed).into_iter().chain(detect.iter().flat_map(Detect::leads_to)).collect()
        }
        Action::Gather(gather) => named("gather: failed", &gather.failed).into_iter().collect(),
        Action::Queue(queue) => {
            [named("queue: failed", &queue.failed), named("queue: full", &queue.full)].into_iter().flatten().collect()
        }
        Action::Bridge(bridge) => named("bridge: failed", &bridge.failed).into_iter().collect(),
        Action::Webhook(webhook) => {
            let plans = webhook.plans.iter().map(|name| ("webhook: plans", name.as_str()));
            plans.chain(named("webhook: failed", &webhook.failed)).collect()
        }
        _ => Vec::new(),
    }
}

/// The way from a plan back to itself on which no verb takes time, if there is one. A gather takes time before it fails, and
/// a menu before it leads anywhere, so only the goto of plans and of repeated blocks counts.
fn round<'a>(plan: &'a Plan, names: &BTreeMap<&str, &'a Plan>) -> Option<String> {
    let (mut way, mut here) = (vec![plan.name.as_str()], plan);
    loop {
        let next = at_once(&here.actions)?;
        if next == plan.name {
            way.push(next);
            return Some(way.join(" → "));
        }
        // One that comes round elsewhere is told there.
        if way.contains(&next) {
            return None;
        }
        way.push(next);
        here = *names.get(next)?;
    }
}

/// The plan that a block leads to at once.
fn at_once(block: &Block) -> Option<&str> {
    for step in block {
        match step.get_ref() {
            Action::Goto(name) => return Some(name),
            Action::Repeat { actions, .. } if at_once(actions).is_some() => return at_once(actions),
            action if action.is_instant() => {}
            _ => return None,
        }
    }
    None
}
