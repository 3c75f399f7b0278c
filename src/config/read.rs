//! From text and variables to a [`Config`].

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    AccountLimits, Config, ConfigError, Fault, Faults, Loaded, McpServer, Place, Sources, Trunk, WebhookTarget, env,
    fault::{Origins, nearest},
};

/// A configuration as JSON: every field is there, the unset ones as null.
pub(super) fn json(config: &Config) -> Json {
    serde_json::to_value(config).expect("a configuration has string keys only, so it always serializes")
}

/// Every key there is: the default, with one element in each list of tables.
pub(super) fn schema() -> Json {
    let mut config = Config::default();
    config.sip.trunks.push(Trunk::default());
    config.webhooks.push(WebhookTarget::default());
    config.mcp.push(McpServer::default());
    config.sip.account_limits.push(AccountLimits::default());
    json(&config)
}

/// Calls `leaf` with each key and value, dots between the names.
pub(super) fn flatten(prefix: &str, value: &Json, leaf: &mut impl FnMut(&str, &Json)) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                flatten(&join(prefix, name), value, leaf);
            }
        }
        Json::Array(items) if items.first().is_some_and(Json::is_object) => {
            for (n, item) in items.iter().enumerate() {
                flatten(&format!("{prefix}[{n}]"), item, leaf);
            }
        }
        value => leaf(prefix, value),
    }
}

pub(super) fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let found = match &sources.file {
        Some(path) => Some((path.clone(), read(path).map_err(|error| unreadable(path, &error))?)),
        None => first_present(&sources.search)?,
    };
    let mut variables = sources.environment.clone();
    let beside = sources.folder.join(".env");
    match read(&beside) {
        Ok(text) => {
            for (name, value) in env::dotenv(&beside, &text)? {
                if !variables.iter().any(|(known, _)| *known == name) {
                    variables.push((name, value));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&beside, &error)),
    }
    match found {
        Some((path, text)) => load_text(&path, &text, &variables).map(|loaded| Loaded { file: Some(path), ..loaded }),
        None => load_text(Path::new("milo.toml"), "", &variables),
    }
}

/// Reads a configuration out of a text; `path` is how its faults call it.
pub(super) fn load_text(path: &Path, text: &str, variables: &[(String, String)]) -> Result<Loaded, ConfigError> {
    let at = |offset: usize| Place::File(path.into(), text[..offset.min(text.len())].matches('\n').count() + 1);
    let fault = |place: Place, says: String| ConfigError(vec![Fault { place, says }]);
    let syntax = |error: toml::de::Error| {
        fault(at(error.span().map_or(0, |span| span.start)), error.message().lines().collect::<Vec<_>>().join(", "))
    };

    let spanned = DeTable::parse(text).map_err(syntax)?;
    let schema = schema();
    let mut walk = Walk { at: &at, everywhere: keys(&schema), origins: Origins::default(), faults: Vec::new() };
    walk.table("", spanned.get_ref(), &schema);
    let Walk { mut origins, mut faults, .. } = walk;

    let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
    let notes = env::overlay(&mut table, variables, &schema, &mut origins, &mut faults);
    if !faults.is_empty() {
        return Err(ConfigError(faults));
    }

    let config: Config = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
        let key = error.path().to_string();
        let says = error.inner().message().trim().to_owned();
        fault(origins.place(&key), format!("{key}: {says}"))
    })?;
    let mut faults = Faults::new(&origins);
    config.check(&mut faults);
    faults.into_result()?;
    Ok(Loaded { config, file: None, notes, origins })
}

/// All keys and sections, as written with dots.
pub(super) fn keys(schema: &Json) -> Vec<String> {
    fn sections(prefix: &str, value: &Json, into: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let key = join(prefix, name);
            sections(&key, value, into);
            into.push(key);
        }
    }
    let mut all = Vec::new();
    sections("", schema, &mut all);
    all
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") }
}

/// Says that a key is unknown and which one is like it.
pub(super) fn unknown(key: &str, beside: &Json, everywhere: &[String]) -> String {
    let prefix = key.rsplit_once('.').map_or("", |(prefix, _)| prefix);
    let siblings: Vec<String> = beside.as_object().into_iter().flatten().map(|(name, _)| join(prefix, name)).collect();
    let siblings: Vec<&str> = siblings.iter().map(String::as_str).collect();
    match nearest(key, &siblings, everywhere) {
        Some(like) => format!("{key} is not a setting; did you mean {like}?"),
        None => format!("{key} is not a setting; here are: {}", siblings.join(", ")),
    }
}

struct Walk<'a> {
    at: &'a dyn Fn(usize) -> Place,
    everywhere: Vec<String>,
    origins: Origins,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>, schema: &Json) {
        for (name, value) in table {
            let key = join(prefix, name.get_ref());
            let place = (self.at)(name.span().start);
            match schema.get(name.get_ref().as_ref()) {
                None => self.faults.push(Fault { place, says: unknown(&key, schema, &self.everywhere) }),
                Some(schema) => self.value(&key, place, value, schema),
            }
        }
    }

    fn value(&mut self, key: &str, place: Place, value: &Spanned<DeValue<'_>>, schema: &Json) {
        match (value.get_ref(), schema) {
            (DeValue::Table(table), Json::Object(_)) => self.table(key, table, schema),
            (_, Json::Object(_)) => {
                let says = format!("{key} is a section: write [{key}] and its settings below");
                self.faults.push(Fault { place: place.clone(), says });
            }
            (DeValue::Array(items), _) => {
                for (n, item) in items.iter().enumerate() {
                    let element = schema.get(0).unwrap_or(&Json::Null);
                    self.value(&format!("{key}[{n}]"), (self.at)(item.span().start), item, element);
                }
            }
            _ => {}
        }
        self.origins.set(key, place);
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

fn first_present(search: &[PathBuf]) -> Result<Option<(PathBuf, String)>, ConfigError> {
    for path in search {
        match read(path) {
            Ok(text) => return Ok(Some((path.clone(), text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let says = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; deploy/milo.toml is an example to copy".into(),
        io::ErrorKind::PermissionDenied => "may not be read by this user: change its owner or its mode".into(),
        io::ErrorKind::InvalidData => "is not UTF-8 text".into(),
        _ => format!("cannot be read: {error}"),
    };
    ConfigError(vec![Fault { place: Place::File(path.into(), 1), says }])
}
