//! L16, samples as they are (RFC 3551 section 4.5.11): what comes over a WebSocket, between it and the leg. No telephone is
//! offered it.

use super::{Codec, Decoder, Encoder};

/// L16 at the rate of the house.
pub const L16: Codec = Codec {
    name: "L16",
    payload_type: 96,
    clock_rate: 16_000,
    sample_rate: 16_000,
    channels: 1,
    fmtp: None,
    ptimes_ms: &[10, 20, 30, 40, 50, 60],
    pauses: false,
    encoder: || Box::new(Plain),
    decoder: || Box::new(Plain),
};

/// A stream of L16: two bytes a sample, the greater first.
#[derive(Debug)]
struct Plain;

impl Encoder for Plain {
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        payload.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
    }
}

impl Decoder for Plain {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        payload.len().is_multiple_of(2).then_some(payload.len() / 2)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        out.extend(payload.as_chunks::<2>().0.iter().map(|bytes| i16::from_be_bytes(*bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_out_as_they_went_in_and_half_a_sample_is_none() {
        let (samples, mut payload, mut out) = ([0, 1, -1, i16::MIN, i16::MAX], Vec::new(), Vec::new());
        (L16.encoder)().encode(&samples, &mut payload);
        assert_eq!(payload[2..4], [0, 1], "the greater byte first");
        let mut decoder = (L16.decoder)();
        assert_eq!((decoder.samples(&payload), decoder.samples(&payload[1..])), (Some(5), None));
        decoder.decode(&payload, &mut out);
        assert_eq!(out, samples);
    }
}
