//! A WAV file whose header is true twice a second.

use std::io;

use super::writer::Sink;
use crate::SAMPLE_RATE;

/// Bytes of the header.
const HEADER: u64 = 44;
/// Samples of both sides between two updates of the header: half a second.
const UPDATE: u64 = SAMPLE_RATE as u64;
/// The format counts bytes in 32 bits; 18 hours and a half.
const LONGEST: u64 = u32::MAX as u64 - 64 * 1024;

/// 16 kHz stereo PCM16.
pub(super) struct Wav {
    sink: Sink,
    unannounced: u64,
}

impl Wav {
    pub(super) fn new(mut sink: Sink) -> io::Result<Self> {
        let mut header = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
        header.extend(SAMPLE_RATE.to_le_bytes());
        header.extend((SAMPLE_RATE * 4).to_le_bytes());
        header.extend(b"\x04\0\x10\0data\0\0\0\0");
        sink.add(&header)?;
        let mut wav = Self { sink, unannounced: 0 };
        wav.finish()?;
        Ok(wav)
    }

    pub(super) fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        if self.sink.length() + 2 * samples.len() as u64 > LONGEST {
            self.finish()?;
            return Err(io::Error::other("a WAV file holds 18 hours at most; Ogg has no such limit"));
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let added = self.sink.add(&bytes);
        self.unannounced += samples.len() as u64;
        if added.is_err() || self.unannounced >= UPDATE {
            self.finish()?;
        }
        added
    }

    /// Brings the header up to date.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let length = self.sink.length() as u32;
        self.sink.patch(&(length - 8).to_le_bytes(), 4)?;
        self.sink.patch(&(length - HEADER as u32).to_le_bytes(), HEADER - 4)?;
        self.unannounced = 0;
        Ok(())
    }
}
