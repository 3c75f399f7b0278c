//! G.722 at 64 kbit/s (mode 1): 16 kHz audio in two bands of 8 kHz, each an ADPCM with an adaptive predictor.
//!
//! ```text
//!  16 kHz ─► split ─┬─ low  0–4 kHz ─► 6 bits ─┐
//!                   └─ high 4–8 kHz ─► 2 bits ─┴─► a byte each 125 µs, high bits first
//! ```
//! Encoder and decoder hold the same [`Band`]s and drive them by the same bits, so they stay alike without saying so. The
//! low band's two last bits refine what is heard and move nothing, so a channel may take them away (modes 2 and 3);
//! RTP never does.

mod band;
mod filter;

use self::{
    band::{Band, HIGH, LOW},
    filter::{Join, Split},
};
use super::{Codec, Decoder, Encoder};

/// G.722 (RFC 3551 section 4.5.2): the RTP clock says 8000 by an old mistake that has become the rule.
pub const G722: Codec = Codec {
    name: "G722",
    payload_type: 9,
    clock_rate: 8000,
    sample_rate: 16_000,
    channels: 1,
    fmtp: None,
    ptimes_ms: &[10, 20, 30, 40, 50, 60],
    pauses: false,
    encoder: || Box::new(Coder { split: Split::new(), low: Band::new(&LOW), high: Band::new(&HIGH) }),
    decoder: || Box::new(Listener { join: Join::new(), low: Band::new(&LOW), high: Band::new(&HIGH) }),
};

/// The largest magnitude of a decoded band (block 3 of figures 10 and 11 of G.722, LIMIT).
const LIMIT: i32 = 16_384;

#[derive(Debug)]
struct Coder {
    split: Split,
    low: Band,
    high: Band,
}

impl Encoder for Coder {
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        let Self { split, low, high } = self;
        split.push(samples, |low_sample, high_sample| {
            let low_code = low.quantize_low(low_sample);
            let high_code = high.quantize_high(high_sample);
            low.adapt_low(low_code);
            high.adapt_high(high_code);
            payload.push((high_code << 6) | low_code);
        });
    }
}

#[derive(Debug)]
struct Listener {
    join: Join,
    low: Band,
    high: Band,
}

impl Decoder for Listener {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        Some(2 * payload.len())
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        let Self { join, low, high } = self;
        let bands = payload.iter().map(|&byte| {
            let (low_code, high_code) = (byte & 63, byte >> 6);
            let low_sample = low.hear_low(low_code).clamp(-LIMIT, LIMIT - 1);
            low.adapt_low(low_code);
            let high_sample = high.adapt_high(high_code).clamp(-LIMIT, LIMIT - 1);
            (low_sample, high_sample)
        });
        join.push(bands, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by ffmpeg; `vectors/README.md` says how.
    const INPUT: &[u8] = include_bytes!("../vectors/g722_input.s16le");
    const ENCODED: &[u8] = include_bytes!("../vectors/g722_encoded.g722");
    const DECODED: &[u8] = include_bytes!("../vectors/g722_decoded.s16le");

    fn samples(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn encoding_agrees_with_a_second_implementation_bit_by_bit() {
        for packet in [160, 320, 960] {
            let (mut coder, mut payload) = ((G722.encoder)(), Vec::new());
            samples(INPUT).chunks(packet).for_each(|samples| coder.encode(samples, &mut payload));
            assert_eq!(payload, ENCODED, "in packets of {packet} samples");
        }
    }

    #[test]
    fn decoding_agrees_with_a_second_implementation_bit_by_bit() {
        let (mut listener, mut out) = ((G722.decoder)(), Vec::new());
        for payload in ENCODED.chunks(160) {
            assert_eq!(listener.samples(payload), Some(2 * payload.len()));
            listener.decode(payload, &mut out);
        }
        assert_eq!(out, samples(DECODED));
    }

    #[test]
    fn a_decoder_that_missed_the_beginning_soon_hears_the_same() {
        let tone = |at: usize| (8000.0 * (std::f32::consts::TAU * 1000.0 / 16_000.0 * at as f32).sin()) as i16;
        let (mut coder, mut payload) = ((G722.encoder)(), Vec::new());
        coder.encode(&(0..16_000).map(tone).collect::<Vec<_>>(), &mut payload);
        let heard = |from: usize| {
            let (mut listener, mut out) = ((G722.decoder)(), Vec::new());
            listener.decode(&payload[from..], &mut out);
            out.split_off(out.len() - 8_000)
        };
        let apart = heard(0).iter().zip(heard(160)).map(|(a, b)| i32::from(*a - b).abs()).max();
        assert!(apart < Some(200), "{apart:?}");
    }
}
