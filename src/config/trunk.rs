//! `[[sip.trunks]]`: a carrier or PBX, and what is different on its calls.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Clean, Faults, address, media::Codecs};

/// A carrier or PBX that may call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trunk {
    /// How it is called in logs.
    pub name: String,
    /// Its IP address, or the network its calls come from.
    #[serde(deserialize_with = "address::network")]
    pub address: IpNet,
    /// What of `[clean]` is otherwise on its calls.
    #[serde(default)]
    pub clean: TrunkClean,
    /// In place of `[recording] enabled`; a plan's own `record` stands above it.
    #[serde(default)]
    pub recording: Option<bool>,
    /// In place of `[media] codecs`.
    #[serde(default)]
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

impl Trunk {
    /// One with every key, for the list of keys.
    pub(super) fn example() -> Self {
        Self {
            name: String::new(),
            address: std::net::IpAddr::from([127, 0, 0, 1]).into(),
            clean: TrunkClean::default(),
            recording: None,
            codecs: None,
        }
    }

    pub(super) fn check(&self, key: &str, faults: &mut Faults<'_>) {
        if self.name.trim().is_empty() {
            faults.add(&format!("{key}.name"), "is empty".into());
        }
        if self.address.prefix_len() == 0 {
            let says = format!("{} is everybody: name the networks of your carrier", self.address);
            faults.add(&format!("{key}.address"), says);
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
}
