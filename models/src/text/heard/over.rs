//! Whether somebody has said all they wanted to, as far as their words tell it: the sound of a pause tells the rest.

use super::{
    numbers,
    numerals::{Word, words},
};

/// After these words something follows: what joins, what stands in front of a noun or a verb. Left out are those with which a sentence
/// may end as well ("eny ary", "tsy misy", "est-ce qu'il est là", "bien sûr", "c'est où").
const OPEN: &str = "sy dia fa na nefa kanefa satria raha rehefa fony sady ny amin ho mba noho ilay i te tokony momba mikasika hatra amby \
    et mais car parce que pour le les l des de du d aux en dans chez par avec sans mon ma mes votre vos je j suis voudrais aimerais tres";

/// What is said as a whole turn…
const ANSWERS: &str = "eny tsia ie eka ekena marina misaotra veloma oui ouais non d'accord exact exactement ok okay voila merci revoir parfait";
/// …and what goes with it: "tompoko" alone is no answer. Greetings are none of it: whoever greets has something to say.
const POLITE: &str = "e ry ary tompoko betsaka indrindra daholo beaucoup bien au monsieur madame";
/// More words than these are a sentence.
const SHORT: usize = 5;
/// Thanks and farewell end what was said before them.
const LAST: [&str; 3] = ["veloma", "misaotra", "merci"];

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
    if mark == Some('?') {
        return Some(true);
    }
    if let Some(dictated) = dictated(&words, text) {
        return Some(is_number(&dictated));
    }
    if matches!(mark, Some(',' | '…' | '-' | ':')) || text.trim_end().ends_with("...") || is_open(last) {
        return Some(false);
    }
    let is = |known: &str, word: &Word| is_of(known, &word.plain);
    let is_answer = words.len() <= SHORT
        && words.iter().all(|word| is(ANSWERS, word) || is(POLITE, word))
        && words.iter().any(|word| is(ANSWERS, word));
    (is_answer || LAST.contains(&last)).then_some(true)
}

fn is_of(known: &str, word: &str) -> bool {
    known.split_whitespace().any(|known| known == word)
}

fn is_open(word: &str) -> bool {
    // "ny vidin'ny": the owner follows.
    hesitates(word) || is_of(OPEN, word) || word.ends_with("'ny")
}

/// "euh", "heu", "hum", "mmm", "eee", however long; "misaotra e" and "quand même" are none.
fn hesitates(word: &str) -> bool {
    let only = |letters: &str| word.chars().all(|letter| letters.contains(letter));
    let has = |letters: &str| letters.chars().all(|letter| word.contains(letter));
    (only("euh") && has("euh"))
        || (only("humh") && has("hm"))
        || (only("m") && word.len() > 1)
        || (only("eh") && word.len() > 1)
}

/// The digits of the number that is being dictated at the end of these words: a nought and what follows, or three numbers side by side
/// that are words. Hours and dates in figures are none.
fn dictated(words: &[Word], text: &str) -> Option<String> {
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
    let said = text.get(words[begin].place.start..).unwrap_or_default();
    let is_written = words[begin..].iter().all(|word| word.plain.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = run.concat();
    // "0" alone is as much an answer as any number.
    let is_national = digits.len() >= 2 && digits.starts_with('0');
    let is_dictated = is_national || digits.starts_with("261") || (run.len() >= 3 && !is_written);
    (is_dictated && !said.contains([':', '/'])).then_some(digits)
}

/// Whether it is a whole telephone number of Madagascar or France. Whether another number, such as a card's, is whole cannot be known: the
/// caller is given time.
fn is_number(digits: &str) -> bool {
    let whole = match digits {
        _ if digits.starts_with("00261") => 14,
        _ if digits.starts_with("0033") => 13,
        _ if digits.starts_with("261") => 12,
        _ if digits.starts_with('0') => 10,
        _ => return false,
    };
    digits.len() == whole
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
            "mon nom c'est le",
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
            ("00261 34 12 345 67", Some(true)),
            ("00261 34 12 3", Some(false)),
            // A card's.
            ("iray roa telo efatra dimy enina fito valo sivy aotra iray roa", Some(false)),
            // Numbers that are not dictated tell nothing.
            ("roapolo", None),
            ("efatra amby roapolo sy roa arivo", None),
            ("aotra", None),
            ("quarante-deux", None),
            ("amin'ny 08:30", None),
            ("ny 12 10 2025", None),
            ("le 01/02/2026", None),
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
