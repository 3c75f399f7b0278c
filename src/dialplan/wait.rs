//! What the verbs say whose callers wait for somebody: `hold`, `queue`, and `bridge`, which takes one of them.

use std::collections::BTreeMap;

use milo_signaling::User;
use serde::{Deserialize, Serialize};

use super::{Dial, Interpret, ask::strange, dial, variables};

/// As many as one line takes, and as are rung for it.
const WAITING: usize = 1_000;
const AGENTS: usize = 50;

/// How a caller is kept waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// How long, in seconds, 1 to 3,600; then the plan goes on.
    pub seconds: u64,
    /// What is heard: these sound files of the folder of dialplans, over and over, or the built-in music.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Keys of which each ends it.
    #[serde(default)]
    pub ends: String,
    /// Whether the caller's telephone is told by a re-INVITE (`sendonly`, RFC 3264 section 8.4), and shows it. Music needs no
    /// telling, and carriers are found that answer it wrongly. Of whoever is told, keys are heard by SIP INFO only.
    #[serde(default)]
    pub tell: bool,
}

impl Hold {
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=3_600).contains(&self.seconds) {
            return Some(format!("hold: seconds = {} is not within 1 to 3600", self.seconds));
        }
        strange(&self.ends).map(|fault| format!("hold: ends = {:?}: {fault}", self.ends))
    }
}

/// A line in which callers wait, the first of them first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// The line's name: letters, digits, `-` and `_`. Plans that name the same line share it.
    pub name: String,
    /// Accounts of `[sip] accounts` that are rung while they are free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// SIP addresses that are rung while they are free, as for `dial`; without any, and without accounts, callers wait for a
    /// `bridge`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Whether one is rung at a time, whoever is free the longest, or all who are free.
    #[serde(default)]
    pub ring: Ring,
    /// How long each is rung, in seconds, 5 to 120.
    #[serde(default = "twenty")]
    pub ring_seconds: u64,
    /// How long somebody is left in peace who did not come to the telephone, or has just hung up, in seconds, 1 to 600.
    #[serde(default = "five")]
    pub rest_seconds: u64,
    /// Who calls: the user part of From. Unset: for an account the caller's number, else `milo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How long a caller waits at most, in seconds, 1 to 7,200.
    #[serde(default = "ten_minutes")]
    pub seconds: u64,
    /// How many wait at most, 1 to 1,000.
    #[serde(default = "twenty_callers")]
    pub max: usize,
    /// How often callers hear how many are before them, and how long it may take, in seconds, 10 to 600; 0: never.
    #[serde(default = "a_minute")]
    pub announce_seconds: u64,
    /// What is heard meanwhile: these sound files of the folder of dialplans, over and over, or the built-in music.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Keys with which a caller leaves the line; the plan goes on.
    #[serde(default)]
    pub leave: String,
    /// Milo interprets between the caller and whoever is rung and comes, as for `dial`. Whoever takes one of the line by a `bridge` says so there.
    pub interpret: Option<Interpret>,
    /// The variable that tells what came of it: `answered`, `timeout`, `full` or `left`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// The plan to go on with when nobody came in time; without it, this plan goes on.
    pub failed: Option<String>,
    /// The plan to go on with when too many wait already; without it, as `failed` says.
    pub full: Option<String>,
}

/// Who is rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ring {
    /// One after the other.
    #[default]
    One,
    /// All who are free.
    All,
}

impl Queue {
    /// The calls by which one who is rung is reached: accounts first.
    pub fn agents(&self) -> Vec<Dial> {
        let dial = |to: &str, account: Option<&String>| Dial {
            to: to.into(),
            account: account.cloned(),
            trunk: None,
            seconds: self.ring_seconds,
            from: self.from.clone(),
            privacy: false,
            headers: BTreeMap::new(),
            country: dial::madagascar(),
            music_files: self.files.clone(),
            interpret: None,
        };
        let accounts = self.accounts.iter().map(|account| dial("", Some(account)));
        accounts.chain(self.to.iter().map(|to| dial(to, None))).collect()
    }

    pub(super) fn fault(&self) -> Option<String> {
        if let Some(fault) = unfit(&self.name) {
            return Some(format!("queue: name = {fault}"));
        }
        for (field, value, least, most) in [
            ("ring_seconds", self.ring_seconds, 5, 120),
            ("rest_seconds", self.rest_seconds, 1, 600),
            ("seconds", self.seconds, 1, 7_200),
            ("max", self.max as u64, 1, WAITING as u64),
        ] {
            if !(least..=most).contains(&value) {
                return Some(format!("queue: {field} = {value} is not within {least} to {most}"));
            }
        }
        if self.announce_seconds != 0 && !(10..=600).contains(&self.announce_seconds) {
            return Some(format!("queue: announce_seconds = {} is not within 10 to 600, nor 0", self.announce_seconds));
        }
        if self.accounts.len() + self.to.len() > AGENTS {
            return Some(format!("queue: accounts and to: more than {AGENTS} are rung for one line"));
        }
        if let Some(account) = self.accounts.iter().find(|account| !User::may_be_called(account)) {
            return Some(format!("queue: accounts: {account:?} is no name of an account: letters, digits, - _ . +"));
        }
        if let Some(fault) = self.agents().iter().filter(|agent| agent.account.is_none()).find_map(Dial::fault) {
            return Some(fault.replacen("dial:", "queue:", 1));
        }
        if let Some(fault) = self.interpret.as_ref().and_then(Interpret::fault) {
            return Some(format!("queue: {fault}"));
        }
        if self.interpret.is_some() && self.accounts.is_empty() && self.to.is_empty() {
            let right = "give `accounts` or `to`, or say it of the `bridge` that takes callers of this line";
            return Some(format!("queue: interpret: nobody is rung between whom and the caller Milo could; {right}"));
        }
        if let Some(why) = self.into.as_ref().and_then(|into| variables::unfit(into)) {
            return Some(format!("queue: into: {why}"));
        }
        strange(&self.leave).map(|fault| format!("queue: leave = {:?}: {fault}", self.leave))
    }
}

/// Whom this caller is joined with: one who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// The line of which the first is taken; some plan's `queue` has this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// In place of `queue`: the call of this identifier, which waits in a `queue` or on `hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// How long it is waited for when nobody is there, in seconds, 1 to 3,600.
    #[serde(default = "half_a_minute")]
    pub seconds: u64,
    /// What is heard meanwhile: these sound files of the folder of dialplans, over and over, or the built-in music.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Milo interprets between the two, as for `dial`: `caller` is who is joined here, `callee` who waited.
    pub interpret: Option<Interpret>,
    /// The variable that tells what came of it: `joined` or `nobody`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// The plan to go on with when nobody was there; without it, this plan goes on.
    pub failed: Option<String>,
}

impl Bridge {
    pub(super) fn fault(&self) -> Option<String> {
        if self.queue.is_some() == self.call.is_some() {
            return Some("bridge: give either `queue`, a line whose first is taken, or `call`, an identifier".into());
        }
        if !(1..=3_600).contains(&self.seconds) {
            return Some(format!("bridge: seconds = {} is not within 1 to 3600", self.seconds));
        }
        if let Some(fault) = self.interpret.as_ref().and_then(Interpret::fault) {
            return Some(format!("bridge: {fault}"));
        }
        let why = self.into.as_ref().and_then(|into| variables::unfit(into))?;
        Some(format!("bridge: into: {why}"))
    }
}

/// Why a line cannot be named so.
fn unfit(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let fit = (1..=64).contains(&name.len()) && name.bytes().all(plain);
    (!fit).then(|| format!("{name:?} is no name of a line: letters, digits, - _"))
}

fn five() -> u64 {
    5
}

fn twenty() -> u64 {
    20
}

fn half_a_minute() -> u64 {
    30
}

fn a_minute() -> u64 {
    60
}

fn ten_minutes() -> u64 {
    600
}

fn twenty_callers() -> usize {
    20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milo_interprets_for_whoever_comes_to_a_line_or_takes_one_of_it() {
        let queue = |more: &str| -> Queue { toml::from_str(&format!("name = 'a'\n{more}")).expect("a queue") };
        let two = "interpret = { caller = 'mg', callee = 'fr' }";
        assert_eq!(queue(&format!("accounts = ['rina']\n{two}")).fault(), None);
        let nobody = queue(two).fault().expect("nobody is rung");
        assert!(nobody.contains("queue: interpret") && nobody.contains("`bridge`"), "{nobody}");
        let one = queue("to = ['sip:1@192.0.2.7']\ninterpret = { caller = 'fr', callee = 'fr' }").fault();
        assert!(one.is_some_and(|fault| fault.starts_with("queue: interpret: caller and callee both speak fr")));
        let bridge = |more: &str| -> Bridge { toml::from_str(&format!("queue = 'a'\n{more}")).expect("a bridge") };
        assert_eq!(bridge(two).fault(), None);
        let one = bridge("interpret = { caller = 'mg', callee = 'mg' }").fault();
        assert!(one.is_some_and(|fault| fault.starts_with("bridge: interpret: caller and callee both speak mg")));
    }
}
