//! G.711, µ-law and A-law, by table.
//!
//! A byte is sign, three bits of segment, four bits of step (ITU-T G.711 tables 1a to 2b). Decoding looks up 256
//! values; encoding looks up the 14 (µ-law) or 13 (A-law) leading bits of the sample. Tables are made at compile time.

use super::{Codec, Decoder, Encoder};

/// PCMU, µ-law (RFC 3551 section 4.5.14).
pub const PCMU: Codec = Codec {
    name: "PCMU",
    payload_type: 0,
    clock_rate: 8000,
    sample_rate: 8000,
    channels: 1,
    fmtp: None,
    ptimes_ms: &[10, 20, 30, 40, 50, 60],
    pauses: false,
    encoder: || Box::new(MuLaw),
    decoder: || Box::new(MuLaw),
};

/// PCMA, A-law (RFC 3551 section 4.5.14).
pub const PCMA: Codec = Codec {
    name: "PCMA",
    payload_type: 8,
    clock_rate: 8000,
    sample_rate: 8000,
    channels: 1,
    fmtp: None,
    ptimes_ms: &[10, 20, 30, 40, 50, 60],
    pauses: false,
    encoder: || Box::new(ALaw),
    decoder: || Box::new(ALaw),
};

/// A stream of PCMU: every sample stands for itself.
#[derive(Debug)]
struct MuLaw;

/// A stream of PCMA.
#[derive(Debug)]
struct ALaw;

impl Encoder for MuLaw {
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        payload.extend(samples.iter().map(|&sample| MU_ENCODE[(sample as u16 >> 2) as usize]));
    }
}

impl Decoder for MuLaw {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        Some(payload.len())
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        out.extend(payload.iter().map(|&byte| MU_DECODE[byte as usize]));
    }
}

impl Encoder for ALaw {
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        payload.extend(samples.iter().map(|&sample| A_ENCODE[(sample as u16 >> 3) as usize]));
    }
}

impl Decoder for ALaw {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        Some(payload.len())
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        out.extend(payload.iter().map(|&byte| A_DECODE[byte as usize]));
    }
}

static MU_DECODE: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = mu_expand(byte as u8);
        byte += 1;
    }
    table
};

static A_DECODE: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = a_expand(byte as u8);
        byte += 1;
    }
    table
};

static MU_ENCODE: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        table[index] = mu_compress(((index as u16) << 2) as i16);
        index += 1;
    }
    table
};

static A_ENCODE: [u8; 1 << 13] = {
    let mut table = [0; 1 << 13];
    let mut index = 0;
    while index < table.len() {
        table[index] = a_compress(((index as u16) << 3) as i16);
        index += 1;
    }
    table
};

/// The bias that makes µ-law's segments powers of two, on the 16-bit scale.
const MU_BIAS: i32 = 33 << 2;
/// The largest magnitude µ-law can carry, on the 16-bit scale.
const MU_CLIP: i32 = 8158 << 2;

const fn mu_expand(byte: u8) -> i16 {
    let code = !byte;
    let segment = (code >> 4) & 7;
    let step = (code & 15) as i32;
    let magnitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS;
    (if code & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

const fn mu_compress(sample: i16) -> u8 {
    // One's complement of negatives: 14-bit magnitudes are symmetric about -1/2, as the tables of G.711 are.
    let (sign, magnitude) = if sample < 0 { (0x80, !(sample as i32) & !3) } else { (0, sample as i32 & !3) };
    let biased = (if magnitude > MU_CLIP { MU_CLIP } else { magnitude }) + MU_BIAS;
    let segment = 24 - (biased as u32).leading_zeros();
    let step = (biased >> (segment + 3)) & 15;
    !(sign | ((segment as u8) << 4) | step as u8)
}

const fn a_expand(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 7;
    let step = ((code & 15) as i32) << 4;
    let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

const fn a_compress(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, !(sample as i32)) } else { (0x80, sample as i32) };
    let coarse = magnitude >> 4;
    let code = if coarse < 32 {
        coarse as u8
    } else {
        let segment = 28 - (coarse as u32).leading_zeros();
        ((segment as u8) << 4) | ((coarse >> (segment - 1)) & 15) as u8
    };
    (sign | code) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(codec: &Codec, payload: &[u8]) -> Vec<i16> {
        let mut samples = Vec::new();
        (codec.decoder)().decode(payload, &mut samples);
        samples
    }

    fn encoded(codec: &Codec, samples: &[i16]) -> Vec<u8> {
        let mut payload = Vec::new();
        (codec.encoder)().encode(samples, &mut payload);
        payload
    }

    fn bytes() -> Vec<u8> {
        (0..=255).collect()
    }

    /// What ffmpeg 5.1 (`-f mulaw` and `-f alaw`) and sox 14.4 make of the bytes 0 to 255, both the same.
    fn vector(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn decoding_agrees_with_a_second_implementation() {
        assert_eq!(decoded(&PCMU, &bytes()), vector(include_bytes!("vectors/ulaw_decoded.s16le")));
        assert_eq!(decoded(&PCMA, &bytes()), vector(include_bytes!("vectors/alaw_decoded.s16le")));
    }

    /// The samples at which another code begins than that of the sample before.
    fn steps(codec: &Codec) -> Vec<i16> {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let codes = encoded(codec, &samples);
        let steps = samples.iter().skip(1).zip(codes.windows(2)).filter(|(_, codes)| codes[0] != codes[1]);
        steps.map(|(&sample, _)| sample).collect()
    }

    /// With the steps, each decoded value's own code and the order of codes, every sample's code is known. The vectors are
    /// the steps of Sun's g711.c, which sox and Python's audioop hold (ffmpeg rounds to the nearest value instead).
    #[test]
    fn encoding_agrees_with_a_second_implementation() {
        assert_eq!(steps(&PCMA), vector(include_bytes!("vectors/alaw_steps.s16le")));
        // It negates where ITU-T G.191 takes the one's complement: below zero its µ-law is one step of 14 bits (4) later, and
        // nothing is the negative zero.
        let theirs = vector(include_bytes!("vectors/ulaw_steps.s16le"));
        let (below, above) = theirs.split_at(theirs.partition_point(|&step| step <= 0));
        let expected: Vec<i16> = below.iter().map(|step| step - 4).chain([0]).chain(above.iter().copied()).collect();
        assert_eq!(steps(&PCMU), expected);
    }

    #[test]
    fn the_values_of_the_recommendation() {
        // ITU-T G.711 tables 2a/2b and 1a/1b: the largest values and the smallest, on the 16-bit scale.
        assert_eq!(decoded(&PCMU, &[0x80, 0x00, 0xff, 0x7f, 0xfe]), [32_124, -32_124, 0, 0, 8]);
        assert_eq!(decoded(&PCMA, &[0xaa, 0x2a, 0xd5, 0x55]), [32_256, -32_256, 8, -8]);
    }

    #[test]
    fn every_sample_is_within_half_a_step_of_its_code() {
        for sample in i16::MIN..=i16::MAX {
            let (mu, a) = (encoded(&PCMU, &[sample]), encoded(&PCMA, &[sample]));
            let miss = |codec, code: &[u8]| (i32::from(decoded(codec, code)[0]) - i32::from(sample)).abs();
            // Half a step of the code's segment, and what the cut to 14 bits takes away.
            assert!(
                miss(&PCMU, &mu) <= (4 << (!mu[0] >> 4 & 7)) + 3 || sample.unsigned_abs() > 32_635,
                "PCMU {sample}"
            );
            let segment = (a[0] ^ 0x55) >> 4 & 7;
            assert!(miss(&PCMA, &a) <= 8 << segment.saturating_sub(1), "PCMA {sample}");
        }
    }

    #[test]
    fn what_was_decoded_is_encoded_to_the_same_byte() {
        for codec in [&PCMU, &PCMA] {
            let again = encoded(codec, &decoded(codec, &bytes()));
            let differ: Vec<usize> = (0..256).filter(|&byte| again[byte] != byte as u8).collect();
            // µ-law has two zeros; the negative one comes back positive.
            assert!(differ.is_empty() || (codec.name == "PCMU" && differ == [0x7f]), "{}: {differ:?}", codec.name);
        }
    }
}
