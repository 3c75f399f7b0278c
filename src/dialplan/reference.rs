//! The tables of `dialplans/README.md`, made from the comments of the code. The test fails when they are stale, and with
//! `MILO_WRITE=1` writes them.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use toml::de::ValueDeserializer;

use super::Action;

const SOURCES: [&str; 17] = [
    include_str!("action.rs"),
    include_str!("ask.rs"),
    include_str!("detect.rs"),
    include_str!("dial.rs"),
    include_str!("hours.rs"),
    include_str!("interpret.rs"),
    include_str!("knowledge.rs"),
    include_str!("message.rs"),
    include_str!("mod.rs"),
    include_str!("request.rs"),
    include_str!("text.rs"),
    include_str!("tool.rs"),
    include_str!("../../models/src/tools.rs"),
    include_str!("transfer.rs"),
    include_str!("wait.rs"),
    include_str!("webhook.rs"),
    include_str!("../press.rs"),
];

/// One of each verb, as it stands in a file: what it leaves out shows the defaults.
const EXAMPLES: &[&str] = &[
    "{ ring = { seconds = 3 } }",
    "{ early = {} }",
    "{ answer = {} }",
    "{ converse = { persona = \"demo\" } }",
    "{ echo = {} }",
    "{ dial = { to = \"sip:100@192.0.2.7\" } }",
    "{ transfer = { to = \"sip:100@192.0.2.7\" } }",
    "{ hold = { seconds = 120, ends = \"#\" } }",
    "{ queue = { name = \"support\", accounts = [\"rina\", \"koto\"], into = \"result\", failed = \"closed\" } }",
    "{ bridge = { queue = \"support\", failed = \"nobody\" } }",
    "{ message = { to = \"sip:100@192.0.2.7\", text = \"{{caller}} called\" } }",
    "{ play = \"sounds/welcome.ogg\" }",
    "{ music = { seconds = 120 } }",
    "{ tone = { country = \"mg\", signal = \"busy\", seconds = 5 } }",
    "{ recording = \"pause\" }",
    "{ digits = {} }",
    "{ send_digits = { digits = \"{{code}}#\" } }",
    "{ hangup = {} }",
    "{ reject = { status = 486 } }",
    "{ say = { text = \"Manao ahoana, {{caller}}\" } }",
    "{ gather = { into = \"code\", prompt = { say = \"Ampidiro ny laharana\" }, min = 4, max = 6 } }",
    "{ menu = { prompt = { play = \"sounds/menu.ogg\" }, keys = { 1 = [{ goto = \"sales\" }], 2 = [{ echo = {} }] } } }",
    "{ webhook = { url = \"https://crm.example.com/milo\", send = [\"code\"], sets = [\"name\"], plans = [\"vip\"], failed = \"closed\" } }",
    "{ look_up = { within = \"office\", about = \"{{question}}\", into = \"found\" } }",
    "{ request = { kind = \"call_back\", telephone = \"{{telephone}}\", wanted = \"{{day}}\" } }",
    "{ set = { office = \"Toamasina\" } }",
    "{ goto = \"sales\" }",
    "{ repeat = { times = 3, actions = [{ play = \"sounds/wait.ogg\" }, { wait = { seconds = 5 } }] } }",
    "{ wait = { seconds = 2 } }",
    "{ record = { seconds = 60 } }",
    "{ voicemail = { greeting = { say = \"Avelao ny hafatrao\" } } }",
    "{ redirect = { to = \"sip:100@192.0.2.7\" } }",
];

/// A field, or a variant: its name, its type as it is written, and its comment.
struct Item {
    name: String,
    kind: String,
    said: String,
    /// What stands in braces after a variant.
    fields: Vec<Item>,
}

/// The fields of a struct, or the variants of an enum, of this name.
fn items(name: &str) -> Option<Vec<Item>> {
    let begins = |text: &str, line: &str| text.lines().position(|found| found.trim_end_matches(" {").ends_with(line));
    let (text, at) = SOURCES.iter().find_map(|text| {
        let at = begins(text, &format!("struct {name}")).or_else(|| begins(text, &format!("enum {name}")))?;
        Some((text, at))
    })?;
    let (mut lines, mut body) = (text.lines().skip(at + 1), Vec::new());
    for line in &mut lines {
        if line == "}" {
            break;
        }
        body.push(line);
    }
    Some(parse(&body, 4))
}

fn parse(lines: &[&str], indent: usize) -> Vec<Item> {
    let (mut items, mut said, mut skipped) = (Vec::new(), String::new(), false);
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].get(indent..).unwrap_or_default();
        at += 1;
        if let Some(words) = line.strip_prefix("///") {
            said = format!("{said}{words}").trim_start().to_owned();
        } else if line.starts_with("#[serde(skip)]") {
            skipped = true;
        } else if !line.starts_with("#[") && !line.trim().is_empty() {
            let line = ["pub ", "pub(super) "]
                .iter()
                .find_map(|visible| line.strip_prefix(visible))
                .unwrap_or(line)
                .trim_end_matches(',');
            let mut item =
                Item { name: line.into(), kind: String::new(), said: std::mem::take(&mut said), fields: Vec::new() };
            if let Some((name, kind)) = line.split_once(": ") {
                (item.name, item.kind) = (name.into(), kind.into());
            } else if let Some((name, kind)) = line.split_once('(') {
                (item.name, item.kind) = (name.into(), kind.trim_end_matches(')').into());
            } else if let Some(name) = line.strip_suffix(" {") {
                item.name = name.into();
                let end =
                    lines[at..].iter().position(|line| line.trim() == "}" || line.trim() == "},").expect("an end");
                item.fields = parse(&lines[at..at + end], indent + 4);
                at += end + 1;
            } else {
                item.name = line.trim_end_matches(" {}").into();
            }
            if !std::mem::take(&mut skipped) {
                items.push(item);
            }
        }
    }
    items
}

fn snake(name: &str) -> String {
    let lower = |(at, c): (usize, char)| {
        let under = if at > 0 && c.is_uppercase() { "_" } else { "" };
        format!("{under}{}", c.to_lowercase())
    };
    name.chars().enumerate().map(lower).collect()
}

/// How a type is written in a file.
fn written(kind: &str) -> String {
    match kind {
        "u8" | "u16" | "u32" | "u64" | "usize" => "number".into(),
        "String" | "Clock" | "TimeZone" => "text".into(),
        "bool" => "`true`, `false`".into(),
        "Language" => "`mg`, `fr`".into(),
        "Interpret" => "`caller`, `callee`, `original`".into(),
        "Prompt" => "`{ say = \"…\" }` or `{ play = \"…\" }`".into(),
        "Message" => "the fields of `record`".into(),
        "Patterns" => "pattern or list of patterns".into(),
        "Block" => "list of verbs".into(),
        "Vec<Argument>" => "list of arguments".into(),
        "Words" => "`meanwhile`, `confirm`, `says`".into(),
        "Days" => "list of days".into(),
        "BTreeMap<String, String>" => "names and texts".into(),
        "BTreeMap<String, Patterns>" => "names and patterns".into(),
        "BTreeMap<char, Block>" => "keys and lists of verbs".into(),
        "Vec<Window>" => "list of hours".into(),
        "Vec<Holiday>" => "list of days, `\"06-26\"` or `\"2026-04-06\"`".into(),
        "BTreeMap<char, Vec<String>>" => "keys and lists of texts".into(),
        "TrunkNames" => "text or list of texts".into(),
        "Vec<String>" => "list of texts".into(),
        other => match other.strip_prefix("Option<") {
            Some(inner) => written(inner.trim_end_matches('>')),
            None => {
                let variants = items(other).unwrap_or_else(|| panic!("how is {other} written in a file?"));
                variants.iter().map(|variant| format!("`{}`", snake(&variant.name))).collect::<Vec<_>>().join(", ")
            }
        },
    }
}

fn table(fields: &[Item], defaults: Option<&Value>) -> String {
    let shown = defaults.is_some();
    let mut table = format!(
        "\n| field | written as |{} what |\n|---|---|{}---|\n",
        if shown { " left out |" } else { "" },
        if shown { "---|" } else { "" }
    );
    for Item { name, kind, said, .. } in fields {
        let default = match defaults {
            None => String::new(),
            Some(defaults) => match &defaults[name] {
                Value::Null => " |".into(),
                value => format!(" `{value}` |"),
            },
        };
        table += &format!(
            "| `{name}` | {} |{default} {} |\n",
            written(kind),
            said.trim_end_matches('.').replace('|', "\\|")
        );
    }
    table
}

fn action(example: &str) -> Action {
    let parsed = ValueDeserializer::parse(example).expect("an example");
    serde::Deserialize::deserialize(parsed).unwrap_or_else(|error| panic!("{example}: {error}"))
}

fn verbs() -> String {
    let mut examples: BTreeMap<String, &str> = BTreeMap::new();
    for example in EXAMPLES {
        let action = action(example);
        assert_eq!(super::variables::sample(&action).fault(), None, "{example}");
        examples.insert(action.verb(), example);
    }
    let mut page = String::new();
    for Item { name, kind, said, fields } in items("Action").expect("the verbs") {
        let verb = snake(&name);
        let example = examples.remove(&verb).unwrap_or_else(|| panic!("EXAMPLES has none of {verb}"));
        page += &format!("\n### `{verb}`\n{said}\n\n```toml\n{example}\n```\n");
        let fields = if kind.is_empty() { Some(fields) } else { items(&kind) };
        match (fields, kind.as_str()) {
            (Some(variants), "RecordingStep") => {
                for variant in variants {
                    page += &format!("- `{}`: {}\n", snake(&variant.name), variant.said);
                }
            }
            (Some(fields), _) if !fields.is_empty() => {
                let written = serde_json::to_value(action(example)).expect("JSON")[&verb].clone();
                // What the example gives is no default.
                let given: Value =
                    toml::from_str::<Value>(&format!("x = {example}")).expect("an example")["x"][&verb].clone();
                let left: serde_json::Map<_, _> = written
                    .as_object()
                    .expect("fields")
                    .iter()
                    .filter(|(field, _)| given[*field].is_null())
                    .map(|(field, value)| (field.clone(), value.clone()))
                    .collect();
                page += &table(&fields, Some(&Value::Object(left)));
            }
            _ => {}
        }
    }
    assert!(examples.is_empty(), "no such verbs: {examples:?}");
    page
}

#[test]
fn the_readme_lists_every_verb_and_field() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/README.md");
    let mut page = fs::read_to_string(&path).expect("dialplans/README.md");
    for (name, made) in [
        ("file", table(&items("Calendar").expect("a file"), None)),
        ("plan", table(&items("Plan").expect("a plan"), None)),
        ("tool", table(&items("Tool").expect("a tool"), None)),
        ("argument", table(&items("Argument").expect("an argument"), None)),
        ("words", table(&items("Words").expect("words"), None)),
        ("detect", table(&items("Detect").expect("what is done"), None)),
        ("hours", table(&items("Window").expect("hours"), None)),
        ("interpret", table(&items("Interpret").expect("an interpreter"), None)),
        ("verbs", verbs()),
    ] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let from = page.find(&begin).expect("the place") + begin.len();
        let to = page.find(&end).expect("its end");
        if std::env::var_os("MILO_WRITE").is_some() {
            page.replace_range(from..to, &made);
        } else {
            assert_eq!(page[from..to], made, "stale: MILO_WRITE=1 cargo test --release -p milo --lib readme_lists");
        }
    }
    if std::env::var_os("MILO_WRITE").is_some() {
        fs::write(path, page).expect("written");
    }
}
