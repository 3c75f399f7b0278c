//! Dialplans: which call is treated how. Files (`dialplans/*.toml`) hold the truth; the ones that ship are carried in the
//! binary, for a Milo that was started without a checkout beside it.

mod action;
mod dial;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use milo_models::engine::Language;
use serde::Deserialize;

pub use action::{Action, RecordingStep};
pub use dial::Dial;

use crate::{agent::Persona, error::Error};

/// The dialplan and persona that ship.
const SHIPPED_PLAN: &str = include_str!("../../dialplans/default.toml");
const SHIPPED_PERSONA: &str = include_str!("../../dialplans/personas/demo.toml");

/// What happens to the calls of one number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Stands in the call log.
    pub name: String,
    /// The called number (user part of the SIP address), or `*`.
    pub number: String,
    /// What the caller is taken to speak until they are heard.
    pub language: Language,
    /// Whether its calls are recorded from the answer on; unset, as the configuration says.
    pub record: Option<bool>,
    /// The verbs, in order; the call ends after the last one.
    pub actions: Vec<Action>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    plan: Vec<Plan>,
}

/// All plans and the personas they name, checked.
#[derive(Clone, Debug)]
pub struct Dialplans {
    plans: Vec<Plan>,
    personas: BTreeMap<String, Persona>,
    /// Where the sounds are that they name.
    folder: PathBuf,
}

impl Dialplans {
    /// The dialplan that ships.
    pub fn shipped() -> Result<Self, Error> {
        Self::from_texts(
            Path::new("dialplans"),
            vec![(PathBuf::from("dialplans/default.toml"), SHIPPED_PLAN.into())],
            vec![(PathBuf::from("dialplans/personas/demo.toml"), SHIPPED_PERSONA.into())],
        )
    }

    /// Reads `*.toml` of a folder (in the order of their names) and of its `personas/`.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let plans = texts(folder)?;
        if plans.is_empty() {
            return Err(Error::Dialplan(format!("{} holds no dialplan (*.toml)", folder.display())));
        }
        let personas = folder.join("personas");
        Self::from_texts(folder, plans, if personas.is_dir() { texts(&personas)? } else { Vec::new() })
    }

    fn from_texts(
        folder: &Path,
        plans: Vec<(PathBuf, String)>,
        personas: Vec<(PathBuf, String)>,
    ) -> Result<Self, Error> {
        let mut known = BTreeMap::new();
        for (path, text) in personas {
            let persona = Persona::parse(&text).map_err(|fault| in_file(&path, &fault))?;
            if let Some(ambience) = &persona.ambience {
                check_sound(folder, &ambience.file)
                    .map_err(|fault| in_file(&path, &format!("ambience: file: {fault}")))?;
            }
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            known.insert(name, persona);
        }
        let mut all = Vec::new();
        for (path, text) in plans {
            let file: PlanFile = toml::from_str(&text).map_err(|fault| in_file(&path, &fault.to_string()))?;
            for plan in &file.plan {
                check(plan, &known, folder)
                    .map_err(|fault| in_file(&path, &format!("plan {:?}: {fault}", plan.name)))?;
            }
            all.extend(file.plan);
        }
        Ok(Self { plans: all, personas: known, folder: folder.into() })
    }

    /// The first plan that fits the called number.
    pub fn pick(&self, number: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.number == "*" || plan.number == number)
    }

    /// A persona by name; every name in a checked plan is known.
    pub fn persona(&self, name: &str) -> Option<&Persona> {
        self.personas.get(name)
    }

    /// Every persona that a plan can name.
    pub fn personas(&self) -> impl Iterator<Item = (&str, &Persona)> {
        self.personas.iter().map(|(name, persona)| (name.as_str(), persona))
    }

    /// Where a sound is that a plan or persona names.
    pub fn sound(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Every sound that a plan or persona names.
    pub fn sounds(&self) -> Vec<PathBuf> {
        let played = self.plans.iter().flat_map(|plan| &plan.actions).flat_map(Action::sounds);
        let ambiences = self.personas.values().filter_map(|persona| persona.ambience.as_ref());
        played.chain(ambiences.map(|ambience| &ambience.file)).map(|name| self.sound(name)).collect()
    }

    /// Every trunk that a plan calls out over is there.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_trunks(&self, is_known: impl Fn(&str) -> bool) -> Result<(), Error> {
        for plan in &self.plans {
            let mut dials = plan.actions.iter().filter_map(|action| match action {
                Action::Dial(dial) => dial.trunk.as_deref(),
                _ => None,
            });
            if let Some(unknown) = dials.find(|name| !is_known(name)) {
                let says =
                    format!("plan {:?}: dial: trunk = {unknown:?} is not the name of one of [[sip.trunks]]", plan.name);
                return Err(Error::Dialplan(says));
            }
        }
        Ok(())
    }

    /// The numbers that can be dialled.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        self.plans.iter().map(|plan| plan.number.as_str()).filter(|number| *number != "*")
    }
}

fn check(plan: &Plan, personas: &BTreeMap<String, Persona>, folder: &Path) -> Result<(), String> {
    if plan.number.is_empty() {
        return Err("number is empty; give the called number or \"*\"".into());
    }
    let Some(last) = plan.actions.last() else {
        return Err("actions is empty; give at least { hangup = {} } or { reject = { status = 404 } }".into());
    };
    let mut begins = plan.actions.iter().skip_while(|action| matches!(action, Action::Ring { .. })).peekable();
    let is_early = begins.next_if_eq(&&Action::Early {}).is_some();
    let first = begins.find(|action| !(is_early && action.is_heard_early()));
    if !matches!(first, Some(Action::Answer {} | Action::Reject { .. })) {
        return Err("after ringing, a plan begins with { answer = {} } or { reject = { status = 404 } }; \
                    { early = {} } before it lets play, tone and music be heard before it"
            .into());
    }
    if plan.actions.iter().filter(|action| **action == Action::Early {}).count() != usize::from(is_early) {
        return Err("early stands once, and before answer or reject".into());
    }
    for action in &plan.actions {
        if let Some(fault) = action.fault() {
            return Err(fault);
        }
        for sound in action.sounds() {
            check_sound(folder, sound)?;
        }
        if matches!(action, Action::Reject { .. }) && (action != last || Some(action) != first) {
            return Err("reject stands in place of answer: nothing but ring and what is heard early goes before it, \
                        nothing follows it"
                .into());
        }
        if let Action::Converse { persona } = action
            && !personas.contains_key(persona)
        {
            let known: Vec<_> = personas.keys().map(String::as_str).collect();
            return Err(format!("converse: no persona {persona:?}; known: {}", known.join(", ")));
        }
    }
    Ok(())
}

/// A sound is a file of the folder or below it.
fn check_sound(folder: &Path, name: &str) -> Result<(), String> {
    let inside = Path::new(name).components().all(|component| matches!(component, Component::Normal(_)));
    if name.is_empty() || !inside {
        return Err(format!("{name:?} is no path within the folder of dialplans, such as \"sounds/welcome.ogg\""));
    }
    let path = folder.join(name);
    if path.is_file() { Ok(()) } else { Err(format!("{name:?}: there is no file {}", path.display())) }
}

fn in_file(path: &Path, fault: &str) -> Error {
    Error::Dialplan(format!("{}: {}", path.display(), fault.trim_end()))
}

fn texts(folder: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let unreadable = |path: &Path, error: &io::Error| Error::Dialplan(format!("{}: {error}", path.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| match fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(unreadable(&path, &error)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_plan_names_the_four_numbers() {
        let plans = Dialplans::shipped().expect("the shipped dialplan is right");
        assert_eq!(plans.numbers().collect::<Vec<_>>(), ["milo", "echo", "music", "digits"]);
        assert_eq!(plans.pick("milo").map(|plan| plan.name.as_str()), Some("assistant"));
        assert_eq!(plans.pick("nobody").map(|plan| &plan.actions[0]), Some(&Action::Reject { status: 404 }));
    }

    fn fault(plan: &str) -> String {
        let personas = vec![(PathBuf::from("demo.toml"), SHIPPED_PERSONA.to_owned())];
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests");
        Dialplans::from_texts(&here, vec![(PathBuf::from("x.toml"), plan.into())], personas)
            .expect_err("a fault")
            .to_string()
    }

    #[test]
    fn a_fault_names_file_and_place() {
        let unknown = fault("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ juggle = {} }]");
        assert!(unknown.contains("x.toml") && unknown.contains("line 5") && unknown.contains("juggle"), "{unknown}");
        let persona = fault(
            "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }, { converse = { persona='x' } }]",
        );
        assert!(persona.contains("no persona \"x\"") && persona.contains("demo"), "{persona}");
        let early =
            fault("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ ring = { seconds = 3 } }, { echo = {} }]");
        assert!(early.contains("begins with { answer"), "{early}");
        let heard = |what: &str| fault(&format!("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{what}]"));
        let tone = "{ tone = { country = 'mg', signal = 'busy', seconds = 5 } }";
        assert!(heard(&format!("{{ early = {{}} }}, {tone}")).contains("begins with { answer"));
        assert!(heard(&format!("{tone}, {{ answer = {{}} }}")).contains("{ early = {} } before it"));
        assert!(heard("{ early = {} }, { digits = {} }, { answer = {} }").contains("begins with { answer"));
        assert!(heard("{ answer = {} }, { early = {} }").contains("early stands once"));
        let dial = |what: &str| {
            fault(&format!(
                "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{{ answer = {{}} }}, {{ dial = {{ {what} }} }}]"
            ))
        };
        let whom = dial("to = 'tel:+261'");
        assert!(whom.contains("tel:+261") && whom.contains("one looks like sip:100@192.0.2.7"), "{whom}");
        assert!(dial("to = 'sip:1@192.0.2.7;transport=tls'").contains("transport=tls"));
        assert!(dial("to = 'sip:1@192.0.2.7', seconds = 0").contains("not within 1 to 300"));
        assert!(dial("to = 'sip:1@192.0.2.7', from = '<a>'").contains("no number or name"));
        assert!(dial("to = 'sip:1@192.0.2.7', trunk = 'carrier'").contains("one looks like 0201234567"));
        let status = fault("[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ reject = { status = 200 } }]");
        assert!(status.contains("400 to 699"), "{status}");
        let key =
            "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ answer = {} }, { press = { digits='1x' } }]";
        assert!(fault(key).contains("'x' is no key"), "{}", fault(key));
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
        assert_eq!(read.plans[0].actions[5], Action::Recording(RecordingStep::Pause));
    }
}
