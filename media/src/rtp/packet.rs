//! The RTP packet of RFC 3550 section 5.1, read and written in place.

/// Bytes of a header without CSRCs.
pub(crate) const HEADER: usize = 12;

/// An RTP packet as read from a datagram; the payload is borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// First packet of a talkspurt, for audio (RFC 3551 section 4.1).
    pub(crate) marker: bool,
    /// Payload type.
    pub(crate) payload_type: u8,
    /// Sequence number.
    pub(crate) sequence: u16,
    /// Timestamp of the first sample.
    pub(crate) timestamp: u32,
    /// Synchronisation source.
    pub(crate) ssrc: u32,
    /// What the payload type says, without CSRCs, extension and padding.
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram; `None` when it is no RTP: short, another version, or lengths that point beyond its end.
    ///
    /// STUN and DTLS (RFC 7983) fail on the version. RTCP (RFC 5761 section 4) fails on its payload types 64 to 95.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
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
    pub(crate) fn write_header(&self, datagram: &mut Vec<u8>) {
        datagram.push(0x80);
        datagram.push(u8::from(self.marker) << 7 | self.payload_type & 0x7f);
        datagram.extend_from_slice(&self.sequence.to_be_bytes());
        datagram.extend_from_slice(&self.timestamp.to_be_bytes());
        datagram.extend_from_slice(&self.ssrc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Packet<'static> = Packet {
        marker: true,
        payload_type: 8,
        sequence: 0xfffe,
        timestamp: 0x8000_0001,
        ssrc: 0xdead_beef,
        payload: b"audio",
    };

    /// A packet with this first byte and these bytes behind the fixed header.
    fn with(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        PACKET.write_header(&mut datagram);
        datagram[0] = first;
        datagram.extend_from_slice(rest);
        datagram
    }

    fn payload(datagram: &[u8]) -> Option<&[u8]> {
        Packet::parse(datagram).map(|packet| packet.payload)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Packet::parse(&with(0x80, b"audio")), Some(PACKET));
    }

    #[test]
    fn csrcs_extension_and_padding_are_no_payload() {
        assert_eq!(payload(&with(0x82, b"csrccsrcaudio")), Some(&b"audio"[..]));
        assert_eq!(payload(&with(0x90, b"\xbe\xde\x00\x01extnaudio")), Some(&b"audio"[..]));
        assert_eq!(payload(&with(0xa0, b"audio\x00\x00\x03")), Some(&b"audio"[..]));
        assert_eq!(payload(&with(0xb1, b"csrc\x00\x00\x00\x00audio\x01")), Some(&b"audio"[..]));
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for broken in [
            with(0x8f, b"csrc"),
            with(0x90, b"\xbe"),
            with(0x90, b"\xbe\xde\xff\xffaudio"),
            with(0xa0, b""),
            with(0xa0, b"audio\x00"),
            with(0xa0, b"audio\x07"),
            with(0x00, b"audio"),
            with(0xc0, b"audio"),
            with(0x80, b"")[..11].to_vec(),
        ] {
            assert_eq!(Packet::parse(&broken), None, "{broken:?}");
        }
    }

    #[test]
    fn rtcp_stun_and_dtls_are_no_rtp() {
        assert_eq!(Packet::parse(&[0x80, 200, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 9]), None, "RTCP sender report");
        assert_eq!(Packet::parse(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0]), None, "STUN");
        assert_eq!(Packet::parse(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None, "DTLS");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 1u64;
        for length in (0..80).cycle().take(40_000) {
            let datagram: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .take(length)
            .collect();
            if let Some(packet) = Packet::parse(&datagram) {
                assert!(packet.payload.len() + HEADER <= length);
            }
        }
    }
}
