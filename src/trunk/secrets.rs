//! The secrets of trunks: who Milo is there, and what a trunk proves itself with here.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use milo_signaling::{Credentials, TrunkLogin, User};

use crate::config;

/// Who Milo is on a trunk that asks for it.
///
/// # Errors
/// The file of the password cannot be read, or is no password.
pub fn credentials(trunk: &config::Trunk) -> Result<Option<Credentials>> {
    let Some(username) = trunk.username.clone() else { return Ok(None) };
    let password = password(("password_file", trunk.password_file.as_ref()), trunk.password.as_ref())?;
    let username = trunk.auth_username.clone().unwrap_or(username);
    Ok(password.map(|password| Credentials { username, password, realm: trunk.realm.clone() }))
}

/// What a trunk that may call from anywhere proves itself with.
///
/// # Errors
/// The file of the password cannot be read, or is no password.
pub fn login(trunk: &config::Trunk, sip: &config::Sip) -> Result<Option<TrunkLogin>> {
    let Some(name) = &trunk.inbound_username else { return Ok(None) };
    let file = ("inbound_password_file", trunk.inbound_password_file.as_ref());
    let Some(password) = password(file, trunk.inbound_password.as_ref())? else { return Ok(None) };
    let realm = trunk.inbound_realm(sip).to_owned();
    let of = match trunk.domain_of {
        config::DomainOf::To => milo_signaling::DomainOf::To,
        config::DomainOf::From => milo_signaling::DomainOf::From,
    };
    Ok(Some(TrunkLogin {
        trunk: trunk.name.clone(),
        user: User::new(name, &realm, &password),
        realm,
        domain: trunk.domain.clone().map(|domain| (domain, of)),
    }))
}

/// A password, from its file if there is one.
fn password((key, file): (&str, Option<&PathBuf>), plain: Option<&config::Secret>) -> Result<Option<String>> {
    let Some(file) = file else { return Ok(plain.map(|plain| plain.reveal().to_owned())) };
    let text = fs::read_to_string(file).with_context(|| format!("its {key} {}", file.display()))?;
    let line = text.trim_end_matches(['\r', '\n']);
    ensure!(!line.is_empty() && !line.contains('\n'), "its {key} {} is no single line", file.display());
    Ok(Some(line.to_owned()))
}
