//! G.711, µ-law and A-law, by table.
//!
//! A byte is sign, three bits of segment, four bits of step (ITU-T G.711 tables 1a to 2b). Decoding looks up 256
//! values; encoding looks up the 14 (µ-law) or 13 (A-law) leading bits of the sample. Tables are made at compile time.

use super::Codec;

/// PCMU, µ-law (RFC 3551 section 4.5.14).
pub const PCMU: Codec = Codec {
    name: "PCMU",
    payload_type: 0,
    clock_rate: 8000,
    sample_rate: 8000,
    encode: |samples, payload| payload.extend(samples.iter().map(|&sample| MU_ENCODE[(sample as u16 >> 2) as usize])),
    decode: |payload, samples| samples.extend(payload.iter().map(|&byte| MU_DECODE[byte as usize])),
};

/// PCMA, A-law (RFC 3551 section 4.5.14).
pub const PCMA: Codec = Codec {
    name: "PCMA",
    payload_type: 8,
    clock_rate: 8000,
    sample_rate: 8000,
    encode: |samples, payload| payload.extend(samples.iter().map(|&sample| A_ENCODE[(sample as u16 >> 3) as usize])),
    decode: |payload, samples| samples.extend(payload.iter().map(|&byte| A_DECODE[byte as usize])),
};

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
        (coarse >> 1 << 1 >> 1) as u8 & 0x1f
    } else {
        let segment = 27 - (coarse as u32).leading_zeros();
        ((segment as u8) << 4) | ((coarse >> segment) & 15) as u8
    };
    (sign | code) ^ 0x55
}
