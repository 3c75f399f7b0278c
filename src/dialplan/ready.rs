//! The tools that ship: a persona has them by name, without a file. A file of the operator's with the same name is taken in its place.

use std::path::Path;

use super::fault::Source;
use crate::agent::Persona;

/// By name.
const READY: [(&str, &str); 11] = [
    ("call_back", include_str!("../../dialplans/tools/call_back.toml")),
    ("collect_choice", include_str!("../../dialplans/tools/collect_choice.toml")),
    ("collect_date", include_str!("../../dialplans/tools/collect_date.toml")),
    ("collect_digits", include_str!("../../dialplans/tools/collect_digits.toml")),
    ("collect_number", include_str!("../../dialplans/tools/collect_number.toml")),
    ("collect_telephone", include_str!("../../dialplans/tools/collect_telephone.toml")),
    ("collect_yes_no", include_str!("../../dialplans/tools/collect_yes_no.toml")),
    ("hang_up", include_str!("../../dialplans/tools/hang_up.toml")),
    ("look_up", include_str!("../../dialplans/tools/look_up.toml")),
    ("send_digits", include_str!("../../dialplans/tools/send_digits.toml")),
    ("take_message", include_str!("../../dialplans/tools/take_message.toml")),
];

/// Their names.
pub(super) fn names<'n>() -> impl Iterator<Item = &'n str> {
    READY.into_iter().map(|(name, _)| name)
}

/// Whether a file of the folder's is one of them to the letter.
pub(super) fn is_copy(source: &Source) -> bool {
    READY.iter().any(|(name, text)| source.name() == *name && source.text == *text)
}

/// Those of them that personas name and no file of the folder's `has`.
pub(super) fn wanted<'p>(
    folder: &Path,
    personas: impl Iterator<Item = &'p Persona>,
    has: impl Fn(&str) -> bool,
) -> Vec<Source> {
    let named: Vec<_> = personas.flat_map(|persona| &persona.tools).collect();
    let ready = READY.into_iter().filter(|(name, _)| !has(name) && named.iter().any(|named| named == name));
    ready.map(|(name, text)| Source::new(&folder.join(format!("tools/{name}.toml")), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialplan::{Action, Dialplans, LookUp, Variables};

    /// A folder of plans whose persona has these tools, and these files of tools.
    fn plans(name: &str, named: &[&str], files: &[(&str, &str)]) -> Result<Dialplans, crate::dialplan::Faults> {
        let folder = std::env::temp_dir().join(format!("milo-ready-{name}-{}", std::process::id()));
        for within in ["personas", "tools", "knowledge/office"] {
            std::fs::create_dir_all(folder.join(within)).expect("a folder");
        }
        std::fs::write(folder.join("knowledge/office/hours.md"), "# Hours\nFrom eight to five.\n").expect("written");
        let persona = format!("tools = {named:?}\n{}", crate::dialplan::SHIPPED_PERSONA);
        std::fs::write(folder.join("personas/demo.toml"), persona).expect("written");
        std::fs::write(folder.join("plans.toml"), crate::dialplan::SHIPPED_PLAN).expect("written");
        for (name, text) in files {
            std::fs::write(folder.join(format!("tools/{name}.toml")), text).expect("written");
        }
        let read = Dialplans::read(&folder, &crate::dialplan::Surroundings::default());
        std::fs::remove_dir_all(&folder).ok();
        read
    }

    #[test]
    fn every_tool_that_ships_is_had_by_name_and_speaks_both_languages() {
        let named: Vec<_> = names().collect();
        let read = plans("all", &named, &[]).expect("they are right");
        assert_eq!(read.tools(), named.len());
        for name in named {
            let tool = read.tool(name).expect("it is there");
            let collects = name.starts_with("collect_");
            for language in [milo_models::engine::Language::Mg, milo_models::engine::Language::Fr] {
                // What asks on the line says so; hanging up is said by the persona.
                assert_eq!(tool.meanwhile(language).is_some(), collects, "{name}");
            }
            assert_eq!(tool.is_beside(), !collects && !["hang_up", "send_digits"].contains(&name), "{name}");
        }
    }

    #[test]
    fn a_copy_of_a_ready_tool_that_nobody_names_is_not_looked_at() {
        let text = include_str!("../../dialplans/tools/look_up.toml");
        assert_eq!(plans("copied", &[], &[("look_up", text)]).expect("nobody has it").tools(), 0);
        assert_eq!(plans("copied-named", &["look_up"], &[("look_up", text)]).expect("it is right").tools(), 1);
        let own = text.replace("up what", "up all that");
        assert_eq!(plans("changed", &[], &[("look_up", &own)]).expect("it is right").tools(), 1, "that one is read");
    }

    #[test]
    fn what_is_known_is_looked_up_where_it_is_and_a_choice_is_one_of_those_that_the_model_has_named() {
        let read = plans("one", &["look_up", "collect_choice"], &[]).expect("they are right");
        let action = |name: &str| read.tool(name).expect("it is there").actions[0].get_ref();
        let Action::LookUp(look_up) = action("look_up") else { panic!("it looks something up") };
        let asked = LookUp { about: "hours".into(), ..look_up.clone() };
        assert!(read.look_up(&asked, None).contains("From eight to five"));
        let mut variables = Variables::default();
        variables.set("choices", "ny mena, ny manga".into());
        let Ok(Action::Gather(gather)) = variables.fill(action("collect_choice")) else { panic!("it asks") };
        let today = jiff::civil::date(2026, 11, 30);
        assert_eq!(gather.meaning("ny manga azafady", today).as_deref(), Some("ny manga"));
        assert_eq!(gather.meaning("ny fotsy", today), None);
        assert!(Variables::default().fill(action("collect_choice")).is_err(), "there is nothing to choose from");
        let far = "about = 'Looks.'\nactions = [{ look_up = { within = 'shop', about = 'a', into = 'found' } }]";
        let faults = plans("far", &["look_up"], &[("look_up", far)]).expect_err("no such folder").to_string();
        assert!(faults.contains("no folder knowledge/shop; known: office"), "{faults}");
    }

    #[test]
    fn a_file_of_the_operators_is_taken_in_its_place_and_what_nobody_names_is_not_there() {
        let own = "about = 'Ends it.'\nactions = [{ wait = { seconds = 1 } }, { hangup = {} }]";
        let read = plans("own", &["hang_up"], &[("hang_up", own)]).expect("plans");
        assert_eq!((read.tools(), read.tool("hang_up").expect("it").about.as_str()), (1, "Ends it."));
        let faults = plans("none", &["hang_on"], &[]).expect_err("no such tool").to_string();
        assert!(faults.contains("no tool \"hang_on\"") && faults.contains("take_message"), "{faults}");
    }
}
