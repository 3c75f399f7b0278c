//! Milo's signaling plane: SIP over UDP, TCP, TLS and WebSocket, from the words on the wire up to an [`Invitation`].
//!
//! ```text
//!  INVITE ─► sockets ─► Core (sans-IO) ─► Invitation ─ring─answer─► (Dialog, Leg)
//!                                            │  └─early─► (EarlyDialog, Leg) ─answer─► Dialog
//!                                            └─reject─►
//!  Endpoint::call ───► Core ─► INVITE ─► Outgoing ─────next───────► Progress::Answered(Dialog, Leg)
//!  Endpoint::register ► Core ─► REGISTER, again and again ──────────► RegistrationState
//! ```
//!
//! Four types: an [`Endpoint`] owns the listeners and one task; [`Invitations`] yields each incoming call as an
//! [`Invitation`]; a [`Dialog`] is a call that is up and tells of media changes and of its end; an [`Outgoing`] is the
//! mirror of an invitation, a call that we place. Letting go of any of them ends its call politely: 480, CANCEL or BYE.
//!
//! The life of a call that comes in:
//! 1. A datagram or a stretch of a stream becomes a [`sip::Message`] ([`sip::parse()`], [`sip::framing`]).
//! 2. [`sip::core::Core`] asks the gate whether its sender is served, finds its transaction or its dialog, screens it
//!    ([`sip::screen()`]), and for a new INVITE says "somebody calls". Everything that is wrong with a request is
//!    answered there; nobody else hears of it.
//! 3. The owner rings, answers or rejects. Answering opens the RTP socket, settles the audio ([`offer_answer`]) and
//!    starts the [`milo_media::Leg`].
//! 4. The core repeats its 200 until the ACK comes, answers re-INVITEs by itself, refreshes the session ([`sip::session_timer`]),
//!    lets a newcomer take the other side's place ([`sip::replaces`]), and says when it is over.
//!
//! A call that comes by another way than SIP has a [`FarEnd`] in place of all of this, and a [`Dialog`] like any other.
//!
//! A [`Text`] (MESSAGE) comes beside all of that, by [`Invitations::texts`], and goes out by [`Caller::text`].
//!
//! Who asks for credentials, for a call or a registration, gets them, and the request is sent again ([`sip::digest`]);
//! when a registrar is spoken to is the matter of [`sip::registration`]. Milo's own registrar, for the telephones of its people,
//! is [`sip::registrar`]; [`Forked`] rings at all of one account at once.
//!
//! The core knows no clock, task, lock or socket: time, bytes and wishes go in; packets, events and the next timer come
//! out. [`sip::endpoint`](Endpoint) is the one task around it. Every queue on the way is bounded: a full inbox makes the
//! sockets wait (the kernel then drops datagrams), a stream whose peer does not read is closed, an owner sees the
//! latest state instead of a queue of events, and more calls than the limit are answered 503.

#![warn(missing_docs)]

mod dialog;
mod early;
mod error;
mod far_end;
mod forked;
mod formats;
mod handle;
mod invitation;
pub mod offer_answer;
mod outgoing;
pub mod sdp;
pub mod security;
pub mod sip;
mod text;
pub mod webrtc;

pub use dialog::{Dialog, DialogEvent, InfoKeys, OtherSide, Referring};
pub use early::{Early, EarlyDialog};
pub use error::SignalingError;
pub use far_end::{FarEnd, FarWish};
pub use forked::Forked;
pub use invitation::{Invitation, Invitations};
pub use outgoing::{Outgoing, Progress};
pub use security::{Keying, Srtp};
pub use sip::{
    Uri,
    account::{Account, RegistrationState, Standing},
    bans::{Ban, BanTerms, Offence},
    caller::Caller,
    core::{CallKey, Counters, EndReason, Newcomer},
    destination::Destination,
    digest::Credentials,
    endpoint::{Endpoint, EndpointConfig},
    flow::Transport,
    identity::{Diverted, Identity},
    introduction::Introduction,
    keys::KeyPress,
    ladder::{Ladder, Ladders, Seen},
    logins::{DomainOf, TrunkLogin},
    reason::Reason,
    referral::Referral,
    registrar::{Algorithms, Registered, RegistrarConfig, Terms, User},
    replaces::Replaces,
    session_timer::SessionTimers,
    telephones::Telephones,
    text_pace::TextPace,
    tls::{Certificate, CertificateFiles},
    trust::Trust,
};
pub use text::Text;
