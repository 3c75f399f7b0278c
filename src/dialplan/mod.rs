//! Dialplans: which call is treated how. Files (`dialplans/*.toml`) hold the truth; the ones that ship are carried in the
//! binary, for a Milo that was started without a checkout beside it.
//!
//! ```text
//! *.toml ─► read ─► plans ─► check ─► Dialplans ─► Edition ─► calls        a fault: the old edition stays in force
//!                                        │ choose(Facts)                   (editions.rs)
//!                                        └─► Plan: Block of Steps, each an Action
//! ```

mod action;
mod answering;
mod ask;
mod check;
mod choose;
pub mod command;
mod detect;
mod dial;
mod editions;
mod fault;
mod hours;
mod interpret;
mod knowledge;
mod meaning;
mod message;
mod pattern;
mod read;
mod ready;
#[cfg(test)]
mod reference;
mod request;
mod served;
mod surroundings;
mod text;
mod tool;
mod transfer;
mod variables;
mod wait;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, civil::Date};
use milo_models::engine::Language;
use serde::Deserialize;

pub use action::{Action, Block, RecordingStep, Step};
pub use answering::Wordings;
pub use ask::{Gather, Input, Kind, Menu, Prompt, Say};
pub use choose::{Facts, Identified, Verdict};
pub use detect::{Detect, OnMachine};
pub use dial::{Dial, TrunkNames};
pub use editions::{Edition, Editions, Origin};
pub use fault::{Fault, Faults};
pub use hours::Window;
pub(crate) use hours::{Holiday, closed, madagascar, zone, zone_named};
pub use interpret::{Interpret, Original};
pub use knowledge::{Knowledge, LookUp, Near, Vectors};
pub use message::{Message, Voicemail};
pub use pattern::{Pattern, Patterns};
pub use request::{Request, RequestKind};
pub use served::ServedWords;
pub use surroundings::Surroundings;
pub use text::TextMessage;
pub use tool::Tool;
pub use transfer::{Transfer, TransferMode};
pub use variables::{ANSWERED_BY, CALL_BACK_AT, CALL_BACK_WHY, TRANSFER_RESULT, Variables};
pub use wait::{Bridge, Hold, Queue, Ring};
pub use webhook::Webhook;

use crate::agent::{Persona, instructions};
use check::Known;
use fault::Source;
use hours::Calendar;

/// The dialplan and persona that ship.
const SHIPPED_PLAN: &str = include_str!("../../dialplans/default.toml");
const SHIPPED_PERSONA: &str = include_str!("../../dialplans/personas/demo.toml");

/// Which calls it is for, and what happens to them. A call gets the first plan of which every condition fits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Stands in the call log; `goto` leads to it by this name.
    pub name: String,
    /// The called number (user part of the SIP address): a pattern or a list of them. Without it only `goto` leads here.
    #[serde(default)]
    pub number: Patterns,
    /// The caller's number; of a caller who shows none the one that its trunk asserts.
    #[serde(default)]
    pub from: Patterns,
    /// The trunk over which the call comes.
    #[serde(default)]
    pub trunk: Patterns,
    /// Header fields of the INVITE.
    #[serde(default)]
    pub headers: BTreeMap<String, Patterns>,
    /// A language that the caller's Accept-Language names, in small letters: `fr*`.
    #[serde(default)]
    pub accept_language: Patterns,
    /// When it is open, in the file's time zone.
    #[serde(default)]
    pub hours: Vec<Window>,
    /// `true`: on the file's holidays only; `false`: not on holidays.
    pub holiday: Option<bool>,
    /// What the caller is taken to speak until they are heard.
    pub language: Language,
    /// Whether its calls are recorded from the answer on; unset, as the configuration says.
    pub record: Option<bool>,
    /// The names of variables that whoever has Milo place a call gives it.
    #[serde(default)]
    pub variables: Vec<String>,
    /// The verbs, in order; the call ends after the last one.
    #[serde(skip)]
    pub actions: Block,
    /// Where the verbs begin in the file, and where the plan does.
    #[serde(skip)]
    actions_at: usize,
    #[serde(skip)]
    at: usize,
    /// Its line.
    #[serde(skip)]
    pub line: usize,
    /// Its file.
    #[serde(skip)]
    pub file: PathBuf,
    #[serde(skip)]
    calendar: Calendar,
}

impl Plan {
    /// The day that it is at a moment, by the clock of its file.
    pub fn day(&self, at: Timestamp) -> Date {
        self.calendar.day(at)
    }

    /// Whether one of its own conversations asks who has answered.
    pub fn detects(&self) -> bool {
        let asks = |step: &Step| matches!(step.get_ref(), Action::Converse { detect: Some(_), .. });
        check::steps(&self.actions).into_iter().any(asks)
    }
}

/// All plans and the personas they name, checked.
#[derive(Clone, Debug)]
pub struct Dialplans {
    plans: Vec<Plan>,
    personas: BTreeMap<String, Persona>,
    tools: BTreeMap<String, Tool>,
    /// What is known, by folder.
    knowledge: BTreeMap<String, Knowledge>,
    /// What machines say that answer.
    wordings: Arc<Wordings>,
    /// Where the sounds are that they name.
    folder: PathBuf,
    /// The header fields that plans ask for.
    header_names: BTreeSet<String>,
    /// The variables that plans set, or are given.
    variables: BTreeSet<String>,
}

impl Dialplans {
    /// The dialplan that ships.
    ///
    /// # Errors
    /// Nothing, in a program that passed its tests.
    pub fn shipped() -> Result<Self, Faults> {
        Self::from_texts(
            Path::new("dialplans"),
            vec![(PathBuf::from("dialplans/default.toml"), SHIPPED_PLAN.into())],
            vec![(PathBuf::from("dialplans/personas/demo.toml"), SHIPPED_PERSONA.into())],
        )
    }

    /// Reads `*.toml` of a folder (in the order of their names), of its `personas/`, of its `tools/` and of its `answering/`.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(folder: &Path, around: &Surroundings) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let plans = read::files(folder, &mut faults);
        if plans.is_empty() && faults.is_empty() {
            faults.push(Source::new(folder, "").fault(None, "holds no dialplan (*.toml)"));
        }
        let mut within = |name: &str| {
            let folder = folder.join(name);
            if folder.is_dir() { read::files(&folder, &mut faults) } else { Vec::new() }
        };
        let (personas, tools, answering) = (within("personas"), within("tools"), within("answering"));
        let own = (!answering.is_empty()).then(|| Wordings::read(&answering, &mut faults));
        let plans = Self::from_sources(folder, around, (&plans, &personas, &tools), faults)?;
        let wordings = own.map_or_else(|| Arc::clone(&plans.wordings), Arc::new);
        Ok(Self { wordings, ..plans })
    }

    fn from_texts(
        folder: &Path,
        plans: Vec<(PathBuf, String)>,
        personas: Vec<(PathBuf, String)>,
    ) -> Result<Self, Faults> {
        let sources = |texts: Vec<(PathBuf, String)>| -> Vec<Source> {
            texts.into_iter().map(|(path, text)| Source { path, text }).collect()
        };
        let around = Surroundings::default();
        Self::from_sources(folder, &around, (&sources(plans), &sources(personas), &[]), Vec::new())
    }

    /// The plans of a text, for tests.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Result<Self, Faults> {
        Self::from_texts(Path::new("."), vec![(PathBuf::from("plans.toml"), text.into())], Vec::new())
    }

    fn from_sources(
        folder: &Path,
        around: &Surroundings,
        (plans, personas, tools): (&[Source], &[Source], &[Source]),
        mut faults: Vec<Fault>,
    ) -> Result<Self, Faults> {
        let mut known = BTreeMap::new();
        for source in personas {
            let persona = Persona::parse(&source.text).and_then(|persona| match &persona.ambience {
                Some(ambience) => around
                    .check_sound(folder, &ambience.file)
                    .map(|()| persona.clone())
                    .map_err(|fault| format!("ambience: file: {fault}")),
                None => Ok(persona),
            });
            match persona {
                Ok(persona) => drop(known.insert(source.name(), persona)),
                Err(fault) => faults.push(source.fault(None, fault.trim_end())),
            }
        }
        let mut all = Vec::new();
        for source in plans {
            all.extend(read::plans(source, &mut faults).into_iter().map(|plan| (source, plan)));
        }
        let knowledge = knowledge::folders(folder, &mut faults);
        // A copy of a ready tool is that one: it is looked at where a persona names it.
        let own: Vec<_> = tools.iter().filter(|source| !ready::is_copy(source)).collect();
        let has = |name: &str| own.iter().any(|source| source.name() == name);
        let ready = ready::wanted(folder, known.values(), has);
        let wordings = Wordings::shipped(&mut faults);
        let mut done = Vec::new();
        for source in own.into_iter().chain(&ready) {
            done.extend(read::tool(source, &mut faults).map(|tool| (source, tool)));
        }
        // What could not be read is missing to what names it: that would be told as a fault of the others.
        let (header_names, variables) = if faults.is_empty() {
            let known = Known { folder, personas: &known, tools: &done, knowledge: &knowledge, around };
            let (mut headers, set) = check::check(&all, &known, &mut faults);
            check::personas((&known, personas), &set, &mut headers, &mut faults);
            (headers, set)
        } else {
            Default::default()
        };
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let plans = all.into_iter().map(|(_, plan)| plan).collect();
        let tools = done.into_iter().map(|(_, tool)| (tool.name.clone(), tool)).collect();
        let (wordings, folder) = (Arc::new(wordings), folder.into());
        Ok(Self { plans, personas: known, tools, knowledge, wordings, folder, header_names, variables })
    }

    /// All plans, in the order in which they are tried.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// A plan by name; every name in a checked plan is known.
    pub fn plan(&self, name: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.name == name)
    }

    /// Why a call out cannot be given this variable.
    pub fn ungivable(&self, name: &str, value: &str) -> Option<String> {
        if !self.variables.contains(name) {
            return Some(format!("no plan knows the variable {name:?}; a plan is given those of its `variables`"));
        }
        Variables::unkeepable(name, value)
    }

    /// A persona by name; every name in a checked plan is known.
    pub fn persona(&self, name: &str) -> Option<&Persona> {
        self.personas.get(name)
    }

    /// A tool by name; every name in a checked persona is known.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// What of the knowledge in a folder fits a question, by what it means too where that is known; every folder in a checked plan is
    /// known.
    pub fn look_up(&self, look_up: &LookUp, near: Option<&Near>) -> String {
        let LookUp { within, about, most, .. } = look_up;
        let known = match within.as_str() {
            "" => self.knowledge.values().next(),
            within => self.knowledge.get(within),
        };
        known.map(|known| known.find(about, *most, near)).unwrap_or_default()
    }

    /// The texts of all that is known.
    pub fn pieces(&self) -> impl Iterator<Item = Arc<str>> {
        self.knowledge.values().flat_map(|known| known.texts()).cloned()
    }

    /// What machines say that answer calls.
    pub fn wordings(&self) -> Arc<Wordings> {
        Arc::clone(&self.wordings)
    }

    /// How many tools there are.
    pub fn tools(&self) -> usize {
        self.tools.len()
    }

    /// Every persona that a plan can name.
    pub fn personas(&self) -> impl Iterator<Item = (&str, &Persona)> {
        self.personas.iter().map(|(name, persona)| (name.as_str(), persona))
    }

    /// What the personas' models are told that is the same in every call, and can be read once for all: with the frame, where the model of
    /// this process does as it is told.
    pub fn lasting_prompts(&self, is_framed: bool) -> Vec<String> {
        let lasts = |text: &String| !text.contains("{{");
        let told = |persona: &Persona| {
            let framed = is_framed.then(|| instructions(persona)).flatten();
            framed.filter(lasts).or_else(|| Some(persona.prompt.clone()).filter(lasts))
        };
        self.personas.values().filter_map(told).collect()
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a sound is that a plan or persona names.
    pub fn sound(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Every sound that a plan or persona names.
    #[cfg(test)]
    fn sounds(&self) -> Vec<PathBuf> {
        let verbs = self.plans.iter().flat_map(|plan| check::steps(&plan.actions));
        let played = verbs.flat_map(|step| step.get_ref().sounds());
        let ambiences = self.personas.values().filter_map(|persona| persona.ambience.as_ref());
        played.chain(ambiences.map(|ambience| &ambience.file)).map(|name| self.sound(name)).collect()
    }

    /// The lines in which plans let callers wait.
    pub fn lines(&self) -> BTreeSet<&str> {
        let tools = self.tools.values().map(|tool| &tool.actions);
        let blocks = self.plans.iter().map(|plan| &plan.actions).chain(tools);
        blocks.flat_map(check::steps).filter_map(|step| step.get_ref().line()).collect()
    }

    /// Whether any plan or tool has Milo interpret.
    pub fn interprets(&self) -> bool {
        let tools = self.tools.values().map(|tool| &tool.actions);
        let blocks = self.plans.iter().map(|plan| &plan.actions).chain(tools);
        blocks.flat_map(check::steps).any(|step| step.get_ref().interpret().is_some())
    }

    /// The numbers that can be dialled, patterns left out.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        self.plans.iter().flat_map(|plan| plan.number.only())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_shipped_plan_names_the_four_numbers() {
        let plans = Dialplans::shipped().expect("the shipped dialplan is right");
        assert_eq!(plans.numbers().collect::<Vec<_>>(), ["milo", "echo", "music", "digits"]);
        let to = |number: &str| Facts { to: number.into(), ..Facts::default() };
        assert_eq!(plans.choose(&to("milo")).map(|plan| plan.name.as_str()), Some("assistant"));
        let refused = plans.choose(&to("nobody")).map(|plan| plan.actions[0].get_ref());
        assert_eq!(refused, Some(&Action::Reject { status: 404, cause: None }));
    }

    fn fault(plan: &str) -> String {
        let personas = vec![(PathBuf::from("demo.toml"), SHIPPED_PERSONA.to_owned())];
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests");
        Dialplans::from_texts(&here, vec![(PathBuf::from("x.toml"), plan.into())], personas)
            .expect_err("a fault")
            .to_string()
    }

    #[test]
    fn what_is_known_of_a_caller_may_be_named_where_it_is_kept() {
        let named = SHIPPED_PERSONA.replace("Salama tompoko!", "Salama {{memory.name}}!");
        let read = |persona: String| {
            let plan = "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }]".to_owned();
            let (plan, persona) = ((PathBuf::from("x.toml"), plan), (PathBuf::from("demo.toml"), persona));
            Dialplans::from_texts(Path::new("."), vec![plan], vec![persona])
        };
        let refused = read(named.clone()).expect_err("no memory").to_string();
        assert!(refused.contains("{{memory.name}} is not known"), "{refused}");
        assert!(read(format!("{named}\n[after]\n[memory]\n")).is_ok());
    }

    #[test]
    fn a_fault_names_file_and_place() {
        let unknown = fault("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ juggle = {} }]");
        assert!(unknown.contains("x.toml") && unknown.contains("line 5") && unknown.contains("juggle"), "{unknown}");
        let persona = fault(
            "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }, { converse = { persona='x' } }]",
        );
        assert!(persona.contains("no persona \"x\"") && persona.contains("demo"), "{persona}");
        let named = SHIPPED_PERSONA.replace("Salama tompoko!", "Salama {{nmae}}!");
        let line = 1 + named.lines().position(|line| line.contains("{{nmae}}")).expect("the greeting");
        let plans =
            vec![(PathBuf::from("x.toml"), "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[]".to_owned())];
        let faults = Dialplans::from_texts(Path::new("."), plans, vec![(PathBuf::from("demo.toml"), named)])
            .expect_err("no such name");
        let told = faults.0.iter().find(|fault| fault.fault.contains("{{nmae}} is not known")).expect("it is told");
        assert_eq!((told.file.to_str(), told.line), (Some("demo.toml"), Some(line)), "{told}");
        let early =
            fault("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ ring = { seconds = 3 } }, { echo = {} }]");
        assert!(early.contains("begins with { answer"), "{early}");
        let heard = |what: &str| fault(&format!("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{what}]"));
        let tone = "{ tone = { country = 'mg', signal = 'busy', seconds = 5 } }";
        assert!(heard(&format!("{{ early = {{}} }}, {tone}")).contains("begins with { answer"));
        assert!(heard(&format!("{tone}, {{ answer = {{}} }}")).contains("{ early = {} } before it"));
        assert!(heard("{ early = {} }, { digits = {} }, { answer = {} }").contains("begins with { answer"));
        assert!(heard("{ answer = {} }, { early = {} }").contains("early stands once"));
        let redirect = "{ redirect = { to = 'sip:1@192.0.2.7' } }";
        let told = heard(&format!("{{ early = {{}} }}, {tone}, {redirect}"));
        assert!(told.contains("line 5") && told.contains("redirect does not follow early"), "{told}");
        let dial = |what: &str| {
            fault(&format!(
                "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{{ answer = {{}} }}, {{ dial = {{ {what} }} }}]"
            ))
        };
        let whom = dial("to = 'tel:+261'");
        assert!(whom.contains("tel:+261") && whom.contains("one looks like sip:100@192.0.2.7"), "{whom}");
        assert!(dial("to = 'sip:1@192.0.2.7;transport=ws'").contains("transport=ws"));
        assert!(dial("to = 'sip:1@192.0.2.7', seconds = 0").contains("not within 1 to 300"));
        assert!(dial("to = 'sip:1@192.0.2.7', from = '<a>'").contains("no number or name"));
        assert!(dial("to = 'sip:1@192.0.2.7', trunk = 'carrier'").contains("one looks like 0201234567"));
        let between = dial("to = 'sip:1@192.0.2.7', interpret = { caller = 'mg', callee = 'mg' }");
        assert!(between.contains("x.toml, line 5") && between.contains("both speak mg"), "{between}");
        let loud = dial("to = 'sip:1@192.0.2.7', interpret = { caller = 'mg', callee = 'fr', original = 'loud' }");
        assert!(loud.contains("x.toml, line 5") && loud.contains("`quiet` or `silent`"), "{loud}");
        let english = dial("to = 'sip:1@192.0.2.7', interpret = { caller = 'mg', callee = 'en' }");
        assert!(english.contains("line 5") && english.contains("`mg` or `fr`"), "{english}");
        let alone = dial("to = 'sip:1@192.0.2.7', interpret = { caller = 'mg' }");
        assert!(alone.contains("line 5") && alone.contains("callee"), "{alone}");
        let sent = dial("to = 'tel:+261'").replace("dial:", "transfer:");
        let plan = "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }, { transfer = { to = 'tel:+261' } }]";
        assert_eq!(fault(plan), sent, "what can be dialled can be transferred to");
        let status = fault("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ reject = { status = 200 } }]");
        assert!(status.contains("400 to 699"), "{status}");
        let key = "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }, { send_digits = { digits='1x' } }]";
        assert!(fault(key).contains("'x' is no key"), "{}", fault(key));
    }

    #[test]
    fn what_is_done_with_machines_is_whole_and_leads_somewhere() {
        let plan = |detect: &str| {
            let converse = format!("{{ converse = {{ persona = 'demo', detect = {{ {detect} }} }} }}");
            format!("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{{ answer = {{}} }},\n{converse}]")
        };
        for (detect, why) in [
            ("", "missing field `machine`"),
            ("machine = 'wait'", "unknown variant `wait`"),
            ("machine = 'message'", "message = { say = \"…\" } and machine = \"message\" go together"),
            ("machine = 'hangup', message = { say = 'a' }", "go together"),
            ("machine = 'hangup', plan = 'a'", "plan = \"…\" and machine = \"plan\" go together"),
            ("machine = 'plan', plan = 'b'", "converse: detect: plan: no plan \"b\"; known: a"),
            ("machine = 'hangup', ivr = 'b'", "converse: detect: ivr: no plan \"b\""),
            ("machine = 'message', message = { say = ' ' }", "message: say is empty"),
            ("machine = 'message', message = { say = '{{nmae}}' }", "{{nmae}} is not known"),
            ("machine = 'message', message = { play = '../a.wav' }", "a.wav"),
        ] {
            let told = fault(&plan(detect));
            assert!(told.contains("line 6") && told.contains(why), "{told}\n  not: {why}");
        }
        let right = plan("machine = 'message', message = { say = '{{answered_by}}' }, ivr = 'a'");
        let personas = vec![(PathBuf::from("demo.toml"), SHIPPED_PERSONA.to_owned())];
        let plans = Dialplans::from_texts(Path::new("."), vec![(PathBuf::from("x.toml"), right)], personas);
        assert!(plans.expect("right").plan("a").is_some_and(Plan::detects));
        assert!(!Dialplans::shipped().expect("right").plan("assistant").is_some_and(Plan::detects));
    }

    #[test]
    fn what_a_persona_knows_wants_a_model_that_can_be_told_it() {
        let of = |keys: &str, around: &Surroundings| {
            let persona = Source { path: "personas/demo.toml".into(), text: format!("{keys}\n{SHIPPED_PERSONA}") };
            let plan = Source { path: "default.toml".into(), text: SHIPPED_PLAN.into() };
            Dialplans::from_sources(Path::new("."), around, (&[plan], &[persona], &[]), Vec::new())
        };
        let nobody = Surroundings::default();
        let told = of("\nfacts = ['Misokatra.']", &nobody).expect_err("nobody is told it").to_string();
        assert!(told.contains("demo.toml, line 2: facts: nobody is told it"), "{told}");
        assert!(of("", &nobody).is_ok() && of("context_tokens = 300", &nobody).is_ok());
        let mut config = Config::default();
        config.engines.llm.path = Some("another.gguf".into());
        let another = Surroundings::of(&config).expect("no accounts");
        let known = of("facts = ['Misokatra.']", &another).expect("it is told");
        let lasting = known.lasting_prompts(true);
        assert!(lasting[0].contains("- Misokatra.") && lasting[0].len() > 1_000, "{lasting:?}");
        assert!(
            !known.lasting_prompts(false)[0].contains("Misokatra"),
            "the one that ships reads no more than its prompt"
        );
        let told = of("context_tokens = 300", &another).expect_err("no room").to_string();
        assert!(told.contains("line 1: context_tokens = 300: the prompt and its frame are some"), "{told}");
    }

    #[test]
    fn a_folder_has_wordings_of_its_own_or_those_that_ship() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("a.toml", "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }]");
        let read = || Dialplans::read(folder.path(), &Surroundings::default());
        let of = |said: &str| read().expect("right").wordings().of(said).map(|(who, _)| who.as_str());
        assert_eq!((of("laissez un message"), of("ici la boîte")), (Some("machine"), None));
        std::fs::create_dir(folder.path().join("answering")).expect("a folder");
        write("answering/own.toml", "machine = ['ici la boîte']");
        assert_eq!((of("laissez un message"), of("ici la boîte")), (None, Some("machine")));
        write("answering/own.toml", "\nmachin = ['ici la boîte']");
        let told = read().expect_err("a fault").to_string();
        assert!(told.contains("own.toml, line 2") && told.contains("machin"), "{told}");
    }

    #[test]
    fn plans_say_whether_milo_interprets() {
        let read = |verb: &str| {
            let plan = format!("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{{ answer = {{}} }}, {verb}]");
            Dialplans::from_texts(Path::new("."), vec![(PathBuf::from("x.toml"), plan)], Vec::new()).expect("right")
        };
        let whom = "to = 'sip:1@192.0.2.7', interpret = { caller = 'mg', callee = 'fr' }";
        assert!(read(&format!("{{ dial = {{ {whom} }} }}")).interprets());
        let within = format!("{{ transfer = {{ {whom}, mode = 'warm' }} }}");
        assert!(read(&format!("{{ repeat = {{ times = 2, actions = [{within}] }} }}")).interprets());
        assert!(!read("{ dial = { to = 'sip:1@192.0.2.7' } }").interprets());
        let two = "interpret = { caller = 'mg', callee = 'fr' }";
        let (line, taken) = (
            format!("queue = {{ name = 'l', to = ['sip:1@192.0.2.7'], {two} }}"),
            format!("bridge = {{ call = '1', {two} }}"),
        );
        assert!(read(&format!("{{ {line} }}")).interprets() && read(&format!("{{ {taken} }}")).interprets());
    }

    #[test]
    fn sounds_lie_within_the_folder_and_are_there() {
        let plan = |verb: &str| {
            format!("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{{ answer = {{}} }}, {{ {verb} }}]")
        };
        for outside in ["../x.wav", "/etc/passwd", "a/../../x.wav", "", "./x.wav"] {
            let said = fault(&plan(&format!("play = {outside:?}")));
            assert!(said.contains("x.toml") && said.contains("no path within the folder"), "{said}");
        }
        let missing = fault(&plan("music = { seconds = 5, files = ['recordings/none.ogg'] }"));
        assert!(missing.contains("there is no file") && missing.contains("recordings/none.ogg"), "{missing}");
        let country = fault(&plan("tone = { country = 'xx', signal = 'busy', seconds = 5 }"));
        assert!(country.contains("not one of ca, fr, de, mg, re, za, gb, us"), "{country}");
        let signal = fault(&plan("tone = { country = 'mg', signal = 'loud', seconds = 5 }"));
        assert!(signal.contains("dial, ringback, busy, congestion"), "{signal}");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests");
        let good = plan("play = 'recordings/mg_hours.wav' }, { recording = 'pause'")
            .replace("[{ answer", "[{ ring = { seconds = 1 } }, { early = {} }, { music = { seconds = 1 } }, { answer");
        let personas = SHIPPED_PERSONA.to_owned() + "\n[ambience]\nfile = 'recordings/fr_hours.wav'\n";
        let personas = vec![(PathBuf::from("demo.toml"), personas)];
        let read = Dialplans::from_texts(&here, vec![(PathBuf::from("x.toml"), good)], personas).expect("right");
        let named = ["recordings/mg_hours.wav", "recordings/fr_hours.wav"].map(|name| here.join(name));
        assert_eq!(read.sounds(), named);
        assert_eq!(*read.plans[0].actions[5].get_ref(), Action::Recording(RecordingStep::Pause));
    }

    /// The faults of plans whose verbs are these, after an answer.
    fn faults(plans: &[(&str, &str)]) -> Vec<String> {
        let plan = |(name, verbs): &(&str, &str)| {
            format!(
                "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [\n  {{ answer = {{}} }},\n{verbs}]\n"
            )
        };
        let text = plans.iter().map(plan).collect::<String>();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests");
        let read = Dialplans::from_texts(&here, vec![(PathBuf::from("x.toml"), text)], Vec::new());
        read.err().map(|Faults(faults)| faults.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn every_fault_is_told_with_its_line_verb_and_field() {
        let told = faults(&[
            ("a", "  { ring = { seconds = 'x' } },\n  { juggle = {} },\n"),
            ("b", "  { say = { text = 'x', loud = true } },\n"),
            ("c", "  { menu = { prompt = { say = 'x' }, keys = { 1 = [\n    { wait = { seconds = 'y' } } ] } } },\n"),
        ]);
        let wanted = [
            "x.toml, line 7: plan \"a\": ring.seconds: invalid type: string \"x\"",
            "x.toml, line 8: plan \"a\": unknown variant `juggle`",
            "x.toml, line 16: plan \"b\": say.loud: unknown field `loud`",
            "x.toml, line 25: plan \"c\": menu.keys.?[0].wait.seconds",
        ];
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.contains(wanted), "{told}\n  not: {wanted}");
        }
        let told = faults(&[(
            "a",
            "  { wait = { seconds = 0 } },\n  { repeat = { times = 2, actions = [\n    { play = 'no.ogg' },\n    { goto = 'b' } ] } },\n",
        )]);
        let wanted = [
            "line 7: plan \"a\": wait: seconds = 0",
            "line 9: plan \"a\": play: \"no.ogg\"",
            "line 10: plan \"a\": goto: no plan \"b\"; known: a",
        ];
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.contains(wanted), "{told}\n  not: {wanted}");
        }
    }

    #[test]
    fn plans_that_lead_round_in_no_time_are_a_fault_and_others_are_not() {
        let round = faults(&[("a", "{ set = { x = '1' } }, { goto = 'b' }"), ("b", "{ goto = 'a' }")]);
        assert!(round.iter().any(|fault| fault.contains("goto: a → b → a leads round")), "{round:?}");
        let within = faults(&[("a", "{ repeat = { times = 2, actions = [{ goto = 'a' }] } }")]);
        assert!(within.iter().any(|fault| fault.contains("a → a leads round")), "{within:?}");
        assert_eq!(faults(&[("a", "{ wait = { seconds = 1 } }, { goto = 'b' }"), ("b", "{ goto = 'a' }")]), [""; 0]);
        assert!(faults(&[("a", "{ repeat = { times = 101, actions = [] } }")])[0].contains("not within 1 to 100"));
    }

    #[test]
    fn variables_are_known_when_the_files_are_read() {
        let known = "{ say = { text = '{{caller}} {{header.X-Name}} {{code}}' } }";
        assert_eq!(faults(&[("a", known), ("b", "{ gather = { into = 'code' } }")]), [""; 0]);
        for (verbs, why) in [
            (known, "say: {{code}} is not known; there are caller, called, trunk, call_id, asserted, diverted_from"),
            ("{ say = { text = '{{caller' } }", "{{ without its }}"),
            ("{ set = { caller = 'x' } }", "set: \"caller\" is what every call knows"),
            ("{ set = { 'A b' = 'x' } }", "set: \"A b\" is no name"),
            ("{ dial = { to = 'tel:{{called}}@h' } }", "dial: to = \"tel:0@h\""),
            ("{ redirect = { to = 'sip:1@h' } }", "redirect stands in place of answer"),
            ("{ dial = { to = 'sip:100@{{header.x-gw}}' } }", "a variable may stand before the @ only"),
            ("{ transfer = { to = 'sip:{{called}}' } }", "a variable may stand before the @ only"),
            ("{ dial = { to = '{{called}}', trunk = 'carrier' } }", "a number over a trunk is the plan's own"),
            ("{ gather = { into = 'x', min = 3, max = 2 } }", "gather: max = 2 is not within min = 3"),
            ("{ menu = { prompt = { say = 'x' }, keys = { x = [] } } }", "menu: keys: 'x' is no key"),
            ("{ record = { silence_seconds = 0 } }", "record: silence_seconds = 0"),
            ("{ gather = { into = 'x', kind = 'number' } }", "gather: kind is about words"),
            ("{ gather = { into = 'x', input = 'both', kind = 'choice' } }", "gather: choices and kind = \"choice\""),
            ("{ gather = { into = 'x', input = 'speech', pause_ms = 1 } }", "gather: pause_ms = 1 is not within"),
            (
                "{ menu = { prompt = { say = 'x' }, keys = { 1 = [] }, words = { 2 = ['a'] } } }",
                "menu: words: '2' is none",
            ),
            ("{ hold = { seconds = 5, ends = 'x' } }", "hold: ends = \"x\": 'x' is no key"),
            ("{ queue = { name = 'a b' } }", "queue: name = \"a b\" is no name of a line"),
            ("{ queue = { name = 'a', to = ['tel:1'] } }", "queue: to = \"tel:1\" is no address"),
            ("{ queue = { name = 'a', failed = 'b' } }", "queue: failed: no plan \"b\""),
            ("{ queue = { name = 'a', full = 'b' } }", "queue: full: no plan \"b\""),
            ("{ bridge = {} }", "bridge: give either `queue`"),
            ("{ bridge = { call = '{{other}}' } }", "bridge: {{other}} is not known"),
            ("{ webhook = { url = 'ftp://a' } }", "webhook: url = \"ftp://a\" is no address"),
            ("{ webhook = { url = 'https://{{caller}}/' } }", "is no address like https://"),
            ("{ webhook = { url = 'https://a/', send = ['x'] } }", "webhook: send: no plan sets the variable \"x\""),
            ("{ webhook = { url = 'https://a/', sets = ['caller'] } }", "webhook: sets: \"caller\" is what every call"),
            ("{ webhook = { url = 'https://a/', plans = ['b'] } }", "webhook: plans: no plan \"b\""),
        ] {
            let told = faults(&[("a", verbs)]);
            assert!(told.iter().any(|fault| fault.contains(why)), "{told:?}\n  not: {why}");
        }
    }

    #[test]
    fn a_tool_that_is_wrong_is_told_with_its_file_and_line() {
        let right = "about = 'Prices.'\ntakes = [{ name = 'of' }]\ntells = ['price']\n\
                     actions = [\n{ set = { price = '5 {{of}}' } }]\n[mg]\nconfirm = 'Ve {{of}}?'\n[fr]\nconfirm = '{{of}} ?'";
        let read = |tool: &str, persona: &str| {
            let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
            let plans = [source("x.toml", "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }]")];
            let personas = [source("demo.toml", &format!("{persona}\n{SHIPPED_PERSONA}"))];
            let tools = [source("tools/price.toml", tool)];
            let around = Surroundings::default();
            Dialplans::from_sources(Path::new("."), &around, (&plans, &personas, &tools), Vec::new())
        };
        let plans = read(right, "tools = ['price']").expect("right");
        let tool = plans.tool("price").expect("the tool");
        assert!(tool.is_beside() && !tool.hangs_up() && tool.confirm(Language::Fr) == Some("{{of}} ?"));
        for (tool, persona, why) in [
            (right, "tools = ['prices']", "tools: no tool \"prices\"; known: call_back, collect_choice,"),
            ("", "", "price.toml: missing field `actions`"),
            ("actions = []", "", "missing field `about`"),
            ("about = ' '\nactions = [{ hangup = {} }]", "", "about: is empty"),
            ("about = 'a'\nactions = []", "", "actions: is empty"),
            (&right.replace("'of' }]", "'of' }, { name = 'of' }]"), "", "\"of\" stands there twice"),
            (&right.replace("'of' }]", "'tool' }]"), "", "what a call itself says"),
            (&right.replace("'of' }]", "'of', kind = 'choice' }]"), "", "choices and kind = \"choice\" go together"),
            (&right.replace("'of' }]", "'of', kind = 'hour' }]"), "", "line 2: takes[0].kind: unknown variant `hour`"),
            (&right.replace("['price']", "['prices']"), "", "tells: nothing sets the variable \"prices\""),
            (&right.replace("{ set", "{ answer = {} },\n{ set"), "", "line 5: answer has no place in a tool"),
            (&right.replace("5 {{of}}", "5 {{off}}"), "", "line 5: set: {{off}} is not known"),
            (&right.replace("Ve {{of}}", "Ve {{off}}"), "", "line 7: {{off}} is not known"),
            (&right.replace("[fr]\nconfirm", "[fr]\nmeanwhile"), "", "confirm: is there in one language"),
            (
                &right
                    .replace("set = { price = '5 {{of}}' }", "look_up = { within = 'x', about = '', into = 'price' }"),
                "",
                "no folder knowledge/x",
            ),
        ] {
            let told = read(tool, persona).expect_err("a fault").to_string();
            assert!(told.contains(why), "{told}\n  not: {why}");
        }
    }
}
