//! Two legs joined: what one party sends passes to the other as it is, where both speak the same codec.
//!
//! A [`Wire`] carries one direction, from the task that hears a party to the task that sends to the other. Each end says what
//! it can: the packets pass for as long as that is the same, and otherwise the frames are heard, and spoken anew.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use crate::{
    Session,
    codec::Codec,
    rtp::{Ordinal, Packet},
};

/// Packets that wait at most; full, the oldest is given up. They wait for one wake-up, no longer.
const PACKETS: usize = 32;
/// Bits a second that Opus never exceeds (RFC 7587 section 6.1, `maxaveragebitrate`).
const ENDLESS: u32 = 510_000;
/// Keys that wait at most; full, the newest is lost.
const KEYS: usize = 32;

/// What a party is sent, or sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    codec: &'static Codec,
    ptime_ms: u32,
}

impl Format {
    /// What this party sends.
    pub(crate) fn sent_by(session: &Session) -> Self {
        Self { codec: session.codec, ptime_ms: session.codec.ptime_ms(session.ptime_ms) }
    }

    /// What may be passed to this party: nothing, when it wants fewer bits than another may spend; our own encoder keeps to that.
    pub(crate) fn taken_by(session: &Session) -> Option<Self> {
        session.max_bitrate.is_none_or(|most| most >= ENDLESS).then(|| Self::sent_by(session))
    }
}

/// What the payload of a packet is; each party has a number of its own for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    /// A key (RFC 4733), which counts durations on this clock.
    Event {
        /// Hz.
        clock_rate: u32,
    },
    /// Comfort noise (RFC 3389).
    Noise,
    /// Nothing for the other party, who shall not miss it.
    Nothing,
}

/// A packet on its way from one party to the other.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) kind: Kind,
    pub(crate) ordinal: Ordinal,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

/// One direction between two legs.
///
/// A lock, because two tasks share it; it is held for one packet and never across an await.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Where the tick of the leg at the beginning lies: there, or any whole number of periods from there.
    tick: Option<Instant>,
    /// What the party at the end is sent; `None` while it may be sent nothing.
    takes: Option<Format>,
    /// Keys among it, as events.
    takes_events: bool,
    /// Packets pass as they are.
    passing: bool,
    packets: VecDeque<Passed>,
    /// Packets that were passed on: their memory is used again.
    spare: Vec<Passed>,
    /// Keys that no packet tells the other party of: they are to be pressed for it.
    keys: VecDeque<char>,
}

impl Wire {
    /// The end: what its party is sent, and whether keys are told it as events.
    pub(crate) fn takes(&self, format: Option<Format>, events: bool) {
        let mut state = self.state();
        (state.takes, state.takes_events) = (format, events);
    }

    /// The beginning: what its party sends. Says whether packets pass from now on.
    pub(crate) fn gives(&self, format: Option<Format>) -> bool {
        let mut state = self.state();
        state.passing = format.is_some() && format == state.takes;
        state.passing
    }

    /// The beginning: where the tick of its leg lies.
    pub(crate) fn ticks(&self, at: Instant) {
        self.state().tick = Some(at);
    }

    /// Where that is, once it is known.
    pub(crate) fn tick(&self) -> Option<Instant> {
        self.state().tick
    }

    /// Whether packets pass as they are.
    pub(crate) fn is_passing(&self) -> bool {
        self.state().passing
    }

    /// Whether keys are told to the party at the end as events.
    pub(crate) fn takes_events(&self) -> bool {
        self.state().takes_events
    }

    /// A key sets out that no packet tells of.
    pub(crate) fn press(&self, key: char) {
        {
            let mut state = self.state();
            if state.keys.len() < KEYS {
                state.keys.push_back(key);
            }
        }
        self.came.notify_one();
    }

    /// Takes the next key that has come.
    pub(crate) fn take_key(&self) -> Option<char> {
        self.state().keys.pop_front()
    }

    /// A packet sets out.
    pub(crate) fn pass(&self, kind: Kind, ordinal: Ordinal, packet: &Packet<'_>) {
        {
            let mut state = self.state();
            if state.packets.len() == PACKETS {
                let oldest = state.packets.pop_front();
                state.spare.extend(oldest);
            }
            let payload = state.spare.pop().map(|spare| spare.payload).unwrap_or_default();
            let &Packet { marker, timestamp, .. } = packet;
            let mut passed = Passed { kind, ordinal, marker, timestamp, payload };
            passed.payload.clear();
            passed.payload.extend_from_slice(packet.payload);
            state.packets.push_back(passed);
        }
        self.came.notify_one();
    }

    /// Resolves when packets or keys have come. Cancel safe.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }

    /// Takes the packets that have come.
    pub(crate) fn take(&self, mut each: impl FnMut(&mut Passed)) {
        loop {
            let Some(mut passed) = self.state().packets.pop_front() else { return };
            each(&mut passed);
            let mut state = self.state();
            if state.spare.len() < PACKETS {
                state.spare.push(passed);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both directions, as one of the two legs sees them.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// From this party to the other.
    pub(crate) out: Arc<Wire>,
    /// From the other party to this one.
    pub(crate) back: Arc<Wire>,
    /// Somebody listens besides: what this party says is heard even where its packets pass.
    pub(crate) tapped: bool,
    /// Somebody stands between the two: nothing passes as it came.
    pub(crate) apart: bool,
}

impl Patch {
    /// This leg gives and takes nothing more.
    pub(crate) fn part(&self) {
        self.out.gives(None);
        self.back.takes(None, false);
    }
}

/// Where a leg's task looks for the patch it is given.
#[derive(Debug, Default)]
pub(crate) struct Bay {
    patch: Mutex<Option<Patch>>,
    changes: AtomicU64,
}

impl Bay {
    /// Joins, or parts.
    pub(crate) fn plug(&self, patch: Option<Patch>) {
        *self.patch.lock().unwrap_or_else(PoisonError::into_inner) = patch;
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The patch, when it has changed since `seen` changes.
    pub(crate) fn changed(&self, seen: &mut u64) -> Option<Option<Patch>> {
        let changes = self.changes.load(Ordering::Acquire);
        (std::mem::replace(seen, changes) != changes)
            .then(|| self.patch.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{OPUS, PCMA, PCMU};

    fn format(codec: &'static Codec, ptime_ms: u32) -> Option<Format> {
        Some(Format { codec, ptime_ms })
    }

    #[test]
    fn packets_pass_while_both_ends_are_alike() {
        let wire = Wire::default();
        assert!(!wire.gives(format(&PCMU, 20)), "nobody takes anything yet");
        wire.takes(format(&PCMU, 20), true);
        assert!(wire.gives(format(&PCMU, 20)) && wire.is_passing());
        for other in [format(&PCMU, 30), format(&PCMA, 20), None] {
            assert!(!wire.gives(other), "{other:?}");
        }
        wire.takes(None, false);
        assert!(!wire.gives(None), "two that are silent have nothing to pass");
    }

    #[test]
    fn who_wants_fewer_bits_than_the_other_may_spend_is_sent_an_encoding_of_its_own() {
        let session = |max_bitrate| Session { max_bitrate, ..Session::new(([127, 0, 0, 1], 4000).into(), &OPUS) };
        assert_eq!(Format::taken_by(&session(None)), format(&OPUS, 20));
        assert_eq!(Format::taken_by(&session(Some(510_000))), format(&OPUS, 20));
        assert_eq!(Format::taken_by(&session(Some(16_000))), None);
    }

    #[test]
    fn what_waits_too_long_is_given_up_the_oldest_first() {
        let wire = Wire::default();
        for sequence in 0..PACKETS as u16 + 3 {
            let payload = [sequence as u8; 4];
            let packet =
                Packet { marker: sequence == 5, payload_type: 0, sequence, timestamp: 7, ssrc: 9, payload: &payload };
            wire.pass(Kind::Audio, Ordinal { stream: 1, number: sequence.into() }, &packet);
        }
        let mut taken = Vec::new();
        wire.take(|passed| {
            let number = passed.ordinal.number;
            assert_eq!((passed.payload[0], passed.marker), (number as u8, number == 5));
            taken.push(number);
        });
        assert_eq!(taken, (3..PACKETS as i64 + 3).collect::<Vec<_>>());
        wire.take(|_| panic!("all was taken"));
    }
}
