//! RTP (RFC 3550), without a socket and without a clock: time comes in as an argument, packets go in and out as bytes.
//!
//! ```text
//!  datagram ─► Packet ─► Receiver { Sequence: which one is it, Digits,
//!                          Playout { JitterBuffer: in order, Delay: how much to hold, Stretch: more or less of it,
//!                                    Concealer: what was lost, ComfortNoise }}  ─► 20 ms of the codec's samples
//!  frame    ─► Sender { 20 ms ticks in, packets of ptime out; Hush: what silence is sent as } ─► datagram
//!  Passage: another stream on our numbers
//!  Peer: where packets go and whose are heard (symmetric RTP)      Phase: where in the tick they come
//!  Reports: RTCP, what each side says of the line
//! ```

mod comfort_noise;
mod conceal;
mod delay;
mod digits;
mod jitter_buffer;
mod loss;
mod packet;
mod passage;
mod peer;
mod phase;
mod playout;
mod receiver;
mod reports;
mod rtcp;
mod sender;
mod sequence;
mod silence;
mod source;
mod stretch;

pub(crate) use jitter_buffer::Kind;
pub(crate) use loss::Loss;
pub(crate) use packet::{HEADER, Packet};
pub(crate) use passage::{Ordinal, rescale};
pub use peer::LearnFrom;
pub(crate) use peer::{Nearness, Peer};
pub(crate) use phase::Phase;
pub(crate) use playout::PassedOver;
pub(crate) use receiver::{Receiver, Taken};
pub(crate) use reports::{Read, Reports};
pub(crate) use rtcp::{VoipMetrics, is_rtcp};
pub(crate) use sender::Sender;
pub use silence::Silence;
