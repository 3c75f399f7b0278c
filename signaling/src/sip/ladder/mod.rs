//! The SIP messages of calls as they passed, for whoever must see why a call went as it did: kept by Call-ID, secrets masked,
//! bounded in number and bytes.
//!
//! ```text
//!  sockets ──► note ─┬─► a Call-ID that is known: its ladder
//!                    └─► an INVITE: a new one, loose until its call is kept
//!  the call's owner ──► keep … end: then it stays until room is needed
//! ```

mod mask;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    flow::{Flow, Transport},
    parse::blank_prefix,
};
use mask::{call_id, mask};

/// Messages and bytes of one ladder. Of more, the first ones stay and the last ones.
const MESSAGES: usize = 256;
const BYTES: usize = 256 << 10;
/// How many of the first ones.
const FIRST: usize = 32;
/// Bytes of one message; what is longer is cut.
const LONGEST: usize = 16 << 10;
/// Ladders whose INVITE has made no call (yet); of more the oldest go.
const LOOSE: usize = 64;
/// Bytes of all ladders. Where those of calls that are over leave no room, new messages are left out.
const ALL_BYTES: usize = 64 << 20;
/// No telephone writes longer ones.
const LONGEST_CALL_ID: usize = 256;

/// A message that has passed.
#[derive(Debug)]
pub struct Seen {
    /// Grows with every message of this endpoint: their order.
    pub number: u64,
    /// When it was read, or given to the socket.
    pub at: SystemTime,
    /// Whether it came to us.
    pub received: bool,
    /// What it came or went over.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// The message, secrets masked. Over streams as Milo reads it: fields in their full spelling, one value each.
    pub bytes: Box<[u8]>,
    /// It was longer.
    pub is_cut: bool,
}

/// The messages of one Call-ID.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    /// In the order in which they passed.
    pub messages: Vec<Arc<Seen>>,
    /// How many more there were, between the first and the last ones.
    pub left_out: u64,
}

/// The ladders of an endpoint. Cheap to clone. Behind it is a lock that the endpoint's task takes for the copy of one message,
/// and a reader for some hundred pointers: neither waits for anything meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Ladders(Option<Arc<Mutex<Table>>>);

#[derive(Debug, Default)]
struct Table {
    rungs: HashMap<Arc<str>, Rungs>,
    /// No call has been kept for these, oldest first; some may have been since.
    loose: VecDeque<Arc<str>>,
    /// Their calls are over, oldest first.
    ended: VecDeque<Arc<str>>,
    /// How many of these stay.
    room: usize,
    bytes: usize,
    last: u64,
}

#[derive(Debug, Default)]
struct Rungs {
    messages: VecDeque<Arc<Seen>>,
    bytes: usize,
    left_out: u64,
    /// The owners that keep it: two, where Milo calls itself.
    kept: usize,
    /// Its last owner has ended.
    is_over: bool,
}

impl Ladders {
    /// Ladders that stay for this many dialogs after their calls; 0: none is kept at all.
    pub fn new(room: usize) -> Self {
        Self((room > 0).then(|| Arc::new(Mutex::new(Table { room, ..Table::default() }))))
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A call has this Call-ID; its ladder stays until [`Self::end`].
    pub fn keep(&self, call_id: &str) {
        if let Some(mut table) = self.lock().filter(|_| call_id.len() <= LONGEST_CALL_ID) {
            table.rungs.entry(call_id.into()).or_default().kept += 1;
        }
    }

    /// The call is over; its ladder stays while there is room. Messages that still come are noted.
    pub fn end(&self, call_id: &str) {
        let Some(mut table) = self.lock() else { return };
        let Some(rungs) = table.rungs.get_mut(call_id) else { return };
        rungs.kept = rungs.kept.saturating_sub(1);
        if rungs.kept == 0 {
            rungs.is_over = true;
            table.ended.push_back(call_id.into());
            while table.ended.len() > table.room {
                table.forget_one(true);
            }
        }
    }

    /// The messages with this Call-ID, as far as they are kept.
    pub fn of(&self, call_id: &str) -> Option<Ladder> {
        let table = self.lock()?;
        let rungs = table.rungs.get(call_id)?;
        Some(Ladder { messages: rungs.messages.iter().cloned().collect(), left_out: rungs.left_out })
    }

    /// A message passes; an INVITE that nobody knows begins a ladder.
    pub(super) fn note(&self, at: SystemTime, flow: &Flow, received: bool, message: &[u8]) {
        let Some(mut table) = self.lock() else { return };
        // As the parser reads it (RFC 3261 section 7.5).
        let message = message.get(blank_prefix(message)..).unwrap_or_default();
        let Some(call_id) = call_id(message).filter(|id| id.len() <= LONGEST_CALL_ID) else { return };
        if !table.rungs.contains_key(call_id) {
            if !message.starts_with(b"INVITE ") {
                return;
            }
            table.open(call_id.into());
        }
        table.last += 1;
        let kept = message.get(..LONGEST).unwrap_or(message);
        let mut bytes: Box<[u8]> = kept.into();
        mask(&mut bytes);
        let seen = Seen {
            number: table.last,
            at,
            received,
            transport: flow.transport,
            local: flow.local,
            remote: flow.remote,
            bytes,
            is_cut: kept.len() < message.len(),
        };
        table.push(call_id, seen);
    }

    fn lock(&self) -> Option<MutexGuard<'_, Table>> {
        self.0.as_ref().map(|table| table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    fn open(&mut self, call_id: Arc<str>) {
        self.rungs.insert(Arc::clone(&call_id), Rungs::default());
        self.loose.push_back(call_id);
        while self.loose.len() > LOOSE {
            self.forget_one(false);
        }
    }

    fn push(&mut self, call_id: &str, seen: Seen) {
        let size = seen.bytes.len();
        while self.bytes + size > ALL_BYTES && (self.forget_one(false) || self.forget_one(true)) {}
        // Its own may have been the one that went.
        let Some(rungs) = self.rungs.get_mut(call_id) else { return };
        if self.bytes + size > ALL_BYTES {
            rungs.left_out += 1;
            return;
        }
        while rungs.messages.len() >= MESSAGES || rungs.bytes + size > BYTES {
            let Some(left_out) = rungs.messages.remove(FIRST).or_else(|| rungs.messages.pop_back()) else { break };
            rungs.bytes -= left_out.bytes.len();
            self.bytes -= left_out.bytes.len();
            rungs.left_out += 1;
        }
        rungs.bytes += size;
        self.bytes += size;
        rungs.messages.push_back(Arc::new(seen));
    }

    /// Forgets the oldest of those whose call is over, or of those that have none; false: there is none.
    fn forget_one(&mut self, ended: bool) -> bool {
        let oldest = if ended { self.ended.pop_front() } else { self.loose.pop_front() };
        let Some(call_id) = oldest else { return false };
        // One that was loose and whose call is over waits for its turn among those.
        let goes = |rungs: &Rungs| rungs.kept == 0 && (ended || !rungs.is_over);
        if self.rungs.get(&call_id).is_some_and(goes)
            && let Some(rungs) = self.rungs.remove(&call_id)
        {
            self.bytes -= rungs.bytes;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let address = "127.0.0.1:5060".parse().unwrap();
        Flow { transport: Transport::Udp, local: address, remote: address, connection: None }
    }

    fn pass(ladders: &Ladders, method: &str, call_id: &str, body: &str) {
        let message = format!("{method} sip:b SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n{body}");
        ladders.note(SystemTime::UNIX_EPOCH, &flow(), true, message.as_bytes());
    }

    fn count(ladders: &Ladders, call_id: &str) -> Option<usize> {
        ladders.of(call_id).map(|ladder| ladder.messages.len())
    }

    #[test]
    fn only_an_invite_begins_a_ladder_and_one_that_is_off_keeps_nothing() {
        let ladders = Ladders::new(10);
        pass(&ladders, "OPTIONS", "1", "");
        assert_eq!(count(&ladders, "1"), None);
        for method in ["INVITE", "ACK", "BYE"] {
            pass(&ladders, method, "1", "");
        }
        assert_eq!(count(&ladders, "1"), Some(3));
        let off = Ladders::new(0);
        pass(&off, "INVITE", "1", "");
        off.keep("1");
        assert_eq!((count(&off, "1"), off.is_on()), (None, false));
    }

    #[test]
    fn calls_that_are_up_stay_whatever_comes_and_those_that_are_over_while_there_is_room() {
        let ladders = Ladders::new(10);
        pass(&ladders, "INVITE", "up", "");
        ladders.keep("up");
        for n in 0..1_000 {
            pass(&ladders, "INVITE", &format!("scan {n}"), "");
        }
        for n in 0..100 {
            let call_id = format!("over {n}");
            pass(&ladders, "INVITE", &call_id, "");
            ladders.keep(&call_id);
            ladders.end(&call_id);
            pass(&ladders, "BYE", &call_id, "");
        }
        assert_eq!(count(&ladders, "up"), Some(1));
        assert_eq!(count(&ladders, "scan 0"), None);
        assert_eq!((count(&ladders, "over 89"), count(&ladders, "over 90")), (None, Some(2)));
        let table = ladders.lock().unwrap();
        assert!(table.rungs.len() <= 1 + LOOSE + 10, "{}", table.rungs.len());
        assert!(table.loose.len() <= LOOSE);
        let bytes: usize = table.rungs.values().map(|rungs| rungs.bytes).sum();
        assert_eq!(table.bytes, bytes);
    }

    #[test]
    fn a_long_ladder_keeps_its_first_messages_and_its_last() {
        let ladders = Ladders::new(10);
        for n in 0..1_000 {
            pass(&ladders, "INVITE", "1", &n.to_string());
        }
        let Ladder { messages, left_out } = ladders.of("1").unwrap();
        assert_eq!((messages.len(), left_out), (MESSAGES, 1_000 - MESSAGES as u64));
        assert_eq!((messages[FIRST - 1].number, messages[FIRST].number), (32, 777));
        assert_eq!(messages[MESSAGES - 1].number, 1_000);
        for _ in 0..100 {
            pass(&ladders, "INVITE", "2", &"x".repeat(20_000));
        }
        let Ladder { messages, .. } = ladders.of("2").unwrap();
        assert!(messages.iter().all(|seen| seen.bytes.len() == LONGEST && seen.is_cut));
        assert_eq!(messages.len(), BYTES / LONGEST);
    }

    #[test]
    #[ignore = "a measurement: run with --ignored --nocapture"]
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    fn cost_of_a_kept_message() {
        let ladders = Ladders::new(1_000);
        let message = |call: usize| {
            let field = "X-Field: as long as they usually are, eighty characters or so it may well be\r\n".repeat(8);
            let body = "a=rtpmap:101 telephone-event/8000\r\n".repeat(10);
            format!("INVITE sip:milo@192.0.2.1 SIP/2.0\r\n{field}Call-ID: {call}@192.0.2.9\r\n{field}\r\n{body}")
        };
        let messages: Vec<String> = (0..100_000).map(|n| message(n / 10)).collect();
        let began = std::time::Instant::now();
        for message in &messages {
            ladders.note(SystemTime::UNIX_EPOCH, &flow(), true, message.as_bytes());
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / messages.len() as f64;
        println!("{each:.2} µs for a message of {} bytes", messages[0].len());
    }

    #[test]
    fn two_owners_of_one_ladder_end_one_after_the_other() {
        let ladders = Ladders::new(1);
        pass(&ladders, "INVITE", "1", "");
        ladders.keep("1");
        ladders.keep("1");
        ladders.end("1");
        for call_id in ["2", "3"] {
            pass(&ladders, "INVITE", call_id, "");
            ladders.keep(call_id);
            ladders.end(call_id);
        }
        assert_eq!(count(&ladders, "1"), Some(1));
    }
}
