//! Cutting a text that is still being written into clauses to speak, as early as sounds right.
//!
//! A clause ends at the end of a sentence or line; at a comma, semicolon, colon or dash, or before a conjunction, only
//! once it is long enough that the voice does not hack: the first clause of a reply sooner, so that the caller waits
//! less. The dots of "M. Rakoto", "1.5", "milo.mg" and the comma of "1,5" end nothing. No character is lost or doubled.

use std::ops::Range;

use super::short::day_goes_on;

/// Characters before the first clause may end at a comma.
const FIRST: usize = 20;
/// Characters before a later clause may end at a comma.
const LATER: usize = 60;
/// Characters before a clause may end at a conjunction without a comma, as often the first as later.
const CONJUNCTION: usize = 45;
/// Characters after which a clause ends at the next space, whatever stands there.
const LONGEST: usize = 240;
/// Characters after which a wall of letters without a space is cut.
const WALL: usize = 480;

/// Words that begin a new thought: a clause may end before them (Malagasy, French).
const CONJUNCTIONS: [&str; 8] = ["fa", "satria", "nefa", "kanefa", "mais", "car", "parce", "puis"];

/// Words whose dot ends no sentence, without it and in lower case. A single letter ("J. Rabe") is one too.
const ABBREVIATIONS: [&str; 39] = [
    "m", "mm", "mme", "mmes", "mlle", "mr", "mgr", "dr", "pr", "me", "st", "ste", "sté", "cie", "atoa", "rtoa", "ing",
    "tel", "tél", "av", "bd", "lah", "oh", "cf", "ex", "no", "env", "min", "max", "janv", "févr", "avr", "juil",
    "sept", "oct", "nov", "déc", "okt", "des",
];

/// Days whose dot ends no sentence where a day of the month or "au" follows ("sam. 8 nov."); alone, some are other words ("un jeu.").
const DAYS: [&str; 13] =
    ["lun", "mar", "mer", "jeu", "ven", "sam", "dim", "alats", "tal", "alar", "alak", "asab", "alah"];

/// The cutter of one reply.
#[derive(Debug, Default)]
pub struct Clauses {
    /// What belongs to no clause yet.
    text: String,
    /// Bytes of `text` in which no clause ends.
    scanned: usize,
    /// Characters in those bytes.
    length: usize,
    /// Whether those bytes hold a letter or digit: a clause without any is none.
    speakable: bool,
    /// Whether a clause was given out.
    begun: bool,
    /// Whether clauses are whole sentences, however long.
    is_by_sentence: bool,
}

/// What a character means for the clause.
enum Cut {
    /// Not decided before more text comes.
    Wait,
    /// The clause goes on behind this character.
    None,
    /// The clause ends after so many bytes, this character's among them.
    After(usize),
}

impl Clauses {
    /// A cutter at the beginning of a reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that cuts at the end of sentences and lines alone.
    pub(crate) fn of_sentences() -> Self {
        Self { is_by_sentence: true, ..Self::default() }
    }

    /// Takes the next piece of text, of any size, and gives the clauses that are now complete, without the white space
    /// around them.
    pub fn push(&mut self, piece: &str) -> Vec<String> {
        self.text.push_str(piece);
        let mut clauses = Vec::new();
        let mut start = 0;
        while let Some(letter) = self.text[self.scanned..].chars().next() {
            match self.cut(start, letter) {
                Cut::Wait => break,
                Cut::None => {
                    self.scanned += letter.len_utf8();
                    self.length += 1;
                    self.speakable |= letter.is_alphanumeric();
                }
                Cut::After(bytes) => {
                    let end = self.scanned + bytes;
                    clauses.push(self.clause(start..end));
                    start = end;
                }
            }
        }
        self.text.drain(..start);
        self.scanned -= start;
        clauses
    }

    /// The rest, at the end of the reply; `None` when only white space is left.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(self).text;
        let rest = rest.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    fn clause(&mut self, bytes: Range<usize>) -> String {
        self.scanned = bytes.end;
        self.length = 0;
        self.speakable = false;
        self.begun = true;
        self.text[bytes].trim().to_owned()
    }

    /// Whether a clause that began at `start` ends at the character at `scanned`.
    fn cut(&self, start: usize, letter: char) -> Cut {
        if !self.speakable {
            return Cut::None;
        }
        let (before, after) = (&self.text[start..self.scanned], &self.text[self.scanned + letter.len_utf8()..]);
        let here = letter.len_utf8();
        match letter {
            '\n' => Cut::After(here),
            '.' | '!' | '?' | '…' => self.sentence(before, letter, after),
            _ if self.is_by_sentence => Cut::None,
            ',' | ';' | ':' if self.length >= self.shortest() => match after.chars().next() {
                None => Cut::Wait,
                Some(next) if next.is_whitespace() => Cut::After(here),
                Some(_) => Cut::None,
            },
            '–' | '—' if self.length >= self.shortest() && before.ends_with(char::is_whitespace) => {
                match after.chars().next() {
                    None => Cut::Wait,
                    Some(next) if next.is_whitespace() => Cut::After(here),
                    Some(_) => Cut::None,
                }
            }
            letter if letter.is_whitespace() && self.length >= LONGEST => Cut::After(here),
            letter if letter.is_whitespace() && self.length >= CONJUNCTION => conjunction(after, here),
            _ if self.length >= WALL => Cut::After(here),
            _ => Cut::None,
        }
    }

    fn shortest(&self) -> usize {
        if self.begun { LATER } else { FIRST }
    }

    /// Whether this dot, or its like, ends the sentence; what closes it (quotes, more marks) belongs to it.
    fn sentence(&self, before: &str, mark: char, after: &str) -> Cut {
        let mut closing = 0;
        for next in after.chars().take(12) {
            match next {
                '.' | '!' | '?' | '…' | '"' | '\'' | '’' | '”' | ')' | ']' | '*' | '_' | '`' => {
                    closing += next.len_utf8()
                }
                next if next.is_whitespace() => {
                    // An opened « is closed after a space; it belongs here too.
                    if before.rfind('«') > before.rfind('»') {
                        let space = next.len_utf8();
                        match after[closing + space..].chars().next() {
                            None => return Cut::Wait,
                            Some('»') => closing += space + '»'.len_utf8(),
                            Some(_) => {}
                        }
                    }
                    if closing == 0 && mark == '.' && next != '\n' && is_day(before) {
                        match day_goes_on(&after[next.len_utf8()..]) {
                            None => return Cut::Wait,
                            Some(true) => return Cut::None,
                            Some(false) => {}
                        }
                    }
                    let ends = closing > 0 || mark != '.' || !dot_within(before);
                    return if ends { Cut::After(mark.len_utf8() + closing) } else { Cut::None };
                }
                '»' => closing += next.len_utf8(),
                _ => return Cut::None,
            }
        }
        // A wall of marks is cut somewhere; fewer may go on.
        if after.chars().count() >= 12 { Cut::After(mark.len_utf8() + closing) } else { Cut::Wait }
    }
}

/// Whether this ends in the short name of a day of the week.
fn is_day(before: &str) -> bool {
    let start = before
        .rfind(|letter: char| !letter.is_alphanumeric())
        .map_or(0, |at| before[at..].chars().next().map_or(at, |letter| at + letter.len_utf8()));
    before.len() - start <= 5 && DAYS.contains(&before[start..].to_lowercase().as_str())
}

/// Whether a dot after this belongs to an abbreviation, an initial or the number of a list item.
fn dot_within(before: &str) -> bool {
    let word_start = before.char_indices().rev().take(6).take_while(|(_, letter)| letter.is_alphanumeric()).last();
    let Some((start, _)) = word_start else { return false };
    let word = &before[start..];
    if word.chars().all(|letter| letter.is_ascii_digit()) {
        return word.len() <= 2 && before[..start].trim().is_empty();
    }
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    let whole = !before[..start].ends_with(char::is_alphanumeric);
    let short = word.to_lowercase();
    // "J'en ai sept." is a number; "12 sept. 2025" a month.
    let counted = matches!(short.as_str(), "sept" | "des")
        && !before[..start].trim_end().ends_with(|day: char| day.is_ascii_digit());
    whole && (initial || !counted && ABBREVIATIONS.contains(&short.as_str()))
}

/// Whether a conjunction follows this space; waits until its whole word has come.
fn conjunction(after: &str, space: usize) -> Cut {
    let end = after.bytes().take(8).position(|byte| !byte.is_ascii_alphabetic());
    match end {
        Some(end) if CONJUNCTIONS.contains(&&after[..end]) && after[end..].starts_with(' ') => Cut::After(space),
        None if after.len() < 8 && CONJUNCTIONS.iter().any(|word| word.starts_with(after)) => Cut::Wait,
        _ => Cut::None,
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    /// Fed letter by letter and all at once: the clauses must be the same.
    fn cut(text: &str) -> Vec<String> {
        let mut whole = Clauses::new();
        let mut clauses = whole.push(text);
        clauses.extend(whole.finish());
        let mut slow = Clauses::new();
        let mut letters: Vec<String> =
            text.chars().flat_map(|letter| slow.push(letter.encode_utf8(&mut [0; 4]))).collect();
        letters.extend(slow.finish());
        assert_eq!(clauses, letters, "{text:?}");
        clauses
    }

    #[test]
    fn sentences_end_where_they_end() {
        for (text, clauses) in [
            ("Eny tompoko. Inona koa?", vec!["Eny tompoko.", "Inona koa?"]),
            ("M. Rakoto est là. Oui.", vec!["M. Rakoto est là.", "Oui."]),
            ("Le Dr. Rabe et Mme. Soa. Bien.", vec!["Le Dr. Rabe et Mme. Soa.", "Bien."]),
            ("Atoa. Rakoto sy Rtoa. Soa.", vec!["Atoa. Rakoto sy Rtoa. Soa."]),
            ("C'est un jeu. Oui.", vec!["C'est un jeu.", "Oui."]),
            ("Nous allons à la mer. Oui.", vec!["Nous allons à la mer.", "Oui."]),
            ("Le sam. 8 nov. à midi. Oui.", vec!["Le sam. 8 nov. à midi.", "Oui."]),
            ("Du lun. au ven. Oui.", vec!["Du lun. au ven.", "Oui."]),
            ("Le 12 sept. 2025, oui.", vec!["Le 12 sept. 2025, oui."]),
            ("Il y en a sept. Oui.", vec!["Il y en a sept.", "Oui."]),
            ("J. Rabe et A. B. Soa sont là. Oui.", vec!["J. Rabe et A. B. Soa sont là.", "Oui."]),
            ("Ça fait 1.5 litre. Bien.", vec!["Ça fait 1.5 litre.", "Bien."]),
            ("Il est 10 h 30. Bien.", vec!["Il est 10 h 30.", "Bien."]),
            ("Il est 10:30, bien sûr.", vec!["Il est 10:30, bien sûr."]),
            ("Allez sur www.milo.mg. Merci.", vec!["Allez sur www.milo.mg.", "Merci."]),
            ("Écrivez à a.b@milo.mg, merci.", vec!["Écrivez à a.b@milo.mg,", "merci."]),
            ("Quoi ?! Non.", vec!["Quoi ?!", "Non."]),
            ("Attendez... je regarde.", vec!["Attendez...", "je regarde."]),
            ("Il dit « oui. » Puis rien.", vec!["Il dit « oui. »", "Puis rien."]),
            ("(Vraiment.) Oui.", vec!["(Vraiment.)", "Oui."]),
            ("**Oui.** Non.", vec!["**Oui.**", "Non."]),
            ("1. Ouvrez la porte\n2. Entrez", vec!["1. Ouvrez la porte", "2. Entrez"]),
            ("En 2025. Oui.", vec!["En 2025.", "Oui."]),
            ("… oui", vec!["… oui"]),
            ("Veloma [hangup]", vec!["Veloma [hangup]"]),
            ("Dimy arivo ariary! Misaotra.", vec!["Dimy arivo ariary!", "Misaotra."]),
            ("   ", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(cut(text), clauses, "{text:?}");
        }
    }

    #[test]
    fn the_first_clause_may_end_at_a_comma_sooner_than_the_next() {
        assert_eq!(
            cut("Miarahaba anao tompoko, azo atao ny manampy anao, eny tokoa, rahampitso maraina."),
            ["Miarahaba anao tompoko,", "azo atao ny manampy anao, eny tokoa, rahampitso maraina."]
        );
        assert_eq!(cut("Oui, bien sûr, monsieur."), ["Oui, bien sûr, monsieur."]);
        assert_eq!(cut("Cela fait 12 345,50 euros, merci."), ["Cela fait 12 345,50 euros,", "merci."]);
        assert_eq!(
            cut("Misokatra isan'andro ny biraonay manomboka amin'ny valo ora fa mikatona ny alahady"),
            ["Misokatra isan'andro ny biraonay manomboka amin'ny valo ora", "fa mikatona ny alahady"]
        );
    }

    #[test]
    fn a_clause_comes_as_soon_as_the_next_letter_shows_its_end() {
        let mut clauses = Clauses::new();
        assert!(clauses.push("Eny tompoko").is_empty());
        assert!(clauses.push(".").is_empty());
        assert_eq!(clauses.push(" "), ["Eny tompoko."]);
        assert!(clauses.push("Veloma").is_empty());
        assert_eq!(clauses.finish().as_deref(), Some("Veloma"));
        assert_eq!(clauses.finish(), None);
    }

    #[test]
    fn endless_text_is_cut_at_spaces_and_walls_are_cut_anyway() {
        let text = "teny ".repeat(400);
        let clauses = cut(&text);
        assert!(clauses.len() > 5 && clauses.iter().all(|clause| clause.chars().count() <= LONGEST + 10));
        let wall = "é".repeat(5_000);
        assert!(cut(&wall).iter().all(|clause| clause.chars().count() <= WALL + 1));
        assert!(cut(&format!("a{}", ".".repeat(3_000))).len() > 1);
    }

    #[test]
    fn no_character_is_lost_or_doubled_however_the_text_comes() {
        let pieces = [
            "M. ",
            "Rakoto",
            " ",
            ".",
            "...",
            "?!",
            ", ",
            "\n",
            "1.5",
            "10 h 30",
            " fa ",
            " mais ",
            "«",
            "»",
            "é",
            "\u{a0}",
            "**",
            "www.milo.mg",
            "(",
            ")",
            "etc. ",
            "misaotra betsaka tompoko",
            "– ",
            "😀",
            "1. ",
            "[hangup]",
            ":",
            "'",
            "\u{202f}?",
        ];
        let squeezed = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        let mut random = SmallRng::seed_from_u64(7);
        for _ in 0..2_000 {
            let text: String =
                (0..random.random_range(0..60)).map(|_| pieces[random.random_range(0..pieces.len())]).collect();
            let mut cutter = Clauses::new();
            let mut clauses = Vec::new();
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let size = rest.char_indices().nth(random.random_range(1..6)).map_or(rest.len(), |(at, _)| at);
                clauses.extend(cutter.push(&rest[..size]));
                rest = &rest[size..];
            }
            clauses.extend(cutter.finish());
            assert_eq!(squeezed(&clauses.concat()), squeezed(&text), "{text:?}");
            assert!(clauses.iter().all(|clause| !clause.is_empty() && clause.trim() == clause));
            assert_eq!(clauses, cut(&text));
        }
    }
}
