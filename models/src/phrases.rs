//! A memory of set phrases, Malagasy and French: what people say on the telephone every day, translated as people say it.
//!
//! ```text
//! "Salama tompoko, andraso kely!" -> sentences -> parts at commas -> politeness put aside -> phrase -> the other side, put together again
//! ```
//! The phrases lie in `models/phrases/mg-fr.tsv`: several wordings a side, of which the first is what is said. A text is translated when
//! all of it is known, and not at all otherwise: a translator of half sentences helps nobody. Marks, capitals, "azafady" and "tompoko"
//! are kept; names and numbers have their places ("… no anarako").

use std::{collections::HashMap, sync::LazyLock};

use crate::{
    engine::Language,
    text::{
        cardinal,
        heard::numerals::{Word, number as number_in, words},
        is_small,
    },
};

const FILE: &str = include_str!("../phrases/mg-fr.tsv");
/// Longer texts are no set phrases.
const LONGEST: usize = 400;
/// Words that a name may have.
const LONGEST_NAME: usize = 4;
/// Words that stand where a name may, beside the small words of both languages: "Iny no anarako", "Je suis Madame". Without accents.
const NO_NAMES: [&str; 24] = [
    "i",
    "ilay",
    "iny",
    "ireny",
    "itsy",
    "itony",
    "izaho",
    "olona",
    "ramatoa",
    "ramose",
    "ca",
    "cela",
    "ceci",
    "lui",
    "eux",
    "toi",
    "tout",
    "rien",
    "personne",
    "quelqu",
    "monsieur",
    "madame",
    "mademoiselle",
    "docteur",
];
/// What stands for a name and for a number in the keys.
const NAME: &str = "§name";
const NUMBER: &str = "§number";

static MEMORY: LazyLock<Memory> = LazyLock::new(Memory::read);

/// One phrase: the wordings of each side, what is said first.
#[derive(Debug)]
pub struct Phrase {
    /// Malagasy wordings.
    pub mg: Vec<&'static str>,
    /// French wordings.
    pub fr: Vec<&'static str>,
}

impl Phrase {
    fn side(&self, language: Language) -> &[&'static str] {
        match language {
            Language::Mg => &self.mg,
            Language::Fr => &self.fr,
        }
    }
}

struct Memory {
    phrases: Vec<Phrase>,
    /// By language and plain words, the phrase.
    known: HashMap<(Language, String), usize>,
    /// Those with a place for a name or a number: their plain words.
    open: Vec<(Language, Vec<String>, usize)>,
}

/// All phrases, in the order of the file.
pub fn phrases() -> &'static [Phrase] {
    &MEMORY.phrases
}

/// A text in the other language, if all of it is set phrases.
pub fn translated(text: &str, source: Language, target: Language) -> Option<String> {
    if source == target || text.len() > LONGEST {
        return None;
    }
    let mut out = String::new();
    let mut rest = text.trim();
    let mut line_ended = false;
    while !rest.is_empty() {
        let end = sentence_end(rest);
        let (sentence, left) = rest.split_at(end);
        let bare =
            sentence.trim_end_matches(|mark: char| mark.is_whitespace() || matches!(mark, '.' | '!' | '?' | '…'));
        let marks: String = sentence[bare.len()..].chars().filter(|mark| !mark.is_whitespace()).collect();
        if !out.is_empty() {
            out.push(if line_ended { '\n' } else { ' ' });
        }
        line_ended = sentence.ends_with('\n');
        out += &sentence_in(bare.trim(), source, target)?;
        if target == Language::Fr && marks.starts_with(['!', '?']) {
            out.push(' ');
        }
        out += &marks;
        rest = left.trim_start();
    }
    (!out.is_empty()).then_some(out)
}

/// Where the first sentence ends, its marks among it.
fn sentence_end(text: &str) -> usize {
    let mut ended = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '.' | '!' | '?' | '…' => ended = true,
            '\n' => return at + 1,
            letter if ended && letter.is_whitespace() => {
                // French puts a space before some marks.
                if !text[at..].trim_start().starts_with(['!', '?']) {
                    return at;
                }
            }
            _ => ended = false,
        }
    }
    text.len()
}

/// A sentence without its marks: known whole, or part by part, or whole but for its polite words.
fn sentence_in(sentence: &str, source: Language, target: Language) -> Option<String> {
    MEMORY
        .phrase(&words(sentence), sentence, false, (source, target))
        .or_else(|| by_parts(sentence, source, target))
        .or_else(|| part_in(sentence, false, (source, target)))
}

fn by_parts(sentence: &str, source: Language, target: Language) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in sentence.split(',').map(str::trim) {
        let plain: Vec<String> = words(part).into_iter().map(|word| word.plain).collect();
        let sir = POLITE.iter().any(|(language, wanted, polite)| {
            *language == source && *polite == Polite::Sir && plain.join(" ") == *wanted
        });
        let known = if sir {
            Polite::Sir.behind(target).trim().to_owned()
        } else {
            part_in(part, !parts.is_empty(), (source, target))?
        };
        // "Mesdames, messieurs" are one "tompoko".
        if !sir || parts.last() != Some(&known) {
            parts.push(known);
        }
    }
    sentence.contains(',').then(|| parts.join(", "))
}

/// Polite words at either end of a part: in the source's plain words, and what they are in each language.
const POLITE: [(Language, &str, Polite); 17] = [
    (Language::Mg, "azafady", Polite::Please),
    (Language::Mg, "tompoko", Polite::Sir),
    (Language::Fr, "s'il vous plait", Polite::Please),
    (Language::Fr, "s'il te plait", Polite::Please),
    (Language::Fr, "madame monsieur", Polite::Sir),
    (Language::Fr, "monsieur madame", Polite::Sir),
    (Language::Fr, "mesdames messieurs", Polite::Sir),
    (Language::Fr, "cher monsieur", Polite::Sir),
    (Language::Fr, "chere madame", Polite::Sir),
    (Language::Fr, "monsieur", Polite::Sir),
    (Language::Fr, "madame", Polite::Sir),
    (Language::Fr, "mademoiselle", Polite::Sir),
    (Language::Fr, "messieurs", Polite::Sir),
    (Language::Fr, "mesdames", Polite::Sir),
    (Language::Mg, "ramose", Polite::Sir),
    (Language::Mg, "ramatoa", Polite::Sir),
    (Language::Mg, "tompokolahy sy tompokovavy", Polite::Sir),
];

/// "tompoko" is said to men and women alike, "Madame, Monsieur" too.
#[derive(Clone, Copy, PartialEq)]
enum Polite {
    Please,
    Sir,
}

impl Polite {
    /// Behind what was said; "s'il vous plaît" stands off with a comma.
    fn behind(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Please, Language::Mg) => " azafady",
            (Self::Please, Language::Fr) => ", s'il vous plaît",
            (Self::Sir, Language::Mg) => " tompoko",
            (Self::Sir, Language::Fr) => " Madame, Monsieur",
        }
    }
}

/// A part without its marks, which may stand inside a sentence.
fn part_in(part: &str, inside: bool, (source, target): (Language, Language)) -> Option<String> {
    let said = words(part);
    let (mut from, mut to) = (0, said.len());
    let mut polite = Vec::new();
    loop {
        let here = &said[from..to];
        if here.is_empty() {
            break;
        }
        if let Some(mut out) = MEMORY.phrase(here, part, inside, (source, target)) {
            polite.iter().rev().for_each(|polite: &Polite| out += polite.behind(target));
            return Some(out);
        }
        let plain: Vec<&str> = here.iter().map(|word| word.plain.as_str()).collect();
        let (length, last, word) = POLITE.iter().find_map(|(language, wanted, polite)| {
            let wanted: Vec<&str> = wanted.split(' ').collect();
            let mine = *language == source && plain.len() > wanted.len();
            let last = mine && plain.ends_with(&wanted);
            (last || mine && plain.starts_with(&wanted)).then_some((wanted.len(), last, *polite))
        })?;
        if last {
            to -= length
        } else {
            from += length
        }
        if polite.contains(&word) {
            return None;
        }
        polite.push(word);
    }
    None
}

/// With a small first letter.
fn uncapital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The plain words of a wording, with the places for names and numbers.
fn key(wording: &str) -> Vec<String> {
    let marked = wording.replace("{n}", " openplacenumber ").replace("{}", " openplacename ");
    let plain = |word: Word| match word.plain.as_str() {
        "openplacenumber" => NUMBER.to_owned(),
        "openplacename" => NAME.to_owned(),
        _ => word.plain,
    };
    words(&marked).into_iter().map(plain).collect()
}

impl Memory {
    fn read() -> Self {
        let (mut phrases, mut known, mut open) = (Vec::new(), HashMap::new(), Vec::new());
        let lines = FILE.lines().filter(|line| !line.starts_with("# ") && !line.trim().is_empty());
        for line in lines {
            let mut columns = line.split('\t').skip(1);
            let side = |column: Option<&'static str>| column.unwrap_or_default().split('|').collect::<Vec<_>>();
            let phrase = Phrase { mg: side(columns.next()), fr: side(columns.next()) };
            for language in [Language::Mg, Language::Fr] {
                for wording in phrase.side(language) {
                    let key = key(wording);
                    if key.iter().any(|word| word == NAME || word == NUMBER) {
                        open.push((language, key, phrases.len()));
                    } else {
                        known.entry((language, key.join(" "))).or_insert(phrases.len());
                    }
                }
            }
            phrases.push(phrase);
        }
        Self { phrases, known, open }
    }

    /// What these words of a text, or of a part `inside` a sentence, are in the other language; with a small first letter where
    /// the text has one. A name keeps its capital, and says nothing about that of what stands in its place.
    fn phrase(
        &self,
        said: &[Word],
        text: &str,
        inside: bool,
        (source, target): (Language, Language),
    ) -> Option<String> {
        let small = text.starts_with(char::is_lowercase);
        let begun = |known: &str| if small { uncapital(known) } else { known.to_owned() };
        let plain: Vec<&str> = said.iter().map(|word| word.plain.as_str()).collect();
        if let Some(at) = self.known.get(&(source, plain.join(" "))) {
            return self.phrases[*at].side(target).first().map(|wording| begun(wording));
        }
        self.open.iter().filter(|(language, ..)| *language == source).find_map(|(_, pattern, at)| {
            let place = pattern.iter().position(|word| word == NAME || word == NUMBER)?;
            let behind = pattern.len() - place - 1;
            let length = said.len().checked_sub(pattern.len() - 1).filter(|length| *length > 0)?;
            let fits = plain[..place].iter().eq(pattern[..place].iter())
                && plain[said.len() - behind..].iter().eq(pattern[place + 1..].iter());
            if !fits {
                return None;
            }
            let filling = &said[place..place + length];
            let words = &text[filling[0].place.start..filling[length - 1].place.end];
            let wording = self.phrases[*at].side(target).first()?;
            if pattern[place] == NUMBER {
                return Some(begun(&capital(&wording.replace("{n}", &number(filling, words, target)?))));
            }
            if !self.is_name(filling, text) {
                return None;
            }
            let wording = match (place, wording.starts_with("{}")) {
                (_, true) => (*wording).to_owned(),
                (0, false) if inside => uncapital(wording),
                (0, false) => (*wording).to_owned(),
                _ => begun(wording),
            };
            Some(wording.replace("{}", words))
        })
    }

    /// Whether these words of a text may be a name: few, each with a capital, and none of them a word that the languages or this
    /// memory have. In a text of capitals no name shows.
    fn is_name(&self, words: &[Word], text: &str) -> bool {
        let may_be = |word: &Word| {
            let (written, plain) = (&text[word.place.clone()], word.plain.as_str());
            let known = |language| self.known.contains_key(&(language, plain.to_owned()));
            written.starts_with(char::is_uppercase)
                && !is_small(plain)
                && !is_small(&written.to_lowercase())
                && !NO_NAMES.contains(&plain)
                && !known(Language::Mg)
                && !known(Language::Fr)
        };
        let together =
            |pair: &[Word]| !text[pair[0].place.end..pair[1].place.start].contains([',', ';', ':', '(', '/']);
        words.len() <= LONGEST_NAME
            && text.contains(char::is_lowercase)
            && words.iter().all(may_be)
            && words.windows(2).all(together)
    }
}

/// A number in the other language: figures stay figures.
fn number(said: &[Word], words: &str, target: Language) -> Option<String> {
    if words.chars().all(|letter| letter.is_ascii_digit() || matches!(letter, ' ' | '\u{a0}' | '\u{202f}' | '.')) {
        return Some(words.to_owned());
    }
    let (value, end, _) = number_in(said, 0)?;
    (end == said.len()).then(|| cardinal(value, target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Language::{Fr, Mg};

    #[test]
    fn marks_capitals_and_politeness_are_kept() {
        for (from, to, text, translation) in [
            (Mg, Fr, "Salama!\nVeloma!", "Salut !\nAu revoir !"),
            (Mg, Fr, "Salama\n\nVeloma.\n", "Salut\nAu revoir."),
            (Mg, Fr, "Manao ahoana tompoko?", "Bonjour Madame, Monsieur ?"),
            (Mg, Fr, "misaotra betsaka", "merci beaucoup"),
            (Mg, Fr, "Azafady, aiza ny banky?", "S'il vous plaît, où est la banque ?"),
            (Mg, Fr, "Antsoy aho azafady tompoko.", "Appelez-moi, s'il vous plaît Madame, Monsieur."),
            (Mg, Fr, "Veloma! Mandra-pihaona.", "Au revoir ! À la prochaine."),
            (Fr, Mg, "Bonjour, madame.", "Manao ahoana, tompoko."),
            (Fr, Mg, "Bonjour monsieur, quel est votre nom ?", "Manao ahoana tompoko, iza ny anaranao?"),
            (Fr, Mg, "Où est la banque, s'il vous plaît ?", "Aiza ny banky, azafady?"),
            (Fr, Mg, "MERCI", "Misaotra"),
            (Fr, Mg, "Je m'appelle Rakoto Jean.", "Rakoto Jean no anarako."),
            (Mg, Fr, "Rasoa no anarako", "Je m'appelle Rasoa"),
            (Mg, Fr, "Dimy arivo ariary", "Cinq mille ariary"),
            (Mg, Fr, "5 000 ariary", "5 000 ariary"),
            (Fr, Mg, "ça fait quinze mille ariary", "dimy arivo sy iray alina ariary"),
            (Fr, Mg, "D’accord.", "Ekena."),
        ] {
            assert_eq!(translated(text, from, to).as_deref(), Some(translation), "{text}");
        }
    }

    #[test]
    fn every_phrase_has_several_wordings_and_none_stands_for_two() {
        let mut owners = HashMap::new();
        for (number, phrase) in phrases().iter().enumerate() {
            // Another spelling is no other wording: neither accents nor hyphens, apostrophes and spaces are looked at.
            let different = |language| {
                let letters = |wording: &&str| key(wording).concat().replace('\'', "");
                phrase.side(language).iter().map(letters).collect::<std::collections::HashSet<_>>().len()
            };
            assert!(different(Mg) >= 2 || different(Fr) >= 2, "one wording on each side: {phrase:?}");
            for language in [Mg, Fr] {
                for wording in phrase.side(language) {
                    assert!(!wording.trim().is_empty(), "an empty wording: {phrase:?}");
                    let owner = *owners.entry((language, key(wording))).or_insert(number);
                    assert_eq!(owner, number, "{wording:?} stands for {phrase:?} and {:?}", phrases()[owner]);
                }
            }
        }
    }

    #[test]
    fn what_is_not_all_known_is_left_to_the_translator() {
        for text in [
            "",
            "  ",
            "?!",
            "Salama, te hividy omby aho",
            "rakoto no anarako izao",
            "ny {} no anarako",
            "tompoko tompoko",
        ] {
            assert_eq!(translated(text, Mg, Fr), None, "{text}");
        }
        assert_eq!(translated("Salama", Mg, Mg), None);
        assert_eq!(translated(&"Salama. ".repeat(20_000), Mg, Fr), None);
    }
}
