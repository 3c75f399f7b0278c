//! How a persona greets: always alike, or by the part of the day.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What is said when a call begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The same at any time.
    Always(String),
    /// By the part of the day.
    ByPart(Parts),
}

/// A greeting for each part of the day, and one for where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// From 5 to 12.
    morning: Option<String>,
    /// From 12 to 18.
    afternoon: Option<String>,
    /// From 18 to midnight.
    evening: Option<String>,
    /// At night, and in the parts that are left out.
    otherwise: String,
}

impl Parts {
    fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { morning, afternoon, evening, otherwise } = self;
        let parts = [("morning", morning), ("afternoon", afternoon), ("evening", evening)];
        let parts = parts.into_iter().filter_map(|(part, text)| Some((part, text.as_deref()?)));
        parts.chain([("otherwise", otherwise.as_str())])
    }
}

impl Greeting {
    /// The one of this hour, 0 to 23.
    pub fn at(&self, hour: i8) -> &str {
        let Self::ByPart(Parts { morning, afternoon, evening, otherwise }) = self else { return self.otherwise() };
        let part = match hour {
            5..12 => morning,
            12..18 => afternoon,
            18.. => evening,
            _ => &None,
        };
        part.as_deref().unwrap_or(otherwise)
    }

    /// The one of no part of the day.
    pub fn otherwise(&self) -> &str {
        match self {
            Self::Always(text) => text,
            Self::ByPart(parts) => &parts.otherwise,
        }
    }

    /// Each that may be said.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Always(text) => vec![text],
            Self::ByPart(parts) => parts.named().map(|(_, text)| text).collect(),
        }
    }

    /// Puts what `with` makes of each of them in its place.
    pub(super) fn each_text(&mut self, mut with: impl FnMut(&str) -> String) {
        let texts = match self {
            Self::Always(text) => vec![text],
            Self::ByPart(Parts { morning, afternoon, evening, otherwise }) => {
                [morning, afternoon, evening].into_iter().flatten().chain([otherwise]).collect()
            }
        };
        texts.into_iter().for_each(|text| *text = with(text));
    }

    /// Refuses a table in which nothing is said, or always the same.
    pub fn check(&self) -> Result<(), String> {
        let Self::ByPart(parts) = self else { return Ok(()) };
        if let Some((part, _)) = parts.named().find(|(_, text)| text.trim().is_empty()) {
            return Err(format!("greeting: {part} is empty; Milo must have something to say"));
        }
        if parts.named().count() == 1 {
            let right = "write greeting = \"…\", or add morning, afternoon or evening";
            return Err(format!("greeting: otherwise alone is said at any time; {right}"));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Greeting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrParts)
    }
}

/// Reads either, so that a fault names the key that is wrong.
struct TextOrParts;

impl<'de> Visitor<'de> for TextOrParts {
    type Value = Greeting;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a greeting, or a table of them: morning, afternoon, evening, otherwise")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Greeting, E> {
        Ok(Greeting::Always(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Greeting, A::Error> {
        Parts::deserialize(MapAccessDeserializer::new(map)).map(Greeting::ByPart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Held {
        greeting: Greeting,
    }

    fn greeting(written: &str) -> Result<Greeting, String> {
        let held: Held = toml::from_str(&format!("greeting = {written}")).map_err(|fault| fault.to_string())?;
        held.greeting.check().map(|()| held.greeting)
    }

    #[test]
    fn a_greeting_is_that_of_the_hour_or_the_one_for_all_others() {
        let by_part = greeting("{ morning = 'a', evening = 'c', otherwise = 'd' }").expect("a table");
        let said: String = [0, 4, 5, 11, 12, 17, 18, 23].map(|hour| by_part.at(hour)).concat();
        assert_eq!(said, "ddaaddcc");
        assert_eq!((by_part.otherwise(), by_part.texts()), ("d", vec!["a", "c", "d"]));
        let always = greeting("'Salama'").expect("a text");
        assert_eq!((always.at(3), always.at(13), always.texts()), ("Salama", "Salama", vec!["Salama"]));
    }

    #[test]
    fn a_table_in_which_something_is_wrong_is_told_with_its_key() {
        for (written, why) in [
            ("{ night = 'a', otherwise = 'd' }", "`night`"),
            ("{ morning = 'a' }", "`otherwise`"),
            ("{ morning = ' ', otherwise = 'd' }", "greeting: morning is empty"),
            ("{ otherwise = 'd' }", "otherwise alone"),
            ("{ morning = 5, otherwise = 'd' }", "string"),
            ("3", "a greeting, or a table of them"),
        ] {
            let told = greeting(written).expect_err(written);
            assert!(told.contains(why), "{written}: {told}");
        }
    }
}
