//! A telephone's account with us, and the line of a file that keeps it: no password, but what opens the door as one does.

use std::fmt;

use crate::sip::digest::Algorithm;

/// A telephone's account with us. The password itself is not known: HA1 is (RFC 7616 section 3.4.2), of the realm.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The user part of its address of record, and what it says its name is.
    pub name: String,
    md5: String,
    sha256: String,
}

impl fmt::Debug for User {
    /// Without the hashes, which open the door as a password does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl User {
    /// An account of this realm with this password.
    pub fn new(name: &str, realm: &str, password: &str) -> Self {
        let secret = format!("{name}:{realm}:{password}");
        Self { name: name.to_owned(), md5: Algorithm::Md5.hash(&secret), sha256: Algorithm::Sha256.hash(&secret) }
    }

    /// One line of a file of accounts: name, realm, the hash by MD5 and that by SHA-256, between colons.
    pub fn line(&self, realm: &str) -> String {
        format!("{}:{realm}:{}:{}", self.name, self.md5, self.sha256)
    }

    /// The account and its realm from such a line.
    ///
    /// # Errors
    /// What is wrong with it, as half a sentence that quotes nothing of it.
    pub fn of_line(line: &str) -> Result<(Self, String), &'static str> {
        let mut parts = line.split(':');
        let (Some(name), Some(realm), Some(md5), Some(sha256), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("is not NAME:REALM:MD5:SHA-256");
        };
        if !Self::may_be_called(name) {
            return Err("has a name with other characters than letters, digits, - _ . +");
        }
        let hash = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hash(md5, 32) || !hash(sha256, 64) {
            return Err("has a hash that is not 32 and 64 hexadecimal digits");
        }
        let (md5, sha256) = (md5.to_ascii_lowercase(), sha256.to_ascii_lowercase());
        Ok((Self { name: name.to_owned(), md5, sha256 }, realm.to_owned()))
    }

    /// Whether this can be an account's name.
    pub fn may_be_called(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
        (1..=64).contains(&name.len()) && name.bytes().all(plain)
    }

    /// HA1 by this algorithm.
    pub(super) fn secret(&self, algorithm: Algorithm) -> &str {
        if algorithm == Algorithm::Sha256 { &self.sha256 } else { &self.md5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_file_is_read_back_and_shows_no_password() {
        let user = User::new("rina", "milo", "secret");
        let line = user.line("milo");
        assert_eq!(User::of_line(&line), Ok((user.clone(), "milo".to_owned())));
        assert!(!line.contains("secret") && !format!("{user:?}").contains(&user.md5));
        for wrong in
            ["", "rina", "a:b:c:d", &line.replace("rina", "r ina"), &format!("{line}:x"), &line[..line.len() - 1]]
        {
            assert!(User::of_line(wrong).is_err(), "{wrong}");
        }
    }
}
