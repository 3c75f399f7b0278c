//! How the Malagasy voice says words: `models/evaluation/phonemes/mg.tsv`.

use super::{Figure, Score, rows};
use crate::espeak::pronouncer::Pronouncer;

const FILE: &str = include_str!("../../evaluation/phonemes/mg.tsv");
/// The parts of the file, and what they are called in the table.
const PARTS: [(&str, &str); 2] = [("written", "phonemes, looked at"), ("held-out", "phonemes, held out")];

/// What each part scores. Second stress is not judged: the sources seldom give it.
///
/// # Errors
/// A line that is not as it must be, or a voice that fails.
pub fn scores(voice: &mut Pronouncer) -> Result<Vec<Score>, String> {
    let mut scores = PARTS.map(|(_, set)| Score::new(set, Figure::Rules));
    for (line, [part, word, expected, source]) in rows::<4>(FILE)? {
        let Some(at) = PARTS.iter().position(|(name, _)| *name == part) else {
            return Err(format!("phonemes, line {line}: the part {part:?} is neither written nor held-out"));
        };
        if source.is_empty() {
            return Err(format!("phonemes, line {line}: no source is named"));
        }
        let said = voice.phonemes(word).map_err(|error| error.to_string())?;
        scores[at].cases += 1;
        if said.replace(',', "") != expected {
            scores[at].wrong.push(format!("phonemes, line {line}: {word}: {said}, not {expected}"));
        }
    }
    Ok(scores.into())
}
