//! What machines say that answer calls: the files of `dialplans/answering/`, by which they are told from people.

use std::{fmt, path::Path};

use milo_models::text::heard;
use serde::Deserialize;
use toml::Spanned;

use super::fault::{Fault, Source};
use crate::agent::Answerer;

/// The wordings that ship, for folders of dialplans without any.
const SHIPPED: [(&str, &str); 2] = [
    ("dialplans/answering/fr.toml", include_str!("../../dialplans/answering/fr.toml")),
    ("dialplans/answering/mg.toml", include_str!("../../dialplans/answering/mg.toml")),
];
/// As many as are looked for, of all files.
const MOST: usize = 1_000;

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    machine: Vec<Spanned<String>>,
    ivr: Vec<Spanned<String>>,
    network: Vec<Spanned<String>>,
}

/// Wordings of those who are no persons.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wordings(Vec<(Answerer, String, Vec<String>)>);

impl Wordings {
    /// Those that ship.
    pub(super) fn shipped(faults: &mut Vec<Fault>) -> Self {
        let sources = SHIPPED.map(|(path, text)| Source::new(Path::new(path), text));
        Self::read(&sources, faults)
    }

    /// Those of these files; what is wrong is added to `faults`.
    pub(super) fn read(sources: &[Source], faults: &mut Vec<Fault>) -> Self {
        let mut all = Vec::new();
        for source in sources {
            let written = match toml::from_str::<Written>(&source.text) {
                Ok(written) => written,
                Err(error) => {
                    faults.push(source.fault(error.span().map(|span| span.start), error.message()));
                    continue;
                }
            };
            let Written { machine, ivr, network } = written;
            for (list, who, wordings) in [
                ("machine", Answerer::Machine, machine),
                ("ivr", Answerer::Ivr, ivr),
                ("network", Answerer::Network, network),
            ] {
                for wording in wordings {
                    let (at, text) = (wording.span().start, wording.into_inner());
                    let words = heard::words(&text);
                    if words.is_empty() {
                        faults.push(source.fault(Some(at), format!("{list}: {text:?} holds no word")));
                    } else if all.len() == MOST {
                        let fault = format!("{list}: {text:?} is one too many: {MOST} are looked for at most");
                        faults.push(source.fault(Some(at), fault));
                        return Self(all);
                    } else {
                        all.push((who, text, words));
                    }
                }
            }
        }
        Self(all)
    }

    /// Who says these words, and which of the wordings is in them. A machine that takes messages goes before a menu of
    /// keys, and that
    /// before the network: what nobody answers is announced by machines, too.
    pub fn of(&self, said: &str) -> Option<(Answerer, &str)> {
        let said = heard::words(said);
        let is_said = |words: &Vec<String>| said.windows(words.len()).any(|part| part == words);
        let found = self.0.iter().filter(|(_, _, words)| is_said(words));
        found.min_by_key(|(who, ..)| *who).map(|(who, text, _)| (*who, text.as_str()))
    }
}

impl fmt::Debug for Wordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wordings").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Wordings, Vec<String>) {
        let mut faults = Vec::new();
        let wordings = Wordings::read(&[Source::new(Path::new("answering/fr.toml"), text)], &mut faults);
        (wordings, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn those_that_ship_are_right_and_know_their_machines() {
        let mut faults = Vec::new();
        let wordings = Wordings::shipped(&mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        for (said, who) in [
            ("Bonjour, vous êtes bien sur la messagerie de Rasoa. Laissez un message après le bip.", Answerer::Machine),
            ("Votre correspondant n'est pas joignable, veuillez laisser un message.", Answerer::Machine),
            ("Pour le service commercial, tapez 1.", Answerer::Ivr),
            ("Le numéro que vous avez demandé n’est pas attribué.", Answerer::Network),
            ("Salama, avelao ny hafatrao azafady.", Answerer::Machine),
            ("Raha hiresaka amin'olona dia tsindrio ny iray.", Answerer::Ivr),
            ("Tsy azo antsoina io laharana io.", Answerer::Network),
        ] {
            assert_eq!(wordings.of(said).map(|(who, _)| who), Some(who), "{said}");
        }
        for said in ["Allô ?", "Salama tompoko", "Oui, bonjour, qui est à l'appareil ?", "eny, izaho no Rasoa", ""] {
            assert_eq!(wordings.of(said), None, "{said}");
        }
    }

    #[test]
    fn a_file_of_an_operators_counts_and_what_is_wrong_with_it_is_told() {
        let (wordings, faults) = read("machine = ['Ici le répondeur']");
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(wordings.of("ici le repondeur"), Some((Answerer::Machine, "Ici le répondeur")));
        for (text, why) in [
            ("machine = ['a',\n'?!']", "answering/fr.toml, line 2: machine: \"?!\" holds no word"),
            ("robots = []", "robots"),
            ("ivr = [3]", "line 1"),
            ("ivr = [", "answering/fr.toml, line 1"),
        ] {
            let (_, faults) = read(text);
            assert!(faults.len() == 1 && faults[0].contains(why), "{text}: {faults:?}");
        }
        let many = format!("machine = [{}]", "'a',".repeat(MOST + 5));
        let (_, faults) = read(&many);
        assert!(faults.len() == 1 && faults[0].contains("one too many"), "{faults:?}");
    }
}
