//! What is going to be said, word after word.

/// The words so far, with one space between them and no stray marks.
#[derive(Default)]
pub(super) struct Spoken {
    text: String,
    /// A space is due before the next letter.
    gap: bool,
    /// The last thing was a made word, which touches no letter.
    made: bool,
}

impl Spoken {
    /// A made word or words: spaces around.
    pub(super) fn word(&mut self, word: &str) {
        self.gap |= !self.text.ends_with(['(', '\'', '-']);
        self.raw(word);
        self.made = true;
    }

    /// Letters as they were written.
    pub(super) fn raw(&mut self, word: &str) {
        if (self.gap || self.made) && !self.text.is_empty() {
            self.text.push(' ');
        }
        (self.gap, self.made) = (false, false);
        self.text.push_str(word);
    }

    /// One sign as it was written.
    pub(super) fn letter(&mut self, letter: char) {
        if self.gap && !self.text.is_empty() && letter != ')' {
            self.text.push(' ');
        }
        (self.gap, self.made) = (false, false);
        self.text.push(letter);
    }

    pub(super) fn gap(&mut self) {
        self.gap = true;
    }

    /// Punctuation: close to the word before it, never first, the stronger of two.
    pub(super) fn mark(&mut self, mark: char) {
        self.gap = true;
        match self.text.chars().next_back() {
            None | Some('(' | '.' | ';' | ':' | '!' | '?') if mark != '?' && mark != '!' => {}
            None => {}
            Some(',' | '.' | ';' | ':') => {
                self.text.pop();
                self.text.push(mark);
            }
            Some('!' | '?') => {}
            Some(_) => self.text.push(mark),
        }
    }

    pub(super) fn finish(self) -> String {
        if self.text.chars().any(char::is_alphanumeric) { self.text } else { String::new() }
    }
}
