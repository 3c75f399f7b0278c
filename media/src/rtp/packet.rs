//! The RTP packet of RFC 3550 section 5.1, read and written in place.

/// Bytes of a header without CSRCs.
pub const HEADER: usize = 12;

/// An RTP packet as read from a datagram; the payload is borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// First packet of a talkspurt, for audio (RFC 3551 section 4.1).
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp of the first sample.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// What the payload type says, without CSRCs, extension and padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram; `None` when it is no RTP: short, another version, or lengths that point beyond its end.
    ///
    /// STUN and DTLS (RFC 7983) fail on the version. RTCP (RFC 5761 section 4) fails on its payload types 64 to 95.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = datagram.split_at_checked(HEADER)?;
        let payload_type = header[1] & 0x7f;
        if header[0] >> 6 != 2 || (64..=95).contains(&payload_type) {
            return None;
        }
        rest = rest.get(usize::from(header[0] & 0x0f) * 4..)?;
        if header[0] & 0x10 != 0 {
            let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
            rest = rest.get(4 + usize::from(words) * 4..)?;
        }
        if header[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            if padding == 0 {
                return None;
            }
            rest = &rest[..rest.len().checked_sub(padding)?];
        }
        Some(Self {
            marker: header[1] & 0x80 != 0,
            payload_type,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload: rest,
        })
    }

    /// Appends the header; the payload follows it.
    pub fn write_header(&self, datagram: &mut Vec<u8>) {
        datagram.push(0x80);
        datagram.push(u8::from(self.marker) << 7 | self.payload_type & 0x7f);
        datagram.extend_from_slice(&self.sequence.to_be_bytes());
        datagram.extend_from_slice(&self.timestamp.to_be_bytes());
        datagram.extend_from_slice(&self.ssrc.to_be_bytes());
    }
}
