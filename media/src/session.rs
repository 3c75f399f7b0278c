//! What an offer and its answer agreed on for one party's audio (RFC 3264), as the leg needs it.

use std::net::SocketAddr;

use crate::{codec::Codec, srtp::Security};

/// What *we* may do; the mirror of what the peer's SDP says (RFC 3264 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We send and we receive.
    SendRecv,
    /// We send; the peer sends nothing.
    SendOnly,
    /// We receive and must not send: the peer has put us on hold, perhaps with music (RFC 3264 section 8.4).
    RecvOnly,
    /// Neither: the peer has put us on hold.
    Inactive,
}

impl Direction {
    /// May we send?
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// May the peer send?
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// One party's audio as negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the peer's SDP wants RTP (RFC 4566 `c=` and `m=`); symmetric RTP may learn better.
    pub remote: SocketAddr,
    /// The codec of both directions.
    pub codec: &'static Codec,
    /// The payload type that stands for it, both ways.
    pub payload_type: u8,
    /// The payload type of `telephone-event/8000` (RFC 4733), when agreed.
    pub telephone_event: Option<u8>,
    /// The payload type of comfort noise (RFC 3389), when agreed.
    pub comfort_noise: Option<u8>,
    /// Milliseconds of audio a packet that we send: 10 to 60 in steps of 10; other values are rounded into that.
    pub ptime_ms: u32,
    /// What we may do.
    pub direction: Direction,
    /// Bits a second that the peer wants at most (`maxaveragebitrate`, RFC 7587 section 6.1), when it says so.
    pub max_bitrate: Option<u32>,
    /// The peer can use in-band FEC (`useinbandfec`, RFC 7587 section 6.1).
    pub in_band_fec: bool,
    /// How its RTP is secured.
    pub security: Security,
}

impl Session {
    /// Nothing but this codec's audio, both ways, in packets of 20 ms.
    pub fn new(remote: SocketAddr, codec: &'static Codec) -> Self {
        Self {
            remote,
            codec,
            payload_type: codec.payload_type,
            telephone_event: None,
            comfort_noise: None,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            max_bitrate: None,
            in_band_fec: false,
            security: Security::None,
        }
    }
}
