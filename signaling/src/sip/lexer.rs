//! The words of RFC 3261 section 25: tokens, quoted strings, parameters, lists.
//!
//! All of it works on `&str` with checked slicing; positions only ever come from `find` and `char_indices`, so nothing
//! that a peer sends can cut a character in two.

use std::fmt;

/// A character of `token` (RFC 3261 section 25.1).
pub(crate) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)
}

/// Whether `text` is a `token`: at least one token character and nothing else.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

/// A character of `word` (RFC 3261 section 25.1), of which Call-ID is made.
pub(crate) fn is_word_char(c: char) -> bool {
    is_token_char(c) || "()<>:\\\"/[]?{}".contains(c)
}

/// Linear white space after unfolding.
pub(crate) fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// `text` without white space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// A place in a text that is read from left to right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { rest: text }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Steps over `c` if it comes next.
    pub(crate) fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Steps over `c` with white space on both sides (the `SLASH`, `SEMI`, `COLON`, `EQUAL` of the grammar).
    pub(crate) fn eat_spaced(&mut self, c: char) -> bool {
        let before = *self;
        self.skip_space();
        if self.eat(c) {
            self.skip_space();
            true
        } else {
            *self = before;
            false
        }
    }

    /// The longest run of characters that `keep` accepts; may be empty.
    pub(crate) fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// A token, or nothing.
    pub(crate) fn token(&mut self) -> Option<&'a str> {
        let token = self.take_while(is_token_char);
        (!token.is_empty()).then_some(token)
    }

    /// A quoted string with its quotes, or nothing (then the cursor has not moved). An open quote without its end is
    /// nothing.
    pub(crate) fn quoted(&mut self) -> Option<&'a str> {
        let mut inside = self.rest.char_indices();
        if inside.next()?.1 != '"' {
            return None;
        }
        let mut escaped = false;
        for (at, c) in inside {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(self.take(at + 1)),
                _ => {}
            }
        }
        None
    }

    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

/// Splits `text` at each `separator` that stands outside quotes and outside angle brackets; pieces are trimmed, empty
/// ones kept, so that the reader of a piece can refuse them.
pub(crate) fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted, mut escaped, mut bracketed) = (0, false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' => bracketed = true,
            '>' => bracketed = false,
            c if c == separator && !bracketed => {
                pieces.push(trim(text.get(start..at).unwrap_or_default()));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(trim(text.get(start..).unwrap_or_default()));
    pieces
}

/// The text of a quoted string without its quotes and escapes; anything else as it is.
pub(crate) fn unquote(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inside.len());
    let mut escaped = false;
    for c in inside.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            plain.push(c);
        }
    }
    plain
}

/// `text` as a quoted string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// More parameters than this in one value are malformed: what follows is compared pair by pair.
const MAX_PARAMS: usize = 64;

/// Parameters of a header value or of a URI, in the order they came: `;name=value;flag`. Values keep their quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// No parameters.
    pub const fn new() -> Params {
        Params(Vec::new())
    }

    /// Reads `*( SEMI generic-param )` up to the end of the text; `None` when it does not follow the grammar.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Option<Params> {
        let params = Params::parse_front(cursor);
        cursor.skip_space();
        cursor.is_at_end().then_some(params)
    }

    /// Reads as many parameters as follow the grammar and leaves the cursor behind them.
    pub(crate) fn parse_front(cursor: &mut Cursor<'_>) -> Params {
        let mut params = Params::new();
        let mut ahead = *cursor;
        while params.0.len() < MAX_PARAMS
            && let Some((name, value)) = parameter(&mut ahead)
        {
            params.0.push((name.to_owned(), value.map(str::to_owned)));
            *cursor = ahead;
        }
        params
    }

    /// The value of a parameter: `None` when it is absent or a flag. Names match in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entry(name)?.1.as_deref()
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Appends a parameter as it was read; false when there are too many.
    pub(crate) fn push(&mut self, name: &str, value: Option<&str>) -> bool {
        self.0.push((name.to_owned(), value.map(str::to_owned)));
        self.0.len() <= MAX_PARAMS
    }

    /// Sets a parameter in place, or appends it.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes every parameter of this name away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Whether a name occurs twice.
    pub(crate) fn has_duplicates(&self) -> bool {
        self.0.iter().enumerate().any(|(i, (a, _))| self.0.iter().skip(i + 1).any(|(b, _)| a.eq_ignore_ascii_case(b)))
    }

    fn entry(&self, name: &str) -> Option<&(String, Option<String>)> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))
    }
}

/// `SEMI token [ EQUAL gen-value ]`
fn parameter<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a str, Option<&'a str>)> {
    let name = cursor.eat_spaced(';').then(|| cursor.token())??;
    let value = if cursor.eat_spaced('=') { Some(parameter_value(cursor)?) } else { None };
    Some((name, value))
}

/// `gen-value = token / host / quoted-string`. Peers put more into it (base64 tags, addresses): whatever cannot be
/// taken for the end of the value is let through.
fn parameter_value<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    if cursor.peek() == Some('"') {
        return cursor.quoted();
    }
    let value = cursor.take_while(|c| !c.is_ascii_control() && !" ;,\"<>\\".contains(c));
    (!value.is_empty()).then_some(value)
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_quotes_and_brackets() {
        let pieces = split_outside(r#" "a, \",b" <sip:c,d@e>;x="y,z" ,, é "#, ',');
        assert_eq!(pieces, [r#""a, \",b" <sip:c,d@e>;x="y,z""#, "", "é"]);
        assert_eq!(split_outside("", ','), [""]);
        assert_eq!(split_outside("\"open, b", ','), ["\"open, b"]);
    }

    #[test]
    fn quotes_come_and_go() {
        for text in ["", "plain", r#"a "b" \ c"#, "é,;<>"] {
            assert_eq!(unquote(&quote(text)), text);
            assert_eq!(Cursor::new(&quote(text)).quoted(), Some(quote(text).as_str()));
        }
        assert_eq!(unquote("token"), "token");
        assert_eq!(Cursor::new("\"open").quoted(), None);
        assert_eq!(Cursor::new(r#""open\""#).quoted(), None);
    }

    #[test]
    fn parameters() {
        let params = Params::parse(&mut Cursor::new(" ; a = 1;B;c=\"x;y\" ; d=[::1] ")).unwrap();
        assert_eq!(params.to_string(), ";a=1;B;c=\"x;y\";d=[::1]");
        assert_eq!(
            (params.get("A"), params.get("b"), params.has("b"), params.has("e")),
            (Some("1"), None, true, false)
        );
        for text in ["x", ";", ";;a", ";a=", ";=b", ";a=\"open", ";a b"] {
            assert_eq!(Params::parse(&mut Cursor::new(text)), None, "{text}");
        }
        let mut params = params;
        params.set("b", Some("2"));
        params.set("e", None);
        params.remove("A");
        assert_eq!(params.to_string(), ";B=2;c=\"x;y\";d=[::1];e");
    }
}
