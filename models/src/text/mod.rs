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
mod fr;
pub mod heard;
mod markdown;
mod mg;
mod tongue;
mod written;

pub use tongue::tongue;

use crate::engine::Language;
use written::Written;

/// How an abbreviation stands with the dot behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dot {
    /// None belongs to it: "Ar".
    No,
    /// One may: "Dr" and "Dr.".
    May,
    /// Without it, it is another word: "av.".
    Must,
    /// With it, and a name after it: "M. Rakoto".
    BeforeName,
    /// It may end the sentence too: "etc.".
    Ends,
}

/// Makes a text speakable: markdown, emoji, figures, money, dates, hours, telephone numbers, addresses and abbreviations
/// become plain words with the punctuation that a voice understands. Empty when there is nothing to say.
pub fn speakable(text: &str, language: Language) -> String {
    let plain = markdown::plain(text);
    let mut spoken = Spoken::default();
    let mut at = 0;
    while at < plain.len() {
        let (before, rest) = plain.split_at(at);
        at += next(before, rest, language, &mut spoken);
    }
    spoken.finish()
}

/// Speaks what stands at the start of `rest` and says how many bytes that took, at least one character.
fn next(before: &str, rest: &str, language: Language, spoken: &mut Spoken) -> usize {
    let Some(letter) = rest.chars().next() else { return rest.len() };
    if let Some((words, taken)) = address::at(before, rest, language) {
        spoken.word(&words);
        return taken;
    }
    if let Some((written, taken)) = written::at(before, rest) {
        return taken + figure(before, rest, taken, &written, language, spoken);
    }
    if letter.is_alphabetic() {
        let length = rest.find(|letter: char| !letter.is_alphabetic() && letter != '°').unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
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
            '\'' | '’' | 'ʼ' | '‘' => spoken.letter('\''),
            '-' | '(' | ')' => spoken.letter(letter),
            _ => spoken.gap(),
        }
    }
    letter.len_utf8()
}

/// Speaks a figure and, if it begins a range ("8h-17h"), its end. The bytes that the end took.
fn figure(before: &str, rest: &str, taken: usize, written: &Written, language: Language, spoken: &mut Spoken) -> usize {
    let after = &rest[taken..];
    spoken.word(&read(written, after, language));
    let in_code = before.ends_with('-');
    let Some((dash, end)) = dash(after).filter(|_| !in_code) else { return 0 };
    let next = &after[dash..];
    let Some((to, length)) = written::at(" ", next).filter(|(to, _)| written.ranges_to(to)) else { return 0 };
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

/// A dash between two figures, with or without a space on each side: its bytes and its sign.
fn dash(after: &str) -> Option<(usize, char)> {
    let trimmed = after.strip_prefix(' ').unwrap_or(after);
    let sign = trimmed.chars().next().filter(|letter| matches!(letter, '-' | '–' | '—'))?;
    let next = &trimmed[sign.len_utf8()..];
    let next = next.strip_prefix(' ').unwrap_or(next);
    next.starts_with(|letter: char| letter.is_ascii_digit()).then_some((after.len() - next.len(), sign))
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

/// Speaks a word: an abbreviation in full, capitals without a vowel letter by letter, any other as it is. The bytes of
/// `after` that belong to it.
fn word(word: &str, after: &str, language: Language, spoken: &mut Spoken) -> usize {
    let table = match language {
        Language::Mg => mg::ABBREVIATIONS,
        Language::Fr => fr::ABBREVIATIONS,
    };
    let dotted = after.strip_prefix('.');
    let name_follows = dotted.is_some_and(|after| after.trim_start().starts_with(char::is_uppercase));
    let at_end = dotted.is_some_and(|after| after.trim().is_empty());
    for (short, dot, full) in table {
        if *short != word {
            continue;
        }
        let taken = match dot {
            Dot::No => Some(0),
            Dot::May => Some(usize::from(dotted.is_some() && !at_end)),
            Dot::Must => dotted.map(|_| usize::from(!at_end)),
            Dot::BeforeName => name_follows.then_some(1),
            Dot::Ends => Some(usize::from(dotted.is_some() && !at_end && !name_follows)),
        };
        if let Some(taken) = taken {
            spoken.word(full);
            return taken;
        }
    }
    let spelled = (2..=6).contains(&word.len()) && word.bytes().all(|letter| b"BCDFGHJKLMNPQRSTVWXZ".contains(&letter));
    if spelled {
        let letters: Vec<String> = word.chars().map(String::from).collect();
        spoken.word(&letters.join(" "));
    } else {
        spoken.raw(word);
    }
    0
}

/// The words so far, with one space between them and no stray marks.
#[derive(Default)]
struct Spoken {
    text: String,
    /// A space is due before the next letter.
    gap: bool,
    /// The last thing was a made word, which touches no letter.
    made: bool,
}

impl Spoken {
    /// A made word or words: spaces around.
    fn word(&mut self, word: &str) {
        self.gap |= !self.text.ends_with(['(', '\'', '-']);
        self.raw(word);
        self.made = true;
    }

    /// Letters as they were written.
    fn raw(&mut self, word: &str) {
        if (self.gap || self.made) && !self.text.is_empty() {
            self.text.push(' ');
        }
        (self.gap, self.made) = (false, false);
        self.text.push_str(word);
    }

    /// One sign as it was written.
    fn letter(&mut self, letter: char) {
        if self.gap && !self.text.is_empty() && letter != ')' {
            self.text.push(' ');
        }
        (self.gap, self.made) = (false, false);
        self.text.push(letter);
    }

    fn gap(&mut self) {
        self.gap = true;
    }

    /// Punctuation: close to the word before it, never first, the stronger of two.
    fn mark(&mut self, mark: char) {
        self.gap = true;
        match self.text.chars().next_back() {
            None | Some('(' | '.' | ';' | ':' | '!' | '?') if mark != '?' && mark != '!' => {}
            None => {}
            Some(',' | '.' | ';' | ':') => {
                self.text.pop();
                self.text.push(mark);
            }
            Some('!' | '?') => {}
            Some(_) => self.text.push(mark),
        }
    }

    fn finish(self) -> String {
        if self.text.chars().any(char::is_alphanumeric) { self.text } else { String::new() }
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
        ];
        for wall in &walls {
            for language in [Language::Mg, Language::Fr] {
                let read = speakable(wall, language);
                assert!(read.len() < wall.len() * 40 + 100);
                assert!(!read.contains(char::is_control), "{:?}", &wall[..4]);
            }
        }
    }
}
