//! Examples of whole bodies, put together from those of their fields: each stands once, beside the field.

use serde_json::{Map, Value, json};

use super::operations;

/// Gives each JSON body without an example one.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for (_, _, operation) in operations(document) {
        let responses = operation["responses"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
        let mut bodies: Vec<String> = vec!["/requestBody/content".into()];
        bodies.extend(responses.unwrap_or_default().iter().map(|status| format!("/responses/{status}/content")));
        for body in bodies {
            let Some(Value::Object(content)) = operation.pointer_mut(&body) else { continue };
            for (_, media) in content.iter_mut().filter(|(kind, _)| kind.ends_with("json")) {
                if media["example"].is_null() {
                    media["example"] = example(&media["schema"], &schemas, "", &mut Vec::new());
                }
            }
        }
    }
}

/// An example of a schema. Where a text has none, it is null, and its place is put among those that `lack` one.
pub(super) fn example(schema: &Value, schemas: &Value, place: &str, lack: &mut Vec<String>) -> Value {
    if let Some(given) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return given.clone();
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return example(&schemas[name], schemas, name, lack);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(Value::Array(parts)) = schema.get("allOf") {
        let parts = parts.iter().map(|part| example(part, schemas, place, lack));
        let fields = parts.filter_map(|part| if let Value::Object(fields) = part { Some(fields) } else { None });
        return Value::Object(fields.flatten().collect());
    }
    if let Some(Value::Array(ways)) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        let first = ways.iter().find(|way| way["type"] != "null").unwrap_or(&Value::Null);
        return example(first, schemas, place, lack);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").unwrap_or(&Value::Null),
        kind => kind,
    };
    match (kind.as_str(), schema["format"].as_str()) {
        (Some("object"), _) => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let all =
                fields.map(|(name, field)| (name.clone(), example(field, schemas, &format!("{place}.{name}"), lack)));
            Value::Object(all.collect::<Map<_, _>>())
        }
        (Some("array"), _) => json!([example(&schema["items"], schemas, place, lack)]),
        (Some("boolean"), _) => json!(false),
        (Some("integer" | "number"), _) => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        (Some("string"), Some("uuid")) => json!("0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01"),
        (Some("string"), Some("date-time")) => json!("2026-11-30T07:00:00Z"),
        // Anything.
        (None, _) => Value::Null,
        _ => {
            lack.push(place.to_owned());
            Value::Null
        }
    }
}
