//! The accounts of our own people's telephones: their file, and where each of them is registered now.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use milo_signaling::{
    Algorithms, Caller, Forked, Introduction, Registered, RegistrarConfig, SignalingError, Terms, User,
};
use serde::Serialize;
use tokio::sync::watch;

use crate::config;

/// Accounts of one file.
const MOST: usize = 10_000;

/// What the registrar is made from; `None`: there are no accounts.
///
/// # Errors
/// The file cannot be read, others may read it, or a line of it is wrong. No line is quoted.
pub fn registrar(sip: &config::Sip) -> Result<Option<RegistrarConfig>> {
    let Some(file) = &sip.accounts else { return Ok(None) };
    let named = || format!("[sip] accounts: {}", file.display());
    let mode = fs::metadata(file).with_context(named)?.permissions().mode();
    ensure!(mode & 0o007 == 0, "{}: everybody may read or change it; `chmod 600` it", named());
    let text = fs::read_to_string(file).with_context(named)?;
    let mut users: Vec<User> = Vec::new();
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    for (n, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (user, realm) = match User::of_line(line) {
            Ok(read) => read,
            Err(why) => bail!("{}, line {n}: it {why}; `milo sip account NAME` makes one", named()),
        };
        ensure!(
            realm == sip.realm,
            "{}, line {n}: it is of the realm {realm:?}, and [sip] realm is {:?}",
            named(),
            sip.realm
        );
        ensure!(
            users.iter().all(|other| other.name != user.name),
            "{}, line {n}: {} is there twice",
            named(),
            user.name
        );
        users.push(user);
        ensure!(users.len() <= MOST, "{}: it has more than {MOST} accounts", named());
    }
    let terms = Terms { least_s: sip.register_min_s, most_s: sip.register_max_s };
    let algorithms = Algorithms {
        sha256: sip.digest.iter().any(|one| one == "SHA-256"),
        md5: sip.digest.iter().any(|one| one == "MD5"),
    };
    Ok(Some(RegistrarConfig { realm: sip.realm.clone(), users, terms, algorithms }))
}

/// The accounts, and where their telephones are.
#[derive(Debug)]
pub struct Accounts {
    names: Vec<String>,
    telephones: watch::Receiver<Arc<[Registered]>>,
}

/// An account as the API shows it.
#[derive(Debug, Serialize)]
pub struct AccountReport {
    /// Its name.
    pub account: String,
    /// Those that are registered now.
    pub telephones: Vec<TelephoneReport>,
}

/// A telephone as the API shows it.
#[derive(Debug, Serialize)]
pub struct TelephoneReport {
    /// How it wants to be called.
    pub contact: String,
    /// Where its REGISTER came from, and where its calls go.
    pub source: String,
    /// Over which transport.
    pub transport: String,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// In how many seconds it lapses, unless it comes again.
    pub expires_in_s: u64,
}

impl Accounts {
    /// These, and the telephones that the endpoint knows.
    pub fn new(names: Vec<String>, telephones: watch::Receiver<Arc<[Registered]>>) -> Self {
        Self { names, telephones }
    }

    /// Whether there is an account of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Calls every telephone of an account; the first that answers has the call. `None`: none is registered.
    ///
    /// # Errors
    /// None of them could be called; the fault of the last one.
    pub async fn call(
        &self,
        caller: &Caller,
        name: &str,
        from: &Introduction,
    ) -> Result<Option<Forked>, SignalingError> {
        let all = self.telephones.borrow().clone();
        let (mut calls, mut fault) = (Vec::new(), None);
        for telephone in all.iter().filter(|telephone| telephone.user == name) {
            match caller.call_telephone(telephone, from).await {
                Ok(call) => calls.push(call),
                Err(error) => fault = Some(error),
            }
        }
        match fault {
            Some(fault) if calls.is_empty() => Err(fault),
            _ => Ok((!calls.is_empty()).then(|| Forked::new(calls))),
        }
    }

    /// Every account with its telephones.
    pub fn report(&self, now: Instant) -> Vec<AccountReport> {
        let all = self.telephones.borrow().clone();
        let shown = |telephone: &Registered| TelephoneReport {
            contact: telephone.contact.to_string(),
            source: telephone.flow.remote.to_string(),
            transport: telephone.flow.transport.to_string(),
            user_agent: telephone.user_agent.clone(),
            expires_in_s: telephone.until.saturating_duration_since(now).as_secs(),
        };
        let account = |name: &String| AccountReport {
            account: name.clone(),
            telephones: all.iter().filter(|telephone| telephone.user == *name).map(shown).collect(),
        };
        self.names.iter().map(account).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str, mode: u32) -> Result<Option<RegistrarConfig>, String> {
        let file = std::env::temp_dir().join(format!("milo-accounts-{}-{name}", std::process::id()));
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let sip = config::Sip { accounts: Some(file.clone()), ..config::Sip::default() };
        let read = registrar(&sip).map_err(|error| format!("{error:#}"));
        fs::remove_file(file).unwrap();
        read
    }

    #[test]
    fn a_file_of_accounts_is_kept_to_oneself_and_right_in_every_line() {
        let line = User::new("rina", "milo", "secret").line("milo");
        let right = read("right", &format!("# ours\n\n{line}\n"), 0o640).unwrap().unwrap();
        assert_eq!(right.users, [User::new("rina", "milo", "secret")]);
        assert!(registrar(&config::Sip::default()).unwrap().is_none());
        let open = read("open", &line, 0o644).unwrap_err();
        assert!(open.contains("chmod 600"), "{open}");
        for (text, why) in [
            (format!("{line}\n{line}"), "line 2: rina is there twice"),
            (line.replace(":milo:", ":other:"), "of the realm \"other\""),
            ("rina:secret".to_owned(), "milo sip account"),
        ] {
            let fault = read("wrong", &text, 0o600).unwrap_err();
            assert!(fault.contains(why) && !fault.contains("secret"), "{fault}");
        }
    }
}
