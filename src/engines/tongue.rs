//! The languages in the document of the API: the models' crate, whose they are, knows nothing of it.

use milo_models::engine::Language;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A [`Language`], as the document describes it.
#[derive(Debug)]
pub enum Tongue {}

impl ToSchema for Tongue {
    fn name() -> std::borrow::Cow<'static, str> {
        "Language".into()
    }
}

impl PartialSchema for Tongue {
    fn schema() -> RefOr<Schema> {
        let codes = [Language::Mg, Language::Fr].map(Language::code);
        let says = "Malagasy or French.";
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).description(Some(says)).into()
    }
}
