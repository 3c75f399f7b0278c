//! Sentences in the other language. Set phrases by the rules: `models/evaluation/translation/mg-fr.tsv`, and every wording of the memory
//! there and back. And by a translator: `grammar.tsv`, in wordings that no training had, and sentences of other business, which it should
//! not translate.

use super::{Figure, Score, dialogue, rows};
use crate::{
    engine::Language,
    phrases::{phrases, translated},
};

const FILE: &str = include_str!("../../evaluation/translation/mg-fr.tsv");
const GRAMMAR: &str = include_str!("../../evaluation/translation/grammar.tsv");
/// Between the wordings that are right.
const OR: &str = " | ";
/// What stands for "left to the translator".
const UNKNOWN: &str = "-";

/// What the sentences score, and the phrases themselves.
///
/// # Errors
/// A line that is not as it must be.
pub fn scores() -> Result<Vec<Score>, String> {
    Ok(vec![sentences()?, round_trip()])
}

/// What a translator said.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The sentence in the other language.
    pub text: String,
    /// How sure it is, by any measure that grows with it; none where it does not tell.
    pub confidence: Option<f32>,
}

/// What a translator scores: exactly what it was taught to say, or another right wording, in each direction; how much is right of what
/// Milo would tell of it (`is_told`, by the text and its translation), and how many sentences of other business it would not tell. What
/// the memory of set phrases knows is not the translator's and is left out. `most` is how many cases of each kind are asked.
///
/// # Errors
/// A line of a set that is not as it must be, or a translator that fails.
pub async fn by_engine<E: ToString>(
    mut translate: impl AsyncFnMut(&str, Language, Language) -> Result<Said, E>,
    is_told: impl Fn(&str, &Said) -> bool,
    most: usize,
) -> Result<Vec<Score>, String> {
    let mut scores = [
        "translated, Malagasy to French: exact",
        "translated, Malagasy to French: exact or another right wording",
        "translated, French to Malagasy: exact",
        "translated, French to Malagasy: exact or another right wording",
        "what is told of these translations",
        "other business: not translated",
    ]
    .map(|name| Score::new(name, Figure::Right));
    for (line, [from, text, right]) in rows::<3>(GRAMMAR)? {
        let place = format!("translation/grammar.tsv, line {line}");
        let (at, from, to) = match from {
            "mg" => (0, Language::Mg, Language::Fr),
            "fr" => (2, Language::Fr, Language::Mg),
            other => return Err(format!("{place}: the language {other:?} is neither mg nor fr")),
        };
        if scores[at].cases >= most || translated(text, from, to).is_some() {
            continue;
        }
        let said = translate(text, from, to).await.map_err(|error| error.to_string())?;
        let words = words_of(&said.text);
        let mut wordings = right.split(OR).map(words_of);
        let is_exact = wordings.next().is_some_and(|exact| exact == words);
        let is_right = is_exact || wordings.any(|wording| wording == words);
        let fault = || format!("{place}: {text:?}: {:?}, not {right:?}", said.text);
        scores[at].count((!is_exact).then(fault));
        scores[at + 1].count((!is_right).then(fault));
        if is_told(text, &said) {
            scores[4].count((!is_right).then(fault));
        }
    }
    for (from, text) in dialogue::foreign()?.into_iter().step_by((200 / most.clamp(1, 200)).max(1)) {
        let to = if from == Language::Mg { Language::Fr } else { Language::Mg };
        let said = translate(text, from, to).await.map_err(|error| error.to_string())?;
        scores[5].count(is_told(text, &said).then(|| format!("{text:?}: {:?}", said.text)));
    }
    Ok(scores.into())
}

/// What is compared: neither letter case nor a comma is a word.
fn words_of(text: &str) -> String {
    text.trim().to_lowercase().replace(',', "")
}

fn sentences() -> Result<Score, String> {
    let mut score = Score::new("set phrases in sentences", Figure::Rules);
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
    let mut score = Score::new("wordings of set phrases, there and back", Figure::Rules);
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

    #[tokio::test]
    async fn a_translator_is_judged_by_the_exact_and_by_every_right_wording() {
        let wordings: Vec<_> = rows::<3>(GRAMMAR).unwrap().into_iter().map(|(_, columns)| columns).collect();
        for from in ["mg", "fr"] {
            assert!(wordings.iter().filter(|[language, ..]| *language == from).count() >= 150, "{from}");
        }
        // Says the last right wording, in capitals, and is unsure of what it does not know.
        let known = async |text: &str, _, _| {
            let right =
                wordings.iter().find(|[_, known, _]| *known == text).and_then(|[.., right]| right.rsplit(OR).next());
            let confidence = Some(if right.is_some() { 0.9 } else { 0.2 });
            Ok::<_, String>(Said { text: right.unwrap_or("-").to_uppercase(), confidence })
        };
        let sure = |_: &str, said: &Said| said.confidence.is_some_and(|confidence| confidence > 0.5);
        let scores = by_engine(known, sure, usize::MAX).await.unwrap();
        let cases: Vec<_> = scores.iter().map(|score| score.cases).collect();
        let by_heart = wordings.len() - cases[0] - cases[2];
        assert!((1..40).contains(&by_heart), "{by_heart} are set phrases");
        assert_eq!(cases, [cases[0], cases[0], cases[2], cases[2], cases[0] + cases[2], 200]);
        for (at, score) in scores.iter().enumerate() {
            let exact = score.right() < score.cases;
            assert_eq!(exact, matches!(at, 0 | 2), "{}: {} of {}", score.set, score.right(), score.cases);
        }
        let silent = async |_: &str, _, _| Ok::<_, String>(Said { text: "-".into(), confidence: None });
        let scores = by_engine(silent, |_, _| true, 20).await.unwrap();
        let told: Vec<_> = scores.iter().map(|score| (score.cases, score.right())).collect();
        assert_eq!(told, [(20, 0), (20, 0), (20, 0), (20, 0), (40, 0), (20, 0)]);
        let failing = async |_: &str, _, _| Err("it is away");
        assert_eq!(by_engine(failing, |_, _| true, 1).await.unwrap_err(), "it is away");
    }
}
