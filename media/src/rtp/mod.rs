//! RTP (RFC 3550), without a socket and without a clock: time comes in as an argument, packets go in and out as bytes.
//!
//! ```text
//!  datagram ─► Packet ─► Receiver { Sequence: which one is it, JitterBuffer: in order, Delay: how much to hold,
//!                                   Digits, Concealer: what was lost }  ─► 20 ms of the codec's samples
//!  frame    ─► Sender { 20 ms ticks in, packets of ptime out }         ─► datagram
//!  Peer: where packets go and whose are heard (symmetric RTP)      Phase: where in the tick they come
//! ```

mod conceal;
mod delay;
mod digits;
mod jitter_buffer;
mod packet;
mod peer;
mod phase;
mod receiver;
mod sender;
mod sequence;

pub(crate) use packet::{HEADER, Packet};
pub(crate) use peer::Peer;
pub(crate) use phase::Phase;
pub(crate) use receiver::{Accepted, Receiver};
pub(crate) use sender::Sender;
