//! A sound file into samples. What it is, its first bytes say, whatever its name ends in.

use std::{
    fs::File,
    io::{Read, Seek},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use symphonia::core::{
    codecs::audio::AudioDecoderOptions,
    errors::Error,
    formats::{FormatOptions, TrackType, probe::Hint},
    io::MediaSourceStream,
    meta::MetadataOptions,
};

use super::ogg_opus;
use crate::{MediaError, SAMPLE_RATE, resample::resample};

/// What would be right.
const WANTED: &str = "WAV, Ogg (Opus or Vorbis), MP3 and FLAC can be played";
/// A file may end so many samples before its header says: encoders round.
const ROUNDING: u64 = 4_608;

/// Above this rate, in Hz, sound may be shorter.
const HIGHEST: usize = 48_000;

/// The longest prompt, in seconds.
const LONGEST_S: usize = 900;

/// Reads a WAV, Ogg (Opus or Vorbis), MP3 or FLAC file of up to 15 minutes, of any rate from 4 to 192 kHz and any number of
/// channels (which are averaged), into 16 kHz mono.
///
/// # Errors
/// [`MediaError::File`] when it cannot be opened or read; [`MediaError::Sound`] when it is something else, broken, cut short,
/// empty or too long.
pub fn read(path: &Path) -> Result<Vec<i16>, MediaError> {
    read_within(path, LONGEST_S)
}

/// The same of at most so many seconds.
///
/// # Errors
/// As [`read`].
pub fn read_within(path: &Path, seconds: usize) -> Result<Vec<i16>, MediaError> {
    let failed = |source| MediaError::File { path: path.into(), action: "open", source };
    let wrong = |reason| MediaError::Sound { path: path.into(), reason };
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(wrong(format!("is a folder, not a sound; {WANTED}")));
    }
    let mut first = Vec::new();
    let read = Read::by_ref(&mut file).take(64).read_to_end(&mut first).and_then(|_| file.rewind());
    read.map_err(|source| MediaError::File { path: path.into(), action: "read", source })?;
    // Decoders of files that anybody may have made: one that gives up in a panic has said that the file is broken.
    let decoded = catch_unwind(AssertUnwindSafe(|| match kind(&first) {
        Kind::Opus => ogg_opus::decode(file, seconds),
        Kind::Other => decode(file, seconds),
        Kind::Unknown if first.is_empty() => Err(format!("is empty; {WANTED}")),
        Kind::Unknown => Err(format!("is no sound file that is known here; {WANTED}")),
    }));
    let samples = decoded.unwrap_or_else(|_| Err("is damaged beyond reading; make it anew".into())).map_err(wrong)?;
    if samples.is_empty() {
        return Err(wrong("holds no sound".into()));
    }
    Ok(samples)
}

enum Kind {
    Opus,
    Other,
    Unknown,
}

fn kind(first: &[u8]) -> Kind {
    match first {
        // The first page of an Ogg file holds the identification header alone (RFC 7845 section 3).
        [b'O', b'g', b'g', b'S', ..] if first.get(28..36) == Some(b"OpusHead") => Kind::Opus,
        [b'O', b'g', b'g', b'S', ..] | [b'R', b'I', b'F', b'F', ..] | [b'f', b'L', b'a', b'C', ..] => Kind::Other,
        // An MP3 begins with a tag or with the eleven ones of a frame.
        [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..] => Kind::Other,
        _ => Kind::Unknown,
    }
}

fn decode(file: File, longest_s: usize) -> Result<Vec<i16>, String> {
    let broken = |error: Error| format!("cannot be read: {}; {WANTED}", reason(&error));
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let options = (FormatOptions::default(), MetadataOptions::default());
    let mut format =
        symphonia::default::get_probe().probe(&Hint::new(), stream, options.0, options.1).map_err(broken)?;
    let track = format.default_track(TrackType::Audio).ok_or("holds no sound")?;
    let (id, promised) = (track.id, track.num_frames);
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
    let parameters = parameters.ok_or_else(|| format!("does not say how its sound is coded; {WANTED}"))?;
    let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default());
    let mut decoder = decoder.map_err(broken)?;

    let (mut mono, mut part, mut rate, mut bad, mut good) = (Vec::new(), Vec::<f32>::new(), 0, 0, 0);
    let mut ended = None;
    while let Some(packet) = format.next_packet().unwrap_or_else(|error| {
        ended = Some(reason(&error));
        None
    }) {
        if packet.track_id != id {
            continue;
        }
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_)) => {
                bad += 1;
                continue;
            }
            Err(error) => return Err(broken(error)),
        };
        good += 1;
        let spec = decoded.spec();
        let channels = spec.channels().count();
        if rate == 0 {
            rate = spec.rate();
        }
        if rate != spec.rate() || !(4_000..=192_000).contains(&rate) || channels == 0 {
            return Err(format!(
                "has {channels} channels at {} Hz; one rate from 4000 to 192000 Hz is wanted",
                spec.rate()
            ));
        }
        part.resize(decoded.samples_interleaved(), 0.0);
        decoded.copy_to_slice_interleaved(&mut part);
        let mean = |frame: &[f32]| (frame.iter().sum::<f32>() / channels as f32 * 32_768.0) as i16;
        mono.extend(part.chunks_exact(channels).map(mean));
        // Of a high rate less is taken than of the usual ones: it is all in memory before it is made 16 kHz.
        if mono.len() / (rate as usize).min(HIGHEST) > longest_s {
            return Err(too_long(longest_s));
        }
    }
    if bad * 20 > good {
        return Err(format!("is damaged: {bad} of its {} parts cannot be decoded", bad + good));
    }
    // Who writes while it is made does not know the length, and promises more than anybody sends.
    let has_length = promised.is_some();
    let promised = promised.filter(|promised| *promised <= longest_s as u64 * u64::from(rate));
    let short = promised.filter(|promised| mono.len() as u64 + ROUNDING < *promised);
    if let Some(promised) = short {
        let seconds = |samples: u64| samples as f64 / f64::from(rate.max(1));
        let (promised, there) = (seconds(promised), seconds(mono.len() as u64));
        return Err(format!("is cut short: its header promises {promised:.1} s, {there:.1} s are there"));
    }
    if let Some(why) = ended.filter(|_| !has_length) {
        return Err(format!("is cut short or damaged: {why}"));
    }
    Ok(resample(&mono, rate.max(4_000), SAMPLE_RATE))
}

pub(super) fn too_long(seconds: usize) -> String {
    format!("is longer than {} minutes", seconds / 60)
}

fn reason(error: &Error) -> String {
    match error {
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it ends too early".into(),
        error => error.to_string(),
    }
}
