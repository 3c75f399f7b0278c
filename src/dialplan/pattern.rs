//! The patterns of dialplans: one small language for numbers, trunks and header fields.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

/// As long as a pattern may be, in characters.
const LONGEST: usize = 256;

/// A text with gaps: `*` is anything, also nothing; `?` is one character; `[2-9]` and `[137]` are one of these; every other
/// character is itself, and upper and lower case differ. A star that is meant is `[*]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Itself(char),
    One,
    /// From and to, both of them included.
    Among(Vec<(char, char)>),
    Anything,
}

impl Part {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Itself(own) => *own == character,
            Self::One => true,
            Self::Among(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)),
            Self::Anything => false,
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern fits nothing; \"*\" fits everything".into());
        }
        if text.chars().count() > LONGEST {
            return Err(format!("a pattern is longer than {LONGEST} characters"));
        }
        let (mut parts, mut rest) = (Vec::new(), text.chars());
        while let Some(character) = rest.next() {
            parts.push(match character {
                '*' if parts.last() == Some(&Part::Anything) => continue,
                '*' => Part::Anything,
                '?' => Part::One,
                '[' => {
                    let (inside, after) =
                        rest.as_str().split_once(']').ok_or_else(|| format!("{text:?}: a [ without its ]"))?;
                    rest = after.chars();
                    Part::Among(ranges(inside).ok_or_else(|| format!("{text:?}: [{inside}] names no characters"))?)
                }
                other => Part::Itself(other),
            });
        }
        Ok(Self { text: text.into(), parts })
    }

    /// Whether the whole of a text is as the pattern says.
    pub fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Where the last star stands, and how much it has taken so far: what does not go on is given to it.
        let mut star: Option<(usize, usize)> = None;
        while let Some(character) = text.get(at) {
            match (self.parts.get(part), star) {
                (Some(Part::Anything), _) => {
                    star = Some((part, at));
                    part += 1;
                }
                (Some(own), _) if own.takes(*character) => (part, at) = (part + 1, at + 1),
                (_, Some((stands, taken))) => {
                    star = Some((stands, taken + 1));
                    (part, at) = (stands + 1, taken + 1);
                }
                (_, None) => return false,
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Anything)
    }

    /// The one text that it fits, if there is just one.
    pub fn only(&self) -> Option<&str> {
        self.parts.iter().all(|part| matches!(part, Part::Itself(_))).then_some(self.text.as_str())
    }
}

/// The ranges within brackets: `2-9`, `137`, `0-9a-f`.
fn ranges(inside: &str) -> Option<Vec<(char, char)>> {
    let mut ranges = Vec::new();
    let characters: Vec<char> = inside.chars().collect();
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [from, '-', to, after @ ..] if from <= to => {
                ranges.push((*from, *to));
                after
            }
            [_, '-', _, ..] => return None,
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
            [] => return (!ranges.is_empty()).then_some(ranges),
        };
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One pattern or a list of them, of which one must fit; an empty list fits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Whether one of them fits.
    pub fn fits(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.fits(text))
    }

    /// Whether there is none, or one of them fits.
    pub fn admit(&self, text: &str) -> bool {
        self.is_empty() || self.fits(text)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that fit one text only.
    pub fn only(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Pattern::only)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{pattern}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl Serialize for Patterns {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|pattern| &pattern.text))
    }
}

struct PatternsVisitor;

impl<'de> Visitor<'de> for PatternsVisitor {
    type Value = Patterns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern like \"+261*\" or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
        Pattern::parse(text).map(|one| Patterns(vec![one])).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Patterns, A::Error> {
        let mut patterns = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            patterns.push(Pattern::parse(&text).map_err(de::Error::custom)?);
        }
        Ok(Patterns(patterns))
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PatternsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say_and_nothing_else() {
        for (pattern, fits, misses) in [
            ("milo", &["milo"][..], &["Milo", "mil", "milos", ""][..]),
            ("*", &["", "milo", "+261"], &[]),
            ("+261*", &["+261", "+261341234567"], &["261", "0+261"]),
            ("0[2-9]???????", &["021234567", "091234567"], &["011234567", "02123456", "0212345678"]),
            ("[137]", &["1", "3", "7"], &["2", "137", ""]),
            ("[*]9?", &["*97"], &["97", "**97", "x97"]),
            ("*ab*ab", &["abab", "xabyab", "ababab", "abaabab"], &["ab", "ababa"]),
            ("[a-z-]x", &["ax", "-x"], &["Ax"]),
        ] {
            let read = Pattern::parse(pattern).expect("a pattern");
            for text in fits {
                assert!(read.fits(text), "{pattern} fits {text}");
            }
            for text in misses {
                assert!(!read.fits(text), "{pattern} does not fit {text}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let read = Pattern::parse(&"*a".repeat(100)).expect("a pattern");
        assert!(!read.fits(&("a".repeat(5_000) + "b")));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, why) in
            [("", "fits nothing"), ("0[2-9", "without its ]"), ("[]", "no chara"), ("[9-2]", "no chara")]
        {
            let said = Pattern::parse(pattern).expect_err("no pattern");
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(Pattern::parse("milo").expect("a pattern").only(), Some("milo"));
        assert_eq!(Pattern::parse("mil?").expect("a pattern").only(), None);
    }
}
