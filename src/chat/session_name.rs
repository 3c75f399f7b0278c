//! What a session is called: by a name that its writer may choose, among the sessions of the writer's key.

use crate::store::Key;

/// The longest name.
const LONGEST: usize = 64;

/// A session's name among those of all keys: `name`, or `KEY.name` where it is of a key that sees only its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(String);

impl SessionName {
    /// One of this key's, or of those who are confined to no key; without a name a new one. None where the name cannot be one.
    pub fn new(of: Option<Key>, called: Option<&str>) -> Option<Self> {
        let called = match called {
            Some(called) if may_be(called) => called.to_owned(),
            Some(_) => return None,
            None => Key::new().to_string(),
        };
        // No name has a point in it: nobody names another's session.
        Some(Self(of.map_or_else(|| called.clone(), |key| format!("{key}.{called}"))))
    }

    /// As its writer calls it.
    pub fn called(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(_, called)| called)
    }

    /// As it is kept.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn may_be(called: &str) -> bool {
    (1..=LONGEST).contains(&called.len())
        && called.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_new_ones_differ_and_each_key_has_its_own() {
        for wrong in ["", "a b", "../x", "é", "a.b", &"x".repeat(65)] {
            assert_eq!(SessionName::new(None, Some(wrong)), None, "{wrong}");
        }
        let (one, other) = (SessionName::new(None, None), SessionName::new(None, None));
        assert_ne!(one, other);
        let (mine, yours) = (Key::new(), Key::new());
        let of = |key| SessionName::new(key, Some("web-42")).expect("a name");
        assert!(of(Some(mine)) != of(Some(yours)) && of(Some(mine)) != of(None));
        assert_eq!((of(Some(mine)).called(), of(None).called()), ("web-42", "web-42"));
        // What one key's session is kept as is no name.
        assert_eq!(SessionName::new(None, Some(of(Some(mine)).as_str())), None);
    }
}
