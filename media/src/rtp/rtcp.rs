//! RTCP on the wire: compound packets of reports, CNAME and BYE (RFC 3550 section 6), and extended reports (RFC 3611).
//!
//! A compound is read whole or not at all: it begins with a report, every length in it points inside it, and together
//! they make up the datagram (RFC 3550 A.2).

/// Payload types of RFC 3550 section 12.1 and RFC 3611 section 2.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const EXTENDED_REPORT: u8 = 207;

/// The item of a source description that every compound carries (RFC 3550 section 6.5.1).
const CNAME: u8 = 1;

/// Block types of RFC 3611.
const REFERENCE_TIME: u8 = 4;
const DELAY_SINCE_REFERENCE: u8 = 5;
const VOIP_METRICS: u8 = 7;

/// Bytes of a reception report block, of a sub-block of DLRR, and of the contents of the block of VoIP metrics.
const BLOCK: usize = 24;
const DELAY: usize = 12;
const METRICS: usize = 32;

/// Is this RTCP rather than RTP, on a port that carries both (RFC 5761 section 4)?
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// What a sender says of itself (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SenderInfo {
    /// Wall clock, 32.32 seconds since 1900.
    pub(crate) ntp: u64,
    /// The same moment on the clock of the stream's timestamps.
    pub(crate) timestamp: u32,
    /// Packets sent under this SSRC.
    pub(crate) packets: u32,
    /// Bytes of payload in them.
    pub(crate) octets: u32,
}

/// What a receiver says of one source (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The source.
    pub(crate) ssrc: u32,
    /// Lost since the report before, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Lost since the beginning, 24 bits with a sign.
    pub(crate) lost: i32,
    /// Highest sequence number, with the count of its wraps in front.
    pub(crate) highest: u32,
    /// Interarrival jitter on the clock of the timestamps.
    pub(crate) jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report (LSR), 0 for none.
    pub(crate) last_report: u32,
    /// How long ago that came, in 65536ths of a second (DLSR).
    pub(crate) delay: u32,
}

/// RFC 3611 section 4.7. Rates are 256ths, times milliseconds; 127 stands for an unknown level, factor or score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VoipMetrics {
    /// The source that is spoken of.
    pub(crate) ssrc: u32,
    /// Lost on the way.
    pub(crate) loss_rate: u8,
    /// Came too late to be played.
    pub(crate) discard_rate: u8,
    /// Round trip as the last reports say, 0 for unknown.
    pub(crate) round_trip_ms: u16,
    /// What the end itself adds: buffer, frames, codec.
    pub(crate) end_system_ms: u16,
    /// Level of the speech in dBm0.
    pub(crate) signal_level: i8,
    /// R of the E-model, 0 to 100.
    pub(crate) r_factor: u8,
    /// Tenths of a listening score.
    pub(crate) mos_lq: u8,
    /// Tenths of a conversational score.
    pub(crate) mos_cq: u8,
    /// What the jitter buffer aims to hold.
    pub(crate) buffer_ms: u16,
    /// What it may grow to.
    pub(crate) buffer_most_ms: u16,
}

/// One statement of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A report begins; the blocks behind it are this reporter's. Senders say something of themselves too.
    Report { reporter: u32, sender: Option<SenderInfo> },
    /// What the reporter receives.
    Block(Block),
    /// The lasting name of a source.
    Cname { ssrc: u32, name: &'a [u8] },
    /// A source is leaving.
    Bye(u32),
    /// A receiver's own time, to be answered with [`Part::Delay`] (RFC 3611 section 4.4).
    ReferenceTime { reporter: u32, ntp: u64 },
    /// The answer to the reference time of `ssrc`, as LSR and DLSR are (RFC 3611 section 4.5).
    Delay { ssrc: u32, last_reference: u32, delay: u32 },
    /// What a call sounds like at the other end.
    Metrics(VoipMetrics),
}

/// Reads a compound; `None` when any part of it is malformed. Packets and blocks of other types are passed over.
pub(crate) fn parse(datagram: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let [first, kind, length @ ..] = *rest.first_chunk::<4>()?;
        let (packet, behind) = rest.split_at_checked(4 + 4 * usize::from(u16::from_be_bytes(length)))?;
        let is_first = rest.len() == datagram.len();
        if first >> 6 != 2 || is_first && !matches!(kind, SENDER_REPORT | RECEIVER_REPORT) {
            return None;
        }
        let mut body = &packet[4..];
        if first & 0x20 != 0 {
            // Only the last packet of a compound may be padded, in whole words.
            let padding = usize::from(*body.last()?);
            if !behind.is_empty() || padding == 0 || !padding.is_multiple_of(4) {
                return None;
            }
            body = &body[..body.len().checked_sub(padding)?];
        }
        let count = usize::from(first & 0x1f);
        match kind {
            SENDER_REPORT | RECEIVER_REPORT => report(body, kind, count, &mut parts)?,
            SOURCE_DESCRIPTION => description(body, count, &mut parts)?,
            GOODBYE => {
                let (sources, _reason) = body.split_at_checked(4 * count)?;
                parts.extend(sources.as_chunks().0.iter().map(|ssrc| Part::Bye(u32::from_be_bytes(*ssrc))));
            }
            EXTENDED_REPORT => extended(body, &mut parts)?,
            _ => {}
        }
        rest = behind;
    }
    (!parts.is_empty()).then_some(parts)
}

fn report(body: &[u8], kind: u8, count: usize, parts: &mut Vec<Part<'_>>) -> Option<()> {
    let (reporter, mut rest) = word(body)?;
    let mut sender = None;
    if kind == SENDER_REPORT {
        let ([high, low, timestamp, packets, octets], behind) = words(rest)?;
        sender = Some(SenderInfo { ntp: u64::from(high) << 32 | u64::from(low), timestamp, packets, octets });
        rest = behind;
    }
    parts.push(Part::Report { reporter, sender });
    // What stands behind the blocks is an extension of some profile.
    let (blocks, _extension) = rest.split_at_checked(BLOCK * count)?;
    for block in blocks.chunks_exact(BLOCK) {
        let ([ssrc, lost, highest, jitter, last_report, delay], _) = words(block)?;
        parts.push(Part::Block(Block {
            ssrc,
            fraction_lost: (lost >> 24) as u8,
            lost: (lost << 8) as i32 >> 8,
            highest,
            jitter,
            last_report,
            delay,
        }));
    }
    Some(())
}

fn description<'a>(mut body: &'a [u8], count: usize, parts: &mut Vec<Part<'a>>) -> Option<()> {
    for _ in 0..count {
        let (ssrc, items) = word(body)?;
        let mut at = 0;
        // Items until a null byte, then nulls up to the next word.
        while *items.get(at)? != 0 {
            let text = items.get(at + 2..)?.get(..usize::from(*items.get(at + 1)?))?;
            if items[at] == CNAME {
                parts.push(Part::Cname { ssrc, name: text });
            }
            at += 2 + text.len();
        }
        body = items.get(at / 4 * 4 + 4..)?;
    }
    Some(())
}

fn extended(body: &[u8], parts: &mut Vec<Part<'_>>) -> Option<()> {
    let (reporter, mut rest) = word(body)?;
    while !rest.is_empty() {
        let [kind, _, length @ ..] = *rest.first_chunk::<4>()?;
        let block;
        (block, rest) = rest[4..].split_at_checked(4 * usize::from(u16::from_be_bytes(length)))?;
        match kind {
            REFERENCE_TIME => {
                let ([high, low], []) = words(block)? else { return None };
                parts.push(Part::ReferenceTime { reporter, ntp: u64::from(high) << 32 | u64::from(low) });
            }
            DELAY_SINCE_REFERENCE => {
                if !block.len().is_multiple_of(DELAY) {
                    return None;
                }
                for sub in block.chunks_exact(DELAY) {
                    let ([ssrc, last_reference, delay], _) = words(sub)?;
                    parts.push(Part::Delay { ssrc, last_reference, delay });
                }
            }
            VOIP_METRICS => parts.push(Part::Metrics(metrics(block.try_into().ok()?))),
            _ => {}
        }
    }
    Some(())
}

fn metrics(block: &[u8; METRICS]) -> VoipMetrics {
    let half = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    VoipMetrics {
        ssrc: u32::from_be_bytes([block[0], block[1], block[2], block[3]]),
        loss_rate: block[4],
        discard_rate: block[5],
        round_trip_ms: half(12),
        end_system_ms: half(14),
        signal_level: block[16] as i8,
        r_factor: block[20],
        mos_lq: block[22],
        mos_cq: block[23],
        buffer_ms: half(26),
        buffer_most_ms: half(28),
    }
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let ([first], rest) = words(bytes)?;
    Some((first, rest))
}

/// The first words, and what stands behind them.
fn words<const N: usize>(bytes: &[u8]) -> Option<([u32; N], &[u8])> {
    let (first, rest) = bytes.split_at_checked(4 * N)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(first.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    Some((words, rest))
}

/// Appends a report: a sender's when there is something to say of ourselves, else a receiver's.
pub(crate) fn write_report(reporter: u32, sender: Option<&SenderInfo>, blocks: &[Block], out: &mut Vec<u8>) {
    let kind = if sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    packet(kind, blocks.len() as u8, out, |out| {
        put(out, &[reporter]);
        if let Some(info) = sender {
            put(out, &[(info.ntp >> 32) as u32, info.ntp as u32, info.timestamp, info.packets, info.octets]);
        }
        for block in blocks {
            let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
            put(out, &[block.ssrc, u32::from(block.fraction_lost) << 24 | lost]);
            put(out, &[block.highest, block.jitter, block.last_report, block.delay]);
        }
    });
}

/// Appends the source's lasting name, of at most 255 bytes.
pub(crate) fn write_cname(ssrc: u32, name: &str, out: &mut Vec<u8>) {
    packet(SOURCE_DESCRIPTION, 1, out, |out| {
        put(out, &[ssrc]);
        let name = &name.as_bytes()[..name.len().min(255)];
        out.extend_from_slice(&[CNAME, name.len() as u8]);
        out.extend_from_slice(name);
        // At least one null ends the items.
        out.resize((out.len() / 4 + 1) * 4, 0);
    });
}

/// Appends the goodbye of a source.
pub(crate) fn write_bye(ssrc: u32, out: &mut Vec<u8>) {
    packet(GOODBYE, 1, out, |out| put(out, &[ssrc]));
}

/// Appends an extended report: our reference time, the answer to the peer's (source, its time, how long ago), metrics.
pub(crate) fn write_extended(
    reporter: u32,
    reference: Option<u64>,
    answer: Option<(u32, u32, u32)>,
    metrics: Option<&VoipMetrics>,
    out: &mut Vec<u8>,
) {
    packet(EXTENDED_REPORT, 0, out, |out| {
        put(out, &[reporter]);
        let head = |kind: u8, words: u32| u32::from(kind) << 24 | words;
        if let Some(ntp) = reference {
            put(out, &[head(REFERENCE_TIME, 2), (ntp >> 32) as u32, ntp as u32]);
        }
        if let Some((ssrc, reference, delay)) = answer {
            put(out, &[head(DELAY_SINCE_REFERENCE, 3), ssrc, reference, delay]);
        }
        if let Some(metrics) = metrics {
            put(out, &[head(VOIP_METRICS, METRICS as u32 / 4), metrics.ssrc]);
            // No bursts are told apart from gaps: their densities and durations are zero.
            out.extend_from_slice(&[metrics.loss_rate, metrics.discard_rate, 0, 0]);
            put(out, &[0, u32::from(metrics.round_trip_ms) << 16 | u32::from(metrics.end_system_ms)]);
            // Noise level and echo return loss are unknown; Gmin is the usual 16.
            out.extend_from_slice(&[metrics.signal_level as u8, 127, 127, 16]);
            out.extend_from_slice(&[metrics.r_factor, 127, metrics.mos_lq, metrics.mos_cq]);
            // RX config: enhanced concealment, an adaptive buffer.
            out.extend_from_slice(&[0b1111_0000, 0]);
            for milliseconds in [metrics.buffer_ms, metrics.buffer_most_ms, metrics.buffer_most_ms] {
                out.extend_from_slice(&milliseconds.to_be_bytes());
            }
        }
    });
}

/// Appends a packet of whole words, with its length.
fn packet(kind: u8, count: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count & 0x1f, kind, 0, 0]);
    body(out);
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: SenderInfo =
        SenderInfo { ntp: 0xe5f0_1234_8000_0001, timestamp: 0xffff_fff0, packets: 70_000, octets: 11_200_000 };
    const LOSS: Block = Block {
        ssrc: 0xdead_beef,
        fraction_lost: 64,
        lost: -3,
        highest: 0x0002_fffe,
        jitter: 160,
        last_report: 0x1234_8000,
        delay: 65_536,
    };
    const SOUND: VoipMetrics = VoipMetrics {
        ssrc: 0xdead_beef,
        loss_rate: 5,
        discard_rate: 2,
        round_trip_ms: 180,
        end_system_ms: 60,
        signal_level: -21,
        r_factor: 88,
        mos_lq: 42,
        mos_cq: 41,
        buffer_ms: 40,
        buffer_most_ms: 400,
    };

    fn whole() -> Vec<u8> {
        let mut out = Vec::new();
        write_report(7, Some(&INFO), &[LOSS], &mut out);
        write_cname(7, "k3m9", &mut out);
        write_extended(7, Some(INFO.ntp), Some((9, 0x1234_8000, 77)), Some(&SOUND), &mut out);
        write_bye(7, &mut out);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let expected = [
            Part::Report { reporter: 7, sender: Some(INFO) },
            Part::Block(LOSS),
            Part::Cname { ssrc: 7, name: b"k3m9" },
            Part::ReferenceTime { reporter: 7, ntp: INFO.ntp },
            Part::Delay { ssrc: 9, last_reference: 0x1234_8000, delay: 77 },
            Part::Metrics(SOUND),
            Part::Bye(7),
        ];
        assert_eq!(parse(&whole()).as_deref(), Some(&expected[..]));
        assert!(is_rtcp(&whole()));
    }

    #[test]
    fn a_receiver_report_is_the_bytes_of_the_rfc() {
        let mut out = Vec::new();
        write_report(1, None, &[], &mut out);
        write_cname(1, "ab", &mut out);
        assert_eq!(out, [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0]);
    }

    #[test]
    fn losses_of_24_bits_keep_their_sign() {
        for lost in [-0x80_0000, -1, 0, 1, 0x7f_ffff] {
            let mut out = Vec::new();
            write_report(1, None, &[Block { lost, ..LOSS }], &mut out);
            let parts = parse(&out).expect("a report");
            assert!(matches!(parts[1], Part::Block(block) if block.lost == lost), "{lost}");
        }
    }

    #[test]
    fn a_compound_is_read_whole_or_not_at_all() {
        let good = whole();
        for cut in 1..good.len() {
            // Cut between two packets it is a shorter compound, elsewhere it is nothing.
            let is_boundary = [52, 68, 140].contains(&cut);
            assert_eq!(parse(&good[..cut]).is_some(), is_boundary, "{cut}");
        }
        let spoilt = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            parse(&bytes).is_some()
        };
        assert!(!spoilt(0, 0x41), "version 1");
        assert!(!spoilt(0, 0x82), "one block more than there is");
        assert!(!spoilt(1, 202), "a compound begins with a report");
        assert!(!spoilt(3, 255), "a length beyond the end");
        assert!(!spoilt(61, 99), "a name beyond the end");
        assert!(!spoilt(79, 9), "a block beyond the end");
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn padding_is_for_the_last_packet() {
        let mut padded = Vec::new();
        write_report(1, None, &[], &mut padded);
        write_cname(1, "a", &mut padded);
        let at = padded.len();
        write_bye(1, &mut padded);
        padded[at] |= 0x20;
        padded[at + 3] += 1;
        padded.extend([0, 0, 0, 4]);
        assert_eq!(parse(&padded).map(|parts| parts.len()), Some(3));
        for wrong in [0, 3, 8, 12, 255] {
            *padded.last_mut().expect("bytes") = wrong;
            assert_eq!(parse(&padded), None, "{wrong}");
        }
        *padded.last_mut().expect("bytes") = 4;
        padded[0] |= 0x20;
        assert_eq!(parse(&padded), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32
        };
        let good = whole();
        let mut read = 0;
        for round in 0..60_000 {
            let mut bytes: Vec<u8> = if round % 2 == 0 {
                good.clone()
            } else {
                let length = random() as usize % 200;
                std::iter::repeat_with(|| random() as u8).take(length).collect()
            };
            for _ in 0..random() % 4 {
                let at = random() as usize % bytes.len().max(1);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random() as u8);
            }
            read += usize::from(parse(&bytes).is_some());
        }
        assert!((5_000..60_000).contains(&read), "{read} were read");
    }
}
