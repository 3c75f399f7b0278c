//! Lists in CSV (RFC 4180): whom a campaign calls, and whom none calls. What is wrong is told by line and field, and of a list with
//! a fault nothing is taken.

use std::collections::{BTreeMap, BTreeSet};

use csv::{ByteRecord, ReaderBuilder};

use super::number::{Numbers, is_callable, listed};
use crate::{
    dialplan::zone_named,
    store::{Key, NewCampaignRow, NewUnwanted},
};

/// Faults that are told at once; of more it is said how many.
const TOLD: usize = 10;
/// Columns of a list.
const MOST_COLUMNS: usize = 50;
/// Characters of a note.
const LONGEST_NOTE: usize = 200;
const NUMBER: &str = "number";
const ZONE: &str = "zone";
const NOTE: &str = "note";

/// A list that can be called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// The names of the variables, in the order of the head.
    pub(super) columns: Vec<String>,
    /// The time zones, each once.
    pub(super) zones: Vec<String>,
    pub(super) rows: Vec<NewCampaignRow>,
}

/// What is wrong with a list, each fault with its line and field.
#[derive(Debug, Default)]
struct Faults {
    told: Vec<String>,
    more: usize,
}

impl Faults {
    fn add(&mut self, line: i32, field: &str, fault: &str) {
        if self.told.len() < TOLD {
            self.told.push(format!("line {line}, {field}: {fault}"));
        } else {
            self.more += 1;
        }
    }

    fn none(self) -> Result<(), String> {
        match (self.told.is_empty(), self.more) {
            (true, _) => Ok(()),
            (false, 0) => Err(format!("the list is not taken: {}", self.told.join("; "))),
            (false, more) => Err(format!("the list is not taken: {}; and {more} more faults", self.told.join("; "))),
        }
    }
}

/// Counts the lines of a list on the way through it. The reader's own count stands before the empty lines that it passes over.
struct Lines<'c> {
    csv: &'c [u8],
    at: usize,
    line: i32,
}

impl Lines<'_> {
    /// The line of the record that begins at this byte, or behind empty lines there.
    fn of(&mut self, byte: u64) -> i32 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.at, self.csv.len());
        let empty = self.csv[byte..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let passed = line_ends(&self.csv[self.at..byte + empty]);
        self.at = byte + empty;
        self.line = self.line.saturating_add(i32::try_from(passed).unwrap_or(i32::MAX));
        self.line
    }
}

/// How many lines end here: by LF, by CR LF, or by CR alone, as the reader has it.
fn line_ends(text: &[u8]) -> usize {
    let ends = text.iter().filter(|byte| b"\r\n".contains(byte)).count();
    ends - text.windows(2).filter(|pair| *pair == b"\r\n").count()
}

/// Where the reader of [`quotes`] is in a field.
enum Field {
    Begins,
    Plain,
    Quoted,
    /// Behind its closing quote, unless that is the first of two.
    Closed,
    /// Its fault is told already.
    Wrong,
}

/// What is wrong with the quotes of a list. The CSV reader takes any of them, and one that is never closed would
/// swallow the lines below it.
fn quotes(csv: &[u8], delimiter: u8) -> Faults {
    let (mut faults, mut field) = (Faults::default(), Field::Begins);
    // The present line; the line on which the field began, and its column.
    let (mut line, mut began, mut column) = (1_i32, 1_i32, 1_usize);
    for (at, &byte) in csv.iter().enumerate() {
        if byte == b'\n' || (byte == b'\r' && csv.get(at + 1) != Some(&b'\n')) {
            line = line.saturating_add(1);
        }
        field = match (field, byte) {
            (Field::Quoted, b'"') => Field::Closed,
            // Two of them within quotes are one of the text.
            (Field::Quoted, _) | (Field::Closed, b'"') => Field::Quoted,
            (_, b'\r' | b'\n') => {
                (began, column) = (line, 1);
                Field::Begins
            }
            (_, byte) if byte == delimiter => {
                (began, column) = (line, column + 1);
                Field::Begins
            }
            (Field::Begins, b'"') => Field::Quoted,
            (Field::Plain, b'"') => {
                faults.add(began, &format!("field {column}"), "a quote stands in it, and it does not begin with one");
                Field::Wrong
            }
            (Field::Closed, _) => {
                faults.add(began, &format!("field {column}"), "more stands behind its closing quote");
                Field::Wrong
            }
            (Field::Wrong, _) => Field::Wrong,
            (Field::Begins | Field::Plain, _) => Field::Plain,
        };
    }
    if matches!(field, Field::Quoted) {
        faults.add(began, &format!("field {column}"), "its quote is not closed");
    }
    faults
}

/// A list's head, and its lines as text.
struct Table {
    head: Vec<String>,
    lines: Vec<(i32, Vec<String>)>,
}

impl Table {
    /// Reads a list of `most` lines at most. Fields are separated by commas, or by semicolons where the head has no comma: some
    /// spreadsheets write them so.
    fn read(csv: &[u8], most: usize) -> Result<Self, String> {
        let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
        let head = csv.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
        let delimiter = if head.contains(&b';') && !head.contains(&b',') { b';' } else { b',' };
        quotes(csv, delimiter).none()?;
        let mut reader = ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(csv);
        let (mut table, mut faults) = (Self { head: Vec::new(), lines: Vec::new() }, Faults::default());
        let (mut record, mut counting) = (ByteRecord::new(), Lines { csv, at: 0, line: 1 });
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(wrong) => return Err(format!("the list is no CSV: {wrong}")),
            }
            let line = counting.of(record.position().map_or(0, csv::Position::byte));
            let fields: Vec<Option<&str>> =
                record.iter().map(|field| std::str::from_utf8(field).ok().map(str::trim)).collect();
            if let Some(at) = fields.iter().position(|field| field.is_none_or(is_unreadable)) {
                let name = table.head.get(at).map_or("its head", String::as_str);
                faults.add(line, name, "it is no UTF-8, or holds a control character or a line break");
                continue;
            }
            let fields: Vec<String> = fields.into_iter().flatten().map(str::to_owned).collect();
            if table.head.is_empty() {
                table.head = fields;
            } else if fields.len() != table.head.len() {
                let fault = format!("it has {} fields, and the head {}", fields.len(), table.head.len());
                faults.add(line, "all of it", &fault);
            } else if table.lines.len() == most {
                return Err(format!("the list has more than {most} lines: make several of it"));
            } else {
                table.lines.push((line, fields));
            }
        }
        faults.none()?;
        let mut known = BTreeSet::new();
        if let Some(twice) = table.head.iter().find(|name| !known.insert(name.as_str())) {
            return Err(format!("line 1, {twice}: the head names it twice"));
        }
        if !known.contains(NUMBER) {
            return Err(format!("line 1, {NUMBER}: the head has no column of this name; it says who is called"));
        }
        if table.head.len() > MOST_COLUMNS {
            return Err(format!("line 1: the head has {} columns; {MOST_COLUMNS} are the most", table.head.len()));
        }
        if table.lines.is_empty() {
            return Err("the list has a head and no line below it".into());
        }
        Ok(table)
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.head.iter().position(|known| known == name)
    }
}

/// Whether a field holds what no plan can be given, and no line of the results.
fn is_unreadable(field: &str) -> bool {
    field.chars().any(|c| c.is_control() && c != '\t')
}

/// Reads whom a campaign calls. `check` says what is wrong with a call to somebody with these variables, and with a variable alone.
pub(super) fn read(
    csv: &[u8],
    (most, numbers, zone): (usize, &Numbers, &str),
    check: impl Fn(&str, &BTreeMap<String, String>) -> Result<(), String>,
) -> Result<List, String> {
    let table = Table::read(csv, most)?;
    let (mut faults, mut rows, mut zones) = (Faults::default(), Vec::new(), BTreeSet::new());
    let columns: Vec<String> =
        table.head.iter().filter(|name| ![NUMBER, ZONE].contains(&name.as_str())).cloned().collect();
    let (number_at, zone_at) = (table.column(NUMBER).unwrap_or_default(), table.column(ZONE));
    for (line, fields) in &table.lines {
        let called = match listed(&fields[number_at]) {
            Ok(called) => called,
            Err(fault) => {
                faults.add(*line, NUMBER, fault);
                continue;
            }
        };
        let zone = match zone_at.map(|at| fields[at].as_str()).filter(|zone| !zone.is_empty()) {
            None => zone,
            Some(own) => {
                if let Err(fault) = zone_named(own) {
                    faults.add(*line, ZONE, &fault);
                    continue;
                }
                own
            }
        };
        let variables: BTreeMap<String, String> = table.head.iter().cloned().zip(fields.iter().cloned()).collect();
        let variables = variables.into_iter().filter(|(name, _)| columns.contains(name)).collect();
        if let Err(fault) = check(&called, &variables) {
            faults.add(*line, field_of(&fault, &columns), &fault);
            continue;
        }
        zones.insert(zone.to_owned());
        rows.push(NewCampaignRow {
            line: *line,
            target: numbers.target(&called),
            called,
            zone: zone.to_owned(),
            variables,
        });
    }
    faults.none()?;
    Ok(List { columns, zones: zones.into_iter().collect(), rows })
}

/// The column of which a sentence about a call speaks: it names a variable in quotes.
fn field_of<'c>(fault: &str, columns: &'c [String]) -> &'c str {
    columns.iter().find(|name| fault.contains(&format!("{name:?}"))).map_or(NUMBER, String::as_str)
}

/// Reads whom no campaign calls: `number`, and perhaps a `note`.
pub(super) fn unwanted(csv: &[u8], most: usize, numbers: &Numbers) -> Result<Vec<NewUnwanted>, String> {
    let table = Table::read(csv, most)?;
    if let Some(other) = table.head.iter().find(|name| ![NUMBER, NOTE].contains(&name.as_str())) {
        return Err(format!("line 1, {other}: the do-not-call list has the columns {NUMBER} and {NOTE}"));
    }
    let (number_at, note_at) = (table.column(NUMBER).unwrap_or_default(), table.column(NOTE));
    let (mut faults, mut rows) = (Faults::default(), Vec::new());
    for (line, fields) in &table.lines {
        match entry(&fields[number_at], note_at.map(|at| fields[at].as_str()), numbers) {
            Ok(row) => rows.push(row),
            Err((field, fault)) => faults.add(*line, field, &fault),
        }
    }
    faults.none()?;
    Ok(rows)
}

/// One number that no campaign calls.
///
/// # Errors
/// The field, and what is wrong with it.
pub(super) fn entry(
    number: &str,
    note: Option<&str>,
    numbers: &Numbers,
) -> Result<NewUnwanted, (&'static str, String)> {
    let number = listed(number).map_err(|fault| (NUMBER, fault.to_owned()))?;
    if !is_callable(&number) {
        return Err((NUMBER, format!("{number:?} is neither a number nor a SIP address")));
    }
    if note.is_some_and(is_unreadable) {
        return Err((NOTE, "it holds a control character or a line break".into()));
    }
    let note = note.map(str::trim).filter(|note| !note.is_empty()).map(str::to_owned);
    if note.as_ref().is_some_and(|note| note.chars().count() > LONGEST_NOTE) {
        return Err((NOTE, format!("it is longer than {LONGEST_NOTE} characters")));
    }
    Ok(NewUnwanted { id: Key::new(), target: numbers.target(&number), number, note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(csv: &str) -> Result<List, String> {
        let known = |to: &str, variables: &BTreeMap<String, String>| match variables.keys().find(|name| *name != "day")
        {
            Some(other) => Err(format!("no plan knows the variable {other:?}")),
            None if to.starts_with('!') => Err(format!("to {to:?} is neither a number nor an address")),
            None => Ok(()),
        };
        read(csv.as_bytes(), (3, &Numbers::new("261"), "Indian/Antananarivo"), known)
    }

    #[test]
    fn each_line_is_a_number_with_its_zone_and_its_variables() {
        let csv = "\u{feff}day, number ,zone\r\nTalata,034 12 345 67,\r\n\"Alarobia, \"\"maraina\"\"\",+33123456789,\
                   Europe/Paris\r\n";
        let read = list(csv).unwrap();
        assert_eq!(read.columns, ["day"]);
        assert_eq!(read.zones, ["Europe/Paris", "Indian/Antananarivo"]);
        let [one, other] = read.rows.as_slice() else { panic!("{read:?}") };
        assert_eq!((one.line, one.called.as_str(), one.target.as_str()), (2, "0341234567", "261341234567"));
        assert_eq!((one.variables["day"].as_str(), one.zone.as_str()), ("Talata", "Indian/Antananarivo"));
        assert_eq!((other.line, other.zone.as_str()), (3, "Europe/Paris"));
        assert_eq!(other.variables["day"], "Alarobia, \"maraina\"");
        assert_eq!(list("number;day\n0341234567;Talata\n").unwrap().rows[0].variables["day"], "Talata");
        // As old spreadsheets end lines.
        let read = list("number;day\r0341234567;\"Talata, Alarobia\"\r\r0331234567;\"\"\r").unwrap();
        assert_eq!(read.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(read.rows[0].variables["day"], "Talata, Alarobia");
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_field() {
        for (csv, says) in [
            ("", "line 1, number: the head has no column"),
            ("day\nTalata\n", "line 1, number: the head has no column"),
            ("number,day,day\n1,a,b\n", "line 1, day: the head names it twice"),
            ("number\n", "no line below it"),
            ("number,day\n034\n", "line 2, all of it: it has 1 fields, and the head 2"),
            ("number,day\n034,a\n ,b\n", "line 3, number: it is empty"),
            ("number,day\r\n034,a\r\n\r\n ,b\r\n", "line 4, number: it is empty"),
            ("number,day\n!,a\n", "line 2, number: to \"!\""),
            ("number,week\n034,a\n", "line 2, week: no plan knows the variable \"week\""),
            ("number,zone\n034,Mars/Olympus\n", "line 2, zone: \"Mars/Olympus\" is no time zone"),
            ("number,day\n034,a\u{0}b\n", "line 2, day: it is no UTF-8"),
            ("number\n1\n2\n3\n4\n", "more than 3 lines"),
            ("number,day\r034,a\r ,b\r", "line 3, number: it is empty"),
            ("number,day\n034,a\n2.61341E+11,b\n", "line 3, number: it begins as a number"),
            ("number,day\n034,\"a\nb\"\n", "line 2, day: it is no UTF-8, or holds a control character or a line break"),
            ("number,day\n034,\"a\n035,b\n036,c\n", "line 2, field 2: its quote is not closed"),
            ("number,day\n034,\"a\n035,b\n036,\"c\"\n", "line 2, field 2: more stands behind its closing quote"),
            ("number,day\r\n034,a\"b\r\n", "line 2, field 2: a quote stands in it"),
            ("number,day\r034,\"a\" \r", "line 2, field 2: more stands behind its closing quote"),
        ] {
            let said = list(csv).expect_err(says);
            assert!(said.contains(says), "{csv:?}: {said}");
        }
        let several = list("number\n!1\n034\n!2\n").unwrap_err();
        assert!(several.contains("line 2, number") && several.contains("line 4, number"), "{several}");
    }

    #[test]
    fn of_many_faults_some_are_told_and_the_rest_counted() {
        let csv = format!("number\n{}", "!\n".repeat(13));
        let wrong = |_: &str, _: &BTreeMap<String, String>| Err("no".to_owned());
        let said = read(csv.as_bytes(), (100, &Numbers::new(""), "+00:00"), wrong).unwrap_err();
        assert!(said.contains("line 11, number") && !said.contains("line 12,"), "{said}");
        assert!(said.ends_with("and 3 more faults"), "{said}");
    }

    #[test]
    fn the_do_not_call_list_has_numbers_and_notes() {
        let numbers = Numbers::new("261");
        let read = unwanted(b"number,note\n+261341234567,asked so\n0331234567,\n", 9, &numbers).unwrap();
        let [one, other] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((one.target.as_str(), one.note.as_deref()), ("261341234567", Some("asked so")));
        assert_eq!((other.target.as_str(), other.note.as_deref()), ("261331234567", None));
        let said = unwanted(b"number,note\n0331234567,a\nmilo/12,b\n", 9, &numbers).unwrap_err();
        assert!(said.contains("line 3, number: \"milo/12\" is neither"), "{said}");
        let said = unwanted(b"number,note\n341234567.0,a\n", 9, &numbers).unwrap_err();
        assert!(said.contains("line 2, number: it begins as a number"), "{said}");
        let said = unwanted(b"number,note\n0331234567,\"a\nb\"\n", 9, &numbers).unwrap_err();
        assert!(said.contains("line 2, note: ") && said.contains("a line break"), "{said}");
        assert_eq!(entry("0331234567", Some("a\nb"), &numbers).unwrap_err().0, NOTE);
        let said = unwanted(b"number,why\n034,x\n", 9, &numbers).unwrap_err();
        assert!(said.contains("line 1, why"), "{said}");
    }
}
