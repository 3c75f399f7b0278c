//! What ears hear: the sentences of `models/evaluation/speech/`, spoken by espeak-ng in voices that no training had, through a telephone;
//! and lines that carry no speech, which must stay without a word.

use rand::{SeedableRng, rngs::StdRng};

use super::{
    Figure, Score,
    line::telephone,
    noises::noise,
    rows,
    wer::{edits, pair},
};
use crate::{
    engine::Language,
    espeak::pronouncer::{Manner, Pronouncer},
    transcriber::{Listen, Transcriber, Transcript},
};

/// The sets: language, names of its rows (on a clean line and on a noisy one), file.
const SETS: [(Language, [&str; 2], &str); 2] = [
    (
        Language::Mg,
        ["speech, Malagasy", "speech with noise at 15 dB, Malagasy"],
        include_str!("../../evaluation/speech/mg.tsv"),
    ),
    (
        Language::Fr,
        ["speech, French", "speech with noise at 15 dB, French"],
        include_str!("../../evaluation/speech/fr.tsv"),
    ),
];
/// How far the noise lies below the voice, in dB: on a clean line there is none.
const LINES: [Option<f64>; 2] = [None, Some(15.0)];
/// What noise and lines without speech are drawn from.
const SEED: u64 = 30_112_026;
/// Lines without speech, for the whole sets.
const QUIET: usize = 200;

/// How much of the sets is heard.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// The first sentences of each language.
    pub sentences: usize,
    /// Lines without speech.
    pub quiet: usize,
}

impl Amount {
    /// All of them.
    pub const WHOLE: Self = Self { sentences: usize::MAX, quiet: QUIET };
}

/// What ears score: word errors by language and line, how often the language was told rightly, and how many lines without speech
/// stayed without words.
///
/// # Errors
/// A line of a set that is not as it must be, a voice or ears that fail.
pub async fn scores(voice: &mut Pronouncer, ears: &dyn Transcriber, amount: Amount) -> Result<Vec<Score>, String> {
    let mut scores = Vec::new();
    let mut told = Score::new("speech: the language is told", Figure::Right);
    for (language, names, file) in SETS {
        let mut mine = names.map(|name| Score::new(name, Figure::Words { edits: 0, words: 0 }));
        for (line, columns) in rows::<7>(file)?.into_iter().take(amount.sentences) {
            let place = format!("speech/{language}.tsv, line {line}");
            let [said @ .., wanted] = &columns;
            let spoken = spoken(voice, language, said).map_err(|error| format!("{place}: {error}"))?;
            let mut random = StdRng::seed_from_u64(SEED + line as u64);
            for (score, noise_db) in mine.iter_mut().zip(LINES) {
                let heard = hear(ears, telephone(&spoken, noise_db, &mut random)).await?;
                judge(score, &place, wanted, &heard.text, language);
                let said = heard.language;
                told.count((said != language).then(|| format!("{place}: {said} heard, {language} spoken")));
            }
        }
        scores.extend(mine);
    }
    scores.push(told);
    scores.push(quiet(ears, amount.quiet).await?);
    Ok(scores)
}

/// Adds what was heard to a word error rate.
pub(super) fn judge(score: &mut Score, place: &str, said: &str, heard: &str, language: Language) {
    let (wanted, got) = pair(said, heard, language);
    let wrong = edits(&wanted, &got);
    score.figure.add(wrong, wanted.len());
    score.count((wrong > 0).then(|| format!("{place}: {heard:?}, not {said:?}")));
}

pub(super) async fn hear(ears: &dyn Transcriber, samples: Vec<i16>) -> Result<Transcript, String> {
    ears.transcribe(samples, Listen::to(None)).await.map_err(|error| error.to_string())
}

/// What the columns of a set say, spoken at 16 kHz: voice variant, speed, pitch, range of pitch, gap between words, text.
///
/// # Errors
/// A column that is not as it must be, or a voice that fails.
pub fn spoken(voice: &mut Pronouncer, language: Language, columns: &[&str; 6]) -> Result<Vec<i16>, String> {
    let [variant, speed, pitch, range, gap, text] = columns;
    let number = |what: &str, told: &str, most: u16| match told.parse::<u16>() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!("{told:?} is no {what} from 0 to {most}")),
    };
    let manner = Manner {
        language,
        variant,
        speed: number("speed", speed, 450)?,
        pitch: number("pitch", pitch, 100)?,
        range: number("range of pitch", range, 100)?,
        gap: number("gap between words", gap, 500)?,
    };
    voice.speak(text, &manner).map_err(|error| error.to_string())
}

async fn quiet(ears: &dyn Transcriber, lines: usize) -> Result<Score, String> {
    let mut score = Score::new("lines without speech, without words", Figure::Right);
    for line in 0..lines as u64 {
        let mut random = StdRng::seed_from_u64(SEED + line);
        let heard = hear(ears, telephone(&noise(SEED + line), None, &mut random)).await?.text;
        score.count((!heard.is_empty()).then(|| format!("line {} without speech: {heard:?}", line + 1)));
    }
    Ok(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_that_can_be_spoken_and_the_sets_are_as_large_as_is_told() {
        for ((language, _, file), least) in SETS.into_iter().zip([200, 130]) {
            let rows = rows::<7>(file).unwrap();
            assert!(rows.len() >= least, "{language}: {}", rows.len());
            for (line, columns) in rows {
                assert!(columns[1..5].iter().all(|number| number.parse::<u16>().is_ok()), "{language}, line {line}");
                assert!(!pair(columns[6], "", language).0.is_empty(), "{language}, line {line}");
            }
        }
    }

    #[test]
    fn a_figure_for_a_word_is_right_and_another_word_is_not() {
        let mut score = Score::new("some", Figure::Words { edits: 0, words: 0 });
        judge(&mut score, "line 1", "j'ai dit quinze", "J’ai dit 15.", Language::Fr);
        judge(&mut score, "line 2", "aiza ny birao", "iza ny birao", Language::Mg);
        assert_eq!((score.cases, score.right(), score.figure()), (2, 1, "16.7 % WER".to_owned()));
        assert!(score.wrong[0].contains("line 2") && !score.is_fault(), "{score:?}");
    }
}
