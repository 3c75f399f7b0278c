//! JSON schemas that a reply can be held to, as grammars (llama.cpp's GBNF): what a model in this process can say is then an object of
//! the schema, whatever the model.
//!
//! Of JSON Schema (2020-12) what tools and forms need: objects with all of their properties, those of `required` first and in its order,
//! texts, whole and other numbers, true and false, one of several constants, lists, and one of several schemas. What no grammar held,
//! since a server has said it, is looked at afterwards: [`fault()`].

mod fault;

use std::fmt::Write;

use serde_json::{Map, Value};

pub use fault::fault;

/// Letters of a text that says nothing of its length: a text without an end would be half a reply.
const LONGEST: u64 = 400;
/// Entries of a list that says nothing of it.
const MOST: u64 = 16;
/// The highest bound: llama.cpp takes no grammar that repeats more often than 2,000 times.
const HIGHEST: u64 = 1_000;
/// How deep schemas may stand within each other.
const DEEPEST: usize = 8;

/// The grammar whose texts are the values of `schema`; the model may begin with a space.
///
/// # Errors
/// What of the schema cannot be said by a grammar, and where it stands.
pub fn grammar(schema: &Value) -> Result<String, String> {
    let mut rules = String::new();
    let root = value(schema, "$", &mut Rules(&mut rules), 0)?;
    Ok(format!("root ::= \" \"? {root}\n{rules}{BASICS}"))
}

/// What every such grammar knows. A text has no line breaks and no control characters; whoever needs them escapes them.
const BASICS: &str = concat!(
    "letter ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\/nt]\n",
    "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n",
    "number ::= integer (\".\" [0-9]{1,9})?\n",
    "boolean ::= \"true\" | \"false\"\n",
);

/// The rules of the objects and lists found so far.
struct Rules<'a>(&'a mut String);

impl Rules<'_> {
    /// A rule of its own, by name.
    fn add(&mut self, body: &str) -> String {
        let name = format!("r{}", self.0.lines().count());
        writeln!(self.0, "{name} ::= {body}").ok();
        name
    }
}

fn value(schema: &Value, at: &str, rules: &mut Rules<'_>, depth: usize) -> Result<String, String> {
    if depth > DEEPEST {
        return Err(format!("{at}: schemas stand more than {DEEPEST} deep in each other"));
    }
    let Value::Object(schema) = schema else { return Err(format!("{at}: {schema} is no schema, which is an object")) };
    if let Some(constant) = schema.get("const") {
        return Ok(quoted(&constant.to_string()));
    }
    if let Some(choices) = schema.get("enum") {
        let choices = list(choices, at, "enum")?;
        return Ok(format!("({})", choices.iter().map(|one| quoted(&one.to_string())).collect::<Vec<_>>().join(" | ")));
    }
    if let Some(ways) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let ways = list(ways, at, "anyOf")?;
        let ways: Result<Vec<_>, _> =
            ways.iter().enumerate().map(|(n, way)| value(way, &format!("{at}.anyOf[{n}]"), rules, depth + 1)).collect();
        return Ok(format!("({})", ways?.join(" | ")));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => object(schema, at, rules, depth),
        Some("string") => Ok(format!(
            "\"\\\"\" letter{{{},{}}} \"\\\"\"",
            of(schema, "minLength", 0),
            of(schema, "maxLength", LONGEST)
        )),
        Some("array") => {
            let items = schema.get("items").ok_or_else(|| format!("{at}: an array needs `items`"))?;
            let item = value(items, &format!("{at}[]"), rules, depth + 1)?;
            let most = of(schema, "maxItems", MOST).max(1);
            Ok(rules.add(&format!("\"[\" ({item} (\", \" {item}){{0,{}}})? \"]\"", most - 1)))
        }
        Some(kind @ ("integer" | "number" | "boolean")) => Ok(kind.into()),
        Some("null") => Ok("\"null\"".into()),
        Some(other) => {
            Err(format!("{at}: type {other:?} is not one of object, string, integer, number, boolean, array, null"))
        }
        None => Err(format!("{at}: there is neither type, const, enum nor anyOf")),
    }
}

fn object(schema: &Map<String, Value>, at: &str, rules: &mut Rules<'_>, depth: usize) -> Result<String, String> {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return Err(format!("{at}: an object needs `properties`"));
    };
    let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let first: Vec<_> = required.iter().filter_map(Value::as_str).collect();
    if let Some(unknown) = first.iter().find(|name| !properties.contains_key(**name)) {
        return Err(format!("{at}: required: there is no property {unknown:?}"));
    }
    let others = properties.keys().map(String::as_str).filter(|name| !first.contains(name));
    let mut body = Vec::new();
    for (n, name) in first.iter().copied().chain(others).enumerate() {
        let property = &properties[name];
        let key = quoted(&format!("{}{}: ", if n > 0 { ", " } else { "" }, Value::from(name)));
        body.push(format!("{key} {}", value(property, &format!("{at}.{name}"), rules, depth + 1)?));
    }
    Ok(rules.add(&format!("\"{{\" {} \"}}\"", body.join(" "))))
}

fn list<'a>(value: &'a Value, at: &str, what: &str) -> Result<&'a Vec<Value>, String> {
    value
        .as_array()
        .filter(|list| !list.is_empty())
        .ok_or_else(|| format!("{at}: {what} is no list with something in it"))
}

/// A bound of a schema, no higher than llama.cpp repeats anything.
fn of(schema: &Map<String, Value>, key: &str, otherwise: u64) -> u64 {
    schema.get(key).and_then(Value::as_u64).unwrap_or(otherwise).min(HIGHEST)
}

/// A text of the grammar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_becomes_rules() {
        let schema = json!({ "type": "object", "properties": {
            "tool": { "const": "book" },
            "day": { "type": "string", "maxLength": 60 },
            "seats": { "type": "integer" },
            "tags": { "type": "array", "items": { "enum": ["a", "b\"c"] }, "maxItems": 3 },
        }, "required": ["tool", "day"] });
        let told = grammar(&schema).unwrap();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "root ::= \" \"? r1");
        assert_eq!(
            lines[1],
            "r0 ::= \"[\" ((\"\\\"a\\\"\" | \"\\\"b\\\\\\\"c\\\"\") (\", \" (\"\\\"a\\\"\" | \"\\\"b\\\\\\\"c\\\"\")){0,2})? \"]\""
        );
        assert!(
            lines[2].starts_with(
                "r1 ::= \"{\" \"\\\"tool\\\": \" \"\\\"book\\\"\" \", \\\"day\\\": \" \"\\\"\" letter{0,60}"
            )
        );
        assert!(lines[2].ends_with("\", \\\"seats\\\": \" integer \", \\\"tags\\\": \" r0 \"}\""), "{}", lines[2]);
    }

    #[test]
    fn what_no_grammar_can_say_is_told_with_its_place() {
        for (schema, why) in [
            (json!(3), "$: 3 is no schema"),
            (json!({}), "$: there is neither type"),
            (json!({ "type": "object" }), "$: an object needs `properties`"),
            (json!({ "type": "object", "properties": { "a": { "type": "date" } } }), "$.a: type \"date\""),
            (json!({ "type": "array", "items": { "enum": [] } }), "$[]: enum is no list"),
            (
                json!({ "type": "object", "properties": {}, "required": ["a"] }),
                "$: required: there is no property \"a\"",
            ),
            (json!({ "anyOf": [{ "type": "string" }, {}] }), "$.anyOf[1]: there is neither"),
        ] {
            let told = grammar(&schema).unwrap_err();
            assert!(told.starts_with(why), "{told}\n  not: {why}");
        }
    }
}
