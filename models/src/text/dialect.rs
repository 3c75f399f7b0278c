//! Words of the regions: put into the standard's to be understood, and by persona spoken in their place. The table and its sources:
//! `models/dialects/`.

use std::{collections::HashMap, str::FromStr, sync::LazyLock};

const FILE: &str = include_str!("../../dialects/mg.tsv");

static WORDS: LazyLock<Words> = LazyLock::new(Words::read);

/// A way of speaking Malagasy that the table has words of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dialect(&'static str);

impl Dialect {
    /// The dialect's word for one of the standard's, if it has another. A capital is kept.
    pub(super) fn word(self, standard: &str) -> Option<String> {
        let word = *WORDS.spoken.get(&(self.0, standard.to_lowercase()))?;
        if !standard.starts_with(char::is_uppercase) {
            return Some(word.to_owned());
        }
        let mut letters = word.chars();
        Some(letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect())
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(known) = WORDS.names.iter().find(|known| **known == name) {
            return Ok(Self(known));
        }
        Err(format!(
            "{name:?} is no dialect whose words are known from a source; these are: {} (models/dialects/README.md)",
            WORDS.names.join(", ")
        ))
    }
}

/// The standard's word for one that a caller said, in small letters and without accents; the same, if it is none of a region.
pub(super) fn standard(plain: String) -> String {
    WORDS.understood.get(plain.as_str()).map_or(plain, |standard| (*standard).to_owned())
}

struct Words {
    names: Vec<&'static str>,
    /// By dialect and standard word, the dialect's.
    spoken: HashMap<(&'static str, String), &'static str>,
    /// By the dialect's word, the standard's.
    understood: HashMap<String, &'static str>,
}

impl Words {
    fn read() -> Self {
        let mut words = Self { names: Vec::new(), spoken: HashMap::new(), understood: HashMap::new() };
        for line in FILE.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()) {
            let mut columns = line.split('\t');
            let (Some(name), Some(word), Some(standard)) = (columns.next(), columns.next(), columns.next()) else {
                continue;
            };
            if !words.names.contains(&name) {
                words.names.push(name);
            }
            // The first word of several is the one that is said.
            words.spoken.entry((name, standard.to_owned())).or_insert(word);
            if columns.nth(1) == Some("yes") {
                words.understood.entry(word.replace('ô', "o")).or_insert(standard);
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::Language,
        text::{heard, speakable_in},
    };

    #[test]
    fn the_table_is_whole_and_no_word_has_two_meanings() {
        let mut meanings: HashMap<&str, &str> = HashMap::new();
        let lines = FILE.lines().filter(|line| !line.starts_with("# "));
        for line in lines.clone() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [_, word, standard, source, understood] = columns[..] else { panic!("five columns: {line}") };
            assert!(!source.is_empty() && (understood == "yes" || understood.starts_with("no: ")), "{line}");
            if understood == "yes" {
                assert_eq!(*meanings.entry(word).or_insert(standard), standard, "{line}");
            }
        }
        assert!(lines.count() >= 50);
    }

    #[test]
    fn words_of_the_regions_are_understood() {
        assert_eq!(heard::number("araiky amby roapolo"), Some(21));
        assert_eq!(heard::choice("amin'ny alatsinena", ["alatsinainy", "talata"]), Some(0));
        // What the standard itself has is left alone.
        assert_eq!(heard::choice("valy", ["vady"]), None);
    }

    #[test]
    fn a_dialect_is_spoken_and_an_unknown_one_is_said_to_be_so() {
        let dialect: Dialect = "toliara".parse().unwrap();
        let said = speakable_in("Ohatrinona ny vidiny? Aiza ny tsena?", Language::Mg, Some(dialect));
        assert_eq!(said, "Hoatrino ny viliny? Aia ny bazary?");
        let refused = "antandroy".parse::<Dialect>().unwrap_err();
        assert!(refused.contains("antandroy") && refused.contains("source") && refused.contains("bara"), "{refused}");
    }
}
