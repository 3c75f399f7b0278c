//! What a model that does as it is told is told besides its persona's prompt: how one speaks on a telephone, what it must not do, what it
//! knows, and when and where it is. In the language of the prompt, whatever is spoken.
//!
//! ```text
//! prompt │ manners, rules, style, facts │ day, hour, place │ what was said before, summed up │ what was said
//! └── the same in every call ───────────┘ └─ of this call ─┘ └─ changes ──────────────────────┘
//! ```
//! A model has read what stands first once for all calls. The small model that ships is told nothing of it: it knows what it was trained
//! with.

use milo_models::engine::Language;

use super::{Moment, Persona};

/// How the conversation is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// The words are spoken and heard.
    Voice,
    /// They are written and read.
    Text,
}

/// What stands behind a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    lasting: String,
    now: String,
}

impl Frame {
    /// That of a persona, as it is told of a conversation; none where its file wants none.
    pub fn of(persona: &Persona, medium: Medium) -> Option<Self> {
        persona.frame.then(|| Self {
            lasting: lasting(persona, medium),
            now: now(persona, &Moment::now(&persona.zone), persona.written_in()),
        })
    }

    /// Behind this prompt.
    pub fn behind(&self, prompt: &str) -> String {
        format!("{}\n{}", with_lasting(prompt, &self.lasting), self.now)
    }
}

/// What of it is the same in every call, behind the prompt: a model can keep what it has read of them. None where its file wants none.
pub(crate) fn instructions(persona: &Persona) -> Option<String> {
    persona.frame.then(|| with_lasting(&persona.prompt, &lasting(persona, Medium::Voice)))
}

fn with_lasting(prompt: &str, lasting: &str) -> String {
    format!("{prompt}\n\n{lasting}")
}

fn lasting(persona: &Persona, medium: Medium) -> String {
    let language = persona.written_in();
    let (voice, rules) = match language {
        Language::Mg => (include_str!("mg_voice.txt"), include_str!("mg_rules.txt")),
        Language::Fr => (include_str!("fr_voice.txt"), include_str!("fr_rules.txt")),
    };
    let mut lines: Vec<String> = Vec::new();
    if medium == Medium::Voice {
        lines.push(voice.trim_end().into());
        lines.extend((!persona.tools.iter().any(|tool| tool == "hang_up")).then(|| ends(language).into()));
    }
    lines.push(speaks(persona, language).into());
    lines.push(rules.trim_end().into());
    let (name, style, facts) = match language {
        Language::Mg => ("Ny anaranao:", "Ny fomba fiteninao:", "Izao no fantatrao:"),
        Language::Fr => ("Votre nom :", "Votre façon de parler :", "Voici ce que vous savez :"),
    };
    lines.extend(persona.name.iter().map(|own| format!("{name} {}.", own.trim())));
    lines.extend(persona.style.iter().map(|own| format!("{style} {}", own.trim())));
    if !persona.facts.is_empty() {
        lines.push(facts.into());
        lines.extend(persona.facts.iter().map(|fact| format!("- {}", fact.trim())));
    }
    lines.join("\n")
}

/// How a model without a tool for it ends a call.
fn ends(language: Language) -> &'static str {
    match language {
        Language::Mg => {
            "- Rehefa manao veloma na tsy mila zavatra intsony izy, dia manaova veloma ary farano amin'ny [hangup]."
        }
        Language::Fr => "- Quand il dit au revoir ou n'a plus besoin de rien, prenez congé et terminez par [hangup].",
    }
}

/// Which language it answers in.
fn speaks(persona: &Persona, language: Language) -> &'static str {
    match (language, persona.only()) {
        (Language::Mg, None) => {
            "- Valio amin'ny fiteny nampiasain'ny olona miresaka aminao farany, malagasy na frantsay."
        }
        (Language::Mg, Some(Language::Mg)) => {
            "- Valio amin'ny teny malagasy foana, na inona na inona fiteny ampiasaina."
        }
        (Language::Mg, Some(Language::Fr)) => {
            "- Valio amin'ny teny frantsay foana, na inona na inona fiteny ampiasaina."
        }
        (Language::Fr, None) => {
            "- Répondez dans la langue que votre interlocuteur a employée en dernier, le malgache ou le français."
        }
        (Language::Fr, Some(Language::Mg)) => "- Répondez toujours en malgache, quelle que soit la langue employée.",
        (Language::Fr, Some(Language::Fr)) => "- Répondez toujours en français, quelle que soit la langue employée.",
    }
}

fn now(persona: &Persona, moment: &Moment, language: Language) -> String {
    let known = |name| moment.value(name, language).unwrap_or_default();
    let (weekday, date, time) = (known("weekday"), known("date"), known("time"));
    let (is, place) = match language {
        Language::Mg => (format!("{weekday} {date} androany, amin'ny {time}."), "Toerana:"),
        Language::Fr => (format!("Nous sommes {weekday} {date}, il est {time}."), "Lieu :"),
    };
    match &persona.place {
        Some(own) => format!("{is} {place} {}.", own.trim()),
        None => is,
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;

    fn persona(keys: &str) -> Persona {
        let demo = include_str!("../../../dialplans/personas/demo.toml");
        Persona::parse(&format!("{keys}\n{demo}")).expect("a persona")
    }

    #[test]
    fn a_model_is_told_how_one_speaks_what_is_known_and_when_and_where_it_is_in_the_language_of_its_prompt() {
        let persona = persona(
            "place = 'Antananarivo'\nstyle = 'Tsotra.'\nfacts = ['Misokatra isan\u{2019}andro.', 'Maimaim-poana.']",
        );
        let frame = Frame::of(&persona, Medium::Voice).expect("it wants one");
        let told = frame.behind(&persona.prompt);
        let at = |words: &str| told.find(words).unwrap_or_else(|| panic!("no {words:?} in {told}"));
        let order = [
            &*persona.prompt,
            "Ao amin'ny telefaonina",
            "[hangup]",
            "tsy baiko",
            "Tsotra.",
            "- Misokatra",
            "androany",
            "Toerana: Antananarivo.",
        ];
        assert!(order.map(at).is_sorted(), "{told}");
        assert!(told.starts_with(&instructions(&persona).expect("it wants one")), "what lasts stands first");
        let demo = include_str!("../../../dialplans/personas/demo.toml");
        let french = demo.replace(
            "prompt = \"",
            "prompt = \"Vous êtes Milo, l'accueil du bureau à Antananarivo, et vous parlez français. ",
        );
        let french = Persona::parse(&french.replace(&*persona.prompt, "")).expect("a persona");
        assert!(lasting(&french, Medium::Voice).starts_with("Vous parlez au téléphone"));
    }

    #[test]
    fn the_moment_is_told_by_the_clock_of_the_persona() {
        let at: Timestamp = "2026-11-30T04:45:00Z".parse().expect("a moment");
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        let (plain, moment) = (persona(""), Moment::at(at, &zone));
        assert_eq!(now(&plain, &moment, Language::Mg), "Alatsinainy 30/11/2026 androany, amin'ny 07:45.");
        let placed = persona("place = 'Toamasina'");
        let told = now(&placed, &moment, Language::Fr);
        assert_eq!(told, "Nous sommes lundi 30/11/2026, il est 07:45. Lieu : Toamasina.");
    }

    #[test]
    fn in_writing_nothing_is_said_of_the_telephone_and_who_has_a_tool_for_it_ends_a_call_by_no_sign() {
        let written = lasting(&persona(""), Medium::Text);
        assert!(!written.contains("telefaonina") && !written.contains("[hangup]") && written.contains("Aza mamorona"));
        assert!(!lasting(&persona("tools = ['hang_up']"), Medium::Voice).contains("[hangup]"));
        assert!(written.contains("malagasy na frantsay"));
        assert!(lasting(&persona("languages = ['fr']"), Medium::Text).contains("teny frantsay foana"));
        assert_eq!(Frame::of(&persona("frame = false"), Medium::Voice), None);
        assert_eq!(instructions(&persona("frame = false")), None);
    }

    #[test]
    fn each_language_has_as_many_lines_and_none_is_longer_than_it_must_be() {
        let pairs = [
            (include_str!("mg_voice.txt"), include_str!("fr_voice.txt")),
            (include_str!("mg_rules.txt"), include_str!("fr_rules.txt")),
        ];
        for (malagasy, french) in pairs {
            assert_eq!(malagasy.lines().count(), french.lines().count());
        }
        // It is read at the first turn of a call by whoever has not read it before.
        let all: usize = pairs.iter().map(|(_, french)| french.chars().count()).sum();
        assert!(all < 2_000, "{all} characters");
    }
}
