//! Server-sent events (the WHATWG's "event stream" format) out of bytes as they come.

/// The longest line, and the longest data of an event, in bytes: many times what a token needs.
const LONGEST: usize = 64 * 1024;

/// Bytes on their way to events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// The line feed of a carriage return that ended the last line may still come.
    after_return: bool,
    has_begun: bool,
    data: String,
    has_data: bool,
}

impl Events {
    /// Takes bytes in and hands out the data of each event that they complete.
    ///
    /// # Errors
    /// How a sentence about the server goes on: a line is too long, or is no UTF-8. Nothing can be read after it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut whole = Vec::new();
        for &byte in bytes {
            let is_second = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                b'\n' if is_second => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    whole.extend(self.end_of_line()?);
                }
                _ if self.line.len() == LONGEST => return Err(format!("sends a line of more than {LONGEST} bytes")),
                _ => self.line.push(byte),
            }
        }
        Ok(whole)
    }

    /// A line is whole; an empty one ends an event.
    fn end_of_line(&mut self) -> Result<Option<String>, String> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| "sends what is no UTF-8".to_owned())?;
        let line =
            if std::mem::replace(&mut self.has_begun, true) { line } else { line.trim_start_matches('\u{feff}') };
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return Ok(std::mem::take(&mut self.has_data).then_some(data));
        }
        // Every event of both protocols says in its data what it is: names, identifiers and comments need no look.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            if self.has_data {
                self.data.push('\n');
            }
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
            self.has_data = true;
            if self.data.len() > LONGEST {
                return Err(format!("sends an event of more than {LONGEST} bytes"));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_their_bytes_are_cut() {
        let stream = "\u{feff}: hello\r\nevent: x\ndata: {\"a\": \"é\"}\r\n\r\ndata:1\rdata:  2\r\r\n\nid: 3\n\ndata\n\ndata: lost";
        let expected = ["{\"a\": \"é\"}", "1\n 2", ""];
        for step in [1, 2, 3, 7, stream.len()] {
            let mut events = Events::default();
            let heard: Vec<_> =
                stream.as_bytes().chunks(step).flat_map(|bytes| events.push(bytes).expect("right")).collect();
            assert_eq!(heard, expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_has_no_end_or_no_letters_is_told() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; LONGEST]).is_ok());
        assert!(events.push(b"x").is_err_and(|says| says.contains("65536")));
        let mut events = Events::default();
        let line = format!("data: {}\n", "x".repeat(LONGEST / 2));
        assert!(events.push(line.as_bytes()).is_ok() && events.push(line.as_bytes()).is_err());
        assert!(Events::default().push(b"data: \xff\n\n").is_err_and(|says| says.contains("UTF-8")));
    }
}
