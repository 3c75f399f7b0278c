//! The environment: `MILO__SECTION__KEY` for every setting, and the names that the Python system used.

use std::{
    env,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;

use super::{
    ConfigError, Fault, Place, checkpoint,
    fault::Origins,
    read::{keys, unknown},
};

/// The Python system's names (and two of Milo's own) for settings that exist.
const NAMES: &[(&str, &str)] = &[
    ("ANTHROPIC_API_KEY", "engines.anthropic_api_key"),
    ("API_KEY", "http.api_key"),
    ("CORS_ORIGINS", "http.cors_origins"),
    ("DATABASE_URL", "database.url"),
    ("LOCAL_LLM_MODEL_PATH", "engines.llm.path"),
    ("LOCAL_LLM_N_GPU_LAYERS", "engines.llm.gpu_layers"),
    ("LOG_LEVEL", "log.level"),
    ("MILO_DATA_DIR", "data_dir"),
    ("OPENAI_API_KEY", "engines.openai_api_key"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("PROMETHEUS_ENABLED", "http.metrics"),
    ("RATE_LIMIT_FREE", "rate_limits.free"),
    ("RATE_LIMIT_PRO", "rate_limits.pro"),
    ("REDIS_URL", "redis.url"),
    ("SESSION_MAX_HISTORY", "chat.session_history"),
    ("SESSION_TTL_S", "chat.session_ttl_s"),
];

/// Where a configuration is looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config FILE`; it must exist.
    pub file: Option<PathBuf>,
    /// Else the first of these that exists.
    pub search: Vec<PathBuf>,
    /// The folder whose `.env` is read.
    pub folder: PathBuf,
    /// The variables of the process; they win over those of `.env`.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// Those of this process.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            search: vec!["milo.toml".into(), "/etc/milo/milo.toml".into()],
            folder: PathBuf::new(),
            // A variable that is not text can be none of ours.
            environment: env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        }
    }
}

/// Lays the variables over the table of the file. Returns notes about variables that have no effect.
pub(super) fn overlay(
    table: &mut toml::Table,
    variables: &[(String, String)],
    schema: &Json,
    origins: &mut Origins,
    faults: &mut Vec<Fault>,
) -> Vec<String> {
    // An empty variable counts as unset, as in the Python system's example file.
    let variable =
        |name: &str| variables.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, value)| value.as_str());
    let mut notes = Vec::new();
    let place = |name: &str| Place::Variable(name.into());

    for (name, key) in NAMES {
        if let Some(text) = variable(name) {
            let text = match *name {
                "LOG_LEVEL" => python_level(text),
                "CORS_ORIGINS" => list(text),
                _ => text.into(),
            };
            put(table, key, typed(&text, lookup(schema, key)));
            origins.set(key, place(name));
        }
    }
    if let (host, port) = (variable("API_HOST"), variable("API_PORT"))
        && (host.is_some() || port.is_some())
    {
        let before = table.get("http").and_then(|http| http.get("listen")).and_then(toml::Value::as_str);
        let before = before.or(lookup(schema, "http.listen").as_str()).unwrap_or_default().to_owned();
        let (old_host, old_port) = before.rsplit_once(':').unwrap_or_default();
        let host =
            host.map_or(old_host.into(), |host| if host.contains(':') { format!("[{host}]") } else { host.into() });
        put(table, "http.listen", toml::Value::String(format!("{host}:{}", port.unwrap_or(old_port))));
        origins.set("http.listen", place(if port.is_some() { "API_PORT" } else { "API_HOST" }));
    }

    let everywhere = keys(schema);
    for (name, text) in variables.iter().filter(|(name, text)| name.starts_with("MILO__") && !text.is_empty()) {
        let key = name["MILO__".len()..].to_ascii_lowercase().replace("__", ".");
        if everywhere.contains(&key) && !lookup(schema, &key).is_object() {
            put(table, &key, typed(text, lookup(schema, &key)));
            origins.set(&key, place(name));
        } else {
            let section = key.rsplit_once('.').map_or(schema, |(section, _)| lookup(schema, section));
            faults.push(Fault { place: place(name), says: unknown(&key, section, &everywhere) });
        }
    }

    notes.extend(mode(table, &variable, schema, origins, faults));

    if !table.contains_key("data_dir") {
        let folder = match (variable("XDG_DATA_HOME"), variable("HOME")) {
            (Some(data), _) if Path::new(data).is_absolute() => Path::new(data).join("milo"),
            (_, Some(home)) => Path::new(home).join(".local/share/milo"),
            _ => PathBuf::from("/var/lib/milo"),
        };
        put(table, "data_dir", toml::Value::String(folder.display().to_string()));
    }
    let is_set = |key: &str| {
        let (section, name) = key.rsplit_once('.').unwrap_or_default();
        section
            .split('.')
            .try_fold(&*table, |at, name| at.get(name)?.as_table())
            .is_some_and(|at| at.contains_key(name))
    };
    let data_dir = table.get("data_dir").and_then(toml::Value::as_str).unwrap_or_default();
    let read = checkpoint::read(&variable, &is_set, data_dir, faults);
    checkpoint::remember(&read, origins);
    for (_, key, folder) in read.paths {
        put(table, key, toml::Value::String(folder));
    }
    notes.extend(read.notes);
    notes
}

/// `DEFAULT_MODE` says who is asked where a persona does not: the local model, or the cloud, which is Anthropic's where the file names no
/// other server. A server that the file names stays there for personas that want it. The variables of Claude's are for Anthropic's. Returns
/// a note where a key is of no use.
fn mode<'v>(
    table: &mut toml::Table,
    variable: &impl Fn(&str) -> Option<&'v str>,
    schema: &Json,
    origins: &mut Origins,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    let place = |name: &str| Place::Variable(name.into());
    let engine = |table: &toml::Table| {
        let set = table.get("engines").and_then(|engines| engines.get("llm")?.get("engine")?.as_str());
        set.unwrap_or("local").to_owned()
    };
    let mut wanted = Vec::new();
    match variable("DEFAULT_MODE").map(str::to_ascii_lowercase).as_deref() {
        None => {}
        Some("local") => wanted.push(("engines.llm.default_mode", "local")),
        Some("cloud") => {
            wanted.push(("engines.llm.default_mode", "cloud"));
            wanted.extend((engine(table) == "local").then_some(("engines.llm.engine", "anthropic")));
        }
        Some(_) => {
            let says = "engines.llm.default_mode: the mode is neither \"cloud\" nor \"local\"".into();
            faults.push(Fault { place: place("DEFAULT_MODE"), says });
        }
    }
    for (key, value) in wanted {
        put(table, key, toml::Value::String(value.into()));
        origins.set(key, place("DEFAULT_MODE"));
    }
    let engine = engine(table);
    for (name, key, own) in [
        ("CLAUDE_MODEL", "engines.llm.model", "MILO__ENGINES__LLM__MODEL"),
        ("CLAUDE_TIMEOUT_S", "engines.llm.first_token_timeout_s", "MILO__ENGINES__LLM__FIRST_TOKEN_TIMEOUT_S"),
    ] {
        if let (Some(text), None, "anthropic") = (variable(name), variable(own), engine.as_str()) {
            put(table, key, typed(text, lookup(schema, key)));
            origins.set(key, place(name));
        }
    }
    let unused = variable("ANTHROPIC_API_KEY").is_some() && engine != "anthropic" && variable("DEFAULT_MODE").is_none();
    unused.then(|| {
        "ANTHROPIC_API_KEY is set, and no engine asks Anthropic: DEFAULT_MODE=cloud or [engines.llm] engine = \"anthropic\" does"
            .into()
    })
}

/// The lines of a `.env` file: `NAME=value`, `export NAME="value"`, comments.
pub(super) fn dotenv(path: &Path, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            let says = "is not of the form NAME=value".into();
            return Err(ConfigError(vec![Fault { place: Place::File(path.into(), n + 1), says }]));
        };
        let value = value.trim();
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next().unwrap_or_default(),
            _ => value.split(" #").next().unwrap_or_default().trim_end(),
        };
        variables.push((name.trim().to_owned(), value.to_owned()));
    }
    Ok(variables)
}

/// Gives the text of a variable the type that its setting has.
fn typed(text: &str, schema: &Json) -> toml::Value {
    let literal = || toml::from_str::<toml::Table>(&format!("v = {text}")).ok().and_then(|mut table| table.remove("v"));
    let string = || toml::Value::String(text.into());
    match schema {
        Json::Number(_) | Json::Array(_) => literal().unwrap_or_else(string),
        Json::Bool(_) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => toml::Value::Boolean(true),
            "false" | "0" | "no" | "off" => toml::Value::Boolean(false),
            _ => string(),
        },
        _ if text.starts_with('[') && text.ends_with(']') && text.contains('"') => literal().unwrap_or_else(string),
        _ => string(),
    }
}

/// A list as the Python system took it: JSON, or with commas.
fn list(text: &str) -> String {
    if text.starts_with('[') {
        return text.into();
    }
    let parts: Vec<_> = text.split(',').map(|part| format!("{:?}", part.trim().trim_end_matches('/'))).collect();
    format!("[{}]", parts.join(", "))
}

/// Python's level names in ours.
fn python_level(text: &str) -> String {
    match text.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" => "error".into(),
        "WARNING" => "warn".into(),
        "NOTSET" => "trace".into(),
        _ => text.to_ascii_lowercase(),
    }
}

fn lookup<'s>(schema: &'s Json, key: &str) -> &'s Json {
    key.split('.').try_fold(schema, |value, name| value.get(name)).unwrap_or(&Json::Null)
}

fn put(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.into(), value);
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let Some(section) = section.as_table_mut() {
                put(section, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Config, Loaded, read::load_text},
        *,
    };

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        load_text(Path::new("milo.toml"), text, &variables)
    }

    fn config(text: &str, variables: &[(&str, &str)]) -> Config {
        load(text, variables).unwrap().config
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "[limits]\ncalls = 3\n[http]\nlisten = \"127.0.0.1:1\"";
        assert_eq!(config(file, &[("MILO__LIMITS__CALLS", "9")]).limits.calls, 9);
        assert_eq!(config(file, &[("API_PORT", "0")]).http.listen.to_string(), "127.0.0.1:0");
        assert_eq!(config(file, &[("API_HOST", "::1")]).http.listen.to_string(), "[::1]:1");
        let listen = config("", &[("API_HOST", "0.0.0.0"), ("API_KEY", "0123456789abcdef")]).http.listen;
        assert_eq!(listen.to_string(), "0.0.0.0:8000");
        assert_eq!(config(file, &[("API_PORT", "5"), ("MILO__HTTP__LISTEN", "127.0.0.1:7")]).http.listen.port(), 7);
    }

    #[test]
    fn variables_take_the_type_of_their_setting() {
        let config = config(
            "",
            &[
                ("LOG_LEVEL", "WARNING"),
                ("PROMETHEUS_ENABLED", "False"),
                ("LOCAL_LLM_N_GPU_LAYERS", "35"),
                ("LOCAL_LLM_MODEL_PATH", "/m/4711.gguf"),
                ("DATABASE_URL", "postgres://m@db/m"),
                ("MILO_DATA_DIR", "/d"),
                ("MILO__MEDIA__RTP_PORTS", "0"),
                ("MILO__SIP__UDP", "[\"127.0.0.1:5060\", \"[::1]:5060\"]"),
                ("MILO__SIP__TCP", "[::1]:5060"),
                ("MILO__SIP__TRUNKS", "[{ name = \"pbx\", address = \"10.0.0.0/8\" }]"),
                ("MILO__SIP__PUBLIC_ADDRESS", "192.0.2.7"),
            ],
        );
        assert_eq!(
            (config.log.level.as_str(), config.http.metrics, config.engines.llm.gpu_layers),
            ("warn", false, 35)
        );
        assert_eq!(config.media.rtp_ports.range(), 0..=0);
        assert_eq!((config.sip.udp.as_slice().len(), config.sip.tcp.as_slice().len()), (2, 1));
        assert_eq!(config.sip.trunks[0].address.map(|network| network.to_string()).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(config.data_dir, Path::new("/d"));
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value, said) in [
            (
                "MILO__HTTP__LISEN",
                "x",
                "environment, MILO__HTTP__LISEN: http.lisen is not a setting; did you mean http.listen?",
            ),
            ("MILO__LIMITS__CALLS", "many", "environment, MILO__LIMITS__CALLS: limits.calls: invalid type: string"),
            ("API_PORT", "eighty", "environment, API_PORT: http.listen: \"127.0.0.1:eighty\" is not"),
            ("API_HOST", "0.0.0.0", "environment, API_HOST: http.listen 0.0.0.0:8000 can be reached"),
            ("PROMETHEUS_ENABLED", "perhaps", "environment, PROMETHEUS_ENABLED: http.metrics"),
            ("MILO__HTTP", "x", "environment, MILO__HTTP: http is not a setting"),
        ] {
            let error = load("", &[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}\n  not: {said}");
        }
        let weak =
            load("", &[("API_HOST", "0.0.0.0"), ("API_KEY", "change-me-in-production")]).unwrap_err().to_string();
        assert!(weak.contains("a key of at least 16 characters of your own"), "{weak}");
    }

    #[test]
    fn origins_are_a_list_of_either_kind() {
        let origins = |text| load("", &[("CORS_ORIGINS", text)]).map(|loaded| loaded.config.http.cors_origins);
        let two = ["http://localhost:3000", "https://app.example"];
        assert_eq!(origins(r#"["http://localhost:3000", "https://app.example"]"#).unwrap(), two);
        assert_eq!(origins("http://localhost:3000/, https://app.example").unwrap(), two);
        assert_eq!(origins("*").unwrap(), ["*"]);
        assert!(origins("").unwrap().is_empty());
        for wrong in ["app.example", "https://app.example/page", "*,https://app.example"] {
            let says = origins(wrong).unwrap_err().to_string();
            assert!(says.contains("CORS_ORIGINS: http.cors_origins has "), "{says}");
        }
    }

    #[test]
    fn the_python_systems_models_are_paths_of_what_was_exported_of_them() {
        let wrong = load("data_dir = \"/d\"", &[("NLLB_MODEL_ID", "facebook/nllb-200")]).unwrap_err().to_string();
        assert!(wrong.contains("`python models/training/export.py facebook/nllb-200 /d/models/nllb-200`"), "{wrong}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("encoder_model.onnx"), b"").unwrap();
        let exported = folder.path().to_str().unwrap();
        let ears = config("", &[("WHISPER_MODEL_ID", exported)]).engines.stt.path;
        assert_eq!(ears.as_deref(), Some(folder.path()));
        // A path in the file or of its own variable counts more than the Python system's.
        for (file, variables) in [
            ("[engines.stt]\npath = \"/m\"", [("WHISPER_MODEL_ID", "openai/whisper-small"), ("LOG_LEVEL", "INFO")]),
            ("", [("WHISPER_MODEL_ID", exported), ("MILO__ENGINES__STT__PATH", "/m")]),
        ] {
            let loaded = load(file, &variables).unwrap();
            assert_eq!(loaded.config.engines.stt.path.as_deref(), Some(Path::new("/m")));
            assert!(
                loaded.notes[0].starts_with("WHISPER_MODEL_ID is set, and engines.stt.path is too"),
                "{:?}",
                loaded.notes
            );
        }
    }

    #[test]
    fn the_mode_and_claudes_variables_mean_what_they_meant() {
        use super::super::LlmEngine::{Anthropic, Local, Openai};
        use crate::engines::Mode;
        let claude = [("CLAUDE_MODEL", "claude-x"), ("CLAUDE_TIMEOUT_S", "3"), ("ANTHROPIC_API_KEY", "sk-secret")];
        let openai = "[engines.llm]\nengine = \"openai\"\nmodel = \"m\"";
        for (file, mode, engine, model, seconds) in [
            ("", "cloud", Anthropic, Some("claude-x"), 3.0),
            ("", "local", Local, None, 2.0),
            ("", "", Local, None, 2.0),
            (openai, "Cloud", Openai, Some("m"), 2.0),
            // It stays there for personas that want it.
            (openai, "local", Openai, Some("m"), 2.0),
        ] {
            let loaded = load(file, &[&claude[..], &[("DEFAULT_MODE", mode)]].concat()).unwrap();
            let llm = &loaded.config.engines.llm;
            assert_eq!(
                (llm.engine, llm.model.as_deref(), llm.first_token_timeout_s),
                (engine, model, seconds),
                "{mode}"
            );
            assert_eq!(llm.default_mode, if mode == "local" { Mode::Local } else { Mode::Cloud }, "{mode}");
            assert!(!loaded.describe().contains("sk-secret"));
            assert_eq!(loaded.notes.len(), usize::from(mode.is_empty()), "{:?}", loaded.notes);
        }
        let own = [&claude[..], &[("DEFAULT_MODE", "cloud"), ("MILO__ENGINES__LLM__MODEL", "mine")]].concat();
        assert_eq!(config("", &own).engines.llm.model.as_deref(), Some("mine"));
        let wrong = load("", &[("DEFAULT_MODE", "sky")]).unwrap_err().to_string();
        assert!(wrong.contains("environment, DEFAULT_MODE: engines.llm.default_mode: the mode is neither"), "{wrong}");
        let late = load("", &[("DEFAULT_MODE", "cloud"), ("CLAUDE_TIMEOUT_S", "0")]).unwrap_err().to_string();
        assert!(late.contains("environment, CLAUDE_TIMEOUT_S: engines.llm.first_token_timeout_s = 0 is not"), "{late}");
    }

    #[test]
    fn every_line_of_the_example_is_understood() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/.env.example"));
        let pairs = dotenv(Path::new(".env"), text).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert!(load("", &pairs).unwrap().notes.is_empty());
        for (name, _) in pairs {
            let own = ["API_HOST", "API_PORT", "CLAUDE_MODEL", "CLAUDE_TIMEOUT_S", "DEFAULT_MODE"];
            let known = NAMES.iter().any(|(known, _)| *known == name) || own.contains(&name);
            assert!(known || name.starts_with("MILO__"), "{name} has no effect");
        }
    }

    #[test]
    fn a_dotenv_file_is_read_and_loses_against_the_process() {
        let text = "# c\nexport A=1\nB=\"two words\" # c\n\nC=x # y\nD='#'\nE=\n";
        let pairs = dotenv(Path::new(".env"), text).unwrap();
        let expected = [("A", "1"), ("B", "two words"), ("C", "x"), ("D", "#"), ("E", "")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let error = dotenv(Path::new(".env"), "A=1\nnonsense").unwrap_err().to_string();
        assert_eq!(error, ".env, line 2: is not of the form NAME=value");
    }
}
