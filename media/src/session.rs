//! What an offer and its answer agreed on for one party's audio (RFC 3264), as the leg needs it.

use std::net::{IpAddr, SocketAddr};

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

/// Where RTCP goes and comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp {
    /// On the ports of the audio: `a=rtcp-mux` (RFC 5761).
    Mux,
    /// From the port behind our RTP port to this address: the next port of the peer's (RFC 3550 section 11), or what
    /// `a=rtcp` names (RFC 3605).
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Extended reports (RFC 3611) that the peer has asked for in `a=rtcp-xr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// `rcvr-rtt`: our reference time, and answers to its own (RFC 3611 sections 4.4 and 4.5).
    pub round_trip: bool,
    /// `voip-metrics`: what the call sounds like here (RFC 3611 section 4.7).
    pub voip_metrics: bool,
}

/// The payload types of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    /// The codec.
    pub audio: u8,
    /// telephone-event (RFC 4733), when agreed.
    pub telephone_event: Option<u8>,
    /// Comfort noise (RFC 3389), when agreed.
    pub comfort_noise: Option<u8>,
}

/// One party's audio as negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the peer's SDP wants RTP (RFC 4566 `c=` and `m=`); symmetric RTP may learn better.
    pub remote: SocketAddr,
    /// The codec of both directions.
    pub codec: &'static Codec,
    /// The payload type that stands for it: where [`Session::incoming`] says nothing else, both ways.
    pub payload_type: u8,
    /// The payload type of telephone-event (RFC 4733), when agreed.
    pub telephone_event: Option<u8>,
    /// Its clock in Hz: the codec's, or 8,000 for peers that have no other.
    pub telephone_event_clock: u32,
    /// The payload type of comfort noise (RFC 3389), when agreed.
    pub comfort_noise: Option<u8>,
    /// The payload types of what the peer sends, where it gave its own numbers to what we offered: each side sends under the
    /// numbers of the other's description (RFC 3264 sections 5.1 and 6.1).
    pub incoming: Option<PayloadTypes>,
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
    /// Where reports go.
    pub rtcp: Rtcp,
    /// The extended ones among them.
    pub extended: Extended,
    /// The host that the peer's signalling comes from: audio from there is likelier the peer's than from elsewhere.
    pub signalling: Option<IpAddr>,
    /// Who we are in RTP, where our description has said so (`a=ssrc`, RFC 5576); else one is drawn.
    pub ssrc: Option<u32>,
    /// The call has not been answered: the peer may send (ringback, announcements) and need not (RFC 3960), so that its
    /// silence ends nothing.
    pub is_early: bool,
}

impl Session {
    /// Nothing but this codec's audio, both ways, in packets of 20 ms, without reports.
    pub fn new(remote: SocketAddr, codec: &'static Codec) -> Self {
        Self {
            remote,
            codec,
            payload_type: codec.payload_type,
            telephone_event: None,
            telephone_event_clock: codec.clock_rate,
            comfort_noise: None,
            incoming: None,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            max_bitrate: None,
            in_band_fec: false,
            security: Security::None,
            rtcp: Rtcp::Off,
            extended: Extended::default(),
            signalling: None,
            ssrc: None,
            is_early: false,
        }
    }

    /// The payload types that we send.
    pub const fn outgoing(&self) -> PayloadTypes {
        let &Self { payload_type: audio, telephone_event, comfort_noise, .. } = self;
        PayloadTypes { audio, telephone_event, comfort_noise }
    }
}
