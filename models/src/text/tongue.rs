//! Which language a sentence is written in: Malagasy or French.
//!
//! Small words decide, since every sentence has some and the two languages share few; where there are none, letters do: Malagasy
//! has no `c`, `q`, `u`, `w`, `x` and no accents but `à`, `ô` and `ñ` (Rajemisa-Raolison, Grammaire malgache, 1969: the alphabet
//! of 21 letters), and nearly all its words end in a vowel.

use crate::engine::Language;

/// Frequent Malagasy words that are no French ones.
const MALAGASY: [&str; 70] = [
    "ny",
    "ary",
    "dia",
    "fa",
    "izay",
    "izany",
    "izao",
    "ity",
    "io",
    "ireo",
    "ireto",
    "amin",
    "ho",
    "hoe",
    "sy",
    "sady",
    "na",
    "raha",
    "rehefa",
    "satria",
    "tsy",
    "efa",
    "mbola",
    "misy",
    "iza",
    "inona",
    "aiza",
    "taiza",
    "oviana",
    "rahoviana",
    "firy",
    "ohatrinona",
    "nahoana",
    "ahoana",
    "ve",
    "moa",
    "aho",
    "ianao",
    "izy",
    "izahay",
    "isika",
    "ianareo",
    "azy",
    "ahy",
    "eto",
    "eny",
    "any",
    "ao",
    "eo",
    "avy",
    "mila",
    "te",
    "azo",
    "afaka",
    "manao",
    "salama",
    "azafady",
    "misaotra",
    "veloma",
    "tompoko",
    "aminay",
    "tsia",
    "vola",
    "andro",
    "ora",
    "maraina",
    "hariva",
    "anio",
    "rahampitso",
    "birao",
];

/// Frequent French words that are no Malagasy ones.
const FRENCH: [&str; 72] = [
    "le", "la", "les", "un", "une", "des", "du", "de", "et", "est", "es", "sont", "suis", "je", "j", "tu", "il",
    "elle", "on", "nous", "vous", "ils", "elles", "ne", "pas", "que", "qui", "quoi", "quel", "quelle", "quand",
    "comment", "combien", "où", "pourquoi", "pour", "par", "avec", "sans", "dans", "sur", "sous", "ce", "cette", "ces",
    "mon", "ma", "mes", "votre", "vos", "notre", "bonjour", "bonsoir", "merci", "oui", "non", "au", "aux", "en",
    "plus", "très", "d", "l", "c", "s", "qu", "moi", "voudrais", "veux", "peux", "pouvez", "avez",
];

/// The likelier language of a text; none where nothing speaks for either (no letters, a name, a number).
pub fn tongue(text: &str) -> Option<Language> {
    let text = text.to_lowercase();
    let (mut malagasy, mut french) = (0, 0);
    for word in text.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty()) {
        if MALAGASY.contains(&word) {
            malagasy += 4;
        } else if FRENCH.contains(&word) {
            french += 4;
        } else if word.chars().any(|letter| "cquwxéèêëçîïûùœâ".contains(letter)) {
            french += 2;
        } else if word.len() > 3 && word.ends_with(['a', 'y', 'o']) {
            malagasy += 1;
        } else if word.len() > 3 && !word.ends_with(['a', 'y', 'o', 'i']) {
            french += 1;
        }
    }
    match malagasy.cmp(&french) {
        std::cmp::Ordering::Greater => Some(Language::Mg),
        std::cmp::Ordering::Less => Some(Language::Fr),
        std::cmp::Ordering::Equal => None,
    }
}

/// Frequent English words that are neither Malagasy nor French ones.
const ENGLISH: [&str; 34] = [
    "the", "is", "are", "you", "your", "and", "of", "to", "in", "it", "we", "can", "will", "with", "this", "that",
    "have", "has", "what", "how", "please", "sorry", "hello", "thank", "thanks", "my", "our", "for", "from", "help",
    "today", "i'm", "don't", "at",
];

/// What a clause is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// One of the two.
    Of(Language),
    /// Neither.
    Other,
}

/// What a clause is written in, where it shows that beyond doubt: by small words of one language and hardly anything of another, or by
/// another script. A name, a number or a loan word does not.
pub fn surely(text: &str) -> Option<Tongue> {
    let text = text.to_lowercase().replace('’', "'");
    let (letters, strange) =
        text.chars().filter(|letter| letter.is_alphabetic()).fold((0, 0), |(all, strange), letter| {
            // Beyond the letters with which languages of Europe are written.
            (all + 1, strange + usize::from(letter > '\u{24f}'))
        });
    if strange * 2 > letters {
        return Some(Tongue::Other);
    }
    let (mut malagasy, mut french, mut english, mut ended) = (0, 0, 0, [0, 0]);
    let words = text.split(|letter: char| !letter.is_alphabetic() && letter != '\'');
    for whole in words.map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()) {
        if ENGLISH.contains(&whole) {
            english += 1;
            continue;
        }
        for word in whole.split('\'').filter(|word| !word.is_empty()) {
            malagasy += usize::from(MALAGASY.contains(&word));
            french += usize::from(FRENCH.contains(&word) || (word.chars().any(|letter| "éèêçîïûùœâ".contains(letter))));
            let foreign = word.contains(|letter: char| "cquwx".contains(letter))
                || !word.ends_with(['a', 'e', 'i', 'o', 'y', 'à', 'ô']);
            ended[usize::from(foreign)] += usize::from(word.chars().count() > 3);
        }
    }
    if english >= 2 && english > malagasy + french {
        return Some(Tongue::Other);
    }
    // One of the two lends words to the other: a single small word decides nothing against the look of the rest.
    let [like_malagasy, like_none] = ended;
    if malagasy > 0 && malagasy >= 3 * french && (malagasy > 1 || like_malagasy >= like_none) {
        Some(Tongue::Of(Language::Mg))
    } else if french > 0 && french >= 3 * malagasy && (french > 1 || like_none >= like_malagasy) {
        Some(Tongue::Of(Language::Fr))
    } else {
        None
    }
}

/// Whether this is one of the small words that sentences are made with, in either language; in small letters, accents or not.
pub(crate) fn is_small(word: &str) -> bool {
    let word = word.split_once('\'').map_or(word, |(elided, _)| elided);
    MALAGASY.contains(&word) || FRENCH.contains(&word) || matches!(word, "a" | "à" | "ou" | "tres")
}

/// Malagasy words that figures count or stand beside.
const COUNTED: [&str; 12] = [
    "taona",
    "volana",
    "herinandro",
    "minitra",
    "olona",
    "kilao",
    "litatra",
    "metatra",
    "isanjato",
    "segondra",
    "efitra",
    "toerana",
];

/// The language of one word, where it shows it beyond doubt: a name, a short word or a unit does not.
pub(super) fn word(word: &str) -> Option<Language> {
    if word.is_empty() || word.starts_with(char::is_uppercase) {
        return None;
    }
    // No Malagasy word has these letters, or ends in another than a vowel.
    let foreign = |letter: char| "cquwxéèêëçîïûùœâ".contains(letter);
    let is_french = word.len() > 3 && (word.contains(foreign) || !word.ends_with(['a', 'e', 'i', 'o', 'y', 'à', 'ô']));
    if MALAGASY.contains(&word) || COUNTED.contains(&word) {
        Some(Language::Mg)
    } else if FRENCH.contains(&word) || word == "à" || is_french {
        Some(Language::Fr)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_sentences_are_told_apart() {
        for text in [
            "Manao ahoana tompoko",
            "amin'ny ora firy no misokatra ny birao",
            "Mila maka fotoana aho ny talata amin'ny 9 ora",
            "firy ariary ny tapakila?",
            "Misaotra",
            "Te hiresaka amin'olona aho",
            "Salama, iza ianao?",
            "Tsy mandeha ny réseau ato aminay",
        ] {
            assert_eq!(tongue(text), Some(Language::Mg), "{text}");
        }
        for text in [
            "Bonjour",
            "donnez-moi vos horaires",
            "Je voudrais prendre rendez-vous mardi à 9 heures",
            "Combien coûte le billet ?",
            "Merci beaucoup, au revoir",
            "Vous ouvrez à quelle heure à Antananarivo ?",
        ] {
            assert_eq!(tongue(text), Some(Language::Fr), "{text}");
        }
    }

    #[test]
    fn a_clause_is_sure_where_nothing_speaks_against_it() {
        for (text, tongue) in [
            ("Misokatra amin'ny valo ora maraina izahay tompoko", Some(Tongue::Of(Language::Mg))),
            ("Salama!", Some(Tongue::Of(Language::Mg))),
            ("Eny, azonao atao ny manao rendez-vous amin'ny talata", Some(Tongue::Of(Language::Mg))),
            ("Tsy mandeha ny réseau ato aminay", Some(Tongue::Of(Language::Mg))),
            ("Nous ouvrons à huit heures du matin", Some(Tongue::Of(Language::Fr))),
            ("Bonjour", Some(Tongue::Of(Language::Fr))),
            ("Je vous envoie à Antananarivo", Some(Tongue::Of(Language::Fr))),
            ("We are open at eight in the morning", Some(Tongue::Other)),
            ("I'm sorry, how can I help you today?", Some(Tongue::Other)),
            ("我们八点开门", Some(Tongue::Other)),
            ("мы открываемся в восемь", Some(Tongue::Other)),
            ("Rakoto Andrianina", None),
            ("034 12 345 67", None),
            ("Air Madagascar", None),
            ("ok", None),
            ("", None),
        ] {
            assert_eq!(surely(text), tongue, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_not_guessed() {
        for text in ["", "034 12 345 67", "?!", "🙂", "ok"] {
            assert_eq!(tongue(text), None, "{text}");
        }
    }
}
