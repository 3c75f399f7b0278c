//! Opus in Ogg (RFC 7845), decoded straight to 16 kHz.

use std::{fs::File, io::BufReader};

use audiopus::{Channels, MutSignals, SampleRate, coder::Decoder, packet::Packet};
use ogg::reading::PacketReader;

use super::decode::too_long;
use crate::SAMPLE_RATE;

/// Samples of the longest Opus packet, 120 ms at 16 kHz, both channels.
const PACKET: usize = 2 * 1_920;
/// Granule positions count at 48 kHz.
const GRANULES: u64 = 3;

/// The sound, mono. libopus makes two channels of whatever it is given, so what was mono comes out unchanged by their mean.
pub(super) fn decode(file: File, longest_s: usize) -> Result<Vec<i16>, String> {
    let mut mono = Vec::new();
    let mean = |pair: &[i16]| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16;
    let (_, skipped) = pairs(file, longest_s, |pcm| {
        mono.extend(pcm.chunks_exact(2).map(mean));
        mono.len()
    })?;
    mono.truncate(skipped.end.max(1));
    mono.drain(..mono.len().min(skipped.start));
    Ok(mono)
}

/// Both channels of the sound, side by side: left, right. How many channels there were in the file stands beside them.
pub(crate) fn sides(file: File, longest_s: usize) -> Result<([Vec<i16>; 2], u8), String> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (channels, sound) = pairs(file, longest_s, |pcm| {
        left.extend(pcm.iter().step_by(2));
        right.extend(pcm.iter().skip(1).step_by(2));
        left.len()
    })?;
    let cut = |mut side: Vec<i16>| {
        side.truncate(sound.end.max(1));
        side.drain(..side.len().min(sound.start));
        side
    };
    Ok(([cut(left), cut(right)], channels))
}

/// Gives `take` what each packet holds, left and right, which says how many samples of a side it has by now. Returns how many channels
/// there are, and where the sound is among those samples: what the encoder needed to begin is none, nor is what fills up the last packet
/// (RFC 7845 sections 4.2 and 4.4).
fn pairs(
    file: File,
    longest_s: usize,
    mut take: impl FnMut(&[i16]) -> usize,
) -> Result<(u8, std::ops::Range<usize>), String> {
    let mut packets = PacketReader::new(BufReader::new(file));
    let broken = |error: &dyn std::fmt::Display| format!("is no whole Ogg file: {error}");
    let mut decoder = Decoder::new(SampleRate::Hz16000, Channels::Stereo).map_err(|error| broken(&error))?;
    let (mut pcm, mut pre_skip, mut channels, mut number) = (vec![0; PACKET], 0, 0, 0);
    let (mut serial, mut last, mut bad) = (None, 0, 0);
    loop {
        let packet = match packets.read_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // A stream that was cut off in a page ends with the last whole one, as a recording after a crash does.
            Err(ogg::OggReadError::ReadError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(broken(&error)),
        };
        if *serial.get_or_insert(packet.stream_serial()) != packet.stream_serial() {
            continue;
        }
        number += 1;
        match number {
            1 => (channels, pre_skip) = head(&packet.data)?,
            // Comments.
            2 => {}
            _ => {
                let Some(samples) = samples(&mut decoder, &packet.data, &mut pcm) else {
                    bad += 1;
                    continue;
                };
                last = packet.absgp_page();
                if take(&pcm[..2 * samples]) > longest_s * SAMPLE_RATE as usize {
                    return Err(too_long(longest_s));
                }
            }
        }
    }
    if bad * 20 > number {
        return Err(format!("is damaged: {bad} of its {number} packets cannot be decoded"));
    }
    Ok((channels, (pre_skip / GRANULES) as usize..(last / GRANULES) as usize))
}

/// The channels and the pre-skip of an identification header (RFC 7845 section 5.1).
fn head(data: &[u8]) -> Result<(u8, u64), String> {
    let version = data.get(8).filter(|_| data.len() >= 19).ok_or("has a broken Opus header")?;
    let (channels, family) = (data[9], data[18]);
    if version & 0xf0 != 0 || family != 0 || !(1..=2).contains(&channels) {
        return Err(format!("has {channels} Opus channels of mapping family {family}; mono and stereo can be played"));
    }
    Ok((channels, u64::from(u16::from_le_bytes([data[10], data[11]]))))
}

fn samples(decoder: &mut Decoder, data: &[u8], pcm: &mut Vec<i16>) -> Option<usize> {
    let packet = Packet::try_from(data).ok()?;
    decoder.decode(Some(packet), MutSignals::try_from(pcm).ok()?, false).ok()
}
