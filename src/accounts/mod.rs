//! The accounts of our own people's telephones: their file, which is read anew when it changes, and where each of them is
//! registered now.

mod limits;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use milo_signaling::{
    Algorithms, Caller, Forked, Introduction, Registered, RegistrarConfig, SignalingError, Telephones, Terms, User,
};
use serde::Serialize;
use tokio::{
    select,
    signal::unix::Signal,
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval},
};

use crate::{
    config,
    trunk::{Denied, Place},
};
pub use limits::{AllowanceReport, Allowances, Ledger, phrase};

/// Accounts of one file.
const MOST: usize = 10_000;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

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
    let (realm, text_pace) = (sip.realm.clone(), limits::text_pace(&sip.account_limits));
    Ok(Some(RegistrarConfig { realm, users, terms, algorithms: algorithms(sip), text_pace }))
}

/// How accounts, and trunks that call from anywhere, prove who they are.
pub fn algorithms(sip: &config::Sip) -> Algorithms {
    Algorithms { sha256: sip.digest.iter().any(|one| one == "SHA-256"), md5: sip.digest.iter().any(|one| one == "MD5") }
}

/// The accounts in force.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// In the order of the alphabet.
    names: Arc<[String]>,
    /// What they may call and how much.
    allowances: Allowances,
    /// Why the file as it is now is not what is in force.
    fault: Option<Arc<str>>,
}

impl Book {
    /// Every account, in the order of the alphabet.
    pub fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    /// Those of this registrar, with the limits that the configuration sets them.
    ///
    /// # Errors
    /// Limits are set for an account that there is not; what was counted of one today cannot be read.
    pub async fn open(registrar: Option<&RegistrarConfig>, sip: &config::Sip, ledger: &Ledger) -> Result<Self> {
        let names = names(registrar);
        let allowances = Allowances::read(&sip.account_limits, &names, ledger).await?;
        Ok(Self { names, allowances, fault: None })
    }

    /// Those of this registrar in place of these, without a fault. What these have counted goes on.
    async fn next(&self, registrar: &RegistrarConfig, ledger: &Ledger) -> Result<Self> {
        let names = names(Some(registrar));
        let allowances = self.allowances.with(&names, ledger).await?;
        Ok(Self { names, allowances, fault: None })
    }
}

/// The names of its accounts, in the order of the alphabet.
fn names(registrar: Option<&RegistrarConfig>) -> Arc<[String]> {
    let users = registrar.map(|registrar| registrar.users.as_slice()).unwrap_or_default();
    let mut names: Vec<String> = users.iter().map(|user| user.name.clone()).collect();
    names.sort_unstable();
    names.into()
}

/// When the file was written last, and how long it is.
type Print = Option<(SystemTime, u64)>;

fn print(file: &Path) -> Print {
    let about = fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Reads the file anew whenever it has changed, and on SIGHUP, until nobody wants to know. Where it is wrong, the accounts of
/// before stay in force, and the log and the health report say why.
pub async fn follow(
    sip: config::Sip,
    seen: Print,
    (book, ledger): (watch::Sender<Book>, Ledger),
    caller: Caller,
    mut hangup: Signal,
) {
    let Some(file) = sip.accounts.clone() else { return };
    let (mut seen, mut clock) = (seen, interval(LOOK));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wanted = select! {
            _ = clock.tick() => false,
            _ = hangup.recv() => true,
            () = book.closed() => return,
        };
        let (sip, path, before) = (sip.clone(), file.clone(), seen);
        // Taken first: a change while it is read is seen next time.
        let read = spawn_blocking(move || {
            let now = print(&path);
            (now, (wanted || now != before).then(|| registrar(&sip)))
        });
        let Ok((now, read)) = read.await else { continue };
        seen = now;
        match read {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(registrar))) => {
                let accounts = registrar.users.len();
                let before_it = book.borrow().clone();
                let next = match before_it.next(&registrar, &ledger).await {
                    Ok(next) => next,
                    Err(error) => {
                        // The database is away: tried again at the next look.
                        seen = before;
                        keep(&book, &error);
                        continue;
                    }
                };
                // First: no account is let in without its limits.
                book.send_modify(|book| book.allowances = next.allowances.clone());
                if caller.replace_accounts(registrar.users).await.is_err() {
                    return;
                }
                book.send_replace(next);
                tracing::info!(accounts, "the accounts have been read anew");
            }
            Some(Err(error)) => keep(&book, &error),
        }
    }
}

/// The accounts of before stay in force, and why.
fn keep(book: &watch::Sender<Book>, error: &anyhow::Error) {
    let fault = format!("{error:#}");
    tracing::warn!(fault, "the accounts stay as they were");
    book.send_modify(|book| book.fault = Some(fault.into()));
}

/// What a change of the file changes, to be taken before it is read.
pub fn seen(sip: &config::Sip) -> Print {
    sip.accounts.as_deref().and_then(print)
}

/// The accounts, and where their telephones are.
#[derive(Debug)]
pub struct Accounts {
    book: watch::Receiver<Book>,
    telephones: Telephones,
}

/// An account as the API shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Account)]
pub struct AccountReport {
    /// Its name.
    #[schema(example = "reception")]
    pub account: String,
    /// Those that are registered now.
    pub telephones: Vec<TelephoneReport>,
    /// Its limits and how much of them is used, where it has some.
    pub limits: Option<AllowanceReport>,
}

/// A telephone as the API shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Telephone)]
pub struct TelephoneReport {
    /// How it wants to be called.
    #[schema(example = "sip:reception@192.0.2.20:5060")]
    pub contact: String,
    /// Where its REGISTER came from, and where its calls go.
    #[schema(example = "192.0.2.20:5060")]
    pub source: String,
    /// The proxies that its calls go by, the nearest first (Path, RFC 3327).
    #[schema(example = json!(["sip:192.0.2.30;lr"]))]
    pub path: Vec<String>,
    /// Over which transport.
    #[schema(example = "UDP")]
    pub transport: String,
    /// What it calls itself.
    #[schema(example = "baresip 3.10")]
    pub user_agent: Option<String>,
    /// In how many seconds it lapses, unless it comes again.
    #[schema(example = 240)]
    pub expires_in_s: u64,
}

impl Accounts {
    /// These, and the telephones that the endpoint knows.
    pub fn new(book: watch::Receiver<Book>, telephones: Telephones) -> Self {
        Self { book, telephones }
    }

    /// A place for a call that this account begins now; none where it has no limits.
    ///
    /// # Errors
    /// Its limits leave none.
    pub fn admit(&self, account: &str) -> Result<Option<Place>, Denied> {
        self.book.borrow().allowances.admit(account)
    }

    /// The same for a call to an emergency number, which counts among no others.
    ///
    /// # Errors
    /// Too many of these are up.
    pub fn admit_for_help(&self, account: &str) -> Result<Option<Place>, Denied> {
        self.book.borrow().allowances.admit_for_help(account)
    }

    /// Whether this number may be called for the account over a trunk.
    pub fn may_call(&self, account: &str, number: &str) -> bool {
        self.book.borrow().allowances.may_call(account, number)
    }

    /// A place for a further party of a call that this account has a place for already.
    ///
    /// # Errors
    /// Its day has none left.
    pub fn admit_further(&self, account: &str) -> Result<Option<Place>, Denied> {
        self.book.borrow().allowances.admit_further(account)
    }

    /// The database learns what calls that are up have talked so far.
    pub fn note_days(&self) {
        self.book.borrow().allowances.note_days();
    }

    /// Whether there is an account of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.book.borrow().names.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }

    /// Why the file of accounts as it is now is not what is in force.
    pub fn fault(&self) -> Option<Arc<str>> {
        self.book.borrow().fault.clone()
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
        let (mut calls, mut fault) = (Vec::new(), None);
        for telephone in self.telephones.of(name).iter() {
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

    /// Sends a text to every telephone of an account: the status of one that took it, else of the first that did not. `None`: none
    /// is registered.
    ///
    /// # Errors
    /// None of them could be sent it; the fault of the last one.
    pub async fn text(
        &self,
        caller: &Caller,
        name: &str,
        from: &str,
        text: &str,
    ) -> Result<Option<u16>, SignalingError> {
        let mut sending = JoinSet::new();
        for telephone in self.telephones.of(name).iter() {
            let (caller, telephone) = (caller.clone(), telephone.clone());
            let (from, text) = (from.to_owned(), text.to_owned());
            sending.spawn(async move { caller.text_telephone(&telephone, &from, &text).await });
        }
        let (mut taken, mut refused, mut fault) = (None, None, None);
        while let Some(sent) = sending.join_next().await {
            match sent {
                Ok(Ok(status @ 200..300)) => taken = Some(status),
                Ok(Ok(status)) => refused = refused.or(Some(status)),
                Ok(Err(error)) => fault = Some(error),
                // Cut off, as everything is.
                Err(_) => return Err(SignalingError::Stopped),
            }
        }
        match (taken.or(refused), fault) {
            (None, Some(fault)) => Err(fault),
            (status, _) => Ok(status),
        }
    }

    /// Every account with its telephones.
    pub fn report(&self, now: Instant) -> Vec<AccountReport> {
        let shown = |telephone: &Registered| TelephoneReport {
            contact: telephone.contact.to_string(),
            source: telephone.flow.remote.to_string(),
            path: telephone.path.iter().map(ToString::to_string).collect(),
            transport: telephone.flow.transport.to_string(),
            user_agent: telephone.user_agent.clone(),
            expires_in_s: telephone.until.saturating_duration_since(now).as_secs(),
        };
        let book = self.book.borrow().clone();
        let account = |name: &String| AccountReport {
            account: name.clone(),
            telephones: self.telephones.of(name).iter().map(shown).collect(),
            limits: book.allowances.report(name),
        };
        book.names.iter().map(account).collect()
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
