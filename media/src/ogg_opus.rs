//! Ogg Opus as RFC 7845 has it, a page every half second.

use std::{io, mem};

use audiopus::{Application, Bitrate, Channels, SampleRate, coder::Encoder};
use ogg::writing::{PacketWriteEndInfo, PacketWriter};

use crate::{FRAME_SAMPLES, SAMPLE_RATE};

/// Speech of one voice takes nearly all of it, silence next to nothing.
const BITS: i32 = 32_000;
/// How hard the encoder tries, 0 to 10.
const COMPLEXITY: u8 = 5;
/// Packets of 20 ms on a page: half a second.
const PACKETS: u64 = 25;
/// Granule positions count at 48 kHz whatever the input was (RFC 7845 section 4).
const GRANULES: u64 = 48_000 / SAMPLE_RATE as u64;
/// The longest packet that libopus makes for 20 ms.
const LONGEST: usize = 1_275 * 2;
/// The one logical stream of a file may have any number.
const SERIAL: u32 = 0x4d69_6c6f;

/// A stream being written; whoever has it puts its bytes where they belong.
pub(crate) struct OggOpus {
    /// Pages gather here until they are whole.
    pages: PacketWriter<'static, Vec<u8>>,
    encoder: Encoder,
    channels: usize,
    /// Samples of all channels that are in no packet yet.
    samples: Vec<i16>,
    /// Samples of one channel that were given.
    given: u64,
    packets: u64,
    pre_skip: u64,
}

impl OggOpus {
    /// A stream of one or two channels at 16 kHz; `about` becomes its description.
    pub(crate) fn new(channels: Channels, about: &str) -> io::Result<Self> {
        let mut encoder = Encoder::new(SampleRate::Hz16000, channels, Application::Voip).map_err(io::Error::other)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITS)).map_err(io::Error::other)?;
        encoder.set_complexity(COMPLEXITY).map_err(io::Error::other)?;
        let pre_skip = u64::from(encoder.lookahead().map_err(io::Error::other)?) * GRANULES;
        let mut pages = PacketWriter::new(Vec::new());
        let count = if matches!(channels, Channels::Stereo) { 2 } else { 1 };
        pages.write_packet(head(pre_skip as u16, count), SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        pages.write_packet(tags(about), SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        let (channels, samples) = (usize::from(count), Vec::with_capacity(2 * FRAME_SAMPLES));
        Ok(Self { pages, encoder, channels, samples, given: 0, packets: 0, pre_skip })
    }

    /// Adds samples of all channels. Returns the pages that are whole now.
    pub(crate) fn write(&mut self, samples: &[i16]) -> io::Result<Vec<u8>> {
        self.given += (samples.len() / self.channels) as u64;
        self.samples.extend_from_slice(samples);
        while self.samples.len() >= self.channels * FRAME_SAMPLES {
            let packet = self.packet()?;
            let whole = self.packets.is_multiple_of(PACKETS);
            let end = if whole { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.pages.write_packet(packet, SERIAL, end, self.packets * FRAME_SAMPLES as u64 * GRANULES)?;
        }
        Ok(self.whole_pages())
    }

    /// Encodes what the encoder still holds and ends the stream. The last granule position cuts off what is too much (RFC
    /// 7845 section 4.4).
    pub(crate) fn finish(&mut self) -> io::Result<Vec<u8>> {
        let (last, packet) = (self.given * GRANULES + self.pre_skip, self.channels * FRAME_SAMPLES);
        loop {
            self.samples.resize(self.samples.len().next_multiple_of(packet).max(packet), 0);
            let packet = self.packet()?;
            let reached = self.packets * FRAME_SAMPLES as u64 * GRANULES;
            if reached >= last {
                self.pages.write_packet(packet, SERIAL, PacketWriteEndInfo::EndStream, last)?;
                return Ok(self.whole_pages());
            }
            self.pages.write_packet(packet, SERIAL, PacketWriteEndInfo::NormalPacket, reached)?;
        }
    }

    /// Pages are written out when they end; what is there is whole.
    fn whole_pages(&mut self) -> Vec<u8> {
        mem::take(self.pages.inner_mut())
    }

    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let (size, mut packet) = (self.channels * FRAME_SAMPLES, vec![0; LONGEST]);
        let length = self.encoder.encode(&self.samples[..size], &mut packet).map_err(io::Error::other)?;
        packet.truncate(length);
        self.samples.drain(..size);
        self.packets += 1;
        Ok(packet)
    }
}

/// The identification header (RFC 7845 section 5.1): version 1, no gain, mapping family 0.
fn head(pre_skip: u16, channels: u8) -> Vec<u8> {
    let mut head = [&b"OpusHead\x01"[..], &[channels]].concat();
    head.extend(pre_skip.to_le_bytes());
    head.extend(SAMPLE_RATE.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}

/// The comment header (RFC 7845 section 5.2): a vendor and one comment, each behind its length.
fn tags(about: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let comment = text(&format!("DESCRIPTION={about}"));
    [b"OpusTags".to_vec(), text("Milo"), 1u32.to_le_bytes().to_vec(), comment].concat()
}
