//! Word error rate, and what counts as the same word: the one normaliser of all transcripts.
//!
//! A transcript is judged by what was said, not by how it is written: letters in lower case, without punctuation, with one kind of
//! apostrophe, hyphens as spaces, and figures as the words that the rules of `text` read them as, so that "15" and "quinze" are the same.

use crate::{engine::Language, text::speakable};

/// The words of what was said and of what was heard, as they are compared. Where one of them holds a figure, both are read aloud, so that
/// whatever else is read otherwise than it is written ("Mme") is so on both sides.
pub fn pair(said: &str, heard: &str, language: Language) -> (Vec<String>, Vec<String>) {
    let is_read = [said, heard].iter().any(|text| text.contains(|letter: char| letter.is_ascii_digit()));
    (words(said, language, is_read), words(heard, language, is_read))
}

fn words(text: &str, language: Language, is_read: bool) -> Vec<String> {
    let mut lower: String = composed(text).to_lowercase().replace('œ', "oe").replace('æ', "ae");
    if is_read {
        lower = speakable(&lower, language).to_lowercase();
    }
    let plain: String = lower
        .chars()
        .map(|letter| match letter {
            '\'' | '’' | 'ʼ' | '‘' | '´' | '`' | 'ʹ' => '\'',
            letter if letter.is_alphanumeric() => letter,
            _ => ' ',
        })
        .collect();
    let words = plain.split_whitespace().map(|word| word.trim_matches('\''));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// How many words must be changed, left out or put in to make one row of the other.
pub fn edits(said: &[String], heard: &[String]) -> usize {
    let mut before: Vec<usize> = (0..=heard.len()).collect();
    for (at, word) in said.iter().enumerate() {
        let mut corner = before[0];
        before[0] = at + 1;
        for (place, other) in heard.iter().enumerate() {
            let changed = corner + usize::from(word != other);
            corner = before[place + 1];
            before[place + 1] = changed.min(corner + 1).min(before[place] + 1);
        }
    }
    before[heard.len()]
}

/// Accents that stand behind their letter (U+0300 and others) join it, as recordings' lists have them now and then.
fn composed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if !('\u{300}'..='\u{36f}').contains(&letter) {
            out.push(letter);
            continue;
        }
        let joined = out.chars().last().and_then(|base| joined(base, letter));
        if let Some(joined) = joined {
            out.pop();
            out.push(joined);
        }
    }
    out
}

fn joined(base: char, mark: char) -> Option<char> {
    let row = match mark {
        '\u{300}' => ["aàAÀ", "eèEÈ", "iìIÌ", "oòOÒ", "uùUÙ"].as_slice(),
        '\u{301}' => &["aáAÁ", "eéEÉ", "iíIÍ", "oóOÓ", "uúUÚ"],
        '\u{302}' => &["aâAÂ", "eêEÊ", "iîIÎ", "oôOÔ", "uûUÛ"],
        '\u{308}' => &["aäAÄ", "eëEË", "iïIÏ", "oöOÖ", "uüUÜ"],
        '\u{303}' => &["nñNÑ", "aãAÃ", "oõOÕ"],
        '\u{327}' => &["cçCÇ"],
        _ => return None,
    };
    row.iter().find_map(|pairs| {
        let letters: Vec<char> = pairs.chars().collect();
        letters.chunks_exact(2).find(|pair| pair[0] == base).map(|pair| pair[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_said_is_one_row_of_words_however_it_is_written() {
        for (language, one, other) in [
            (Language::Fr, "J’arrive à 15 h 30, le 3 mai !", "j'arrive à quinze heures trente le trois mai"),
            (Language::Fr, "Il coûte 1 500 euros.", "il coûte mille cinq cents euros"),
            (Language::Fr, "Est-ce vrai ?", "est ce vrai"),
            (Language::Fr, "cœur", "coeur"),
            (Language::Fr, "Vingt-deux", "22"),
            (Language::Fr, "Mme Rasoa, 12 rue Pasteur", "mme rasoa douze rue pasteur"),
            (Language::Fr, "e\u{301}te\u{301}, c\u{327}a", "été ça"),
            (Language::Mg, "Amin’ny 15 jona.", "amin'ny dimy ambin'ny folo jona"),
            (Language::Mg, "Misy olona 25 ao.", "misy olona dimy amby roapolo ao"),
            (Language::Mg, "« Salama, tompoko! »", "salama tompoko"),
        ] {
            let (one, other) = pair(one, other, language);
            assert_eq!(one, other);
        }
        let (ten, six) = pair("j'ai dit dix", "j'ai dit six", Language::Fr);
        assert_ne!(ten, six);
        assert_eq!(words(" … - ' !", Language::Mg, false), Vec::<String>::new());
    }

    #[test]
    fn edits_are_the_fewest_that_make_one_of_the_other() {
        let row = |text: &str| words(text, Language::Mg, false);
        for (said, heard, wanted) in [
            ("aiza ny birao", "aiza ny birao", 0),
            ("aiza ny birao", "aiza birao", 1),
            ("aiza ny birao", "aiza ny birao ve", 1),
            ("aiza ny birao", "iza ny biraonareo", 2),
            ("aiza ny birao", "", 3),
            ("", "aiza", 1),
            ("a b c d", "b c d a", 2),
        ] {
            assert_eq!(edits(&row(said), &row(heard)), wanted, "{said:?} and {heard:?}");
            assert_eq!(edits(&row(heard), &row(said)), wanted);
        }
    }
}
