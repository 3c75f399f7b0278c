//! Words that are numbers, in both languages side by side.
//!
//! Malagasy is read small part first, as `mg` writes it ("efatra amby roapolo sy roa arivo"), and as well big part first, with or
//! without "sy" ("roa arivo efatra amby roapolo"), and with "amby" in place of "sy" throughout. Each larger part comes once: up to
//! 999,999 that is without doubt; from a million on, "roapolo sy roanjato tapitrisa" may be two numbers, and is taken for 200,000,020.

use std::ops::Range;

use crate::text::dialect;

/// Malagasy words for one to nine, also as they stand before amby and ambin'ny.
const UNITS: [(&str, u64); 11] = [
    ("iray", 1),
    ("iraika", 1),
    ("raika", 1),
    ("roa", 2),
    ("telo", 3),
    ("efatra", 4),
    ("dimy", 5),
    ("enina", 6),
    ("fito", 7),
    ("valo", 8),
    ("sivy", 9),
];
const TENS: [(&str, u64); 18] = [
    ("folo", 10),
    ("roapolo", 20),
    ("telopolo", 30),
    ("efapolo", 40),
    ("dimampolo", 50),
    ("enimpolo", 60),
    ("fitopolo", 70),
    ("valopolo", 80),
    ("sivifolo", 90),
    ("zato", 100),
    ("roanjato", 200),
    ("telonjato", 300),
    ("efajato", 400),
    ("dimanjato", 500),
    ("eninjato", 600),
    ("fitonjato", 700),
    ("valonjato", 800),
    ("sivinjato", 900),
];
/// What multiplies the number before it. Only "arivo" stands for itself as well: "alina" alone is the night.
const SCALES: [(&str, u64); 5] =
    [("arivo", 1_000), ("alina", 10_000), ("hetsy", 100_000), ("tapitrisa", 1_000_000), ("lavitrisa", 1_000_000_000)];
const FRENCH: [(&str, u64); 16] = [
    ("un", 1),
    ("deux", 2),
    ("trois", 3),
    ("quatre", 4),
    ("cinq", 5),
    ("six", 6),
    ("sept", 7),
    ("huit", 8),
    ("neuf", 9),
    ("dix", 10),
    ("onze", 11),
    ("douze", 12),
    ("treize", 13),
    ("quatorze", 14),
    ("quinze", 15),
    ("seize", 16),
];
const FRENCH_TENS: [(&str, u64); 9] = [
    ("vingt", 20),
    ("trente", 30),
    ("quarante", 40),
    ("cinquante", 50),
    ("soixante", 60),
    ("septante", 70),
    ("octante", 80),
    ("huitante", 80),
    ("nonante", 90),
];
const FRENCH_SCALES: [(&str, u64); 4] =
    [("mille", 1_000), ("million", 1_000_000), ("milliard", 1_000_000_000), ("billion", 1_000_000_000_000)];
pub(in crate::text) const NOUGHT: [&str; 3] = ["aotra", "zero", "zerô"];

/// A word of a text: in small letters, without accents; where it stands; and whether nothing but a space or a hyphen is before it.
pub(crate) struct Word {
    pub(crate) plain: String,
    pub(crate) place: Range<usize>,
    pub(in crate::text) follows: bool,
}

/// The words of a text, those of the regions as the standard's; "ambin'ny" and "amin'ny" stay one word, and are one when the
/// apostrophe was not typed.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let is_gap = |letter: char| !letter.is_alphanumeric() && !matches!(letter, '\'' | '’' | 'ʼ' | '‘');
    let mut words: Vec<Word> = Vec::new();
    let mut at = 0;
    for part in text.split(is_gap) {
        let begin = at;
        at += part.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
        let word = part.trim_matches(['\'', '’', 'ʼ', '‘']);
        if word.is_empty() {
            continue;
        }
        let begin = begin + (word.as_ptr().addr() - part.as_ptr().addr());
        let place = begin..begin + word.len();
        let gap = words.last().map_or("", |last| &text[last.place.end..begin]);
        let follows = !words.is_empty() && gap.chars().all(|letter| letter.is_whitespace() || letter == '-');
        let plain = dialect::standard(word.chars().flat_map(char::to_lowercase).map(plain).collect());
        match words.last_mut() {
            Some(last)
                if follows && plain == "ny" && matches!(last.plain.as_str(), "ambin" | "amin" | "tamin" | "an") =>
            {
                last.plain += "'ny";
                last.place.end = place.end;
            }
            _ => words.push(Word { plain, place, follows }),
        }
    }
    words
}

fn plain(letter: char) -> char {
    match letter {
        'à' | 'â' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' | 'ì' => 'i',
        'ô' | 'ö' | 'ò' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        '’' | 'ʼ' | '‘' => '\'',
        letter => letter,
    }
}

fn of(table: &[(&str, u64)], word: &str) -> Option<u64> {
    table.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}

/// The word at a place, or nothing.
fn at(words: &[Word], place: usize) -> &str {
    words.get(place).map_or("", |word| &word.plain)
}

/// A number that begins at a word, and the word behind it.
type Number = (u64, usize);

/// Zero to nine as one word: what a figure of a telephone number is.
pub(in crate::text) fn digit(word: &str) -> Option<u64> {
    if NOUGHT.contains(&word) {
        return Some(0);
    }
    if matches!(word, "isa" | "une") {
        return Some(1);
    }
    of(&UNITS, word).or_else(|| of(&FRENCH[..9], word))
}

/// The number that begins at this word, in either language, and whether it is Malagasy.
pub(crate) fn number(words: &[Word], at: usize) -> Option<(u64, usize, bool)> {
    malagasy(words, at)
        .map(|(value, end)| (value, end, true))
        .or_else(|| french(words, at).map(|(value, end)| (value, end, false)))
}

/// "dimy", "roapolo", "fito zato", and after amby "sivy folo" (tantely.org writes it in two words).
fn small(words: &[Word], place: usize, behind_amby: bool) -> Option<Number> {
    let word = at(words, place);
    if let Some(tens) = of(&TENS, word) {
        return Some((tens, place + 1));
    }
    let unit = of(&UNITS, word)?;
    let times = match at(words, place + 1) {
        "polo" => 10,
        "folo" if behind_amby => 10,
        "zato" | "njato" | "jato" => 100,
        _ => return Some((unit, place + 1)),
    };
    if unit > 1 { Some((unit * times, place + 2)) } else { Some((unit, place + 1)) }
}

fn is_amby(word: &str) -> bool {
    matches!(word, "amby" | "ambin'ny" | "ambiny" | "ambin")
}

/// "dimy ambin'ny folo", "roa arivo": what "sy" joins.
fn malagasy_term(words: &[Word], place: usize) -> Option<Number> {
    let (mut value, mut place) = match small(words, place, false) {
        Some(small) => small,
        None if at(words, place) == "arivo" => (1_000, place + 1),
        None => return None,
    };
    loop {
        let word = at(words, place);
        if let Some(scale) = of(&SCALES, word).filter(|scale| *scale > value) {
            (value, place) = (value.checked_mul(scale)?, place + 1);
            continue;
        }
        // "roambinifolo", as one word, is old; "amby" before a part with a scale stands for "sy".
        let more = if is_amby(word) { behind_amby(words, place + 1) } else { None };
        let Some((more, end)) = more.filter(|(more, _)| *more > value) else { break };
        (value, place) = (value.checked_add(more)?, end);
    }
    Some((value, place))
}

fn behind_amby(words: &[Word], place: usize) -> Option<Number> {
    if at(words, place) == "arivo" {
        return Some((1_000, place + 1));
    }
    let (value, end) = small(words, place, true)?;
    match of(&SCALES, at(words, end)) {
        Some(scale) if value < 10 => Some((value.checked_mul(scale)?, end + 1)),
        _ => (value >= 10).then_some((value, end)),
    }
}

/// In which order the parts came so far.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Open,
    SmallFirst,
    BigFirst,
}

fn malagasy(words: &[Word], place: usize) -> Option<Number> {
    let (mut sum, mut place) = malagasy_term(words, place)?;
    let (mut last, mut order) = (sum, Order::Open);
    loop {
        let joined = at(words, place) == "sy";
        let next = place + usize::from(joined);
        // Without "sy", only what follows at once belongs to it: "arivo, dimy" are two.
        if !words.get(next).is_some_and(|word| word.follows) {
            break;
        }
        let Some((more, end)) = malagasy_term(words, next) else { break };
        // "roa sy telo" is two and three; "roa sy telopolo" is not.
        if joined && order != Order::BigFirst && more > sum && more >= 10 {
            order = Order::SmallFirst;
        } else if order != Order::SmallFirst && last >= 100 && more < step(last) {
            order = Order::BigFirst;
        } else {
            break;
        }
        (sum, last, place) = (sum.checked_add(more)?, more, end);
    }
    Some((sum, place))
}

/// The power of ten of a number's last part.
fn step(value: u64) -> u64 {
    let mut step = 1;
    while value.is_multiple_of(step * 10) && step < 1_000_000_000_000 {
        step *= 10;
    }
    step
}

/// A French word without the s of vingts, cents, millions.
fn singular(word: &str) -> &str {
    match word {
        "vingts" | "cents" | "millions" | "milliards" | "billions" => &word[..word.len() - 1],
        word => word,
    }
}

/// Below a thousand.
fn french_group(words: &[Word], from: usize) -> Option<Number> {
    let (mut hundreds, mut rest, mut place) = (0, 0, from);
    loop {
        // "vingt et un", and not "deux et trois".
        let joined = at(words, place) == "et" && rest % 10 == 0 && rest > 0;
        let next = place + usize::from(joined);
        // "mille, deux" and "quarante, cinq" are two numbers.
        if place > from && !words.get(next).is_some_and(|word| word.follows) {
            break;
        }
        let word = singular(at(words, next));
        let small = if word == "une" && rest >= 20 { Some(1) } else { of(&FRENCH, word) };
        match (small, of(&FRENCH_TENS, word)) {
            (Some(more), _) if rest == 0 => rest = more,
            (Some(more @ 7..=9), _) if matches!(rest, 10 | 70 | 90) && !joined => rest += more,
            (Some(more @ 1..=9), _) if rest >= 20 && rest % 10 == 0 => rest += more,
            (Some(more @ 10..=16), _) if matches!(rest, 60 | 80) => rest += more,
            (_, Some(more)) if rest == 0 && !joined => rest = more,
            (_, Some(20)) if rest == 4 && !joined => rest = 80,
            _ if word == "cent" && hundreds == 0 && rest < 10 && rest != 1 && !joined => {
                (hundreds, rest) = (if rest == 0 { 1 } else { rest }, 0);
            }
            _ => break,
        }
        place = next + 1;
    }
    (place > from).then_some((hundreds * 100 + rest, place))
}

fn french(words: &[Word], begin: usize) -> Option<Number> {
    let (mut sum, mut place, mut least) = (0_u64, begin, u64::MAX);
    loop {
        let (value, end) = match french_group(words, place) {
            Some(group) => group,
            None if at(words, place) == "mille" && least > 1_000 => (1, place),
            None => break,
        };
        match of(&FRENCH_SCALES, singular(at(words, end))) {
            Some(scale) if scale < least => {
                sum = sum.checked_add(value.checked_mul(scale)?)?;
                (least, place) = (scale, end + 1);
            }
            // A number of its own follows, or this is the last part of this one.
            _ if sum == 0 || least == 1_000 || least > 1_000 && least != u64::MAX => {
                return Some((sum.checked_add(value)?, end));
            }
            _ => break,
        }
        if !words.get(place).is_some_and(|word| word.follows) {
            break;
        }
    }
    (place > begin).then_some((sum, place))
}
