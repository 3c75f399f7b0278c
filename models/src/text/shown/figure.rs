//! Numbers: with their signs and units, as ordinals and fractions, and said digit by digit.

use super::{SHOWN_FROM, Shown, alone, at, spaced};
use crate::text::{
    heard::numerals::{NOUGHT, Word, digit, number},
    written::grouped,
};

/// Figures that one run of digits may have.
const MOST_DIGITS: usize = 40;

/// Digits said one by one, or a telephone number in pairs: at least three that begin with a nought, or four. "+" in front is kept.
pub(super) fn spelled(words: &[Word], from: usize) -> Shown {
    let plus = at(words, from) == "plus";
    let begin = from + usize::from(plus);
    let nought = NOUGHT.contains(&at(words, begin));
    let (mut groups, mut place, mut one_by_one) = (vec![String::new()], begin, true);
    while groups.iter().map(String::len).sum::<usize>() < MOST_DIGITS {
        let (said, end) = match digit(at(words, place)) {
            Some(digit) if !nought || number(words, place).is_none_or(|(_, end, _)| end == place + 1) => {
                (digit.to_string(), place + 1)
            }
            _ if nought => match number(words, place) {
                Some((value, end, _)) => {
                    one_by_one = false;
                    (value.to_string(), end)
                }
                None => break,
            },
            _ => break,
        };
        if place > begin && !words[place].follows {
            groups.push(String::new());
        }
        if let Some(last) = groups.last_mut() {
            last.push_str(&said);
        }
        place = end;
    }
    let run = groups.concat();
    // "iray sy telonjato": the last digit begins a number.
    let goes_on = one_by_one
        && place > begin
        && (matches!(at(words, place), "sy" | "amby" | "ambin'ny" | "ambiny")
            || number(words, place - 1).is_some_and(|(_, end, _)| end > place));
    let least = if plus {
        8
    } else if nought {
        3
    } else {
        4
    };
    if run.len() < least || goes_on {
        return None;
    }
    if groups.len() == 1 {
        groups = grouped(&run);
    }
    Some((format!("{}{}", if plus { "+" } else { "" }, groups.join(" ")), place))
}

/// "miiba dimy", "moins trois degrés", "dimampolo isan-jato", "dix-huit virgule trois", "dimy arivo ariary", "trois kilos".
pub(super) fn with_sign(words: &[Word], from: usize) -> Shown {
    // "au moins trois", "plus ou moins dix": at least, about.
    let least =
        from > 0 && words[from].follows && matches!(at(words, from - 1), "au" | "du" | "le" | "ou" | "de" | "a" | "à");
    let minus = at(words, from) == "miiba" || at(words, from) == "moins" && !least;
    let begin = from + usize::from(minus);
    let (value, end) = match (at(words, begin), number(words, begin)) {
        (_, Some((value, end, _))) => (value, end),
        (word, None) if NOUGHT.contains(&word) => (0, begin + 1),
        ("une", None) => (1, begin + 1),
        _ => return None,
    };
    let (decimals, end) = decimals(words, end).unwrap_or((String::new(), end));
    let sign = if minus { "-" } else { "" };
    let figure = |value: String| format!("{sign}{value}{decimals}");
    if let Some((name, length)) = money(words, end) {
        let end = end + length;
        // "cinq euros cinquante".
        if decimals.is_empty()
            && matches!(name, "€" | "$")
            && words.get(end).is_some_and(|word| word.follows)
            && let Some((cents, end, false)) = number(words, end).filter(|(cents, ..)| (10..100).contains(cents))
        {
            return Some((format!("{sign}{},{cents:02} {name}", spaced(value)), end));
        }
        return Some((format!("{} {name}", figure(spaced(value))), end));
    }
    if let Some((name, length)) = unit(words, end) {
        let gap = if name.starts_with('°') && name.len() == 2 { "" } else { " " };
        return Some((format!("{}{gap}{name}", figure(spaced(value))), end + length));
    }
    let certain = !decimals.is_empty() || at(words, from) == "miiba";
    certain.then(|| (figure(alone(value)), end))
}

/// What stands behind the comma: digits one by one, or a number ("virgule zéro cinq", "virgule vingt-cinq").
fn decimals(words: &[Word], from: usize) -> Option<(String, usize)> {
    matches!(at(words, from), "faingo" | "virgule").then_some(())?;
    let (mut place, mut run) = (from + 1, String::from(","));
    while let Some(digit) = digit(at(words, place)) {
        match number(words, place) {
            Some((_, end, _)) if end > place + 1 => break,
            _ => run.push_str(&digit.to_string()),
        }
        place += 1;
    }
    if (run.len() == 1 || run.chars().skip(1).all(|digit| digit == '0'))
        && let Some((value, end, _)) = number(words, place)
    {
        run.push_str(&value.to_string());
        place = end;
    }
    (run.len() > 1).then_some((run, place))
}

/// The sign of a currency that stands here, and its words.
fn money(words: &[Word], from: usize) -> Option<(&'static str, usize)> {
    // "un million d'ariary", "deux millions d'euros".
    let word = at(words, from);
    let word = word.strip_prefix("d'").unwrap_or(word);
    Some(match word {
        "ariary" => ("Ar", 1),
        "euro" | "euros" | "eoro" => ("€", 1),
        "dollar" | "dollars" | "dolara" => ("$", 1),
        _ => return None,
    })
}

fn unit(words: &[Word], from: usize) -> Option<(&'static str, usize)> {
    Some(match (at(words, from), at(words, from + 1)) {
        ("isan", "jato") | ("pour", "cent") => ("%", 2),
        ("isanjato", _) => ("%", 1),
        ("kilometatra", "isan'ora") | ("kilometre" | "kilometres", "heure") => ("km/h", 2),
        ("kilometatra" | "kilometre" | "kilometres", _) => ("km", 1),
        ("metatra", "toradroa") | ("metre" | "metres", "carre" | "carres") => ("m²", 2),
        ("metatra" | "metre" | "metres", _) => ("m", 1),
        ("santimetatra" | "centimetre" | "centimetres", _) => ("cm", 1),
        ("kilao" | "kilo" | "kilos" | "kilogramme" | "kilogrammes" | "kilograma", _) => ("kg", 1),
        ("grama" | "gramme" | "grammes", _) => ("g", 1),
        ("litatra" | "litre" | "litres", _) => ("l", 1),
        ("degre" | "degres", _) => ("°", 1),
        _ => return None,
    })
}

/// A number that stands alone or counts something, from ten on.
pub(super) fn counted(words: &[Word], from: usize) -> Shown {
    let (value, end, _) = number(words, from).filter(|(value, ..)| *value >= SHOWN_FROM)?;
    Some((alone(value), end))
}

/// "faharoa ambin'ny folo", "deuxième", "vingt-et-unième". The first is left in words.
pub(super) fn ordinal(words: &[Word], from: usize) -> Shown {
    let word = at(words, from);
    if let Some(cardinal) = word.strip_prefix("faha").or_else(|| word.strip_prefix("fah")) {
        let mut rest: Vec<Word> = words[from..words.len().min(from + 14)]
            .iter()
            .map(|word| Word { plain: word.plain.clone(), place: word.place.clone(), follows: word.follows })
            .collect();
        for stem in [cardinal, &word[3..]] {
            rest[0].plain = stem.into();
            if let Some((value, end, true)) = number(&rest, 0) {
                return Some((format!("faha-{value}"), from + end));
            }
        }
    }
    for end in from..words.len().min(from + 8) {
        if end > from && !words[end].follows {
            break;
        }
        let Some(stem) = words[end].plain.strip_suffix("ieme") else { continue };
        let cardinal = match stem {
            "cinqu" => "cinq".into(),
            "neuv" => "neuf".into(),
            "quatr" | "onz" | "douz" | "treiz" | "quatorz" | "quinz" | "seiz" | "trent" | "quarant" | "cinquant"
            | "soixant" | "mill" => format!("{stem}e"),
            stem => stem.to_owned(),
        };
        let mut said: Vec<Word> = words[from..=end]
            .iter()
            .map(|word| Word { plain: word.plain.clone(), place: word.place.clone(), follows: word.follows })
            .collect();
        if let Some(last) = said.last_mut() {
            last.plain = cardinal;
        }
        let (value, after, _) = number(&said, 0)?;
        return (after == said.len()).then(|| (format!("{value}e"), end + 1));
    }
    None
}

/// "telo ampahefany", "deux tiers"; one part is left in words.
pub(super) fn fraction(words: &[Word], from: usize) -> Shown {
    let (above, end, _) = number(words, from).filter(|(above, ..)| *above > 1)?;
    let word = at(words, end);
    let below = match word {
        "tiers" => 3,
        "quarts" if at(words, end + 1) != "d'heure" => 4,
        "cinquiemes" => 5,
        word => part(word)?,
    };
    Some((format!("{above}/{below}"), end + 1))
}

/// "ampahatelony", "ampahefany": the denominator.
fn part(word: &str) -> Option<u64> {
    (2..=9).chain([10, 100]).find(|below| crate::text::mg::part(*below).is_some_and(|part| part == word))
}
