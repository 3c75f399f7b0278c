use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::http::{described, described_text};

fn made() -> Value {
    let mut gathered = described().split_for_parts().1;
    gathered.merge(described_text().split_for_parts().1);
    document(&gathered)
}

/// Every body with its place: of requests and of answers.
fn bodies(document: &Value) -> Vec<(String, String, Value)> {
    let mut document = document.clone();
    let mut all = Vec::new();
    for (path, method, operation) in operations(&mut document) {
        let mut add = |of: &str, content: &Value| {
            for (kind, media) in content.as_object().into_iter().flatten() {
                all.push((format!("{method} {path}: {of} as {kind}"), kind.clone(), media.clone()));
            }
        };
        add("the request", &operation["requestBody"]["content"]);
        for (status, response) in operation["responses"].as_object().unwrap() {
            add(status, &response["content"]);
        }
    }
    all
}

/// What is wrong with a value, by a schema of the document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let whole = json!({ "allOf": [schema], "components": document["components"] });
    let judge = jsonschema::draft202012::new(&whole).expect("a schema");
    judge.iter_errors(value).map(|fault| fault.to_string()).collect()
}

#[test]
fn the_document_in_the_tree_is_the_one_that_is_made() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/document/openapi.json");
    let made = made();
    if std::env::var_os("MILO_WRITE").is_some() {
        fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&made).unwrap())).unwrap();
    }
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(
        kept == made,
        "write src/http/document/openapi.json anew: MILO_WRITE=1 cargo test --release --workspace --lib document"
    );
}

#[test]
fn every_route_says_what_it_is_and_no_two_have_one_name() {
    let mut document = made();
    assert_eq!(document["openapi"], "3.1.0");
    let tags: BTreeSet<String> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&mut document) {
        let place = format!("{method} {path}: {operation}");
        assert!(
            operation["summary"].as_str().is_some_and(|summary| !summary.is_empty() && !summary.ends_with('.')),
            "{place}"
        );
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
        assert!(
            operation["tags"].as_array().is_some_and(|all| all.iter().all(|tag| tags.contains(tag.as_str().unwrap()))),
            "{place}"
        );
        let responses = operation["responses"].as_object().unwrap();
        let is_good = |status: &String| status.starts_with('2') || status == "101";
        assert!(responses.keys().any(is_good), "{place}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in &parameters {
            assert!(parameter["description"].as_str().is_some_and(|says| !says.is_empty()), "{parameter}: {place}");
        }
        let left_open = path.split('/').filter(|part| part.starts_with('{')).count();
        assert_eq!(parameters.iter().filter(|parameter| parameter["in"] == "path").count(), left_open, "{place}");
    }
    assert!(names.len() > 35, "{names:?}");
}

#[test]
fn every_body_has_an_example_that_is_right() {
    let document = made();
    let bodies = bodies(&document);
    for (place, kind, media) in &bodies {
        let schema = &media["schema"];
        if kind.ends_with("json") {
            let mut lack = Vec::new();
            examples::example(schema, &document["components"]["schemas"], "", &mut lack);
            assert!(lack.is_empty(), "{place}: without an example: {lack:?}");
            let faults = faults(&document, schema, &media["example"]);
            assert!(faults.is_empty(), "{place}: {}: {faults:?}", media["example"]);
        } else if kind.starts_with("text/") {
            assert!(media["example"].is_string(), "{place}: {media}");
        }
    }
    assert!(bodies.len() > 200, "{}", bodies.len());
    // An example that is not right is found.
    let wrong = faults(&document, &json!({ "$ref": "#/components/schemas/Call" }), &json!({ "id": 7 }));
    assert!(wrong.iter().any(|fault| fault.contains("7 is not of type")), "{wrong:?}");
}
