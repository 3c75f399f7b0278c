//! Word error rate: the fewest words to change, leave out or put in, over the words that were said.

/// Wrong words of one or many sentences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::bench) struct Errors {
    wrong: usize,
    said: usize,
}

impl Errors {
    /// Adds what was said and what was heard of it.
    pub(in crate::bench) fn add(&mut self, said: &str, heard: &str) {
        let (said, heard) = (words(said), words(heard));
        // Distances of the words said so far to each beginning of what was heard.
        let mut row: Vec<usize> = (0..=heard.len()).collect();
        for (at, word) in said.iter().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], at + 1);
            for (other, heard) in heard.iter().enumerate() {
                let best = (diagonal + usize::from(word != heard)).min(row[other].min(row[other + 1]) + 1);
                diagonal = std::mem::replace(&mut row[other + 1], best);
            }
        }
        self.wrong += row[heard.len()];
        self.said += said.len();
    }

    /// In percent.
    pub(in crate::bench) fn rate(self) -> f64 {
        100.0 * self.wrong as f64 / self.said.max(1) as f64
    }
}

fn words(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace(|letter: char| !letter.is_alphanumeric() && letter != '\'', " ");
    plain.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_missing_and_added_words_count_one_each() {
        for (heard, wrong) in [
            ("Firy ariary, ny mofo?", 0),
            ("firy ora ny mofo", 1),
            ("firy ny mofo", 1),
            ("firy ariary ny mofo iray", 1),
            ("", 4),
            ("ny mofo firy ariary", 4),
        ] {
            let mut errors = Errors::default();
            errors.add("firy ariary ny mofo", heard);
            assert_eq!(errors, Errors { wrong, said: 4 }, "{heard:?}");
        }
    }
}
