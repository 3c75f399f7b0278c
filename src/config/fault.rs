//! What is wrong with a configuration, and where it stands.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    ops::RangeInclusive,
    path::PathBuf,
};

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nobody set it.
    #[default]
    Default,
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable, or one of `.env`.
    Variable(String),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment, {name}"),
        }
    }
}

/// One thing that is wrong. Never holds a value that may be secret.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The sentence, which begins with the key.
    pub says: String,
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.says)
    }
}

/// The configuration cannot be used: mend what is named and start again.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigError(
    /// Everything that was found.
    pub Vec<Fault>,
);

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Where each key that was set came from.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Place>);

impl Origins {
    pub(super) fn set(&mut self, key: &str, place: Place) {
        self.0.insert(key.into(), place);
    }

    /// The place of a key, or of the section or list that holds it (a field that is missing has no line of its own).
    pub(super) fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(place) = self.0.get(key) {
                return place.clone();
            }
            match key.rfind(['.', '[']) {
                // A section's heading is where a list element stands, but not where an unset value came from.
                Some(cut) if key[..cut].contains('[') || key[cut..].starts_with('[') => key = &key[..cut],
                _ => return Place::Default,
            }
        }
    }
}

/// Collects faults while the sections check themselves.
pub(super) struct Faults<'a> {
    origins: &'a Origins,
    found: Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(origins: &'a Origins) -> Self {
        Self { origins, found: Vec::new() }
    }

    /// `says` goes on where the key ends: "is empty".
    pub(super) fn add(&mut self, key: &str, says: String) {
        self.found.push(Fault { place: self.origins.place(key), says: format!("{key} {says}") });
    }

    pub(super) fn within<N: PartialOrd + Display>(&mut self, key: &str, value: N, range: RangeInclusive<N>) {
        if !range.contains(&value) {
            self.add(key, format!("= {value} is not within {} to {}", range.start(), range.end()));
        }
    }

    pub(super) fn into_result(self) -> Result<(), ConfigError> {
        if self.found.is_empty() { Ok(()) } else { Err(ConfigError(self.found)) }
    }
}

/// The key most like `wrong`: a slip of the same table first, else the same name elsewhere.
pub(super) fn nearest<'k>(wrong: &str, beside: &[&'k str], everywhere: &'k [String]) -> Option<&'k str> {
    let leaf = wrong.rsplit('.').next().unwrap_or(wrong);
    let slip = |known: &str| distance(leaf, known.rsplit('.').next().unwrap_or(known));
    let close = |known: &str| slip(known) <= (leaf.chars().count() / 3).max(2);
    let best = |of: &mut dyn Iterator<Item = &'k str>| of.filter(|known| close(known)).min_by_key(|known| slip(known));
    best(&mut beside.iter().copied()).or_else(|| best(&mut everywhere.iter().map(String::as_str)))
}

/// Levenshtein's distance, with a swap of neighbours counted once.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swap = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + swap);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "abc", 3), ("listen", "listen", 0), ("upd", "udp", 1), ("lisen", "listen", 1), ("é", "e", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_key_is_beside_before_elsewhere() {
        let everywhere = ["http.listen".to_owned(), "sip.udp".into(), "sip.tcp".into()];
        assert_eq!(nearest("sip.upd", &["sip.udp", "sip.tcp"], &everywhere), Some("sip.udp"));
        assert_eq!(nearest("listen", &["http", "sip"], &everywhere), Some("http.listen"));
        assert_eq!(nearest("nonsense_altogether", &["http"], &everywhere), None);
    }
}
