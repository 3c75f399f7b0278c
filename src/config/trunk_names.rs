//! The trunks that something goes over.

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// How many trunks a number may be tried over.
const TRUNKS: usize = 8;

/// The trunks that a number is called over, the first first: a name, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct TrunkNames(Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name of a trunk, or a list of names")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for TrunkNames {
    fn from(names: OneOrMore) -> Self {
        match names {
            OneOrMore::One(name) => Self(vec![name]),
            OneOrMore::More(names) => Self(names),
        }
    }
}

impl From<TrunkNames> for OneOrMore {
    fn from(TrunkNames(mut names): TrunkNames) -> Self {
        if names.len() == 1 { Self::One(names.remove(0)) } else { Self::More(names) }
    }
}

impl ToSchema for TrunkNames {}

impl PartialSchema for TrunkNames {
    fn schema() -> RefOr<Schema> {
        let name = || ObjectBuilder::new().schema_type(Type::String);
        let names = ArrayBuilder::new().items(name()).min_items(Some(1)).max_items(Some(TRUNKS));
        OneOfBuilder::new()
            .description(Some("The trunks that a number is called over, the first first: a name, or a list of names."))
            .item(name())
            .item(names)
            .into()
    }
}

impl TrunkNames {
    /// The names, in the order in which they are tried.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// What is impossible about them, in one sentence.
    pub fn fault(&self) -> Option<String> {
        (!(1..=TRUNKS).contains(&self.0.len()))
            .then(|| format!("trunk: a call is tried over 1 to {TRUNKS} trunks, not over {}", self.0.len()))
    }
}
