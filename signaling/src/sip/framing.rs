//! Where a message ends in a stream (RFC 3261 section 18.3), and the keep-alive between messages (RFC 5626 section
//! 4.4.1). A datagram needs none of this: [`super::parse::parse`] reads it whole.

use super::{
    message::Message,
    parse::{Head, HeadEnd, MAX_BODY, MAX_HEAD, ParseError, ParseErrorKind, blank_prefix, head_end, read_head},
};

/// What a stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a message is the rule, and it is moved once")]
pub enum Item {
    /// A whole message.
    Message(Message),
    /// A double CRLF: the peer asks whether the connection lives; the answer is one CRLF.
    KeepAlive,
    /// Something that is no message; [`super::screen::screen_error`] says what the peer should hear.
    Bad(ParseError),
}

/// The place where the next message begins is lost: close the connection once what was answered has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream cannot be framed any further")]
pub struct FramingError;

/// Cuts the bytes of one connection into messages, wherever the segments are cut.
///
/// It holds at most [`MAX_HEAD`] + [`MAX_BODY`] bytes once [`StreamFramer::next`] has returned `Ok(None)`; call it
/// until then after each push.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// What stands before this place in the buffer has been read; it goes with the next push.
    start: usize,
    /// Where the last line begins from `start`, and how many bytes held no end of it.
    line: usize,
    seen: usize,
    /// A head whose body is on its way, where it ends from `start`, and the length of that body.
    head: Option<(Head, usize, usize)>,
    lost: bool,
}

/// What stands in front of the buffer.
enum Framed {
    Head(Head, usize, usize),
    Item(Item),
    NotYet,
}

/// The line ends in front of a message.
enum Blank {
    Skipped,
    Only,
    KeepAlive,
}

impl StreamFramer {
    /// An empty stream.
    pub fn new() -> StreamFramer {
        StreamFramer::default()
    }

    /// Appends what the connection gave. Bytes behind a lost frame are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.lost {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next item, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`FramingError`] after a [`Item::Bad`] whose length is unknown or too large to be skipped.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end; this goes on when more bytes come")]
    pub fn next(&mut self) -> Result<Option<Item>, FramingError> {
        if self.lost {
            return Err(FramingError);
        }
        let (head, end, length) = match self.head.take() {
            Some(framed) => framed,
            None => match self.frame() {
                Framed::Head(head, end, length) => (head, end, length),
                Framed::Item(item) => return Ok(Some(item)),
                Framed::NotYet => return Ok(None),
            },
        };
        let Some(body) = self.rest().get(end..end + length).map(<[u8]>::to_vec) else {
            self.head = Some((head, end, length));
            return Ok(None);
        };
        self.consume(end + length);
        // Of two lengths that differ the first was taken, for the answer's sake; where the message ends is not known.
        self.lost = head.problem == Some(ParseErrorKind::ContentLength) || head.start.is_none();
        Ok(Some(match head.finish(body) {
            Ok(message) => Item::Message(message),
            Err(error) => Item::Bad(error),
        }))
    }

    /// How many bytes wait for the rest of their message.
    pub fn held(&self) -> usize {
        self.rest().len()
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Looks for a whole head in front of the buffer.
    fn frame(&mut self) -> Framed {
        match self.skip_blank_lines() {
            Blank::KeepAlive => return Framed::Item(Item::KeepAlive),
            Blank::Only => return Framed::NotYet,
            Blank::Skipped => {}
        }
        let end = match head_end(self.rest(), self.line, self.seen) {
            HeadEnd::At(end) => end,
            HeadEnd::NotYet(_) if self.rest().len() > MAX_HEAD => return Framed::Item(self.lose(MAX_HEAD + 1)),
            HeadEnd::NotYet(line) => {
                (self.line, self.seen) = (line, self.rest().len());
                return Framed::NotYet;
            }
        };
        if end > MAX_HEAD {
            return Framed::Item(self.lose(end));
        }
        let head = read_head(self.rest().get(..end).unwrap_or_default());
        match head.content_length {
            Some(length) if length <= MAX_BODY => Framed::Head(head, end, length),
            _ => Framed::Item(self.lose(end)),
        }
    }

    /// Line ends before a message: two make a keep-alive, one is nothing.
    fn skip_blank_lines(&mut self) -> Blank {
        if self.rest().starts_with(b"\r\n\r\n") {
            self.consume(4);
            return Blank::KeepAlive;
        }
        let blank = blank_prefix(self.rest());
        if blank == self.rest().len() {
            // Perhaps the first bytes of a keep-alive; of other line ends nothing is kept.
            if !b"\r\n\r\n".starts_with(self.rest()) {
                self.consume(blank);
            }
            return Blank::Only;
        }
        if blank > 0 {
            self.consume(blank);
        }
        Blank::Skipped
    }

    /// Gives up the stream; the item carries what can be read of the first `end` bytes.
    fn lose(&mut self, end: usize) -> Item {
        let mut head = read_head(self.rest().get(..end).unwrap_or(self.rest()));
        head.problem.get_or_insert(match head.content_length {
            Some(_) => ParseErrorKind::BodyTooLarge,
            None => ParseErrorKind::ContentLength,
        });
        self.lost = true;
        (self.buffer, self.start) = (Vec::new(), 0);
        let kind = head.problem.unwrap_or(ParseErrorKind::NotSip);
        let head = head.start.map(|start| Box::new(Message { start, headers: head.headers, body: Vec::new() }));
        Item::Bad(ParseError { kind, head })
    }

    fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.buffer.len());
        (self.line, self.seen) = (0, 0);
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            // A large message does not keep its memory for the life of the connection.
            self.buffer.shrink_to(MAX_HEAD);
        }
    }
}
