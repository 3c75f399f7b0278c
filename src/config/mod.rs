//! Configuration: one struct, parsed once. First `milo.toml`, then the environment, which wins.
//!
//! ```text
//! --config FILE | ./milo.toml | /etc/milo/milo.toml ─┐
//! .env of the working folder ─┐                      ├─► known keys? ─► right types? ─► possible values? ─► Config
//! environment ────────────────┴─ names of env.rs ────┘
//! ```
//! Each section is a small file of this folder; a field has a sentence and a default there. The schema is not written down
//! a second time: it is the serialized default, so a key is known if and only if a field carries it. Whatever is wrong is
//! reported all at once, each with its file and line (or variable), its key and the nearest right one.

mod account;
mod address;
mod batch;
mod campaigns;
mod chat;
mod checkpoint;
mod clean;
mod conversation;
mod database;
mod dialplans;
mod drain;
mod engines;
mod env;
mod fault;
mod http;
mod limits;
mod log;
mod mcp;
mod media;
mod rate_limits;
mod read;
mod recording;
mod redis;
mod secret;
mod servers;
mod sip;
mod telemetry;
mod trunk;
mod trunk_names;
mod webhook;
mod webhooks;
mod webrtc;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::redis::Redis;
pub use account::AccountLimits;
pub use address::{Addresses, PortRange};
pub use batch::Batch;
pub use campaigns::Campaigns;
pub use chat::Chat;
pub use clean::Clean;
pub use conversation::Conversation;
pub use database::Database;
pub use dialplans::Dialplans;
pub use drain::Drain;
pub use engines::{Engines, GraphDevice, Kserve, Llm, LlmEngine, SpeechEngine, Stt, Translate, Tts, TurnEngine, Vad};
pub use env::Sources;
pub use fault::{ConfigError, Fault, Place};
pub use http::Http;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use mcp::McpServer;
pub use media::{InbandDtmf, LearnFrom, Media, Srtp, SrtpOffer};
pub use rate_limits::RateLimits;
pub use recording::{Recording, RecordingFormat};
pub use secret::{Secret, SecretUrl};
pub use servers::{Servers, sip_server};
pub use sip::{EmergencyCalls, Sip};
pub use telemetry::Telemetry;
pub use trunk::{DomainOf, Trunk, TrunkClean};
pub use trunk_names::TrunkNames;
pub use webhook::Webhook;
pub use webhooks::{CallEvent, WebhookTarget, http_address};
pub use webrtc::WebRtc;

use fault::{Faults, Origins};

/// Everything that can be set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The folder for what Milo keeps: the SQLite database, unpacked models. Unset: `$XDG_DATA_HOME/milo`,
    /// `~/.local/share/milo`, or `/var/lib/milo` for a user without a home.
    pub data_dir: PathBuf,
    /// `[http]`
    pub http: Http,
    /// `[sip]`
    pub sip: Sip,
    /// `[media]`
    pub media: Media,
    /// `[webrtc]`
    pub webrtc: WebRtc,
    /// `[clean]`
    pub clean: Clean,
    /// `[recording]`
    pub recording: Recording,
    /// `[database]`
    pub database: Database,
    /// `[dialplans]`
    pub dialplans: Dialplans,
    /// `[webhook]`
    pub webhook: Webhook,
    /// `[[webhooks]]`
    pub webhooks: Vec<WebhookTarget>,
    /// `[[mcp]]`
    pub mcp: Vec<McpServer>,
    /// `[engines]`
    pub engines: Engines,
    /// `[limits]`
    pub limits: Limits,
    /// `[rate_limits]`
    pub rate_limits: RateLimits,
    /// `[redis]`
    pub redis: Redis,
    /// `[conversation]`
    pub conversation: Conversation,
    /// `[chat]`
    pub chat: Chat,
    /// `[batch]`
    pub batch: Batch,
    /// `[campaigns]`
    pub campaigns: Campaigns,
    /// `[log]`
    pub log: Log,
    /// `[drain]`
    pub drain: Drain,
    /// `[telemetry]`
    pub telemetry: Telemetry,
}

/// A configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What a person should know, a sentence each: variables that this version does not use.
    pub notes: Vec<String>,
    origins: Origins,
}

impl Config {
    /// Reads file and environment.
    ///
    /// # Errors
    /// Every unknown key and impossible value, or the first wrong type.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        read::load(sources)
    }

    /// The call log's address: the configured one, or the SQLite file in the data folder.
    pub fn database_url(&self) -> SecretUrl {
        match &self.database.url {
            Some(url) => url.clone(),
            None => {
                // Two characters mean something else in an address (RFC 3986 section 2.1).
                let file = self.data_dir.join("milo.db").display().to_string().replace('%', "%25").replace('?', "%3F");
                SecretUrl::new(format!("sqlite:{file}"))
            }
        }
    }

    fn check(&self, faults: &mut Faults<'_>) {
        self.http.check(faults);
        self.telemetry.check(faults);
        self.sip.check(faults);
        self.media.check(faults);
        self.webrtc.check(faults);
        self.recording.check(faults);
        self.database.check(faults);
        self.webhook.check(faults);
        WebhookTarget::check_all(&self.webhooks, faults);
        McpServer::check_all(&self.mcp, faults);
        self.engines.check(faults);
        self.limits.check(faults);
        self.rate_limits.check(faults);
        self.redis.check(faults);
        self.chat.check(faults);
        self.batch.check(faults);
        self.campaigns.check(faults);
        self.conversation.check(faults);
        self.log.check(faults);
        self.drain.check(faults);
    }
}

impl Loaded {
    /// What is in force, one key a line with its origin, secrets masked: the answer of `milo config check`.
    pub fn describe(&self) -> String {
        let mut lines = Vec::new();
        read::flatten("", &read::json(&self.config), &mut |key, value| {
            let value = match value {
                serde_json::Value::Null => "(unset)".into(),
                value => value.to_string(),
            };
            lines.push((format!("{key} = {value}"), self.origins.place(key)));
        });
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default().min(60);
        lines.into_iter().map(|(line, place)| format!("{line:width$}  # {place}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/milo.toml"));

    /// The example with its commented settings (`#key = value`, no space after the #) switched on.
    fn example_with_everything() -> String {
        EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => setting,
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn load(text: &str) -> Result<Loaded, ConfigError> {
        read::load_text(Path::new("milo.toml"), text, &[("HOME".into(), "/home/m".into())])
    }

    #[test]
    fn the_example_is_valid_as_it_stands_and_with_everything_switched_on() {
        load(EXAMPLE).unwrap();
        // Of the public address and the server that is asked for it there can be one, and of a model and those by language.
        let by_language = [
            "\nstun",
            "\npath = \"/var/lib/milo/models/whisper",
            "\npath = \"/var/lib/milo/models/nllb",
            "\nmodel = \"whisper-medium-encoder",
            "\npath = \"/var/lib/milo/served/whisper",
        ];
        let of_all = [
            "\npublic_address",
            "\nmg = ",
            "\nfr = ",
            "\nmg_fr = ",
            "\nfr_mg = ",
            "\nmodel = \"mms-",
            "\npath = \"/var/lib/milo/served/mms-1b",
            "\nmodel = \"wav2vec2-",
            "\npath = \"/var/lib/milo/served/wav2vec2-",
        ];
        for others in [&by_language[..], &of_all] {
            let without = |text: String, other: &&str| text.replacen(other, &other.replace('\n', "\n#"), 1);
            load(&others.iter().fold(example_with_everything(), without)).unwrap();
        }
    }

    #[test]
    fn the_example_shows_every_setting_with_its_default() {
        let table: toml::Table = toml::from_str(&example_with_everything()).unwrap();
        let (mut shown, mut known) = (BTreeSet::new(), BTreeSet::new());
        read::flatten("", &serde_json::to_value(table).unwrap(), &mut |key, _| {
            shown.insert(key.to_owned());
        });
        read::flatten("", &read::schema(), &mut |key, _| {
            known.insert(key.to_owned());
        });
        assert_eq!(
            known.difference(&shown).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "missing from deploy/milo.toml"
        );
        assert_eq!(shown.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "only in deploy/milo.toml");
        // What is not commented out says the default.
        assert_eq!(read::json(&load(EXAMPLE).unwrap().config), read::json(&load("").unwrap().config));
    }

    /// Each setting is used by code outside this folder, as `section.field`.
    #[test]
    fn every_setting_is_read() {
        fn sources(folder: &Path, into: &mut String) {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() && !entry.ends_with("config") && !entry.ends_with("tests") {
                    sources(&entry, into);
                } else if entry.extension().is_some_and(|ending| ending == "rs") {
                    into.push_str(&fs::read_to_string(&entry).unwrap());
                }
            }
        }
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let mut unread = Vec::new();
        read::flatten("", &read::schema(), &mut |key, _| {
            let parts: Vec<&str> = key.split('.').collect();
            let asked = match parts.as_slice() {
                ["sip", "trunks[0]", "tls_ca" | "tls_verify" | "tls_cert" | "tls_key"] => "trunk.trust(".into(),
                ["sip", "trunks[0]", "outbound_proxy"] => "trunk.proxy()".into(),
                ["sip", "trunks[0]", field] => format!("trunk.{field}"),
                ["sip", "account_limits[0]", field] => format!("limits.{field}"),
                ["database", "url"] => "database_url()".into(),
                [section @ ("sip" | "http"), "tls_cert" | "tls_key"] => format!("{section}.certificate()"),
                ["engines", "kserve", placed @ ("whisper" | "wav2vec2" | "vits"), ..] => {
                    format!("kserve.{placed}.named()")
                }
                ["mcp[0]", "name" | "seconds"] => format!("server.{}", parts[1]),
                ["mcp[0]", field] => format!("settings.{field}"),
                ["webhooks[0]", "name"] => "settings.called()".into(),
                ["webhooks[0]", "url"] => "settings.uri()".into(),
                ["webhooks[0]", field] => format!("settings.{field}"),
                ["sip", "tls_ca" | "tls_verify"] => "sip.trust()".into(),
                [only] => format!("config.{only}"),
                [.., section, field] => format!("{section}.{field}"),
                [] => return,
            };
            if !code.contains(&asked) {
                unread.push(format!("{key} (no `{asked}` outside src/config)"));
            }
        });
        assert!(unread.is_empty(), "settings that nothing reads: {unread:#?}");
    }

    #[test]
    fn an_empty_configuration_stays_on_this_machine() {
        let config = load("").unwrap().config;
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8000");
        assert!(
            config.sip.udp.as_slice().iter().chain(config.sip.tcp.as_slice()).all(|address| address.ip().is_loopback())
        );
        assert_eq!(config.data_dir, Path::new("/home/m/.local/share/milo"));
        assert_eq!(config.database_url().reveal(), "sqlite:/home/m/.local/share/milo/milo.db");
    }

    #[test]
    fn each_fault_names_file_line_key_and_the_nearest_right_one() {
        for (text, said) in [
            (
                "[http]\nlisen = \"127.0.0.1:1\"",
                "milo.toml, line 2: http.lisen is not a setting; did you mean http.listen?",
            ),
            ("[htp]\nlisten = \"127.0.0.1:1\"", "milo.toml, line 1: htp is not a setting; did you mean http?"),
            ("listen = \"127.0.0.1:1\"", "milo.toml, line 1: listen is not a setting; did you mean http.listen?"),
            ("[limits]\ncalls = \"many\"", "milo.toml, line 2: limits.calls"),
            ("[limits]\n\ncalls = 0", "milo.toml, line 3: limits.calls = 0 is not within 1 to 100000"),
            ("[limits]\ncalls = -1", "milo.toml, line 2: limits.calls"),
            ("http = 3", "milo.toml, line 1: http is a section: write [http] and its settings below"),
            ("[http]\nlisten = \"here\"", "milo.toml, line 2: http.listen: \"here\" is not an IP address with a port"),
            (
                "[http]\nlisten = \"0.0.0.0:1\"",
                "milo.toml, line 2: http.listen 0.0.0.0:1 can be reached from other machines",
            ),
            ("[media]\nrtp_ports = \"9-3\"", "milo.toml, line 2: media.rtp_ports: \"9-3\" is not a range"),
            ("[media]\ncodecs = [\"G729\"]", "milo.toml, line 2: media.codecs: \"G729\" is no codec; there are opus"),
            ("[media]\ncodecs = [\"pcma\", \"PCMA\"]", "milo.toml, line 2: media.codecs: \"PCMA\" stands there twice"),
            ("[media]\ncodecs = []", "milo.toml, line 2: media.codecs: is empty"),
            ("[media]\nopus_bitrate = 500", "milo.toml, line 2: media.opus_bitrate = 500 is not within 6000 to 128000"),
            (
                "[[sip.trunks]]\nname = \"a\"\naddress = \"x\"",
                "milo.toml, line 3: sip.trunks[0].address: \"x\" is neither",
            ),
            ("[[sip.trunks]]\nname = \"a\"\nadress = \"10.0.0.1\"", "did you mean sip.trunks[0].address?"),
            (
                "[[sip.trunks]]\nname = \"a\"",
                "milo.toml, line 1: sip.trunks[0].address is missing, and so are registrar",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\nregister = true\nregistrar = \"sip:c\"",
                "milo.toml, line 1: sip.trunks[0].username is missing",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\ngateway = \"sip:c\"\ndomain = \"c.example\"",
                "milo.toml, line 4: sip.trunks[0].domain opens nothing by itself",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\ninbound_username = \"in\"",
                "milo.toml, line 3: sip.trunks[0].inbound_username has neither an inbound_password",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\nregistrar = []",
                "milo.toml, line 3: sip.trunks[0].registrar is a list of 0",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\nregistrar = \"sip:c\"\nusername = \"u\"",
                "milo.toml, line 4: sip.trunks[0].username has neither a password nor",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\ngateway = \"c\"\ncalls_per_second = 0.0",
                "milo.toml, line 4: sip.trunks[0].calls_per_second = 0 is not within",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\naddress = \"10.0.0.1\"\n[[sip.trunks]]\nname = \"a\"\naddress = \"10.0.0.2\"",
                "milo.toml, line 5: sip.trunks[1].name \"a\" is the name of another trunk",
            ),
            ("[sip]\nmin_se_s = 60", "milo.toml, line 2: sip.min_se_s = 60 is not within 90 to 1800"),
            (
                "[[sip.trunks]]\nname = \"a\"\ngateway = \"sip:c\"\nallow = [\"03\"]\ndeny = [\"03\"]",
                "milo.toml, line 5: sip.trunks[0].deny and sip.trunks[0].allow both name \"03\"",
            ),
            (
                "[[sip.trunks]]\nname = \"a\"\ngateway = \"sip:c\"\nallow = [\"\"]",
                "milo.toml, line 4: sip.trunks[0].allow = \"\" begins no number",
            ),
            (
                "[sip]\nemergency = [\"117\"]\nemergency_calls = \"pass\"",
                "milo.toml, line 3: sip.emergency_calls = \"pass\" needs an emergency_trunk",
            ),
            ("[sip]\nemergency_trunk = \"x\"", "milo.toml, line 2: sip.emergency_trunk = \"x\" is not the name of one"),
            (
                "[sip]\nemergency_calls = \"announce\"",
                "milo.toml, line 2: sip.emergency_calls = \"announce\" needs an emergency_announcement",
            ),
            (
                "[[webhooks]]\nurl = \"ftp://a\"",
                "milo.toml, line 2: webhooks[0].url is no address like https://crm.example.com/milo",
            ),
            (
                "[[webhooks]]\nurl = \"https://a/?k=1\"\n[[webhooks]]\nurl = \"https://a/?k=2\"",
                "webhooks[1].name \"https://a/\" is the name of another one",
            ),
            ("[[webhooks]]\nurl = \"https://a/\"\nevents = [\"rang\"]", "milo.toml, line 3: webhooks[0].events"),
            ("[[webhooks]]\nurl = \"https://a/\"\nattempts = 0", "webhooks[0].attempts = 0 is not within 1 to 50"),
            ("[campaigns]\ncountry = \"mg\"", "milo.toml, line 2: campaigns.country \"mg\" is no country code"),
            ("[log]\nlevel = \"loud\"", "milo.toml, line 2: log.level \"loud\" is no level"),
            ("[log]\nformat = \"xml\"", "milo.toml, line 2: log.format"),
            ("a = \n", "milo.toml, line 1"),
            ("[drain]\nseconds = 1\nseconds = 2", "milo.toml, line 3"),
            ("[database]\nurl = \"mysql://u:secret@h/d\"", "milo.toml, line 2: database.url begins neither"),
            ("[redis]\nurl = \"http://:secret@h/0\"", "milo.toml, line 2: redis.url begins with none of redis://"),
            ("[redis]\nurl = \"redis://:secret@h/first\"", "milo.toml, line 2: redis.url is no address of a Redis"),
            (
                "[redis]\nurl = \"rediss://:secret@h/0#insecure\"",
                "milo.toml, line 2: redis.url asks to believe whoever",
            ),
            ("[conversation]\nsilence_hangup_s = 3", "milo.toml, line 2: conversation.silence_hangup_s is not longer"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}\n  said: {error}\n  not:  {said}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn all_unknown_keys_are_reported_at_once() {
        let ConfigError(faults) = load("[http]\nlisen = 1\n[sip]\nupd = 2").unwrap_err();
        assert_eq!(faults.len(), 2);
    }

    #[test]
    fn what_is_in_force_is_shown_with_origin_and_without_secrets() {
        let text = "[http]\napi_key = \"0123456789abcdef\"\n[database]\nurl = \"postgres://m:hush@db/m\"\n\
                    [[sip.trunks]]\nname = \"c\"\ngateway = \"sip:c\"\nusername = \"u\"\npassword = \"hush\"";
        let shown = load(text).unwrap().describe();
        assert!(!shown.contains("hush") && !shown.contains("0123456789abcdef"), "{shown}");
        assert!(
            shown
                .lines()
                .any(|line| line.starts_with("http.api_key = \"***\"") && line.ends_with("# milo.toml, line 2"))
        );
        assert!(
            shown.lines().any(|line| line.starts_with("limits.calls = 50") && line.ends_with("# default")),
            "{shown}"
        );
    }
}
