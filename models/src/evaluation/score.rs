//! What a set scores, and how its file is read.

/// What one set scored.
#[derive(Debug)]
pub struct Score {
    /// The set, in a few words.
    pub set: &'static str,
    /// Its cases.
    pub cases: usize,
    /// What was wrong, one sentence a case: its line, what came, what was expected.
    pub wrong: Vec<String>,
    /// What is told of it.
    pub figure: Figure,
}

/// What a set is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Every case is one that rules must have right.
    Rules,
    /// The share of cases that a model had right.
    Right,
    /// Word error rate: how many words were wrong, missing or too many, of those that were said. It can be more than 100 %.
    Words {
        /// Wrong, missing and too many.
        edits: usize,
        /// That were said.
        words: usize,
    },
}

impl Figure {
    /// Adds an utterance to a word error rate.
    pub(super) fn add(&mut self, more: usize, said: usize) {
        if let Self::Words { edits, words } = self {
            *edits += more;
            *words += said;
        }
    }
}

impl Score {
    /// One without cases yet.
    pub(super) fn new(set: &'static str, figure: Figure) -> Self {
        Self { set, cases: 0, wrong: Vec::new(), figure }
    }

    /// Counts a case; `fault` says what was wrong with it.
    pub(super) fn count(&mut self, fault: Option<String>) {
        self.cases += 1;
        self.wrong.extend(fault);
    }

    /// The figure in percent, with its unit.
    pub fn figure(&self) -> String {
        let percent = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        match self.figure {
            Figure::Words { edits, words } => format!("{:.1} % WER", percent(edits, words)),
            Figure::Rules | Figure::Right => format!("{:.1} % right", percent(self.right(), self.cases)),
        }
    }

    /// Whether something is wrong that must be right.
    pub fn is_fault(&self) -> bool {
        self.figure == Figure::Rules && !self.wrong.is_empty()
    }

    /// How many were right.
    pub fn right(&self) -> usize {
        self.cases - self.wrong.len()
    }
}

/// The lines of a set that are neither empty nor remarks, with their numbers, cut at their tabs into `N` columns.
///
/// # Errors
/// The first line that has fewer or more.
pub fn rows<const N: usize>(file: &str) -> Result<Vec<(usize, [&str; N])>, String> {
    let lines = file.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with("# "));
    lines
        .map(|(at, line)| {
            let columns: Vec<&str> = line.split('\t').collect();
            let told = columns.len();
            let columns =
                columns.try_into().map_err(|_| format!("line {} has {told} columns, not {N}: {line}", at + 1))?;
            Ok((at + 1, columns))
        })
        .collect()
}
