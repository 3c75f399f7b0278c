//! A value that must not be seen: passwords and keys print as `***`, and so do the passwords inside addresses.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny},
};

/// What stands in place of a secret.
const MASK: &str = "***";

/// A key or password. It is read with [`Secret::reveal`] and in no other way.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        unseen(from).map(Self)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        unseen(from).map(Self)
    }
}

/// A text; what is none is refused without being shown, as serde's own words would.
fn unseen<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Text(String),
        Other(IgnoredAny),
    }
    match Given::deserialize(from)? {
        Given::Text(text) => Ok(text),
        Given::Other(_) => Err(D::Error::custom("is not text: put it in quotes")),
    }
}

/// An address that may hold a password (`postgres://milo:secret@host/milo`); everything but the password is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes an address over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address with its password: for the one place that connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The address as it may be shown: the password, and parameters that name one, are masked.
    pub fn masked(&self) -> String {
        let (before, query) = match self.0.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (self.0.as_str(), None),
        };
        let mut shown = match before.split_once("://") {
            // The last @ ends the user part: a password may hold one that nobody escaped.
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((user, host)) => match user.split_once(':') {
                    Some((name, _)) => format!("{scheme}://{name}:{MASK}@{host}"),
                    None => format!("{scheme}://{user}@{host}"),
                },
                None => before.into(),
            },
            None => match before.split_once(':') {
                // A file's name holds no password.
                Some(("sqlite", _)) => before.into(),
                // No address at all: whatever it is, a password may be in it.
                Some((scheme, _)) => format!("{scheme}:{MASK}"),
                None => MASK.into(),
            },
        };
        for (n, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            shown.push(if n == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                Some((key, _)) if key.to_ascii_lowercase().contains("pass") => {
                    shown.push_str(&format!("{key}={MASK}"));
                }
                // A ? inside an unescaped password would land here: only plain parameters are shown.
                Some(_) if !pair.contains('@') => shown.push_str(pair),
                _ => shown.push_str(MASK),
            }
        }
        shown
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** *** \"***\"");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn the_password_of_an_address_is_masked_and_nothing_else() {
        for (given, shown) in [
            ("postgres://milo:pw@db:5432/milo", "postgres://milo:***@db:5432/milo"),
            ("postgres://milo:p@ss:w/rd@db/milo", "postgres://milo:***@db/milo"),
            ("postgres://milo@db/milo?sslmode=require", "postgres://milo@db/milo?sslmode=require"),
            ("postgres:///milo?host=/run&password=pw", "postgres:///milo?host=/run&password=***"),
            ("postgres://milo:a?b@db/milo", "postgres://milo:a?***"),
            ("redis://:pw@cache:6379/1", "redis://:***@cache:6379/1"),
            (
                "redis+unix:///run/redis.sock?db=1&user=milo&pass=pw",
                "redis+unix:///run/redis.sock?db=1&user=milo&pass=***",
            ),
            ("sqlite:/var/lib/milo/milo.db", "sqlite:/var/lib/milo/milo.db"),
            ("postgres:milo:pw@db/milo", "postgres:***"),
            ("milo-pw-db", "***"),
        ] {
            let masked = SecretUrl::new(given).masked();
            if given.contains("a?b") {
                assert!(!masked.contains("b@"), "{masked}");
            } else {
                assert_eq!(masked, shown);
            }
        }
    }
}
