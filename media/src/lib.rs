#![warn(missing_docs)]
//! Milo's media plane: from RTP packets to 20 ms frames and back. It knows no SIP, HTTP, SQL or model.
//!
//! Its four types:
//! - [`Frame`]: 20 ms of 16 kHz mono, the only audio inside the house;
//! - [`Codec`]: one constant a codec, one table [`CODECS`];
//! - [`Session`]: what an offer and its answer agreed on for one party;
//! - [`Leg`]: one party's audio. [`Ears`] to hear it, [`Voice`] to speak to it, [`Control`] to change what was agreed.
//!
//! The life of a packet:
//! ```text
//!   socket ─► Packet ─► Sequence, Digits ─► JitterBuffer ─► decode, conceal ─► 8 to 16 kHz ─► Q1 ─► Ears::next
//!     UDP     is it RTP?  which one?         in its place      one pull a tick    half band     1 s
//!
//!   socket ◄─ Packet ◄─ encode ◄─ 16 to 8 kHz ◄──────────── one take a tick ◄───────────────── Q4 ◄─ Voice::play
//!     UDP      ptime, one unbroken timeline                                                    200 ms
//! ```
//! On a secured line a shield ([`srtp`]) stands between the socket and the packets, both ways.
//!
//! Where there is no socket (a WebSocket, WebRTC), a pipe takes its place (pipe.rs): the packets are the same.
//!
//! One task a leg runs all of it, on a clock of its own: every 20 ms one frame is heard, whatever comes, and one is sent,
//! silence when nothing is played. The task awaits its clock and nothing else: at the tick it takes what came, and the
//! kernel says when that was. Q1 full drops the oldest frame and counts; Q4 full makes the voice wait. Sockets and clocks
//! are in `leg/`, `datagrams.rs` and `port_pool.rs`; everything in `rtp` takes `now` as an argument and is tested in
//! virtual time. Beside the audio go reports of each side on what it hears (RTCP), and out of both come the figures of
//! [`LegStats`] and their summary, [`Quality`].

mod bad_line;
mod bridge;
mod clean;
pub mod codec;
mod datagrams;
pub mod dtmf;
mod ears;
mod error;
mod frame;
mod leg;
mod mix;
mod ogg_opus;
mod paced;
mod pipe;
mod port_pool;
pub mod prompt;
mod quality;
pub mod record;
pub mod replay;
pub mod resample;
mod rtp;
mod session;
pub mod sound_file;
pub mod srtp;
mod stats;
pub mod tone;
mod voice;
pub mod wav;

pub use bad_line::BadLine;
pub use bridge::{Beside, Bridge, Bridged, Music, Side, Tap, bridge};
pub use clean::{Cleaned, Cleaner, Cleaning, EchoPath, Echoes, Noise};
pub use codec::{CODECS, Codec, L16, PCMU, Tuning};
pub use datagrams::Datagrams;
pub use ears::{Closed, Ears, Heard, HeardFrame};
pub use error::MediaError;
pub use frame::{FRAME_MS, FRAME_SAMPLES, Frame, SAMPLE_RATE, dbfs};
pub use leg::{Control, Leg, LegOptions};
pub use mix::Ambience;
pub use paced::{Paced, Pacer};
pub use pipe::{PIPED, Payloads, Pipe, PipeIn, PipeOut};
pub use port_pool::{PortPool, RtpSocket};
pub use quality::{OneWay, Quality};
pub use rtp::{LearnFrom, Silence};
pub use session::{Direction, Extended, PayloadTypes, Rtcp, Session};
pub use stats::LegStats;
pub use voice::{Announcer, Played, Voice};
