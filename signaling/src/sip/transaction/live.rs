//! A live transaction: its machine, and what it needs to speak.

use std::{sync::Arc, time::Instant};

use super::{client, server};
use crate::sip::{core::CallKey, flow::Path, message::Message};

/// What a transaction tells the call that it belongs to.
#[derive(Debug)]
pub(crate) enum Told {
    /// A response to our request.
    Response(Box<Message>),
    /// Nobody answered our request.
    TimedOut,
    /// Our request could not be sent: why.
    Unreachable(String),
    /// Our rejection of an INVITE was never acknowledged.
    Unacknowledged,
}

/// Its machine, and what of its messages that must still send.
#[derive(Debug)]
pub(super) enum Machine {
    InviteClient { machine: client::InviteClient, invite: Box<Message> },
    Client(client::Client),
    InviteServer { machine: server::InviteServer, trying: Option<Box<Message>> },
    Server(server::Server),
}

/// A live transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) machine: Machine,
    pub(super) key: String,
    /// Finds merged requests (RFC 3261 section 8.2.2.2).
    pub(super) merge_key: Option<String>,
    pub(super) path: Path,
    /// The request of a client, the last response of a server.
    pub(super) last: Option<Arc<[u8]>>,
    pub(super) owner: Option<CallKey>,
    pub(super) scheduled: Option<Instant>,
}

impl Transaction {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::InviteClient { machine, .. } => machine.deadline(),
            Machine::Client(machine) => machine.deadline(),
            Machine::InviteServer { machine, .. } => machine.deadline(),
            Machine::Server(machine) => machine.deadline(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match &self.machine {
            Machine::InviteClient { machine, .. } => machine.is_over(),
            Machine::Client(machine) => machine.is_over(),
            Machine::InviteServer { machine, .. } => machine.is_over(),
            Machine::Server(machine) => machine.is_over(),
        }
    }
}
