//! What is wrong with the files, each fault with its file, its line and what would be right.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PlanFault)]
pub struct Fault {
    /// The file.
    #[schema(value_type = String, example = "dialplans/demo.toml")]
    pub file: PathBuf,
    /// Its line, from 1 on; none when the file as a whole is meant.
    #[schema(example = 9)]
    pub line: Option<usize>,
    /// Plan, verb and field, and what would be right.
    #[schema(example = "plan \"sales\": \"ecko\" is no verb; perhaps \"echo\"")]
    pub fault: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// All that is wrong, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if n > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// A file's text, and where in it something stands.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The file's name without its ending.
    pub(super) fn name(&self) -> String {
        self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The line of a byte.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn fault(&self, at: Option<usize>, fault: impl Into<String>) -> Fault {
        Fault { file: self.path.clone(), line: at.map(|at| self.line(at)), fault: fault.into() }
    }
}
