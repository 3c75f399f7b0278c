//! Sound files of one voice, written while the voice speaks: for whoever asks for them over HTTP.

use std::io;

use audiopus::Channels;

use crate::{SAMPLE_RATE, ogg_opus::OggOpus, resample::Resampler, wav};

/// What a file of raw samples has, in Hz: what those who ask for one expect.
pub const RAW_RATE: u32 = 24_000;

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// WAV, 16 kHz mono PCM16.
    Wav,
    /// MPEG-2 layer III (ISO 13818-3), 16 kHz mono, 48 kbit/s.
    #[cfg(feature = "mp3")]
    Mp3,
    /// Ogg Opus (RFC 7845), mono.
    Ogg,
    /// Nothing but samples: PCM16, little endian, mono, [`RAW_RATE`].
    Raw,
}

impl Container {
    /// MP3, where Milo was built with it.
    pub fn mp3() -> Option<Self> {
        #[cfg(feature = "mp3")]
        return Some(Self::Mp3);
        #[cfg(not(feature = "mp3"))]
        None
    }

    /// Its media type (RFC 2361, 3003, 7845).
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            #[cfg(feature = "mp3")]
            Self::Mp3 => "audio/mpeg",
            Self::Ogg => "audio/ogg",
            Self::Raw => "audio/pcm",
        }
    }
}

/// A file being written: bytes come out as samples go in.
pub struct Writer(Kind);

enum Kind {
    Wav {
        has_begun: bool,
    },
    #[cfg(feature = "mp3")]
    Mp3(mp3lame_encoder::Encoder),
    Ogg(Box<OggOpus>),
    Raw(Box<Resampler>),
}

impl Writer {
    /// A file of this kind.
    ///
    /// # Errors
    /// The encoder does not begin.
    pub fn new(container: Container) -> io::Result<Self> {
        Ok(Self(match container {
            Container::Wav => Kind::Wav { has_begun: false },
            #[cfg(feature = "mp3")]
            Container::Mp3 => Kind::Mp3(mp3()?),
            Container::Ogg => Kind::Ogg(Box::new(OggOpus::new(Channels::Mono, "Milo")?)),
            Container::Raw => Kind::Raw(Box::new(Resampler::new(SAMPLE_RATE, RAW_RATE).map_err(io::Error::other)?)),
        }))
    }

    /// Adds samples at 16 kHz. Returns the bytes that can be sent now.
    ///
    /// # Errors
    /// The encoder fails.
    pub fn write(&mut self, samples: &[i16]) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Wav { has_begun } => {
                // Of a length that nobody knows yet.
                let mut bytes = if *has_begun { Vec::new() } else { wav::head(None).to_vec() };
                *has_begun = true;
                bytes.extend(little(samples));
                Ok(bytes)
            }
            #[cfg(feature = "mp3")]
            Kind::Mp3(encoder) => {
                let mut bytes = Vec::with_capacity(mp3lame_encoder::max_required_buffer_size(samples.len()));
                let encoded = encoder.encode_to_vec(mp3lame_encoder::MonoPcm(samples), &mut bytes);
                encoded.map(|_| bytes).map_err(|fault| io::Error::other(fault.to_string()))
            }
            Kind::Ogg(file) => file.write(samples),
            Kind::Raw(resampler) => {
                let mut resampled = Vec::new();
                resampler.push(samples, &mut resampled);
                Ok(little(&resampled))
            }
        }
    }

    /// Ends the file. Returns its last bytes.
    ///
    /// # Errors
    /// The encoder fails.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Wav { .. } => self.write(&[]),
            #[cfg(feature = "mp3")]
            Kind::Mp3(encoder) => {
                // As much as LAME may still hold (lame.h, lame_encode_flush).
                let mut bytes = Vec::with_capacity(7_200);
                let flushed = encoder.flush_to_vec::<mp3lame_encoder::FlushNoGap>(&mut bytes);
                flushed.map(|_| bytes).map_err(|fault| io::Error::other(fault.to_string()))
            }
            Kind::Ogg(file) => file.finish(),
            Kind::Raw(resampler) => {
                let mut rest = Vec::new();
                resampler.finish(&mut rest);
                Ok(little(&rest))
            }
        }
    }
}

#[cfg(feature = "mp3")]
fn mp3() -> io::Result<mp3lame_encoder::Encoder> {
    use mp3lame_encoder::{Bitrate, Builder, Mode, Quality};
    let fault = |fault: mp3lame_encoder::BuildError| io::Error::other(fault.to_string());
    let mut builder = Builder::new().ok_or_else(|| io::Error::other("LAME does not begin"))?;
    builder.set_num_channels(1).map_err(fault)?;
    builder.set_mode(Mode::Mono).map_err(fault)?;
    builder.set_sample_rate(SAMPLE_RATE).map_err(fault)?;
    builder.set_brate(Bitrate::Kbps48).map_err(fault)?;
    builder.set_quality(Quality::Good).map_err(fault)?;
    // The tag stands at the beginning and holds the length, which nobody knows while it is sent.
    builder.set_to_write_vbr_tag(false).map_err(fault)?;
    builder.build().map_err(fault)
}

fn little(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt;

    /// A second and a bit of 440 Hz.
    fn tone() -> Vec<i16> {
        (0..17_777)
            .map(|n| ((f64::from(n) * 440.0 * std::f64::consts::TAU / 16_000.0).sin() * 12_000.0) as i16)
            .collect()
    }

    fn written(container: Container) -> Vec<u8> {
        let mut writer = Writer::new(container).unwrap();
        let mut bytes = Vec::new();
        for piece in tone().chunks(777) {
            bytes.extend(writer.write(piece).unwrap());
        }
        bytes.extend(writer.finish().unwrap());
        bytes
    }

    /// How much of the tone is there, at the pitch that it has.
    fn loudness(samples: &[i16]) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = n as f64 * 440.0 * std::f64::consts::TAU / 16_000.0;
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        re.hypot(im) * 2.0 / samples.len() as f64
    }

    #[test]
    fn every_kind_of_file_holds_what_was_said() {
        for container in [
            Container::Wav,
            #[cfg(feature = "mp3")]
            Container::Mp3,
            Container::Ogg,
        ] {
            let path = std::env::temp_dir().join(format!("milo-sound-{}-{container:?}", std::process::id()));
            std::fs::write(&path, written(container)).unwrap();
            let samples = prompt::read_within(&path, 10).unwrap();
            std::fs::remove_file(&path).unwrap();
            let surplus = samples.len().abs_diff(tone().len());
            // MP3 has whole frames, and the encoder's delay before them.
            assert!(
                surplus <= if container.media_type() == "audio/mpeg" { 3_000 } else { 0 },
                "{container:?}: {surplus}"
            );
            let loudness = loudness(&samples[2_000..16_000]);
            assert!((10_500.0..13_500.0).contains(&loudness), "{container:?}: {loudness}");
        }
        let raw = written(Container::Raw);
        let samples: Vec<i16> = raw.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        // The resampler's own delay, and the rest of its last piece.
        assert!(samples.len().abs_diff(17_777 * 3 / 2) < 1_000, "{}", samples.len());
    }

    #[test]
    fn bytes_come_while_the_voice_speaks() {
        for container in [
            Container::Wav,
            #[cfg(feature = "mp3")]
            Container::Mp3,
            Container::Ogg,
            Container::Raw,
        ] {
            let mut writer = Writer::new(container).unwrap();
            assert!(!writer.write(&tone()).unwrap().is_empty(), "{container:?}");
            assert!(Writer::new(container).unwrap().finish().is_ok(), "{container:?}: nothing was said");
        }
    }
}
