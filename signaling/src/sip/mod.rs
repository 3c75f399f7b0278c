//! SIP: from the words on the wire up to the dialog.
//!
//! ```text
//!  bytes ─► framing ─► parse ─► Message ─► screen ─┐
//!                                                  ├─► Core: transactions ─► dialogs ─► calls ─► Event
//!  driver, transport (tokio) ◄── Output ◄──────────┘
//! ```
//! Everything but `endpoint`, `driver`, `obey`, `lookups`, `transport`, `listener`, `connection`, `tls`, `trust`, `websocket` and
//! `resolver` is
//! sans-IO: bytes, actions and `now` in; bytes, timers and events out.

pub mod account;
pub mod bans;
pub mod body;
mod buckets;
pub mod caller;
mod connection;
pub mod core;
mod deaf;
pub(crate) mod destination;
pub mod dialled;
pub(crate) mod dialog;
pub mod digest;
mod driver;
mod end_reason;
pub(crate) mod endpoint;
pub mod flow;
pub mod framing;
pub mod gate;
mod grant;
mod guesses;
pub mod header;
pub mod headers;
pub mod host;
pub mod identity;
pub mod introduction;
mod keep_alive;
pub mod keys;
pub mod ladder;
pub(crate) mod lexer;
mod listener;
mod locate;
pub mod logins;
mod lookups;
pub mod message;
pub mod method;
mod nat;
mod next_hop;
mod obey;
mod octets;
pub mod output;
pub mod parse;
mod places;
mod proofs;
pub mod reason;
mod receive;
pub mod referral;
pub mod registrar;
mod registrars;
pub mod registration;
pub mod replaces;
mod resolver;
pub mod screen;
pub mod session_timer;
mod stateless;
pub mod status;
mod stun;
pub mod telephones;
pub mod text;
pub mod text_pace;
pub mod tls;
pub(crate) mod transaction;
mod transport;
pub mod trust;
pub mod uri;
mod usage;
mod waiting;
mod websocket;

pub use framing::{FramingError, Item, StreamFramer};
pub use header::{HeaderError, NameAddr, Via};
pub use headers::{Headers, Name};
pub use host::Host;
pub use lexer::Params;
pub use message::{Message, StartLine};
pub use method::Method;
pub use parse::{ParseError, ParseErrorKind, parse};
pub use screen::{Refusal, Rejection, screen, screen_error};
pub use status::reason_phrase;
pub use uri::{SipUri, Uri};
