//! Ogg Opus as RFC 7845 has it, a page every half second.

use std::{io, mem};

use audiopus::{Application, Bitrate, Channels, SampleRate, coder::Encoder};
use ogg::writing::{PacketWriteEndInfo, PacketWriter};

use super::writer::Sink;
use crate::{FRAME_SAMPLES, SAMPLE_RATE};

/// Both sides together. Speech of one side takes nearly all of it, silence next to nothing.
const BITS: i32 = 32_000;
/// How hard the encoder tries, 0 to 10.
const COMPLEXITY: u8 = 5;
/// Packets of 20 ms on a page: half a second.
const PACKETS: u64 = 25;
/// Granule positions count at 48 kHz whatever the input was (RFC 7845 section 4).
const GRANULES: u64 = 48_000 / SAMPLE_RATE as u64;
/// The longest packet that libopus makes for 20 ms.
const LONGEST: usize = 1_275 * 2;
/// Samples of both sides in a packet.
const PACKET: usize = 2 * FRAME_SAMPLES;

/// One file being written.
pub(super) struct OggOpus {
    sink: Sink,
    /// Pages gather here until they are whole.
    pages: PacketWriter<'static, Vec<u8>>,
    encoder: Encoder,
    /// Samples of both sides that are in no packet yet.
    samples: Vec<i16>,
    /// Samples of one side that were given.
    given: u64,
    packets: u64,
    pre_skip: u64,
}

/// The one logical stream of a file may have any number.
const SERIAL: u32 = 0x4d69_6c6f;

impl OggOpus {
    pub(super) fn new(sink: Sink) -> io::Result<Self> {
        let mut encoder =
            Encoder::new(SampleRate::Hz16000, Channels::Stereo, Application::Voip).map_err(io::Error::other)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITS)).map_err(io::Error::other)?;
        encoder.set_complexity(COMPLEXITY).map_err(io::Error::other)?;
        let pre_skip = u64::from(encoder.lookahead().map_err(io::Error::other)?) * GRANULES;
        let pages = PacketWriter::new(Vec::new());
        let samples = Vec::with_capacity(PACKET);
        let mut file = Self { sink, pages, encoder, samples, given: 0, packets: 0, pre_skip };
        file.pages.write_packet(head(pre_skip as u16), SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        file.pages.write_packet(tags(), SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        file.flush()?;
        Ok(file)
    }

    /// Adds samples of both sides.
    pub(super) fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        self.given += samples.len() as u64 / 2;
        self.samples.extend_from_slice(samples);
        while self.samples.len() >= PACKET {
            let packet = self.packet()?;
            let whole = self.packets.is_multiple_of(PACKETS);
            let end = if whole { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.pages.write_packet(packet, SERIAL, end, self.packets * FRAME_SAMPLES as u64 * GRANULES)?;
            if whole {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what the encoder still holds and ends the stream. The last granule position cuts off what is too much (RFC
    /// 7845 section 4.4).
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let last = self.given * GRANULES + self.pre_skip;
        loop {
            self.samples.resize(self.samples.len().next_multiple_of(PACKET).max(PACKET), 0);
            let packet = self.packet()?;
            let reached = self.packets * FRAME_SAMPLES as u64 * GRANULES;
            if reached >= last {
                self.pages.write_packet(packet, SERIAL, PacketWriteEndInfo::EndStream, last)?;
                return self.flush();
            }
            self.pages.write_packet(packet, SERIAL, PacketWriteEndInfo::NormalPacket, reached)?;
        }
    }

    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let mut packet = vec![0; LONGEST];
        let length = self.encoder.encode(&self.samples[..PACKET], &mut packet).map_err(io::Error::other)?;
        packet.truncate(length);
        self.samples.drain(..PACKET);
        self.packets += 1;
        Ok(packet)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.add(&mem::take(self.pages.inner_mut()))
    }
}

/// The identification header (RFC 7845 section 5.1): version 1, two channels, no gain, mapping family 0.
fn head(pre_skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend(pre_skip.to_le_bytes());
    head.extend(SAMPLE_RATE.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}

/// The comment header (RFC 7845 section 5.2): a vendor and one comment, each behind its length.
fn tags() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let comment = text("DESCRIPTION=left: the caller; right: Milo");
    [b"OpusTags".to_vec(), text("Milo"), 1u32.to_le_bytes().to_vec(), comment].concat()
}
