//! What the core says: to its user, and to its driver.

use std::{net::SocketAddr, sync::Arc};

use milo_media::Session;

use super::{
    account::RegistrationState,
    core::{CallKey, EndReason, Newcomer, TextIn},
    flow::{ConnectionId, Packet, Path},
    keys::KeyPress,
    message::Message,
    reason::Reason,
    referral::Referral,
    registrar::{Proven, Registered},
    transaction::table::TransactionId,
    trust::Trust,
    uri::Uri,
};

/// What the core tells its user.
#[derive(Debug)]
pub enum Event {
    /// Somebody calls.
    Invitation {
        /// The new call.
        call: CallKey,
        /// The INVITE.
        invite: Arc<Message>,
        /// Where it came from.
        source: SocketAddr,
        /// Who has proved to send it, where somebody had to.
        proven: Option<Proven>,
    },
    /// The party we call is being told (180 to 183, 199): the status code.
    Ringing(CallKey, u16),
    /// What the far network plays before the answer comes by this session. Of several the last counts.
    Early(CallKey, Session),
    /// The party we call has answered.
    Answered(CallKey, Session),
    /// The other side has acknowledged our answer, or a provisional response: it is there, at the address that its INVITE came from
    /// (over UDP anybody can write any), and wants what it asked for.
    Acknowledged(CallKey),
    /// The media of a call have changed (also by the answer, when they were early), or are known at last (the answer
    /// in the ACK or the PRACK).
    MediaChange(CallKey, Session),
    /// The other side of a call has pressed a key and told so by INFO.
    Key(CallKey, KeyPress),
    /// An INFO of ours that told of a key has its final response: the status code; 408 when none came, 503 when it could
    /// not be sent.
    KeyAnswered(TransactionId, u16),
    /// The other side was asked to be on hold, or to come back: its final status code.
    HoldAnswered(CallKey, u16),
    /// The other side of a call asks us to call somebody in its place. Unless it is taken or refused within five seconds it
    /// is declined.
    Referred(CallKey, Referral),
    /// Our REFER has its final response: the status code; 408 when none came, 503 when it could not be sent.
    ReferAnswered(CallKey, u16),
    /// How far the other side is with what our REFER asked for: a status code. From 200 on it is the last; 408 when it did
    /// not say.
    ReferProgress(CallKey, u16),
    /// Somebody has taken the place of the other side (Replaces): who.
    Replaced(CallKey, Box<Newcomer>),
    /// The other side says why it ends the call, or takes none; what that comes to is told next.
    Reasons(CallKey, Vec<Reason>),
    /// The call is over.
    Ended(CallKey, EndReason),
    /// The telephones of this account are these now.
    Registered(String, Arc<[Registered]>),
    /// An OPTIONS of ours has its final response, the status code; or nobody was reached, and why.
    Ponged(CallKey, Result<u16, String>),
    /// Somebody has sent a text (MESSAGE), outside of any call. It waits for [`super::core::Core::answer_text`].
    Text(Box<TextIn>),
    /// The other side of a call has sent a text within it.
    TextWithin(CallKey, String),
    /// A MESSAGE of ours has its final response: the status code; 408 when none came, 503 when it could not be sent, 513
    /// when it is too large for every way there is.
    TextAnswered(CallKey, u16),
    /// A registration stands otherwise than before.
    Registration(CallKey, RegistrationState),
}

/// What the driver must do.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Send(Packet),
    /// Let this way be used for a moment, so that it stays open: two line ends, and on a stream an answer to them.
    KeepAlive(Path),
    /// Close this connection once what waits has been sent.
    Close(ConnectionId),
    /// Find where this registrar is, or this next hop of a call, and say so with [`super::core::Core::located`]. Inside TLS these certificates
    /// are believed there, where that is not what the endpoint believes.
    Locate(CallKey, Uri, Option<Trust>),
    /// Tell the user.
    Event(Event),
}
