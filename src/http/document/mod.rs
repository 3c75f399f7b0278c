//! The OpenAPI document (version 3.1), made of what the routes say of themselves: a handler's doc comment is its summary and, below
//! an empty line, its description; the doc comments of a body's fields describe them.
//!
//! ```text
//! #[utoipa::path] + routes!(…) ─► OpenApiRouter ─► document ─┬─ answers.rs: the statuses that every route of a kind may give
//!                                                           └─ examples.rs: bodies put together from the examples of their fields
//! ```
//! `openapi.json` beside this file is the document as it was last; a test holds the two together, and
//! `MILO_WRITE=1 cargo test --release --workspace --lib document` writes it anew.

mod answers;
mod examples;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::OpenApi};

use super::{openai, problem::Problem};

const ABOUT: &str = "Milo Voice is a telephone and browser voice agent. This is how programs speak to it: with a key, over HTTP. \
                     What goes wrong is told in problem bodies (RFC 9457), below `/v1` in OpenAI's shape; each holds a sentence \
                     that says what was wrong.";

const KEY: &str = "The key of `API_KEY`, or one of `milo keys create` or `POST /api/v1/keys`. A key has scopes (`read`, `text`, \
                   `calls`, `admin`); with `admin` everything may be done. Each operation names the scope that it needs. On Milo's \
                   own machine, while there is no key at all, nothing needs one.";

/// The document of all routes that were gathered.
pub(super) fn document(gathered: &OpenApi) -> Value {
    let mut document = serde_json::to_value(gathered).unwrap_or_default();
    document["info"] = json!({
        "title": "Milo Voice",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": { "name": "AGPL-3.0-only", "identifier": "AGPL-3.0-only" },
    });
    document["servers"] = json!([{ "url": "/", "description": "Whoever serves this document." }]);
    document["tags"] = json!([
        { "name": "text", "description": "The assistant by text and sound." },
        { "name": "openai", "description": "The same in OpenAI's protocol." },
        { "name": "calls", "description": "Calls that are up, and those of the log." },
        { "name": "campaigns", "description": "Lists of numbers that Milo calls, and those that it does not." },
        { "name": "messages", "description": "Texts over SIP." },
        { "name": "dialplans", "description": "What happens to a call." },
        { "name": "telephony", "description": "Trunks, telephones and whoever is shut out." },
        { "name": "administration", "description": "Keys, the configuration, and what was done by whom." },
        { "name": "health", "description": "How Milo is." },
    ]);
    document["components"]["securitySchemes"] =
        json!({ "key": { "type": "http", "scheme": "bearer", "description": KEY } });
    document["components"]["headers"] = answers::headers();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        add::<Problem>(schemas);
        add::<openai::Refusal>(schemas);
    }
    answers::complete(&mut document);
    examples::complete(&mut document);
    document
}

/// A schema that no route names, and those that it is made of.
fn add<T: ToSchema>(schemas: &mut Map<String, Value>) {
    let mut all = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut all);
    schemas.extend(all.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())));
}

/// Each operation with its path and method.
fn operations(document: &mut Value) -> impl Iterator<Item = (String, String, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object_mut().into_iter().flatten();
        operations.map(move |(method, operation)| (path.clone(), method.clone(), operation))
    })
}
