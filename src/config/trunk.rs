//! `[[sip.trunks]]`: a carrier or PBX, how it is reached, and what is different on its calls.

use std::path::PathBuf;

use ipnet::IpNet;
use milo_signaling::{Transport, Uri};
use serde::{Deserialize, Deserializer, Serialize};

use crate::trunk::{SentOn, Shows};

use super::{Clean, Faults, Secret, address, media::Codecs};

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
    /// Where: `sip:host:port`, with `;transport=tcp` for TCP; `sips:` or `;transport=tls` for TLS.
    pub registrar: Option<String>,
    /// Where calls out go; unset, to the registrar, else to the address.
    pub gateway: Option<String>,
    /// Milo's name there, to which calls come.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A file that holds the password, read in place of it.
    pub password_file: Option<PathBuf>,
    /// The only realm that may ask for the password; unset: any.
    pub realm: Option<String>,
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
    /// In place of `[media] codecs`.
    pub codecs: Option<Codecs>,
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
            username: None,
            password: None,
            password_file: None,
            realm: None,
            expires_s: 600,
            caller_id: None,
            caller_ids: None,
            identity: Shows::From,
            diversion: SentOn::Off,
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

/// A registrar or gateway.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn sip_server(text: &str) -> Result<Uri, String> {
    let uri: Option<Uri> = text.parse().ok();
    uri.filter(|uri| uri.as_sip().is_some() && uri.user().is_empty() && Transport::of_uri(uri).is_ok())
        .ok_or_else(|| format!("= {text:?} is no server; one looks like sip:sip.carrier.example:5060;transport=tcp"))
}

impl Trunk {
    pub(super) fn check(&self, key: &str, faults: &mut Faults<'_>) {
        let at = |field: &str| format!("{key}.{field}");
        if self.name.trim().is_empty() {
            faults.add(&at("name"), "is empty".into());
        }
        if let Some(everybody) = self.address.filter(|address| address.prefix_len() == 0) {
            faults.add(&at("address"), format!("{everybody} is everybody: name the networks of your carrier"));
        }
        if self.address.is_none() && self.registrar.is_none() && self.gateway.is_none() {
            faults.add(&at("address"), "is missing, and so are registrar and gateway: one of them is needed".into());
        }
        for (field, address) in [("registrar", &self.registrar), ("gateway", &self.gateway)] {
            if let Some(Err(says)) = address.as_deref().map(sip_server) {
                faults.add(&at(field), says);
            }
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
        let dialled = |c: char| plain(c) || "*#".contains(c);
        for (field, prefixes) in [("allow", &self.allow), ("deny", &self.deny)] {
            let wrong = |prefix: &&String| prefix.is_empty() || !prefix.chars().all(dialled);
            if let Some(prefix) = prefixes.iter().flatten().find(wrong) {
                faults.add(&at(field), format!("= {prefix:?} begins no number; a beginning looks like 034 or +261"));
            }
        }
        let allowed = |prefix: &&String| self.allow.iter().flatten().any(|allowed| allowed == *prefix);
        if let Some(both) = self.deny.iter().flatten().find(allowed) {
            faults.add(&at("deny"), format!("and {key}.allow both name {both:?}"));
        }
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

    #[test]
    fn a_server_is_a_sip_uri_without_a_user() {
        for right in
            ["sip:carrier.example", "sip:192.0.2.7:5080;transport=TCP", "sips:carrier.example", "SIP:[2001:db8::1]"]
        {
            assert!(sip_server(right).is_ok(), "{right}");
        }
        for wrong in
            ["carrier.example", "sip:a@carrier.example", "sips:c;transport=udp", "sip:c;transport=sctp", "tel:1", ""]
        {
            assert!(sip_server(wrong).is_err(), "{wrong}");
        }
    }
}
