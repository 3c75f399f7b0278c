//! `[[sip.trunks]]`: a carrier or PBX, how it is reached, and what is different on its calls.

use std::path::PathBuf;

use ipnet::IpNet;
use milo_signaling::{CertificateFiles, SignalingError, Transport, Trust, Uri, User};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Clean, Faults, Secret, Servers, Sip, address, media::Codecs, sip_server};
use crate::trunk::{SentOn, Shows};

/// A carrier or PBX: one that calls come from, or go out to, or both.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Trunk {
    /// How it is called in logs, in the API and by the verb `dial`.
    pub name: String,
    /// Its IP address, or the network its calls come from. Not needed where Milo registers: calls from there are served.
    #[serde(deserialize_with = "network")]
    pub address: Option<IpNet>,
    /// Whether Milo registers with it.
    pub register: bool,
    /// Where: `sip:host:port`, with `;transport=tcp` for TCP; `sips:` or `;transport=tls` for TLS. Or a list: then with each.
    pub registrar: Option<Servers>,
    /// Where calls out go; unset, to the first registrar where Milo is registered, else to the address.
    pub gateway: Option<String>,
    /// The PEM file with the authorities that are believed when Milo connects to it by TLS, in place of those of `[sip]`.
    pub tls_ca: Option<PathBuf>,
    /// Whether its certificate is verified; unset: as `[sip]` says.
    pub tls_verify: Option<bool>,
    /// The PEM file with the certificate that Milo shows it, where it asks for one.
    pub tls_cert: Option<PathBuf>,
    /// The PEM file with its private key.
    pub tls_key: Option<PathBuf>,
    /// The proxy that everything to it goes by first, a SIP URI, where that is not the registrar or gateway itself.
    pub outbound_proxy: Option<String>,
    /// Milo's name there, to which calls come.
    pub username: Option<String>,
    /// The name that goes with the password, where that is not `username`.
    pub auth_username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A file that holds the password, read in place of it.
    pub password_file: Option<PathBuf>,
    /// The only realm that may ask for the password; unset: any.
    pub realm: Option<String>,
    /// The name with which it may call from any address, after it has proved by digest that it is the trunk.
    pub inbound_username: Option<String>,
    /// The password of that name.
    pub inbound_password: Option<Secret>,
    /// A file that holds it, read in place of it.
    pub inbound_password_file: Option<PathBuf>,
    /// The domain that its calls name. It tells trunks apart, and opens nothing.
    pub domain: Option<String>,
    /// Where they name it: `to` (the Request-URI) or `from`.
    pub domain_of: DomainOf,
    /// For how many seconds Milo asks to be registered.
    pub expires_s: u64,
    /// Who calls out: a number, or `caller` for whoever called Milo. Unset: the plan's `from`, else the username.
    pub caller_id: Option<String>,
    /// Who else may call out over it: these numbers, for whoever has Milo place a call, and for the plan's `from`.
    pub caller_ids: Option<Vec<String>>,
    /// What it is told of who calls: `from` alone, or by P-Asserted-Identity its own number besides: `asserted`.
    pub identity: Shows,
    /// How it is told where a call was before that came in and is sent on over it: `off`, `diversion`, `history-info`.
    pub diversion: SentOn,
    /// Whether whoever comes, or is called, over it may have Milo call somebody in their place (REFER), over a trunk as well.
    pub refer: bool,
    /// The beginnings of the numbers that may be called over it; unset, all that `deny` does not name.
    pub allow: Option<Vec<String>>,
    /// The beginnings of those that may not; of all that fit, the longest counts.
    pub deny: Option<Vec<String>>,
    /// Calls out within a day (UTC).
    pub calls_per_day: Option<u64>,
    /// Minutes of calls out within a day (UTC).
    pub minutes_per_day: Option<u64>,
    /// How often it is asked whether it is there (OPTIONS), in seconds.
    pub options_s: Option<u64>,
    /// Calls at once, in and out.
    pub max_calls: Option<usize>,
    /// Calls that may begin within a second, in and out.
    pub calls_per_second: Option<f64>,
    /// What of `[clean]` is otherwise on its calls.
    pub clean: TrunkClean,
    /// In place of `[recording] enabled`; a plan's own `record` stands above it.
    pub recording: Option<bool>,
    /// In place of `[media] codecs`, on its calls either way.
    pub codecs: Option<Codecs>,
}

/// Where a call names the domain by which its trunk is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainOf {
    /// The host of the Request-URI.
    #[default]
    To,
    /// The host of From.
    From,
}

/// The cleaners of a trunk; what is not set is as `[clean]` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrunkClean {
    /// Milo's own echo.
    pub echo: Option<bool>,
    /// Loud steady noise.
    pub noise: Option<bool>,
    /// The level.
    pub gain: Option<bool>,
    /// What lies below 100 Hz.
    pub high_pass: Option<bool>,
}

impl TrunkClean {
    /// What holds on the trunk's calls, where this is what holds on all others.
    pub fn over(&self, clean: &Clean) -> Clean {
        Clean {
            echo: self.echo.unwrap_or(clean.echo),
            noise: self.noise.unwrap_or(clean.noise),
            gain: self.gain.unwrap_or(clean.gain),
            high_pass: self.high_pass.unwrap_or(clean.high_pass),
        }
    }
}

impl Default for Trunk {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: None,
            register: false,
            registrar: None,
            gateway: None,
            tls_ca: None,
            tls_verify: None,
            tls_cert: None,
            tls_key: None,
            outbound_proxy: None,
            username: None,
            auth_username: None,
            password: None,
            password_file: None,
            realm: None,
            inbound_username: None,
            inbound_password: None,
            inbound_password_file: None,
            domain: None,
            domain_of: DomainOf::default(),
            expires_s: 600,
            caller_id: None,
            caller_ids: None,
            identity: Shows::From,
            diversion: SentOn::Off,
            refer: false,
            allow: None,
            deny: None,
            options_s: None,
            calls_per_day: None,
            minutes_per_day: None,
            max_calls: None,
            calls_per_second: None,
            clean: TrunkClean::default(),
            recording: None,
            codecs: None,
        }
    }
}

fn network<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpNet>, D::Error> {
    address::network(from).map(Some)
}

impl Trunk {
    /// Whose certificates are believed when Milo connects to it by TLS, and what it is shown; none: as `[sip]` says, and
    /// nothing.
    ///
    /// # Errors
    /// A file of `tls_ca`, `tls_cert` or `tls_key` cannot be used, or the system has no authorities.
    pub fn trust(&self, sip: &Sip) -> Result<Option<Trust>, SignalingError> {
        let own = match (&self.tls_ca, self.tls_verify) {
            (_, Some(false)) => Some(Trust::anybody()),
            (Some(file), _) => Some(Trust::authorities(file)?),
            (None, Some(true)) if !sip.tls_verify => Some(Trust::system()?),
            (None, _) => None,
        };
        let Some((chain, key)) = self.tls_cert.clone().zip(self.tls_key.clone()) else { return Ok(own) };
        let believed = match own {
            Some(own) => own,
            None => sip.trust()?.map_or_else(Trust::system, Ok)?,
        };
        believed.showing(&CertificateFiles { chain, key }).map(Some)
    }

    /// The proxy that everything to it goes by, as the first of its routes (RFC 3261 section 8.1.2).
    pub fn proxy(&self) -> Option<Uri> {
        let mut proxy = self.outbound_proxy.as_deref().and_then(|text| sip_server(text).ok())?;
        if let Uri::Sip(sip) = &mut proxy {
            // A strict router is no outbound proxy.
            sip.params.set("lr", None);
        }
        Some(proxy)
    }

    /// Whether Milo connects to it by TLS and believes whoever answers.
    pub fn is_unverified(&self, sip: &Sip) -> bool {
        let servers = self.registrar.as_ref().map(Servers::uris).unwrap_or_default();
        let gateway = self.gateway.as_deref().and_then(|text| sip_server(text).ok());
        let proxy = self.proxy();
        let mut all = servers.iter().chain(&gateway).chain(&proxy);
        let verifies = self.tls_verify.unwrap_or(self.tls_ca.is_some() || sip.tls_verify);
        !verifies && all.any(|server| matches!(Transport::of_uri(server), Ok(Some(Transport::Tls))))
    }

    /// The realm that asks it for its inbound credentials: its domain, else that of `[sip]`.
    pub fn inbound_realm<'t>(&'t self, sip: &'t Sip) -> &'t str {
        self.domain.as_deref().unwrap_or(&sip.realm)
    }

    fn check_login(&self, key: &str, faults: &mut Faults<'_>) {
        let at = |field: &str| format!("{key}.{field}");
        let secret = self.inbound_password.is_some() || self.inbound_password_file.is_some();
        match &self.inbound_username {
            None if secret => faults.add(&at("inbound_username"), "is missing".into()),
            Some(name) if !User::may_be_called(name) => {
                faults.add(&at("inbound_username"), "holds other characters than letters, digits, - _ . +".into());
            }
            Some(_) if !secret => {
                let says = "has neither an inbound_password nor an inbound_password_file";
                faults.add(&at("inbound_username"), says.into());
            }
            _ => {}
        }
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.[]:".contains(c);
        match &self.domain {
            Some(domain) if domain.is_empty() || !domain.chars().all(named) => {
                faults.add(&at("domain"), format!("= {domain:?} is no domain; one looks like sip.carrier.example"));
            }
            Some(_) if self.address.is_none() && !self.register && self.inbound_username.is_none() => {
                let says =
                    "opens nothing by itself: an address, register or an inbound_username says whose calls are served";
                faults.add(&at("domain"), says.into());
            }
            None if self.domain_of == DomainOf::From => {
                faults.add(&at("domain_of"), "says where a domain stands, and there is none".into());
            }
            _ => {}
        }
    }

    pub(super) fn check(&self, key: &str, faults: &mut Faults<'_>) {
        let at = |field: &str| format!("{key}.{field}");
        if self.name.trim().is_empty() {
            faults.add(&at("name"), "is empty".into());
        }
        if let Some(everybody) = self.address.filter(|address| address.prefix_len() == 0) {
            faults.add(&at("address"), format!("{everybody} is everybody: name the networks of your carrier"));
        }
        let has_login = self.inbound_username.is_some();
        if self.address.is_none() && self.registrar.is_none() && self.gateway.is_none() && !has_login {
            let says = "is missing, and so are registrar, gateway and inbound_username: one of them is needed";
            faults.add(&at("address"), says.into());
        }
        self.check_login(key, faults);
        if let Some(Err(says)) = self.gateway.as_deref().map(sip_server) {
            faults.add(&at("gateway"), says);
        }
        if let Some(Err(says)) = self.outbound_proxy.as_deref().map(sip_server) {
            faults.add(&at("outbound_proxy"), says);
        }
        if let Some(says) = self.registrar.as_ref().and_then(Servers::fault) {
            faults.add(&at("registrar"), says);
        }
        if self.tls_ca.is_some() && self.tls_verify == Some(false) {
            faults.add(&at("tls_ca"), "has no meaning while tls_verify is false".into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            faults.add(&at("tls_cert"), format!("and {key}.tls_key go together: a certificate and its key"));
        }
        if self.register && self.registrar.is_none() {
            faults.add(&at("register"), "= true needs a registrar".into());
        }
        let secret = self.password.is_some() || self.password_file.is_some();
        match &self.username {
            None if self.register || secret => faults.add(&at("username"), "is missing".into()),
            Some(name) if name.is_empty() || name.chars().any(|c| c.is_control() || "\"\\".contains(c)) => {
                faults.add(&at("username"), "is empty, or holds what no user name may".into());
            }
            Some(_) if !secret => {
                faults.add(&at("username"), "has neither a password nor a password_file".into());
            }
            _ => {}
        }
        match &self.auth_username {
            Some(_) if self.username.is_none() => faults.add(&at("auth_username"), "needs a username beside it".into()),
            Some(name) if name.is_empty() || name.chars().any(|c| c.is_control() || "\"\\".contains(c)) => {
                faults.add(&at("auth_username"), "is empty, or holds what no user name may".into());
            }
            _ => {}
        }
        faults.within(&at("expires_s"), self.expires_s, 60..=86_400);
        if let Some(calls) = self.max_calls {
            faults.within(&at("max_calls"), calls, 1..=100_000);
        }
        if let Some(calls) = self.calls_per_second {
            faults.within(&at("calls_per_second"), calls, 0.01..=10_000.0);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let wrong = |id: &String| id.is_empty() || !id.chars().all(plain);
        if self.caller_id.as_ref().is_some_and(wrong) {
            faults.add(&at("caller_id"), "is neither `caller` nor a number or name: letters, digits, - _ . +".into());
        }
        check_prefixes(key, (self.allow.as_deref(), self.deny.as_deref()), faults);
        if let Some(seconds) = self.options_s {
            faults.within(&at("options_s"), seconds, 1..=3_600);
            if self.registrar.is_none()
                && self.gateway.is_none()
                && self.address.is_some_and(|network| network.prefix_len() != network.max_prefix_len())
            {
                faults.add(
                    &at("options_s"),
                    "has nobody to ask: there is neither gateway, registrar nor single address".into(),
                );
            }
        }
        for (field, most) in [("calls_per_day", self.calls_per_day), ("minutes_per_day", self.minutes_per_day)] {
            if let Some(most) = most {
                faults.within(&at(field), most, 1..=10_000_000);
            }
        }
        if let Some(id) = self.caller_ids.iter().flatten().find(|id| wrong(id)) {
            faults.add(&at("caller_ids"), format!("= {id:?} is no number or name: letters, digits, - _ . +"));
        }
    }
}

/// What is wrong with the beginnings of numbers that may and may not be called.
pub(super) fn check_prefixes(
    key: &str,
    (allow, deny): (Option<&[String]>, Option<&[String]>),
    faults: &mut Faults<'_>,
) {
    let dialled = |c: char| c.is_ascii_alphanumeric() || "-_.+*#".contains(c);
    for (field, prefixes) in [("allow", allow), ("deny", deny)] {
        let wrong = |prefix: &&String| prefix.is_empty() || !prefix.chars().all(dialled);
        if let Some(prefix) = prefixes.into_iter().flatten().find(wrong) {
            let says = format!("= {prefix:?} begins no number; a beginning looks like 034 or +261");
            faults.add(&format!("{key}.{field}"), says);
        }
    }
    let allowed = |prefix: &&String| allow.into_iter().flatten().any(|allowed| allowed == *prefix);
    if let Some(both) = deny.into_iter().flatten().find(allowed) {
        faults.add(&format!("{key}.deny"), format!("and {key}.allow both name {both:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cleaner_is_switched_by_itself_and_the_others_stay() {
        let clean = Clean { echo: true, noise: false, gain: true, high_pass: false };
        let switches = |clean: Clean| [clean.echo, clean.noise, clean.gain, clean.high_pass];
        assert_eq!(switches(TrunkClean::default().over(&clean)), [true, false, true, false]);
        for (n, text) in ["echo = false", "noise = true", "gain = false", "high_pass = true"].into_iter().enumerate() {
            let trunk: TrunkClean = toml::from_str(text).unwrap();
            let mut wanted = switches(clean.clone());
            wanted[n] = !wanted[n];
            assert_eq!(switches(trunk.over(&clean)), wanted, "{text}");
        }
    }
}
