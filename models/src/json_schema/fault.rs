//! Whether a value is one of a schema: for what is said by a model that no grammar holds.

use serde_json::{Map, Value};

/// Characters of a value that a fault shows.
const SHOWN: usize = 60;

/// What of `value` is not as `schema` says, and where; of the schemas that [`grammar`](super::grammar) takes. As there, an object has all
/// of its properties and no others; a length that a schema does not say is any here.
pub fn fault(schema: &Value, value: &Value) -> Option<String> {
    check(schema, value, "$").err()
}

fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(constant) = schema.get("const") {
        return told(constant == value, || format!("{at}: {} is not {constant}", shown(value)));
    }
    if let Some(Value::Array(choices)) = schema.get("enum") {
        let known: Vec<_> = choices.iter().map(Value::to_string).collect();
        return told(choices.contains(value), || format!("{at}: {} is not one of {}", shown(value), known.join(", ")));
    }
    if let Some(Value::Array(ways)) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let faults: Vec<_> = ways.iter().map_while(|way| check(way, value, at).err()).collect();
        return told(faults.len() < ways.len(), || faults.join("; or "));
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    match (kind, value) {
        ("object", Value::Object(fields)) => object(schema, fields, at),
        ("array", Value::Array(items)) => {
            length(schema, ("minItems", "maxItems"), items.len(), |wanted| {
                format!("{at}: the list is not {wanted} long")
            })?;
            let each = schema.get("items").unwrap_or(&Value::Null);
            items.iter().enumerate().try_for_each(|(n, item)| check(each, item, &format!("{at}[{n}]")))
        }
        ("string", Value::String(text)) => {
            let characters = text.chars().count();
            length(schema, ("minLength", "maxLength"), characters, |wanted| {
                format!("{at}: the text has {characters} characters, and not {wanted}")
            })
        }
        ("integer", Value::Number(number)) => {
            let is_whole = number.as_f64().is_some_and(|number| number.fract() == 0.0);
            told(is_whole, || format!("{at}: {number} is no whole number"))
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("null", Value::Null) => Ok(()),
        _ => Err(format!("{at}: {} is not of the type {kind}", shown(value))),
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, at: &str) -> Result<(), String> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    if let Some(unknown) = fields.keys().find(|name| !properties.contains_key(*name)) {
        return Err(format!("{at}: there is no property {}", shown(&Value::from(unknown.as_str()))));
    }
    properties.iter().try_for_each(|(name, property)| match fields.get(name) {
        Some(value) => check(property, value, &format!("{at}.{name}")),
        None => Err(format!("{at}: {name:?} is missing")),
    })
}

/// Whether a length is within what a schema says of it.
fn length(
    schema: &Value,
    (least, most): (&str, &str),
    length: usize,
    says: impl Fn(String) -> String,
) -> Result<(), String> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let (least, most) = (bound(least), bound(most));
    let length = length as u64;
    if let Some(least) = least.filter(|least| length < *least) {
        return Err(says(format!("at least {least}")));
    }
    if let Some(most) = most.filter(|most| length > *most) {
        return Err(says(format!("at most {most}")));
    }
    Ok(())
}

fn told(is_right: bool, says: impl FnOnce() -> String) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(says()) }
}

/// A value as a fault shows it: whoever says much is not quoted to the end.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "properties": {
            "day": { "type": "string", "minLength": 2, "maxLength": 4 },
            "mood": { "enum": ["good", "bad"] },
            "seats": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
            "tags": { "type": "array", "items": { "const": "a" }, "maxItems": 2 },
        } })
    }

    #[test]
    fn a_value_of_the_schema_has_no_fault() {
        for value in [
            json!({ "day": "tala", "mood": "good", "seats": 3, "tags": [] }),
            json!({ "day": "éé", "mood": "bad", "seats": null, "tags": ["a", "a"] }),
            json!({ "day": "éé", "mood": "bad", "seats": 3.0, "tags": ["a"] }),
        ] {
            assert_eq!(fault(&schema(), &value), None, "{value}");
        }
        assert_eq!(fault(&json!({ "type": "number" }), &json!(-1.5)), None);
        assert_eq!(fault(&json!({ "type": "boolean" }), &json!(false)), None);
    }

    #[test]
    fn whatever_is_not_as_it_says_is_told_with_its_place() {
        let right = json!({ "day": "lun", "mood": "good", "seats": 1, "tags": [] });
        for (name, value, why) in [
            ("day", json!("alakamisy"), "$.day: the text has 9 characters, and not at most 4"),
            ("day", json!("x"), "$.day: the text has 1 characters, and not at least 2"),
            ("day", json!(7), "$.day: 7 is not of the type string"),
            ("mood", json!("GOOD"), "$.mood: \"GOOD\" is not one of \"good\", \"bad\""),
            ("seats", json!(1.5), "$.seats: 1.5 is no whole number; or $.seats: 1.5 is not of the type null"),
            ("tags", json!(["a", "b"]), "$.tags[1]: \"b\" is not \"a\""),
            ("tags", json!(["a", "a", "a"]), "$.tags: the list is not at most 2 long"),
            ("more", json!({}), "$: there is no property \"more\""),
        ] {
            let mut wrong = right.clone();
            wrong[name] = value;
            assert_eq!(fault(&schema(), &wrong).as_deref(), Some(why));
        }
        assert_eq!(fault(&schema(), &json!({ "day": "aa" })).as_deref(), Some("$: \"mood\" is missing"));
        assert_eq!(fault(&schema(), &json!([])).as_deref(), Some("$: [] is not of the type object"));
        let long = fault(&json!({ "type": "integer" }), &json!("é".repeat(500))).expect("a text");
        assert!(long.chars().count() < 120, "{long}");
        // A schema that is none takes nothing, and nobody panics.
        assert!(fault(&json!({}), &json!(1)).is_some() && fault(&json!(3), &json!(1)).is_some());
    }
}
