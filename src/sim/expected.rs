//! What is expected of Milo, as a scenario's file has it.

use std::fmt;

use milo_models::engine::Language;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

/// What is expected of one turn; what is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expected {
    /// All of these are in what Milo understood.
    pub(super) heard: Words,
    /// So many words of `say` may be missing, wrong or too much in it.
    pub(super) wrong_words: Option<usize>,
    /// One of these is in what Milo said.
    pub(super) said: Words,
    /// None of these is.
    pub(super) not_said: Words,
    /// The first packet of the answer came so soon after the last voiced one of the caller, by Milo's log.
    pub(super) within_ms: Option<f64>,
    /// Whether the answer was cut short by what the caller did next.
    pub(super) interrupted: Option<bool>,
    /// In which language Milo understood it.
    pub(super) language: Option<Language>,
    /// For how many turns Milo took it.
    pub(super) turns: Option<usize>,
    /// Whether a voice came back on the line.
    pub(super) reply: Option<bool>,
    /// What stands in the log between this turn and the next.
    pub(super) events: Vec<Event>,
}

/// What is expected of the whole call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct End {
    /// Who hung up.
    pub(super) by: Option<By>,
    /// In the reason that the log has.
    pub(super) reason: Option<String>,
    /// What was spoken in the end.
    pub(super) language: Option<Language>,
    /// Whether the call was transferred.
    pub(super) transferred: Option<bool>,
    /// What stands in the log.
    pub(super) events: Vec<Event>,
}

/// Who ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    Caller,
    Milo,
    Network,
}

impl By {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Milo => "milo",
            Self::Network => "network",
        }
    }
}

/// A text, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Words, E> {
                Ok(Words(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(text) = list.next_element()? {
                    words.push(text);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// An event of the log: its kind, and what its detail has among others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) detail: Value,
}

impl Event {
    /// Whether this event of the log is such a one.
    pub(super) fn fits(&self, logged: &Value) -> bool {
        logged["kind"] == self.kind.as_str() && holds(&logged["detail"], &self.detail)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.detail.is_null() { Ok(()) } else { write!(f, " {}", self.detail) }
    }
}

/// Whether all that is wanted is there; of an object more may be.
fn holds(there: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        Value::Object(fields) => fields.iter().all(|(name, value)| holds(&there[name], value)),
        value => there == value,
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            kind: String,
            #[serde(default)]
            detail: Value,
        }
        struct KindOrWhole;
        impl<'de> Visitor<'de> for KindOrWhole {
            type Value = Event;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event's kind, or { kind: …, detail: { … } }")
            }

            fn visit_str<E>(self, kind: &str) -> Result<Event, E> {
                Ok(Event { kind: kind.to_owned(), detail: Value::Null })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Event, A::Error> {
                let Whole { kind, detail } = Whole::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Event { kind, detail })
            }
        }
        deserializer.deserialize_any(KindOrWhole)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_may_have_more_in_its_detail_than_is_wanted() {
        let logged = json!({ "kind": "tool", "detail": { "tool": "price", "took_ms": 4, "with": { "of": "boky" } } });
        let fits = |event: Value| serde_json::from_value::<Event>(event).unwrap().fits(&logged);
        assert!(fits(json!("tool")));
        assert!(fits(json!({ "kind": "tool", "detail": { "with": { "of": "boky" } } })));
        assert!(!fits(json!({ "kind": "tool", "detail": { "with": { "of": "mofo" } } })));
        assert!(!fits(json!("digit")));
    }

    #[test]
    fn one_text_is_a_list_of_one() {
        let words = |value: Value| serde_json::from_value::<Words>(value).map(|words| words.0.len());
        assert_eq!((words(json!("a")).unwrap(), words(json!(["a", "b"])).unwrap()), (1, 2));
        assert!(words(json!({ "a": 1 })).unwrap_err().to_string().contains("a text or a list of texts"));
    }
}
