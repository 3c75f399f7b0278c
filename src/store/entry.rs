//! What goes into the log: one row, or change of a row, as it waits in the queue and stands in the journal.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Analysis, Batch, CallKey, DayCount, Ending, Key, NewCall, NewDeed, NewMemory, NewMessage, NewRequest, NewTurn,
    RecordingState, Stamp, Whose, deliveries::NewDelivery,
};
use crate::engines::Spent;

/// One row, or change of a row. Each may be written twice and is then what it was.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    Began(Key, NewCall),
    Placed(Key, String),
    Answered(Key, Stamp),
    Turn(Key, i32, Box<NewTurn>),
    Event(Key, i32, Stamp, String, Value),
    Ended(Key, Ending),
    Recording(Key, String),
    Recorded(Key, RecordingState),
    Analysed(Key, Analysis),
    Remembered(Key, NewMemory),
    Counted(Whose, DayCount),
    Spent(Spent),
    Asked(CallKey),
    Requested(Key, Key, NewRequest),
    Message(Key, NewMessage),
    Settled(Key, Cow<'static, str>, Option<u16>),
    Done(Key, NewDeed),
    Delivery(Key, NewDelivery),
    /// Everything before this has been written. Stands in no journal.
    #[serde(skip)]
    Flushed(oneshot::Sender<()>),
}

/// What matters most is lost last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Events, what is counted on a day, and what webhooks are told.
    Event,
    /// Turns, messages, analyses and what is known from them.
    Turn,
    /// Beginnings and ends of calls, what callers want of the house, deeds.
    Call,
}

impl Weight {
    /// How much of a room may be taken when such an entry still enters.
    pub(super) fn share(self, room: u64) -> u64 {
        match self {
            Self::Event => room / 2,
            Self::Turn => room / 4 * 3,
            Self::Call => room,
        }
    }
}

impl Entry {
    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Event(..) | Self::Counted(..) | Self::Spent(..) | Self::Delivery(..) => Weight::Event,
            Self::Turn(..) | Self::Message(..) | Self::Settled(..) | Self::Analysed(..) | Self::Remembered(..) => {
                Weight::Turn
            }
            _ => Weight::Call,
        }
    }
}

impl Batch {
    pub(super) async fn put(&mut self, node: &str, entry: &Entry) -> Result<(), sqlx::Error> {
        match entry {
            Entry::Began(key, call) => self.insert_call(node, *key, call).await,
            Entry::Placed(key, call_id) => self.place_call(*key, call_id).await,
            Entry::Answered(key, at) => self.answer_call(*key, *at).await,
            Entry::Turn(key, number, turn) => self.insert_turn(*key, *number, turn).await,
            Entry::Event(key, number, at, kind, detail) => self.insert_event(*key, *number, *at, kind, detail).await,
            Entry::Ended(key, ending) => self.end_call(*key, ending).await,
            Entry::Recording(key, name) => self.begin_recording(*key, name).await,
            Entry::Recorded(key, state) => self.end_recording(*key, *state).await,
            Entry::Analysed(key, analysis) => self.insert_analysis(*key, analysis).await,
            Entry::Remembered(key, memory) => self.set_memory(*key, memory).await,
            Entry::Counted(whose, so_far) => self.set_day(node, whose, so_far).await,
            Entry::Spent(so_far) => self.set_spent(node, so_far).await,
            Entry::Message(key, message) => self.insert_message(node, *key, message).await,
            Entry::Settled(key, result, status) => self.settle_message(*key, result, *status).await,
            Entry::Done(key, deed) => self.insert_deed(node, *key, deed).await,
            Entry::Delivery(key, delivery) => self.insert_delivery(node, *key, delivery).await,
            Entry::Requested(id, call, request) => self.insert_request(*id, *call, request).await,
            Entry::Asked(key) => self.set_call_key(node, key).await,
            Entry::Flushed(_) => Ok(()),
        }
    }
}
