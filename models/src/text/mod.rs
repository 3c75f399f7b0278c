//! Text for the voice: what a language model writes, made words that can be spoken.
//!
//! ```text
//! tokens -> clauses::Clauses -> speakable: markdown -> figures, signs, addresses, abbreviations -> words -> the voice
//! ```
//!
//! [`speakable`] never fails and takes time in proportion to the text. One file a language (`mg`, `fr`) knows how
//! figures are read; what was written is recognised once for both (`written`).

mod address;
mod calendar;
pub mod clauses;
pub mod dialect;
mod fr;
pub mod heard;
mod markdown;
mod mg;
pub mod read_back;
mod roman;
mod short;
mod shown;
mod spoken;
mod tongue;
mod written;

pub use shown::shown;
pub(crate) use tongue::is_small;
pub use tongue::{Tongue, surely, tongue};

use crate::engine::Language;
use dialect::Dialect;
use short::word;
use spoken::Spoken;
use written::Written;

/// Makes a text speakable: markdown, emoji, figures, money, dates, hours, telephone numbers, addresses and abbreviations
/// become plain words with the punctuation that a voice understands. Empty, with a word in the log, when there is nothing to say.
///
/// A sentence may mix the languages: a figure is read by the rules of the word it counts or follows, where that word shows
/// its language ("misy 3 personnes"), else by those of `language`.
pub fn speakable(text: &str, language: Language) -> String {
    speakable_in(text, language, None)
}

/// The same with a region's words in place of the standard's, where the language is Malagasy; addresses and what stands for more than
/// its letters are read as they are.
pub fn speakable_in(text: &str, language: Language, dialect: Option<Dialect>) -> String {
    let dialect = dialect.filter(|_| language == Language::Mg);
    let plain = markdown::plain(text);
    let mut spoken = Spoken::default();
    let mut at = 0;
    while at < plain.len() {
        let (before, rest) = plain.split_at(at);
        at += next(before, rest, (language, dialect), &mut spoken);
    }
    let words = spoken.finish();
    if words.is_empty() && !text.trim().is_empty() {
        tracing::debug!(characters = text.chars().count(), "a text with nothing in it that can be spoken");
    }
    words
}

/// Speaks what stands at the start of `rest` and says how many bytes that took, at least one character.
fn next(before: &str, rest: &str, (language, dialect): (Language, Option<Dialect>), spoken: &mut Spoken) -> usize {
    let Some(letter) = rest.chars().next() else { return rest.len() };
    if let Some((words, taken)) = address::at(before, rest, language) {
        spoken.word(&words);
        return taken;
    }
    if let Some((written, taken)) = written::at(before, rest, language) {
        return taken + figure(before, rest, taken, &written, language, spoken);
    }
    if let Some((words, taken)) = roman::at(before, rest, language) {
        spoken.word(&words);
        return taken;
    }
    if letter.is_alphabetic() {
        let length = rest.find(|letter: char| !letter.is_alphabetic() && letter != '°').unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        if let Some(regional) = dialect.and_then(|dialect| dialect.word(word)) {
            spoken.raw(&regional);
            return length;
        }
        return length + self::word(word, after, language, spoken);
    }
    if let Some(word) = sign(letter, language) {
        spoken.word(word);
    } else {
        let digit_follows = rest[letter.len_utf8()..].starts_with(|letter: char| letter.is_ascii_digit());
        let between_digits = digit_follows && before.ends_with(|letter: char| letter.is_ascii_digit());
        match letter {
            '/' if digit_follows && before.ends_with(char::is_alphabetic) => spoken.word(match language {
                Language::Mg => mg::OF,
                Language::Fr => fr::OF,
            }),
            '.' if between_digits => spoken.word(dot(language)),
            ',' | '/' | ':' | '-' | '–' if between_digits => spoken.mark(','),
            '–' | '—' | '•' | '·' | '|' | '→' | '⇒' => spoken.mark(','),
            '…' => spoken.mark('.'),
            ',' | '.' | ';' | ':' | '!' | '?' => spoken.mark(letter),
            '\'' | '’' | 'ʼ' | '‘' | '´' | '`' => spoken.letter('\''),
            '-' | '(' | ')' => spoken.letter(letter),
            _ => spoken.gap(),
        }
    }
    letter.len_utf8()
}

/// Speaks a figure and, if it begins a range ("8h-17h"), its end. The bytes that the end took.
fn figure(before: &str, rest: &str, taken: usize, written: &Written, language: Language, spoken: &mut Spoken) -> usize {
    let after = &rest[taken..];
    let language = tongue_beside(before, after, written).unwrap_or(language);
    spoken.word(&read(written, after, language));
    let in_code = before.ends_with('-');
    let Some((dash, end)) = dash(after).filter(|_| !in_code) else { return 0 };
    let next = &after[dash..];
    let Some((to, length)) = written::at(" ", next, language).filter(|(to, _)| written.ranges_to(to)) else { return 0 };
    let behind = &next[length..];
    if behind.strip_prefix(end).is_some_and(|more| more.starts_with(|letter: char| letter.is_ascii_digit())) {
        return 0;
    }
    spoken.word(match language {
        Language::Mg => mg::TO,
        Language::Fr => fr::TO,
    });
    spoken.word(&read(&to, behind, language));
    dash + length
}

/// The language that the words beside a figure show: the word that it counts, else the word before it.
fn tongue_beside(before: &str, after: &str, written: &Written) -> Option<Language> {
    let counts = matches!(written, Written::Number(_) | Written::Fraction(..) | Written::Ordinal { .. });
    let next = after.strip_prefix([' ', '\u{a0}']).filter(|_| counts).unwrap_or_default();
    let next = &next[..next.find(|letter: char| !letter.is_alphabetic()).unwrap_or(next.len())];
    let named = if let Written::Date { named, .. } = written { *named } else { None };
    let previous = before.strip_suffix([' ', '\u{a0}']).unwrap_or_default();
    let start = previous.char_indices().rev().take(24).take_while(|(_, letter)| letter.is_alphabetic()).last();
    let previous = start.map_or("", |(at, _)| &previous[at..]);
    tongue::word(next).or(named).or_else(|| tongue::word(previous))
}

/// A dash between two figures, with or without a space on each side: its bytes and its sign.
fn dash(after: &str) -> Option<(usize, char)> {
    let trimmed = after.strip_prefix(' ').unwrap_or(after);
    let sign = trimmed.chars().next().filter(|letter| matches!(letter, '-' | '–' | '—'))?;
    let next = &trimmed[sign.len_utf8()..];
    let next = next.strip_prefix(' ').unwrap_or(next);
    next.starts_with(|letter: char| letter.is_ascii_digit()).then_some((after.len() - next.len(), sign))
}

/// A number in words.
pub fn cardinal(n: u64, language: Language) -> String {
    match language {
        Language::Mg => mg::cardinal(n),
        Language::Fr => fr::cardinal(n),
    }
}

fn read(written: &Written, after: &str, language: Language) -> String {
    match language {
        Language::Mg => mg::read(written, after),
        Language::Fr => fr::read(written, after),
    }
}

fn sign(letter: char, language: Language) -> Option<&'static str> {
    match language {
        Language::Mg => mg::sign(letter),
        Language::Fr => fr::sign(letter),
    }
}

fn dot(language: Language) -> &'static str {
    match language {
        Language::Mg => mg::DOT,
        Language::Fr => fr::DOT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_emoji_and_typing_become_plain_words() {
        for (text, read) in [
            ("**Bonjour** et _bienvenue_ 😀 !", "Bonjour et bienvenue!"),
            ("# Titre\n\nDu texte", "Titre. Du texte"),
            ("- pain\n- vin\n", "pain. vin."),
            ("1. Ouvrez\n2. Fermez", "un, Ouvrez. deux, Fermez."),
            ("Voyez [notre page](https://milo.mg/tres/long?x=1).", "Voyez notre page."),
            ("`code` et ~~rien~~", "code et rien"),
            ("| jour | heure |\n|---|---|\n| lundi | 8 h |", "jour, heure. lundi, huit heures."),
            ("> cité", "cité"),
            ("a\\*b", "a b"),
            ("Un<br>deux &amp; trois", "Un deux et trois"),
            ("![image](x.png) voilà", "image voilà"),
            ("👍🏽👨‍👩‍👧", ""),
            ("...", ""),
            ("Oui… peut-être", "Oui. peut-être"),
            ("« Bonjour », dit-il (vite)", "Bonjour, dit-il (vite)"),
            ("snake_case et/ou x", "snake case et ou x"),
            ("l'eau, c’est bon", "l'eau, c'est bon"),
            ("ligne\ncoupée", "ligne coupée"),
            ("**gras non fermé", "gras non fermé"),
            ("Quoi ?!", "Quoi?"),
        ] {
            assert_eq!(speakable(text, Language::Fr), read, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_read_with_their_signs() {
        for (language, text, read) in [
            (Language::Fr, "https://www.milo.mg/aide", "milo point m g slash aide"),
            (Language::Fr, "Écrivez à contact@milo.mg.", "Écrivez à contact arobase milo point m g."),
            (Language::Fr, "jean-marie_12@example.com", "jean tiret marie tiret bas un deux arobase example point com"),
            (Language::Fr, "Allez sur orange.mg !", "Allez sur orange point m g!"),
            (Language::Mg, "www.milo.mg", "milo teboka m g"),
            (Language::Mg, "birao@milo.mg", "birao arobaz milo teboka m g"),
            (Language::Fr, "http://192.168.1.10/", "un neuf deux point un six huit point un point un zéro"),
            (Language::Fr, "version 10.30.2", "version dix point trente point deux"),
        ] {
            assert_eq!(speakable(text, language), read, "{text:?}");
        }
    }

    #[test]
    fn the_words_of_a_region_leave_addresses_and_figures_alone() {
        let toliara = "toliara".parse().ok();
        for (text, read) in [
            ("Aiza ny tsena?", "Aia ny bazary?"),
            ("Jereo www.tsena.mg.", "Jereo tsena teboka m g."),
            (
                "Soraty any tsena@milo.mg ny vidiny: 5 000 Ar.",
                "Soraty any tsena arobaz milo teboka m g ny viliny: dimy arivo ariary.",
            ),
        ] {
            assert_eq!(speakable_in(text, Language::Mg, toliara), read, "{text:?}");
            assert_eq!(speakable_in(text, Language::Fr, toliara), speakable(text, Language::Fr));
        }
    }

    #[test]
    fn abbreviations_and_capitals() {
        for (language, text, read) in [
            (Language::Fr, "Le RDV avec M. Rabe et Mlle Soa", "Le rendez-vous avec monsieur Rabe et mademoiselle Soa"),
            (Language::Fr, "Le plan M. Il reste.", "Le plan monsieur Il reste."),
            (Language::Fr, "la TV et un SMS", "la T V et un S M S"),
            (Language::Fr, "LA VIE", "LA VIE"),
            (Language::Mg, "Ny CNN sy ny JIRAMA", "Ny C N N sy ny JIRAMA"),
            (
                Language::Mg,
                "tel. 034 00 000 00",
                "telefaonina aotra telo efatra, aotra aotra, aotra aotra aotra, aotra aotra",
            ),
        ] {
            assert_eq!(speakable(text, language), read, "{text:?}");
        }
    }

    #[test]
    fn anything_is_read_without_a_panic_and_in_time() {
        let digits = "9".repeat(400);
        assert_eq!(speakable(&digits, Language::Mg).matches("sivy").count(), 400);
        let walls = [
            "a".repeat(100_000),
            "1 ".repeat(50_000),
            "0 ".repeat(5_000),
            "1.".repeat(5_000),
            "[".repeat(10_000),
            "[a](".repeat(2_000),
            "<a".repeat(5_000),
            "((((a.b@".repeat(2_500),
            "*_`".repeat(3_000),
            "12/".repeat(3_000),
            "M. ".repeat(3_000),
            "1-".repeat(5_000),
            "+".repeat(10_000),
            "\u{200f}\u{1}\u{0}".repeat(3_000),
            "∑∫≠½²٣".repeat(1_000),
            "🙂".repeat(2_000),
            "Ar ".repeat(3_000),
            ", ".repeat(5_000),
            "é".repeat(5_000),
            "\n- ".repeat(3_000),
            "XIV ".repeat(5_000),
            "a ".repeat(50_000),
            "roa sy telopolo amby ".repeat(5_000),
            "quatre vingt ".repeat(8_000),
            "faharoa ".repeat(10_000),
            "a point ".repeat(10_000),
            "kaody 1234 ".repeat(5_000),
            "amin ny ".repeat(10_000),
            "𝟏".repeat(400),
        ];
        for wall in &walls {
            for language in [Language::Mg, Language::Fr] {
                let read = speakable(wall, language);
                assert!(read.len() < wall.len() * 40 + 100);
                assert!(!read.contains(char::is_control), "{:?}", &wall[..4]);
            }
            assert!(shown(wall).len() < wall.len() * 4 + 100);
        }
    }
}
