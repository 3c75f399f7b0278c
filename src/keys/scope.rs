//! What a key may do, and how much of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Have Milo call, end calls, record them, send texts.
    Calls,
    /// Chat, by text and by voice, transcribe, speak.
    Text,
    /// Read the call log, the metrics and how things are.
    Read,
    /// All of that, and keys, bans, dialplans, the configuration.
    Admin,
}

impl Scope {
    const ALL: [Self; 4] = [Self::Calls, Self::Text, Self::Read, Self::Admin];

    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Text => "text",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no scope; there are calls, text, read and admin"))
    }
}

/// What a key may do: at least one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Everything.
    pub fn all() -> Self {
        Self(vec![Scope::Admin])
    }

    /// These, each once.
    ///
    /// # Errors
    /// There is none.
    pub fn of(mut scopes: Vec<Scope>) -> Result<Self, String> {
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err("a key needs at least one scope of calls, text, read and admin".into());
        }
        Ok(Self(scopes))
    }

    /// Whether this is allowed; with `admin` everything is.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }
}

impl fmt::Display for Scopes {
    /// Separated by spaces, as OAuth has them (RFC 6749 section 3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&names.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::of(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }
}

/// How many requests an hour a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// `[rate_limits] free`.
    Free,
    /// `[rate_limits] pro`.
    Pro,
    /// As many as it likes.
    Enterprise,
}

impl Tier {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Free, Self::Pro, Self::Enterprise].into_iter().find(|tier| tier.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no tier; there are free, pro and enterprise"))
    }
}
