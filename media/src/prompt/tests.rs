use std::{process::Command, time::Duration};

use super::*;
use crate::{
    record::{Format, Recorder},
    tone::Tone,
    wav,
};

/// A folder of this test's own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("milo-prompt-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A second and a half of 440 Hz, in which sample 8,000 begins to be louder: what a decoder shifts shows.
fn tone() -> Vec<i16> {
    let samples = Tone::new(440.0, 0.5).take(75).flat_map(|frame| *frame.samples());
    samples.enumerate().map(|(at, sample)| if at < 8_000 { sample / 8 } else { sample }).collect()
}

/// Where a sound becomes loud.
fn onset(samples: &[i16]) -> usize {
    samples.iter().position(|sample| sample.unsigned_abs() > 8_000).expect("a loud sample")
}

fn sentence(path: &Path) -> String {
    read(path).expect_err("broken").to_string()
}

/// The sound in all the kinds that can be played, made by ffmpeg.
fn every_kind(folder: &Folder) -> Vec<PathBuf> {
    let source = folder.0.join("source.wav");
    wav::write(&source, &tone()).expect("written");
    let kinds: [(&str, &[&str]); 8] = [
        ("a.flac", &["-ar", "44100"]),
        ("a.mp3", &["-ar", "44100", "-af", "pan=stereo|c0=c0|c1=c0", "-b:a", "64k"]),
        ("vorbis.ogg", &["-c:a", "libvorbis", "-ar", "22050"]),
        ("opus.ogg", &["-c:a", "libopus", "-af", "pan=stereo|c0=c0|c1=c0"]),
        ("mono.opus", &["-c:a", "libopus"]),
        ("deep.wav", &["-c:a", "pcm_s24le", "-ar", "48000", "-af", "pan=stereo|c0=c0|c1=c0"]),
        ("float.wav", &["-c:a", "pcm_f32le"]),
        ("law.wav", &["-c:a", "pcm_mulaw", "-ar", "8000"]),
    ];
    let made = kinds.map(|(name, options)| {
        let path = folder.0.join(name);
        let command =
            Command::new("ffmpeg").args(["-v", "error", "-y", "-i"]).arg(&source).args(options).arg(&path).status();
        assert!(command.expect("ffmpeg is installed").success(), "{name}");
        path
    });
    made.into_iter().chain([source]).collect()
}

#[test]
fn every_usual_kind_becomes_the_same_sound() {
    let folder = Folder::new("kinds");
    for path in every_kind(&folder) {
        let samples = read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(samples.len().abs_diff(24_000) <= 1_800, "{}: {} samples", path.display(), samples.len());
        assert!(onset(&samples).abs_diff(8_010) <= 1_200, "{}: loud at {}", path.display(), onset(&samples));
        let rises = samples[9_000..17_000].windows(2).filter(|pair| pair[0] <= 0 && pair[1] > 0).count();
        assert!((218..=222).contains(&rises), "{}: {rises} Hz / 2", path.display());
        let level = crate::Frame::padded(&samples[12_000..]).dbfs();
        assert!((level + 9.03).abs() < 1.0, "{}: {level} dBFS", path.display());
    }
}

#[test]
fn broken_files_are_named_and_say_what_would_be_right() {
    let folder = Folder::new("broken");
    let kinds = every_kind(&folder);
    for (name, bytes, said) in [
        ("empty.ogg", &b""[..], "is empty; WAV, Ogg"),
        ("text.mp3", b"not a sound at all, only words", "is no sound file that is known here; WAV, Ogg"),
        ("head.flac", b"fLaC\0\0", "cannot be read"),
        ("head.ogg", b"OggS\0\0", "cannot be read"),
        ("half.wav", b"RIFF\x10\0\0\0WAVEfmt ", "cannot be read"),
    ] {
        let sentence = sentence(&folder.file(name, bytes));
        assert!(sentence.contains(name) && sentence.contains(said), "{sentence}");
    }
    assert!(sentence(&folder.0).contains("is a folder"));
    assert!(sentence(&folder.0.join("none.wav")).contains("none.wav: cannot open"));
    for path in kinds.iter().filter(|path| path.extension().is_some_and(|ending| ending == "wav" || ending == "flac")) {
        let bytes = fs::read(path).expect("there");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
        assert!(sentence(path).contains("cut short"), "{}", sentence(path));
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let folder = Folder::new("fuzz");
    for path in every_kind(&folder) {
        let good = fs::read(&path).expect("there");
        for at in (0..good.len().min(120)).chain((120..good.len()).step_by(good.len() / 40)) {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            read(&folder.file("changed", &bytes)).ok();
            read(&folder.file("cut", &good[..at])).ok();
        }
    }
}

#[tokio::test]
async fn what_is_recorded_can_be_played() {
    let folder = Folder::new("recorded");
    let (recorder, thread) = Recorder::start().expect("a thread");
    let path = folder.0.join("a.ogg");
    let recording = recorder.begin(path.clone(), Format::Ogg, Box::new(|_| {})).expect("begun");
    let mut tape = crate::record::Tape::new(recording.tap());
    for frame in crate::Frame::cut(&tone()) {
        tape.sent(frame);
        tape.tick(&frame, crate::leg::now());
    }
    drop(tape);
    recording.finish().await.expect("an end");
    drop(recorder);
    thread.join().expect("the thread ends");
    let samples = read(&path).expect("readable");
    assert_eq!(samples.len(), 24_000);
    assert!(onset(&samples).abs_diff(onset(&tone())) <= 16, "{}", onset(&samples));
}

#[test]
fn a_sound_is_decoded_once_until_its_file_changes() {
    let folder = Folder::new("cache");
    let prompts = Prompts::new(40_000);
    let path = folder.0.join("a.wav");
    wav::write(&path, &tone()).expect("written");
    let first = prompts.sound(&path).expect("readable");
    assert!(Arc::ptr_eq(&first, &prompts.sound(&path).expect("readable")));
    std::thread::sleep(Duration::from_millis(20));
    wav::write(&path, &tone()[..16_000]).expect("written");
    assert_eq!(prompts.sound(&path).expect("readable").len(), 16_000);
    fs::remove_file(&path).expect("there");
    assert!(prompts.sound(&path).is_err(), "what is gone is not played from memory");
}

#[test]
fn what_was_longest_unused_gives_way() {
    let folder = Folder::new("room");
    let prompts = Prompts::new(40_000);
    let paths = ["a.wav", "b.wav", "c.wav"].map(|name| folder.0.join(name));
    for path in &paths {
        wav::write(path, &tone()[..16_000]).expect("written");
    }
    let sounds = paths.each_ref().map(|path| prompts.sound(path).expect("readable"));
    let still = |at: usize| Arc::ptr_eq(&sounds[at], &prompts.sound(&paths[at]).expect("readable"));
    assert!(still(2) && still(1));
    assert!(!still(0), "the third had pushed out the first");
    let large = folder.0.join("large.wav");
    wav::write(&large, &vec![0; 50_000]).expect("written");
    assert_eq!(prompts.sound(&large).expect("readable").len(), 50_000, "too large to keep, and played");
    assert!(prompts.lock().taken <= 40_000);
}
