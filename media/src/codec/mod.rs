//! The table of codecs: one constant a codec, one file a family, one line here.

mod g711;

pub use g711::{PCMA, PCMU};

/// Every codec Milo speaks, in the order it prefers them.
pub static CODECS: &[Codec] = &[PCMU, PCMA];

/// One audio codec as RTP carries it.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// Encoding name of RFC 3551, as in `a=rtpmap`.
    pub name: &'static str,
    /// Static payload type, or the one we offer when it is dynamic.
    pub payload_type: u8,
    /// RTP clock rate in Hz, as in `a=rtpmap`.
    pub clock_rate: u32,
    /// Rate of the audio that goes in and comes out, in Hz (not always the RTP clock: G.722).
    pub sample_rate: u32,
    /// Appends the payload of these samples.
    pub encode: fn(&[i16], &mut Vec<u8>),
    /// Appends the samples of this payload.
    pub decode: fn(&[u8], &mut Vec<i16>),
}

impl Codec {
    /// The codec of this encoding name (any case, RFC 4855 section 3).
    pub fn named(name: &str) -> Option<&'static Self> {
        CODECS.iter().find(|codec| codec.name.eq_ignore_ascii_case(name))
    }

    /// The codec of this static payload type (RFC 3551 section 6).
    pub fn of_payload_type(payload_type: u8) -> Option<&'static Self> {
        CODECS.iter().find(|codec| codec.payload_type == payload_type)
    }

    /// Samples in 20 ms at the codec's own rate.
    pub const fn samples_per_frame(&self) -> usize {
        self.sample_rate as usize / 50
    }
}

impl PartialEq for Codec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Codec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_by_name_in_any_case_and_by_static_payload_type() {
        assert_eq!(Codec::named("pcma"), Some(&PCMA));
        assert_eq!(Codec::of_payload_type(0), Some(&PCMU));
        assert_eq!(Codec::named("G729"), None);
    }

    #[test]
    fn no_two_codecs_share_a_name_or_a_payload_type() {
        for (at, codec) in CODECS.iter().enumerate() {
            for other in &CODECS[at + 1..] {
                assert_ne!(codec.name, other.name);
                assert_ne!(codec.payload_type, other.payload_type);
            }
        }
    }
}
