//! The likeliest path through the letters, and how likely it is (Graves et al. 2006: repeats are one, the blank parts them).

use std::ops::Range;

use super::vocabulary::{Letter, Vocabulary};
use crate::onnx::likelihood::{log_sum_exp, most_likely};

/// What one window says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) words: Vec<Said>,
    /// Of the frames that are not blank: how many, the sum of their letters' log-probabilities, and of their probabilities.
    pub(super) frames: usize,
    pub(super) logprobs: f64,
    pub(super) probabilities: f64,
}

/// A word, and from its first letter's first frame to its last letter's last.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) frames: Range<usize>,
}

/// Reads the logits, a row a frame. `None`: some are no numbers.
pub(super) fn read<'r>(rows: impl Iterator<Item = &'r [f32]>, vocabulary: &Vocabulary) -> Option<Line> {
    let mut line = Line::default();
    let (mut open, mut last): (Option<Said>, _) = (None, None);
    for (frame, row) in rows.enumerate() {
        if row.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        let best = most_likely(row);
        let letter = vocabulary.letter(best);
        if *letter != Letter::Blank {
            let logprob = f64::from(row.get(best)? - log_sum_exp(row));
            line.frames += 1;
            line.logprobs += logprob;
            line.probabilities += logprob.exp();
        }
        match letter {
            Letter::Blank | Letter::Silent => {}
            Letter::Delimiter => line.words.extend(open.take()),
            Letter::Text(text) => {
                let word = open.get_or_insert_with(|| Said { text: String::new(), frames: frame..frame });
                if last != Some(best) {
                    word.text.push_str(text);
                }
                word.frames.end = frame + 1;
            }
        }
        last = Some(best);
    }
    line.words.extend(open);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blank, delimiter, `<unk>`, a, b.
    fn vocabulary() -> Vocabulary {
        let text = |letter: &str| Letter::Text(letter.into());
        Vocabulary::of(vec![Letter::Blank, Letter::Delimiter, Letter::Silent, text("a"), text("b")])
    }

    fn read_path(path: &[usize]) -> Line {
        let rows: Vec<Vec<f32>> =
            path.iter().map(|best| (0..5).map(|id| if id == *best { 2.0 } else { 0.0 }).collect()).collect();
        read(rows.iter().map(Vec::as_slice), &vocabulary()).unwrap()
    }

    fn words(path: &[usize]) -> Vec<(String, Range<usize>)> {
        read_path(path).words.into_iter().map(|word| (word.text, word.frames)).collect()
    }

    #[test]
    fn what_lasts_is_one_letter_and_a_blank_parts_two() {
        assert_eq!(words(&[3, 3, 0, 3, 4, 4]), [("aab".into(), 0..6)]);
        assert_eq!(words(&[0, 3, 2, 3, 0]), [("aa".into(), 1..4)], "so does what is not written");
    }

    #[test]
    fn words_end_at_delimiters_however_many_there_are() {
        assert_eq!(words(&[1, 3, 3, 1, 0, 1, 1, 4, 0]), [("a".into(), 1..3), ("b".into(), 7..8)]);
        assert_eq!(words(&[0, 1, 2, 1, 0]), []);
    }

    #[test]
    fn blanks_say_nothing_of_how_sure_it_is() {
        let line = read_path(&[0, 3, 0, 0, 1, 0]);
        let logprob = 2.0 - (4.0 + 2_f64.exp()).ln();
        assert_eq!(line.frames, 2);
        assert!((line.logprobs - 2.0 * logprob).abs() < 1e-5);
        assert!((line.probabilities - 2.0 * logprob.exp()).abs() < 1e-5);
        assert_eq!(read_path(&[0, 0, 0]), Line::default());
    }

    #[test]
    fn logits_that_are_no_numbers_are_no_line() {
        assert_eq!(read([&[0.0, f32::NAN, 0.0, 0.0, 0.0][..]].into_iter(), &vocabulary()), None);
    }
}
