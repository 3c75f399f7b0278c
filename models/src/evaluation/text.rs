//! Text for speech and back: `models/evaluation/text/mg.tsv` and `fr.tsv`.

use super::{Figure, Score, rows};
use crate::{
    engine::Language,
    text::{heard, shown, speakable},
};

/// The sets: name, language, file.
const SETS: [(&str, Language, &str); 2] = [
    ("text, Malagasy", Language::Mg, include_str!("../../evaluation/text/mg.tsv")),
    ("text, French", Language::Fr, include_str!("../../evaluation/text/fr.tsv")),
];

/// What each set scores.
///
/// # Errors
/// A line of a set that is not as it must be.
pub fn scores() -> Result<Vec<Score>, String> {
    SETS.into_iter().map(|(set, language, file)| score(set, language, file)).collect()
}

fn score(set: &'static str, language: Language, file: &str) -> Result<Score, String> {
    let rows = rows::<4>(file)?;
    let mut wrong = Vec::new();
    for (line, [direction, input, expected, source]) in &rows {
        let told = match *direction {
            "say" => speakable(input, language),
            "show" => shown(input),
            "number" => heard::number(input).map_or_else(|| "none".into(), |number| number.to_string()),
            "digits" => heard::digits(input).unwrap_or_else(|| "none".into()),
            other => {
                return Err(format!(
                    "{set}, line {line}: the direction {other:?} is none of say, show, number, digits"
                ));
            }
        };
        if source.is_empty() {
            return Err(format!("{set}, line {line}: no source is named"));
        }
        if told != *expected {
            wrong.push(format!("{set}, line {line}: {direction} {input:?}: {told:?}, not {expected:?}"));
        }
    }
    Ok(Score { set, cases: rows.len(), wrong, figure: Figure::Rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_right_and_there_are_enough() {
        let mut wrong = Vec::new();
        for score in scores().unwrap() {
            assert!(score.cases >= 300, "{}: only {} cases", score.set, score.cases);
            wrong.extend(score.wrong);
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}
