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
}

impl Score {
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
