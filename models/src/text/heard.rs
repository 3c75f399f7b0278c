//! What a caller's words mean: the other way round from the rest of this folder. Malagasy and French are understood side by
//! side, because callers mix them: a telephone number is said in French in the middle of a Malagasy sentence.
//!
//! Malagasy numbers are read as `mg` writes them, small part first, and each larger part once: up to 999,999 that is without
//! doubt; from a million on, "roapolo sy roanjato tapitrisa" may be two numbers, and is taken for 200,000,020.

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
const FRENCH_SCALES: [(&str, u64); 3] = [("mille", 1_000), ("million", 1_000_000), ("milliard", 1_000_000_000)];
const NOUGHT: [&str; 3] = ["aotra", "zero", "zerô"];
const YES: [&str; 12] =
    ["eny", "eka", "ekena", "marina", "ie", "oui", "ouais", "d'accord", "exact", "exactement", "ok", "volontiers"];
const NO: [&str; 4] = ["tsia", "non", "tsy", "pas"];

/// The words of a text, in small letters, without accents and marks; "ambin'ny" and "amin'ny" stay one word.
fn words(text: &str) -> Vec<String> {
    let plain = |letter: char| match letter {
        'à' | 'â' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' | 'ì' => 'i',
        'ô' | 'ö' | 'ò' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        '’' | 'ʼ' | '‘' => '\'',
        letter => letter,
    };
    let text: String = text.chars().flat_map(char::to_lowercase).map(plain).collect();
    let is_gap = |letter: char| !letter.is_alphanumeric() && letter != '\'';
    text.split(is_gap).map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()).map(Into::into).collect()
}

fn of(table: &[(&str, u64)], word: Option<&String>) -> Option<u64> {
    let word = word?;
    table.iter().find(|(known, _)| known == word).map(|(_, value)| *value)
}

/// A number that begins at this word, and where it ends.
type Number = (u64, usize);

/// "dimy ambin'ny folo", "roa arivo": what "sy" joins.
fn malagasy_term(words: &[String], at: usize) -> Option<Number> {
    let (mut value, mut at) = match of(&UNITS, words.get(at)).or_else(|| of(&TENS, words.get(at))) {
        Some(value) => (value, at + 1),
        None if words.get(at)? == "arivo" => (1_000, at + 1),
        None => return None,
    };
    while words.get(at).is_some_and(|word| matches!(word.as_str(), "amby" | "ambin'ny" | "ambiny")) {
        let Some(more) = of(&TENS, words.get(at + 1)).filter(|more| *more > value) else { break };
        (value, at) = (value + more, at + 2);
    }
    while let Some(scale) = of(&SCALES, words.get(at)).filter(|scale| *scale > value) {
        (value, at) = (value.checked_mul(scale)?, at + 1);
    }
    Some((value, at))
}

fn malagasy(words: &[String], at: usize) -> Option<Number> {
    let (mut sum, mut at) = malagasy_term(words, at)?;
    // "roa sy telo" is two and three; "roa sy telopolo" is not.
    while words.get(at).is_some_and(|word| word == "sy")
        && let Some((more, end)) = malagasy_term(words, at + 1).filter(|(more, _)| *more > sum && *more >= 10)
    {
        (sum, at) = (sum.checked_add(more)?, end);
    }
    Some((sum, at))
}

/// A French word without the s of vingts, cents, millions.
fn singular(word: &str) -> &str {
    match word {
        "vingts" | "cents" | "millions" | "milliards" => &word[..word.len() - 1],
        word => word,
    }
}

/// Below a thousand.
fn french_group(words: &[String], from: usize) -> Option<Number> {
    let (mut hundreds, mut rest, mut at) = (0, 0, from);
    loop {
        // "vingt et un", and not "deux et trois".
        let joined = words.get(at).is_some_and(|word| word == "et") && rest % 10 == 0 && rest > 0;
        let Some(word) = words.get(at + usize::from(joined)) else { break };
        let word = singular(word);
        let small = if word == "une" && rest >= 20 { Some(1) } else { of(&FRENCH, Some(&word.to_owned())) };
        let tens = of(&FRENCH_TENS, Some(&word.to_owned()));
        match (small, tens) {
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
        at += 1 + usize::from(joined);
    }
    (at > from).then_some((hundreds * 100 + rest, at))
}

fn french(words: &[String], at: usize) -> Option<Number> {
    let scale = |at: usize| of(&FRENCH_SCALES, words.get(at).map(|word| singular(word).to_owned()).as_ref());
    let (mut sum, mut at, mut least) = (0_u64, at, u64::MAX);
    let begin = at;
    loop {
        let group = french_group(words, at);
        let (value, end) = match group {
            Some(group) => group,
            None if words.get(at).is_some_and(|word| word == "mille") && least > 1_000 => (1, at),
            None => break,
        };
        match scale(end) {
            Some(scale) if scale < least => {
                sum = sum.checked_add(value.checked_mul(scale)?)?;
                (least, at) = (scale, end + 1);
            }
            // A number of its own follows, or this is the last part of this one.
            _ if sum == 0 || least == 1_000 || least > 1_000 && least != u64::MAX => {
                return Some((sum.checked_add(value)?, end));
            }
            _ => break,
        }
    }
    (at > begin).then_some((sum, at))
}

/// The numbers in a text, in their order, each as it is written in digits: "0" and "034" stay what they are.
fn numbers(text: &str) -> Vec<String> {
    let (words, mut found, mut at) = (words(text), Vec::new(), 0);
    while let Some(word) = words.get(at) {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            found.push(word.clone());
            at += 1;
        } else if NOUGHT.contains(&word.as_str()) {
            found.push("0".into());
            at += 1;
        } else if let Some((value, end)) = malagasy(&words, at).or_else(|| french(&words, at)) {
            found.push(value.to_string());
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// The digits that were said: one by one ("aotra telo efatra"), or in numbers that stand one after the other ("zéro
/// trente-quatre"). Other words between them are passed over. `None`: there are none.
pub fn digits(text: &str) -> Option<String> {
    let digits = numbers(text).concat();
    (!digits.is_empty()).then_some(digits)
}

/// The one number that was said. `None`: there is none, or more than one.
pub fn number(text: &str) -> Option<u64> {
    match numbers(text).as_slice() {
        [only] => only.parse().ok(),
        _ => None,
    }
}

/// Whether it was yes. `None`: it was neither yes nor no, or both. What is denied is no: "tsy ekena", "pas d'accord".
pub fn yes(text: &str) -> Option<bool> {
    let words = words(text);
    let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    match (any(&YES), any(&NO)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (true, true) => any(&["tsy", "pas"]).then_some(false),
        (false, false) => None,
    }
}

/// The one of these choices, by its place, whose words were said one after the other. `None`: none, or several.
pub fn choice<'c>(text: &str, choices: impl IntoIterator<Item = &'c str>) -> Option<usize> {
    let said = words(text);
    let fits = |choice: &str| {
        let wanted = words(choice);
        !wanted.is_empty() && said.windows(wanted.len()).any(|part| part == wanted)
    };
    let mut found = choices.into_iter().enumerate().filter(|(_, choice)| fits(choice));
    let (place, _) = found.next()?;
    found.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn every_number_that_is_written_out_is_understood() {
        let some = (0..3_000).chain((3_000..1_000_000).step_by(97)).chain([1_000_000, 5_000_000, 2_000_000_000]);
        for n in some {
            assert_eq!(number(&mg::cardinal(n)), Some(n), "{}", mg::cardinal(n));
            assert_eq!(number(&fr::cardinal(n)), Some(n), "{}", fr::cardinal(n));
        }
    }

    #[test]
    fn numbers_stand_in_sentences() {
        for (said, wanted) in [
            ("mila maka fotoana aho ny talata amin'ny sivy ora maraina", Some(9)),
            ("Dimy ambin'ny folo, azafady.", Some(15)),
            ("Il y en a vingt et une", Some(21)),
            ("je suis né en mille neuf cent quatre-vingt-dix-sept", Some(1997)),
            ("quarante-deux personnes", Some(42)),
            ("42", Some(42)),
            ("roa sy telo", None),
            ("amin'ny alina", None),
            ("bonjour", None),
            ("", None),
        ] {
            assert_eq!(number(said), wanted, "{said}");
        }
    }

    #[test]
    fn digits_come_one_by_one_or_in_pairs() {
        for (said, wanted) in [
            ("aotra telo efatra roa", "0342"),
            ("ny laharako dia iray roa telo, efatra", "1234"),
            ("Zéro trente-quatre douze quarante-cinq soixante-sept", "034124567"),
            ("zéro trente quatre quatre-vingts", "03480"),
            ("six deux quatre", "624"),
            ("034 12 345 67", "0341234567"),
            ("roa ambin'ny folo dimy", "125"),
        ] {
            assert_eq!(digits(said).as_deref(), Some(wanted), "{said}");
        }
        assert_eq!(digits("veloma"), None);
    }

    #[test]
    fn yes_is_yes_and_what_is_denied_is_no() {
        for (said, wanted) in [
            ("Eny tompoko", Some(true)),
            ("oui, d'accord", Some(true)),
            ("D’accord !", Some(true)),
            ("Tsia", Some(false)),
            ("tsy ekena", Some(false)),
            ("pas d'accord", Some(false)),
            ("oui… non", None),
            ("salama", None),
        ] {
            assert_eq!(yes(said), wanted, "{said}");
        }
    }

    #[test]
    fn a_choice_is_said_word_for_word_and_alone() {
        let days = ["talata", "alarobia", "sabata maraina"];
        assert_eq!(choice("ny Talata amin'ny sivy ora", days), Some(0));
        assert_eq!(choice("Sabata maraina!", days), Some(2));
        assert_eq!(choice("sabata", days), None);
        assert_eq!(choice("talata na alarobia", days), None);
        assert_eq!(choice("réclamation", ["reclamation"]), Some(0));
    }

    #[test]
    fn no_text_is_too_much() {
        let long = "roa sy telopolo amby ".repeat(20_000);
        assert!(digits(&long).is_some());
        assert_eq!(number(&"lavitrisa ".repeat(100)), None);
        assert_eq!(number(&format!("iray {}", "lavitrisa lavitrisa ".repeat(50))), Some(1_000_000_000));
    }
}
