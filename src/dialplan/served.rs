//! What callers hear of the tools of servers, which have no file that says it: a persona's section `[mcp."SERVER/TOOL"]`.

use std::collections::BTreeMap;

use milo_models::engine::Language;
use serde::Deserialize;

use super::tool::Words;

/// Characters of the arguments that are read out in a question that nobody has written.
const LONGEST: usize = 200;

/// What the caller hears of one, or of all that a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedWords {
    /// Whether the caller is asked first; unset: where there is a question, or the server says that the tool destroys something.
    confirm: Option<bool>,
    /// What the caller hears in Malagasy.
    #[serde(default)]
    mg: Words,
    /// The same in French.
    #[serde(default)]
    fr: Words,
}

impl ServedWords {
    /// Of those of a persona, the ones of a tool: its own, or those of all of its server.
    pub fn of<'w>(all: &'w BTreeMap<String, Self>, server: &str, tool: &str) -> Option<&'w Self> {
        all.get(&format!("{server}/{tool}")).or_else(|| all.get(&format!("{server}/*")))
    }

    fn words(&self, language: Language) -> &Words {
        match language {
            Language::Mg => &self.mg,
            Language::Fr => &self.fr,
        }
    }

    /// What the caller hears while it is done.
    pub fn meanwhile(&self, language: Language) -> Option<&str> {
        self.words(language).meanwhile.as_deref()
    }

    /// What the caller hears when it is done, in place of the model's words.
    pub fn says(&self, language: Language) -> Option<&str> {
        self.words(language).says.as_deref()
    }

    /// What the caller is asked before it is done, if they are: as it is written here and `fill` has filled it, or with these arguments.
    pub fn question(
        &self,
        language: Language,
        (destroys, arguments): (bool, &BTreeMap<String, String>),
        fill: impl Fn(&str) -> String,
    ) -> Option<String> {
        let own = self.words(language).confirm.as_deref();
        if !self.confirm.unwrap_or(destroys || own.is_some()) {
            return None;
        }
        Some(own.map_or_else(|| asks(language, arguments), fill))
    }

    /// What is impossible about those of this name, of a persona with these tools.
    pub(crate) fn fault(&self, name: &str, tools: &[String]) -> Option<String> {
        let Some((server, tool)) = name.split_once('/') else {
            return Some("is no tool of a server: write \"SERVER/TOOL\" or \"SERVER/*\"".into());
        };
        let has = |named: &String| {
            let of = named.split_once('/').filter(|(of, _)| *of == server);
            of.is_some_and(|(_, named)| tool == "*" || named == "*" || named == tool)
        };
        if !tools.iter().any(has) {
            return Some("is not among its tools".into());
        }
        let [mg, fr] = [&self.mg, &self.fr].map(|words| words.confirm.is_some());
        if mg != fr {
            return Some("confirm: is there in one language, and must be in both".into());
        }
        if mg && self.confirm == Some(false) {
            return Some("confirm = false, and a question to ask: leave one out".into());
        }
        None
    }
}

/// The question that nobody has written.
fn asks(language: Language, arguments: &BTreeMap<String, String>) -> String {
    let told = arguments.values().map(String::as_str).filter(|value| !value.trim().is_empty());
    let told: String = told.collect::<Vec<_>>().join(", ").chars().take(LONGEST).collect();
    let told = if told.is_empty() { told } else { format!(": {told}") };
    match language {
        Language::Mg => format!("Ataoko tokoa ve izany{told}?"),
        Language::Fr => format!("Je le fais vraiment{told}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> ServedWords {
        toml::from_str(text).expect("words")
    }

    fn question(words: &ServedWords, destroys: bool, arguments: &[(&str, &str)]) -> Option<String> {
        let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        words.question(Language::Fr, (destroys, &arguments), |text| text.replace("{{of}}", "riz"))
    }

    #[test]
    fn a_caller_is_asked_where_a_tool_destroys_something_or_a_question_is_written_unless_it_is_not_wanted() {
        let nothing = ServedWords::default();
        assert_eq!(question(&nothing, false, &[]), None);
        assert_eq!(question(&nothing, true, &[]).as_deref(), Some("Je le fais vraiment?"));
        let told = [("count", "3"), ("of", "{{caller}}"), ("why", "")];
        assert_eq!(question(&nothing, true, &told).as_deref(), Some("Je le fais vraiment: 3, {{caller}}?"));
        assert!(
            question(&nothing, true, &[("of", &"é".repeat(5_000))]).is_some_and(|asked| asked.chars().count() < 230)
        );
        assert_eq!(question(&words("confirm = false"), true, &[]), None);
        assert!(question(&words("confirm = true"), false, &[]).is_some());
        let own = words("mg.confirm = 'Hanafatra ve?'\nfr.confirm = 'Je commande {{of}}?'");
        assert_eq!(question(&own, false, &[]).as_deref(), Some("Je commande riz?"));
    }

    #[test]
    fn those_of_one_tool_go_before_those_of_its_server() {
        let of = |text: &str| words(&format!("fr.meanwhile = {text:?}"));
        let all = BTreeMap::from([("shop/*".to_owned(), of("a")), ("shop/order".to_owned(), of("b"))]);
        let said = |server, tool| ServedWords::of(&all, server, tool)?.meanwhile(Language::Fr);
        assert_eq!((said("shop", "order"), said("shop", "find"), said("web", "order")), (Some("b"), Some("a"), None));
    }

    #[test]
    fn what_can_be_meant_by_nobody_is_refused() {
        let tools = ["shop/order".to_owned(), "web/*".to_owned(), "price".to_owned()];
        let fault = |name: &str, text: &str| words(text).fault(name, &tools);
        for name in ["shop/order", "shop/*", "web/find", "web/*"] {
            assert_eq!(fault(name, "confirm = true"), None, "{name}");
        }
        for (name, text, why) in [
            ("price", "", "is no tool of a server"),
            ("shop/find", "", "is not among its tools"),
            ("shop/order", "fr.confirm = 'Oui?'", "must be in both"),
            ("shop/order", "confirm = false\nmg.confirm = 'Eny?'\nfr.confirm = 'Oui?'", "leave one out"),
        ] {
            assert!(fault(name, text).is_some_and(|fault| fault.contains(why)), "{name}: {text}");
        }
    }
}
