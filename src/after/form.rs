//! What the model is to write down of a call: the section `[after]` of a persona, as a JSON schema.

use std::collections::BTreeMap;

use milo_models::{engine::Language, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::store::Findings;

/// Outcomes, tags or fields of one form, and the letters of a name.
const MOST: usize = 32;
const LONGEST_NAME: usize = 60;
/// Characters of a form's schema, which the model reads each time.
const LONGEST_SCHEMA: usize = 4_000;
/// Characters of a summary.
const LONGEST_SUMMARY: usize = 600;
/// What of a field's schema is held to, and what the model reads of it besides.
const KEYWORDS: [&str; 12] = [
    "type",
    "const",
    "enum",
    "anyOf",
    "oneOf",
    "properties",
    "required",
    "items",
    "minLength",
    "maxLength",
    "maxItems",
    "description",
];
/// What a field's schema may say of a length; a reply is shorter than that.
const LONGEST: u64 = 1_000;
/// What the sentiment may be.
const SENTIMENTS: [&str; 3] = ["positive", "neutral", "negative"];

/// The section `[after]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Whether the call is told in two or three sentences.
    #[serde(default = "yes")]
    summary: bool,
    /// In which language that is; none: the call's.
    language: Option<Language>,
    /// What may have come of the call; one of these is chosen.
    #[serde(default)]
    outcomes: Vec<String>,
    /// Whether the mood of whoever spoke with Milo is told.
    #[serde(default = "yes")]
    sentiment: bool,
    /// What a call may be about; those that fit are chosen.
    #[serde(default)]
    tags: Vec<String>,
    /// What is to be found in it: each with its JSON schema.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

fn yes() -> bool {
    true
}

impl Form {
    /// Whether there is a summary.
    pub(crate) fn has_summary(&self) -> bool {
        self.summary
    }

    /// In which language the summary of a call in this one is written.
    pub(super) fn language(&self, call: Language) -> Language {
        self.language.unwrap_or(call)
    }

    /// Refuses what asks for nothing, for too much, or for what no grammar can say.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { summary, sentiment, outcomes, tags, fields, .. } = self;
        if !summary && !sentiment && outcomes.is_empty() && tags.is_empty() && fields.is_empty() {
            return Err("[after] asks for nothing; leave the section out".into());
        }
        names("outcomes", outcomes.iter())?;
        names("tags", tags.iter())?;
        names("fields", fields.keys())?;
        for (name, schema) in fields {
            let wrong = |fault: String| format!("[after.fields]: {fault}");
            json_schema::grammar(schema).map_err(|fault| wrong(fault.replacen('$', name, 1)))?;
            unfit(schema).map_or(Ok(()), |fault| Err(wrong(format!("{name}: {fault}"))))?;
        }
        let schema = self.schema();
        json_schema::grammar(&schema).map_err(|fault| format!("[after]: {fault}"))?;
        let length = schema.to_string().chars().count();
        if length > LONGEST_SCHEMA {
            return Err(format!(
                "[after] is {length} characters long as a JSON schema, which the model reads each time; {LONGEST_SCHEMA} are the most"
            ));
        }
        Ok(())
    }

    /// The schema of what is written down. Where a call says nothing of a field, it is null, so that nothing need be invented.
    pub(super) fn schema(&self) -> Value {
        let mut properties = Map::new();
        if self.summary {
            properties
                .insert("summary".into(), json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_SUMMARY }));
        }
        if !self.outcomes.is_empty() {
            properties.insert("outcome".into(), json!({ "enum": self.outcomes }));
        }
        if self.sentiment {
            properties.insert("sentiment".into(), json!({ "enum": SENTIMENTS }));
        }
        if !self.tags.is_empty() {
            let each = json!({ "enum": self.tags });
            properties.insert("tags".into(), json!({ "type": "array", "items": each, "maxItems": self.tags.len() }));
        }
        if !self.fields.is_empty() {
            let known = |schema: &Value| json!({ "anyOf": [schema, { "type": "null" }] });
            let fields: Map<_, _> = self.fields.iter().map(|(name, schema)| (name.clone(), known(schema))).collect();
            properties.insert("fields".into(), json!({ "type": "object", "properties": fields }));
        }
        // The summary first: whoever has told the call judges it better.
        let order = ["summary", "outcome", "sentiment", "tags", "fields"];
        let required: Vec<_> = order.into_iter().filter(|name| properties.contains_key(*name)).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }

    /// What a model has written, if it is what was asked for; else what is wrong with it.
    pub(super) fn read(&self, written: &str) -> Result<Findings, String> {
        let value: Value = serde_json::from_str(object(written)).map_err(|wrong| format!("it is no JSON: {wrong}"))?;
        if let Some(fault) = json_schema::fault(&self.schema(), &value) {
            return Err(fault);
        }
        let mut whole = Map::from_iter([("tags".into(), json!([])), ("fields".into(), json!({}))]);
        whole.extend(value.as_object().cloned().unwrap_or_default());
        let mut findings: Findings = serde_json::from_value(whole.into()).map_err(|wrong| wrong.to_string())?;
        findings.summary.iter_mut().for_each(|summary| *summary = summary.trim().to_owned());
        // A tag that is named twice fits once.
        findings.tags.sort_by_key(|tag| self.tags.iter().position(|known| known == tag));
        findings.tags.dedup();
        Ok(findings)
    }
}

/// The object in what a model has written: some put a fence of Markdown around it, or a word before it.
fn object(written: &str) -> &str {
    match (written.find('{'), written.rfind('}')) {
        (Some(from), Some(to)) if from < to => &written[from..=to],
        _ => written,
    }
}

/// What of a schema nothing is held to, or no model in this process can be.
fn unfit(schema: &Value) -> Option<String> {
    let schema = schema.as_object()?;
    if let Some(keyword) = schema.keys().find(|key| !KEYWORDS.contains(&key.as_str())) {
        return Some(format!("{keyword:?} would be overlooked; known are {}", KEYWORDS.join(", ")));
    }
    let lengths = ["minLength", "maxLength", "maxItems"].into_iter().filter_map(|key| Some((key, schema.get(key)?)));
    for (key, length) in lengths {
        if length.as_u64().is_none_or(|length| length > LONGEST) {
            return Some(format!("{key} = {length} is not within 0 to {LONGEST}"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let ways = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    properties.chain(ways).chain(schema.get("items")).find_map(unfit)
}

fn names<'a>(key: &str, names: impl ExactSizeIterator<Item = &'a String> + Clone) -> Result<(), String> {
    if names.len() > MOST {
        return Err(format!("[after]: {key} are {}; {MOST} are the most", names.len()));
    }
    for (n, name) in names.clone().enumerate() {
        if name.trim().is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(format!("[after]: {key}: {name:?} is not 1 to {LONGEST_NAME} characters of one line"));
        }
        if names.clone().take(n).any(|other| other == name) {
            return Err(format!("[after]: {key}: {name:?} stands there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Form, String> {
        let form: Form = toml::from_str(text).map_err(|fault| fault.to_string())?;
        form.check().map(|()| form)
    }

    const WHOLE: &str = "outcomes = ['answered', 'appointment']\ntags = ['price', 'complaint']\n\
                         [fields]\norder = { type = 'string', maxLength = 20 }\nseats = { type = 'integer' }";

    #[test]
    fn a_form_becomes_a_schema_in_which_fields_may_be_unknown() {
        let schema = form(WHOLE).expect("a form").schema();
        assert_eq!(schema["required"], json!(["summary", "outcome", "sentiment", "tags", "fields"]));
        let properties = &schema["properties"];
        assert_eq!(properties["outcome"], json!({ "enum": ["answered", "appointment"] }));
        assert_eq!(properties["tags"]["maxItems"], 2);
        let seats = &properties["fields"]["properties"]["seats"];
        assert_eq!(seats, &json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] }));
        let least = form("summary = false\nsentiment = false\ntags = ['price']").expect("a form").schema();
        assert_eq!(least["required"], json!(["tags"]));
    }

    #[test]
    fn the_summary_is_in_the_calls_language_unless_the_form_has_one() {
        let of = |text: &str| form(text).expect("a form").language(Language::Mg);
        assert_eq!((of(""), of("language = 'fr'")), (Language::Mg, Language::Fr));
    }

    #[test]
    fn what_no_model_can_be_asked_for_is_refused_with_what_would_be_right() {
        let many = format!("tags = {:?}", (0..33).map(|n| n.to_string()).collect::<Vec<_>>());
        let long = format!("[fields]\na = {{ enum = [{:?}] }}", "x".repeat(4_000));
        for (text, why) in [
            ("summary = false\nsentiment = false", "asks for nothing"),
            ("outcome = ['a']", "outcomes"),
            ("language = 'en'", "`mg`"),
            ("outcomes = ['a', 'a']", "outcomes: \"a\" stands there twice"),
            ("tags = [' ']", "tags: \" \" is not 1 to 60"),
            (many.as_str(), "tags are 33; 32"),
            (long.as_str(), "4000 are the most"),
            ("[fields]\nday = { type = 'date' }", "[after.fields]: day: type \"date\" is not one of object"),
            ("[fields]\nday = 'string'", "[after.fields]: day: \"string\" is no schema"),
            ("[fields]\nday = { type = 'string', pattern = '[0-9]*' }", "day: \"pattern\" would be overlooked"),
            ("[fields]\nday = { type = 'array', items = { type = 'integer', minimum = 3 } }", "\"minimum\" would be"),
            ("[fields]\nday = { type = 'string', maxLength = -1 }", "day: maxLength = -1 is not within 0 to 1000"),
            ("[fields]\nday = { type = 'string', maxLength = 5000 }", "maxLength = 5000 is not within"),
            ("[fields]\ndays = { type = 'array' }", "[after.fields]: days: an array needs `items`"),
        ] {
            let told = form(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn what_a_model_writes_is_found_in_its_fence_and_looked_at() {
        let form = form(WHOLE).expect("a form");
        let right = r#"{"summary": " Le prix. ", "outcome": "answered", "sentiment": "neutral",
                        "tags": ["complaint", "price"], "fields": {"order": null, "seats": 2}}"#;
        for written in [right.to_owned(), format!("```json\n{right}\n```"), format!("Voici :\n{right}")] {
            let findings = form.read(&written).expect("findings");
            assert_eq!(findings.summary.as_deref(), Some("Le prix."));
            assert_eq!(findings.tags, ["price", "complaint"]);
            assert_eq!((&findings.fields["order"], &findings.fields["seats"]), (&Value::Null, &json!(2)));
        }
        for (written, why) in [
            (String::new(), "it is no JSON"),
            ("}{".into(), "it is no JSON"),
            ("[".repeat(10_000), "it is no JSON"),
            ("{\"summary\":".repeat(500) + "}", "it is no JSON"),
            (right.replace("answered", "sold"), "$.outcome: \"sold\" is not one of"),
            (right.replace("\"seats\": 2", "\"seats\": \"two\""), "$.fields.seats"),
            (right.replace(", \"seats\": 2", ""), "$.fields: \"seats\" is missing"),
        ] {
            let fault = form.read(&written).expect_err("a fault");
            assert!(fault.contains(why), "{fault}");
        }
    }
}
