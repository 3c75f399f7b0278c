//! Whether somebody has said all they wanted to, as far as their words tell it: the sound of a pause tells the rest.

use super::{
    numbers,
    numerals::{Word, words},
};

/// After these words something follows: what joins, what stands in front of a noun or a verb. Left out are those with which a sentence
/// may end as well ("tsy misy", "bien sûr", "c'est où").
const OPEN: [&str; 67] = [
    "sy", "dia", "fa", "ary", "na", "nefa", "kanefa", "satria", "raha", "rehefa", "ka", "hoe", "fony", "sady", "ny",
    "amin", "ho", "mba", "noho", "ilay", "i", "te", "tokony", "mila", "momba", "mikasika", "hatra", "ohatra", "amby",
    "et", "mais", "donc", "car", "parce", "que", "qu", "pour", "le", "la", "les", "l", "des", "de", "du", "d", "au",
    "aux", "en", "dans", "chez", "par", "avec", "sans", "mon", "ma", "mes", "votre", "vos", "je", "j", "c'est", "est",
    "suis", "voudrais", "aimerais", "tres", "alors",
];

/// Sounds that are made while one thinks, however long.
const HESITATION: [char; 4] = ['e', 'h', 'm', 'u'];

/// What is said as a whole turn…
const ANSWERS: &str = "eny tsia ie eka ekena marina misaotra veloma oui ouais non d'accord exact exactement ok okay voila merci revoir parfait";
/// …and what goes with it: "tompoko" alone is no answer.
const POLITE: &str =
    "e ry tompoko betsaka indrindra daholo salama manahoana beaucoup bien au bonjour bonsoir allo monsieur madame";
/// More words than these are a sentence.
const SHORT: usize = 5;
/// Thanks and farewell end what was said before them.
const LAST: [&str; 3] = ["veloma", "misaotra", "merci"];

/// Digits of a telephone number of Madagascar or France, with the nought in front; the same after the country's 261.
const NATIONAL: usize = 10;
const WITH_COUNTRY: usize = 12;

/// True: these are a whole turn. False: more follows, such as the rest of a telephone number. `None`: the words do not tell.
///
/// ```text
/// "eny", "tsia misaotra", "… veloma", "… ?"                           true
/// "te-hanao fotoana aho fa", "euh", "aotra telo efatra", "… …"       false
/// ```
/// A full stop tells nothing: transcribers write one behind everything.
pub fn is_over(text: &str) -> Option<bool> {
    let words = words(text);
    let last = words.last()?.plain.as_str();
    let mark = text.trim_end().chars().next_back();
    if let Some(dictated) = dictated(&words) {
        return is_number(&dictated);
    }
    if matches!(mark, Some(',' | '…' | '-' | ':')) || text.trim_end().ends_with("...") || is_open(last) {
        return Some(false);
    }
    let is = |known: &str, word: &Word| known.split(' ').any(|known| known == word.plain);
    let is_answer = words.len() <= SHORT
        && words.iter().all(|word| is(ANSWERS, word) || is(POLITE, word))
        && words.iter().any(|word| is(ANSWERS, word));
    (is_answer || mark == Some('?') || LAST.contains(&last)).then_some(true)
}

fn is_open(word: &str) -> bool {
    // "misaotra e" is no hesitation.
    let hesitates = word.len() > 1 && word.chars().all(|letter| HESITATION.contains(&letter));
    // "ny vidin'ny": the owner follows.
    hesitates || OPEN.contains(&word) || word.ends_with("'ny") || word.ends_with('\'')
}

/// The digits of the number that is being dictated at the end of these words: a nought and what follows, or three numbers side by side.
fn dictated(words: &[Word]) -> Option<String> {
    let numbers = numbers(words);
    let (_, last) = numbers.last().filter(|(_, place)| place.end == words.len())?;
    let mut begin = last.start;
    let mut run: Vec<&str> = Vec::new();
    for (digits, place) in numbers.iter().rev() {
        if place.end != begin && !run.is_empty() {
            break;
        }
        run.insert(0, digits);
        begin = place.start;
    }
    let digits = run.concat();
    // "0" alone is as much an answer as any number.
    let is_dictated = run.len() >= 3 || digits.len() >= 2 && digits.starts_with('0');
    is_dictated.then_some(digits)
}

/// Whether it is a whole telephone number. Whether another number, such as a code, is whole cannot be known: the caller is given time.
fn is_number(digits: &str) -> Option<bool> {
    let is_whole = match digits {
        _ if digits.starts_with("261") => digits.len() >= WITH_COUNTRY,
        _ => digits.len() >= NATIONAL,
    };
    Some(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_thanks_farewells_and_questions_are_whole() {
        for text in [
            "eny",
            "Eny.",
            "tsia",
            "eny tompoko",
            "tsia misaotra",
            "misaotra e",
            "misaotra betsaka tompoko",
            "oui",
            "oui merci",
            "d'accord",
            "non merci",
            "au revoir",
            "ok",
            "Amin'ny ora firy no misokatra?",
            "izay ihany misaotra",
            "tsy mila zavatra hafa aho veloma",
            "c'est tout merci",
        ] {
            assert_eq!(is_over(text), Some(true), "{text}");
        }
    }

    #[test]
    fn what_joins_what_hesitates_and_what_lacks_its_noun_goes_on() {
        for text in [
            "te-hanao fotoana aho fa",
            "ny talata sy",
            "raha",
            "mila vola aho dia",
            "ohatrinona ny",
            "firy ny vidin'ny",
            "amin'ny",
            "euh",
            "je voudrais un rendez-vous euh",
            "heuuu",
            "mmm",
            "eee",
            "je voudrais",
            "mon nom est",
            "pour le",
            "parce que",
            "te hiresaka amin'ny",
            "Eny,",
            "izaho…",
            "alors...",
        ] {
            assert_eq!(is_over(text), Some(false), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_dictated_is_waited_for_until_it_is_whole() {
        for (text, over) in [
            ("aotra telo efatra", Some(false)),
            ("aotra telo efatra roa roa", Some(false)),
            ("ny laharako dia aotra telo efatra", Some(false)),
            ("zéro trente-quatre", Some(false)),
            ("034 12", Some(false)),
            ("telo efatra dimy", Some(false)),
            ("aotra telo efatra roa roa efatra efatra enina fito valo", Some(true)),
            ("zéro trente-quatre douze trois cent quarante-cinq soixante-sept", Some(true)),
            ("034 12 345 67", Some(true)),
            ("261 34 12 345", Some(false)),
            ("261 34 12 345 67", Some(true)),
            // Numbers that are not dictated tell nothing.
            ("roapolo", None),
            ("efatra amby roapolo sy roa arivo", None),
            ("aotra", None),
            ("quarante-deux", None),
            ("aotra telo efatra no laharako", None),
        ] {
            assert_eq!(is_over(text), over, "{text}");
        }
    }

    #[test]
    fn a_sentence_like_another_tells_nothing() {
        for text in [
            "",
            " ",
            "...",
            "amin'ny ora firy no misokatra ny birao",
            "mila maka fotoana aho ny talata",
            "donnez-moi vos horaires.",
            "tompoko",
            "bonjour madame",
            "mbola tsy",
            "bien sûr",
            "c'est où",
            "un",
            "eny fa mila fotoana aho",
        ] {
            assert_eq!(is_over(text), None, "{text}");
        }
    }
}
