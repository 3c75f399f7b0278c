//! Markdown, HTML leftovers, emoji and invisible characters taken out of a text; what they meant for the ear (the end of
//! a heading, of a list item, of a table row) is kept as punctuation.

/// How far a closing bracket is looked for; a longer label or link is none.
const REACH: usize = 400;

/// The text as plain sentences on one line.
pub(super) fn plain(text: &str) -> String {
    let clean: String = text.chars().filter_map(visible).collect();
    let mut out = String::with_capacity(clean.len());
    let mut lines = clean.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let own = block(line, &mut out);
        let paragraph_ends = lines.peek().is_some_and(|next| next.trim().is_empty());
        if own || (paragraph_ends && !line.is_empty()) {
            close(&mut out);
        }
        out.push(' ');
    }
    out
}

/// Writes one line without its block marks; whether it is a unit of its own that ends like a sentence.
fn block(line: &str, out: &mut String) -> bool {
    let only = |signs: &str| line.len() >= 3 && line.chars().all(|letter| signs.contains(letter));
    if line.starts_with("```") || line.starts_with("~~~") || only("-=*_ ") || only("|-: ") {
        return false;
    }
    let quoted = line.trim_start_matches(['>', ' ']);
    if let Some(row) = quoted.strip_prefix('|') {
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        inline(&cells.join(", "), out);
        return true;
    }
    let title = quoted.trim_start_matches('#');
    if title.len() < quoted.len() && title.starts_with(' ') {
        inline(title.trim().trim_end_matches('#'), out);
        return true;
    }
    for bullet in ["- ", "* ", "+ ", "• "] {
        if let Some(item) = quoted.strip_prefix(bullet) {
            let boxed = ["[ ] ", "[x] ", "[X] "].iter().find_map(|mark| item.strip_prefix(mark));
            inline(boxed.unwrap_or(item), out);
            return true;
        }
    }
    let count = quoted.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=2).contains(&count)
        && let Some(item) = quoted[count..].strip_prefix(". ").or_else(|| quoted[count..].strip_prefix(") "))
    {
        out.push_str(&quoted[..count]);
        out.push_str(", ");
        inline(item, out);
        return true;
    }
    inline(quoted, out);
    false
}

/// Ends what was written like a sentence.
fn close(out: &mut String) {
    let trimmed = out.trim_end();
    if trimmed.ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, ')' | '%' | '€' | '»' | '"')) {
        out.truncate(trimmed.len());
        out.push('.');
    }
}

/// Writes a line without its inline marks.
fn inline(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let (kept, taken) = match letter {
            '\\' if after.starts_with(|next: char| next.is_ascii_punctuation()) => {
                let escaped = &after[..1];
                (if "*_`~#".contains(escaped) { " " } else { escaped }, 2)
            }
            '`' | '~' => ("", 1),
            '*' => (if between(out, after, |side| side.is_ascii_digit()) { "×" } else { "" }, 1),
            '_' => (if between(out, after, char::is_alphanumeric) { "_" } else { "" }, 1),
            '!' if after.starts_with('[') => ("", 1),
            '[' => link(after),
            '<' => tag(after),
            '&' => entity(rest),
            _ => (&rest[..letter.len_utf8()], letter.len_utf8()),
        };
        if letter == '[' && taken > 1 {
            inline(kept, out);
        } else {
            out.push_str(kept);
        }
        rest = &rest[taken..];
    }
}

fn between(out: &str, after: &str, side: fn(char) -> bool) -> bool {
    out.chars().next_back().is_some_and(side) && after.starts_with(side)
}

/// Where the ASCII sign `close` stands within [`REACH`], before another `open`.
fn find(text: &str, open: u8, close: u8) -> Option<usize> {
    let at = text.bytes().take(REACH).position(|byte| byte == open || byte == close)?;
    (text.as_bytes()[at] == close).then_some(at)
}

/// After "[": the label of a link, without its target; a footnote mark is dropped. What to keep and the bytes taken,
/// the bracket among them.
fn link(after: &str) -> (&str, usize) {
    let Some(end) = find(after, b'[', b']') else { return (" ", 1) };
    let (label, target) = (&after[..end], &after[end + 1..]);
    if label.starts_with('^') {
        return ("", end + 2);
    }
    match target.strip_prefix('(').and_then(|target| find(target, b'(', b')')) {
        Some(close) => (label, end + 2 + close + 2),
        None => (" ", 1),
    }
}

/// After "<": an address in angle brackets is kept, an HTML tag becomes a space.
fn tag(after: &str) -> (&str, usize) {
    let opens = after.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/' || letter == '!');
    match find(after, b'<', b'>').filter(|_| opens) {
        Some(end) if after[..end].contains("://") || after[..end].contains('@') => (&after[..end], end + 2),
        Some(end) => (" ", end + 2),
        None => (" ", 1),
    }
}

/// The HTML entities that occur in running text.
fn entity(rest: &str) -> (&str, usize) {
    for (name, sign) in [
        ("&amp;", "&"),
        ("&nbsp;", " "),
        ("&lt;", " "),
        ("&gt;", " "),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
    ] {
        if rest.starts_with(name) {
            return (sign, name.len());
        }
    }
    ("&", 1)
}

/// The character as it may be read: other digits as ASCII ones, controls as spaces; invisible ones and pictures not.
fn visible(letter: char) -> Option<char> {
    match letter {
        '\n' => Some('\n'),
        letter if letter.is_control() => Some(' '),
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fffd}' => None,
        '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{fffff}' => None,
        '\u{2028}' | '\u{2029}' => Some('\n'),
        '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1fbff}' => None,
        '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{25ff}' => None,
        letter if letter.is_ascii() => Some(letter),
        '’' | 'ʼ' | '‘' | '´' | '＇' => Some('\''),
        letter => Some(ascii_digit(letter).unwrap_or(letter)),
    }
}

/// Where the ten decimal digits of other scripts begin (Unicode category Nd): Arabic, Persian, N'Ko, the scripts of India, Sinhala, Thai,
/// Lao, Tibetan, Myanmar, Khmer, Mongolian, full width, and the styled ones of mathematics.
const ZEROS: [u32; 30] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50,
    0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x1a80, 0x1b50, 0xa8d0, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    0x1d7ec, 0x1d7f6,
];

fn ascii_digit(letter: char) -> Option<char> {
    let value = ZEROS.iter().find_map(|zero| (letter as u32).checked_sub(*zero).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}
