//! Set phrases in the other language: `models/evaluation/translation/mg-fr.tsv`, and every wording of the memory there and back.

use super::{Score, rows};
use crate::{
    engine::Language,
    phrases::{phrases, translated},
};

const FILE: &str = include_str!("../../evaluation/translation/mg-fr.tsv");
/// What stands for "left to the translator".
const UNKNOWN: &str = "-";

/// What the sentences score, and the phrases themselves.
///
/// # Errors
/// A line that is not as it must be.
pub fn scores() -> Result<Vec<Score>, String> {
    Ok(vec![sentences()?, round_trip()])
}

fn sentences() -> Result<Score, String> {
    let mut score = Score { set: "set phrases in sentences", cases: 0, wrong: Vec::new() };
    for (line, [from, text, expected, source]) in rows::<4>(FILE)? {
        let (from, to) = match from {
            "mg" => (Language::Mg, Language::Fr),
            "fr" => (Language::Fr, Language::Mg),
            other => return Err(format!("translation, line {line}: the language {other:?} is neither mg nor fr")),
        };
        if source.is_empty() {
            return Err(format!("translation, line {line}: no source is named"));
        }
        let told = translated(text, from, to).unwrap_or_else(|| UNKNOWN.into());
        score.cases += 1;
        if told != expected {
            score.wrong.push(format!("translation, line {line}: {text:?}: {told:?}, not {expected:?}"));
        }
    }
    Ok(score)
}

/// Every wording becomes what is said on the other side, and that comes back as what is said on its own.
fn round_trip() -> Score {
    let mut score = Score { set: "wordings of set phrases, there and back", cases: 0, wrong: Vec::new() };
    let fill = |wording: &str| wording.replace("{n}", "42").replace("{}", "Rakoto Jean");
    for phrase in phrases() {
        for (from, to, mine, other) in
            [(Language::Mg, Language::Fr, &phrase.mg, &phrase.fr), (Language::Fr, Language::Mg, &phrase.fr, &phrase.mg)]
        {
            let (said, there) = (fill(mine[0]), fill(other[0]));
            for wording in mine {
                score.cases += 1;
                let told = translated(&fill(wording), from, to);
                let back = told.as_deref().and_then(|told| translated(told, to, from));
                if told.as_ref() != Some(&there) || back.as_ref() != Some(&said) {
                    score
                        .wrong
                        .push(format!("{wording:?} is {told:?} there, not {there:?}, and {back:?} back, not {said:?}"));
                }
            }
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_right_and_every_wording_comes_back() {
        for score in scores().unwrap() {
            assert!(score.wrong.is_empty(), "{}: {:#?}", score.set, score.wrong);
            assert!(score.cases >= 40);
        }
        assert!(phrases().len() >= 300, "{}", phrases().len());
    }
}
