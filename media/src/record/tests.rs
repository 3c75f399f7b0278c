use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::mpsc, time::Duration};

use audiopus::{Channels, MutSignals, SampleRate, coder::Decoder, packet::Packet};

use super::*;
use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE};

/// A folder of this test's own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("milo-record-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Something like a voice: harmonics of 120 Hz in syllables of 200 ms, of which every third is a pause; `shift` begins
/// elsewhere among them.
fn voice(seconds: usize, shift: usize) -> Vec<i16> {
    let sample = |at: usize| {
        let time = (at + shift) as f64 / f64::from(SAMPLE_RATE);
        let sounds = if (time / 0.2) as usize % 3 == 2 { 0.0 } else { (time / 0.2 * std::f64::consts::PI).sin().abs() };
        let sum: f64 =
            (1..20).map(|n| (std::f64::consts::TAU * 120.0 * f64::from(n) * time).sin() / f64::from(n)).sum();
        (sounds * sum * 6_000.0) as i16
    };
    (0..seconds * SAMPLE_RATE as usize).map(sample).collect()
}

/// Both sides of what a file holds so far, read by hand as a player does.
fn sides(path: &Path) -> (Vec<i16>, Vec<i16>) {
    let mut packets = ogg::PacketReader::new(fs::File::open(path).expect("there"));
    let mut decoder = Decoder::new(SampleRate::Hz16000, Channels::Stereo).expect("a decoder");
    let (mut samples, mut pcm, mut last) = (Vec::new(), vec![0i16; 2 * 1_920], 0);
    let head = packets.read_packet_expected().expect("the head").data;
    assert!(head.starts_with(b"OpusHead\x01\x02"));
    let pre_skip = usize::from(u16::from_le_bytes([head[10], head[11]])) / 3;
    assert!(packets.read_packet_expected().expect("the tags").data.starts_with(b"OpusTags"));
    while let Ok(Some(packet)) = packets.read_packet() {
        last = packet.absgp_page();
        let data = Packet::try_from(&packet.data[..]).expect("a packet");
        let count = decoder.decode(Some(data), MutSignals::try_from(&mut pcm).expect("room"), false).expect("decodes");
        samples.extend_from_slice(&pcm[..2 * count]);
    }
    let pairs = samples[..2 * (last / 3) as usize].chunks_exact(2).skip(pre_skip);
    pairs.map(|pair| (pair[0], pair[1])).unzip()
}

/// By how many samples `heard` comes later than `said`: the best of ±400.
fn delay(said: &[i16], heard: &[i16]) -> i64 {
    let likeness = |shift: i64| -> f64 {
        let pairs = (1_000..said.len().min(heard.len()) - 1_000).step_by(3);
        pairs.map(|at| f64::from(said[at]) * f64::from(heard[(at as i64 + shift) as usize])).sum()
    };
    (-400..=400).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).expect("not empty")
}

fn dbfs(samples: &[i16]) -> f32 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
    (10.0 * (power / samples.len() as f64 / 32_768f64.powi(2)).max(1e-10).log10()) as f32
}

fn run(tape: &mut Tape, heard: &[i16], sent: &[i16]) {
    for (heard, sent) in Frame::cut(heard).zip(Frame::cut(sent)) {
        tape.sent(sent);
        tape.tick(&heard, crate::leg::now());
    }
}

fn begin(recorder: &Recorder, path: &Path, format: Format) -> (Recording, Tape) {
    let recording = recorder.begin(path.into(), format, Box::new(|_| {})).expect("begun");
    let tape = Tape::new(recording.tap());
    (recording, tape)
}

#[tokio::test]
async fn both_sides_are_in_the_file_to_the_sample() {
    let folder = Folder::new("sides");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    for (format, name) in [(Format::Ogg, "a/b/c.ogg"), (Format::Wav, "a/b/c.wav")] {
        let path = folder.0.join(name);
        let (recording, mut tape) = begin(&recorder, &path, format);
        let (left, right) = (voice(4, 0), voice(4, 4_000));
        run(&mut tape, &left, &right);
        drop(tape);
        let outcome = recording.finish().await.expect("an end");
        assert_eq!(outcome, Outcome { ms: 4_000, gap_ms: 0, fault: None });
        let (heard, sent) = match format {
            Format::Ogg => sides(&path),
            Format::Wav => {
                let samples: Vec<i16> = hound::WavReader::open(&path)
                    .expect("WAV")
                    .into_samples()
                    .map(|sample| sample.expect("whole"))
                    .collect();
                samples.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
            }
        };
        assert_eq!((heard.len(), sent.len()), (64_000, 64_000), "{format:?}");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.0)), (0o600, 0o700), "nobody else may listen");
        for (said, got) in [(&left, &heard), (&right, &sent)] {
            assert!(delay(said, got).abs() <= 8, "{format:?}: {} samples", delay(said, got));
            assert!((dbfs(said) - dbfs(got)).abs() < 2.0, "{format:?}: {} and {} dBFS", dbfs(said), dbfs(got));
        }
    }
}

#[tokio::test]
async fn who_is_silent_stays_silent_beside_the_other() {
    let folder = Folder::new("crosstalk");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    let path = folder.0.join("a.ogg");
    let (recording, mut tape) = begin(&recorder, &path, Format::Ogg);
    run(&mut tape, &voice(3, 0), &vec![0; 48_000]);
    run(&mut tape, &vec![0; 48_000], &voice(3, 0));
    drop(tape);
    recording.finish().await.expect("an end");
    let (left, right) = sides(&path);
    for (loud, quiet) in [(&left[..48_000], &right[..48_000]), (&right[48_000..], &left[48_000..])] {
        let apart = dbfs(&loud[8_000..]) - dbfs(&quiet[8_000..]);
        assert!(apart > 30.0, "{apart} dB apart");
    }
}

#[tokio::test]
async fn what_is_there_can_be_played_before_it_ends() {
    let folder = Folder::new("kill");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    let (path, copy) = (folder.0.join("a.ogg"), folder.0.join("copy.ogg"));
    let (wav, wav_copy) = (folder.0.join("a.wav"), folder.0.join("copy.wav"));
    let (_recording, mut tape) = begin(&recorder, &path, Format::Ogg);
    let (_other, mut other) = begin(&recorder, &wav, Format::Wav);
    let said = voice(5, 0);
    run(&mut tape, &said, &said);
    run(&mut other, &said, &said);
    let mut seconds = 0.0;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        fs::copy(&path, &copy).expect("copied");
        fs::copy(&wav, &wav_copy).expect("copied");
        let there = hound::WavReader::open(&wav_copy).map_or(0, |reader| reader.duration());
        seconds = sides(&copy).0.len().min(there as usize) as f32 / SAMPLE_RATE as f32;
        if seconds >= 4.4 {
            break;
        }
    }
    assert!(seconds >= 4.4, "of five seconds {seconds} can be played");
    assert!(delay(&said, &sides(&copy).0).abs() <= 8);
    // Cut off in the middle of a page, as a machine that loses its power leaves it.
    let bytes = fs::read(&copy).expect("there");
    fs::write(&copy, &bytes[..bytes.len() - 700]).expect("written");
    assert!(sides(&copy).0.len() > 3 * SAMPLE_RATE as usize);
}

#[tokio::test]
async fn a_pause_is_silence_and_the_timeline_goes_on() {
    let folder = Folder::new("pause");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    let path = folder.0.join("a.ogg");
    let (recording, mut tape) = begin(&recorder, &path, Format::Ogg);
    let said = voice(1, 0);
    run(&mut tape, &said, &said);
    recording.pause();
    run(&mut tape, &said, &said);
    recording.resume();
    run(&mut tape, &said, &said);
    drop(tape);
    assert_eq!(recording.finish().await.expect("an end").ms, 3_000);
    for side in <[_; 2]>::from(sides(&path)) {
        // The codec rings for some milliseconds beyond an edge.
        assert!(dbfs(&side[17_600..31_600]) < -70.0, "{}", dbfs(&side[17_600..31_600]));
        assert!(dbfs(&side[..16_000]) > -30.0 && dbfs(&side[32_000..]) > -30.0);
        assert!(delay(&said, &side[32_000..]).abs() <= 8);
    }
}

#[tokio::test]
async fn a_long_packet_is_heard_in_the_ticks_that_follow() {
    let folder = Folder::new("ptime");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    let path = folder.0.join("a.wav");
    let (recording, mut tape) = begin(&recorder, &path, Format::Wav);
    // Packets of 60 ms: three frames leave at once, then none for two ticks.
    for tick in 0..6 {
        if tick % 3 == 0 {
            (0..3).for_each(|at| tape.sent(Frame::new([1 + tick + at; FRAME_SAMPLES])));
        }
        tape.tick(&Frame::SILENCE, crate::leg::now());
    }
    drop(tape);
    recording.finish().await.expect("an end");
    let samples: Vec<i16> =
        hound::WavReader::open(&path).expect("WAV").into_samples().map(|s| s.expect("whole")).collect();
    let sent: Vec<i16> = samples.chunks_exact(2 * FRAME_SAMPLES).map(|tick| tick[1]).collect();
    assert_eq!(sent, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_disk_that_is_too_slow_costs_silence_of_the_same_length() {
    let folder = Folder::new("slow");
    let path = folder.0.join("a.ogg");
    let (queue, orders) = mpsc::sync_channel(3);
    let recorder = Recorder { queue, open: watch::Sender::new(0) };
    let (recording, mut tape) = begin(&recorder, &path, Format::Ogg);
    let said = voice(1, 0);
    // Nobody writes yet: the beginning and two pieces fit, the rest does not.
    run(&mut tape, &said, &said);
    let thread = std::thread::spawn(move || writer::run(&orders));
    tokio::time::sleep(Duration::from_millis(100)).await;
    for part in said.chunks(3_200) {
        run(&mut tape, part, part);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(tape);
    let outcome = recording.finish().await.expect("an end");
    assert_eq!(outcome, Outcome { ms: 2_000, gap_ms: 600, fault: None });
    let (heard, _) = sides(&path);
    assert_eq!(heard.len(), 32_000);
    assert!(delay(&said, &heard[16_000..]).abs() <= 8);
    drop(recorder);
    thread.join().expect("it ends when nobody can reach it");
}

#[tokio::test]
async fn a_moment_has_its_place_in_the_file_whatever_the_clock_of_the_leg_does() {
    let folder = Folder::new("places");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    let (recording, mut tape) = begin(&recorder, &folder.0.join("a.wav"), Format::Wav);
    let start = crate::leg::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    assert_eq!(recording.position(start), None, "nothing is in it");
    for tick in 0..50 {
        tape.tick(&Frame::SILENCE, at(20 * tick));
    }
    let place = |moment| recording.position(moment).map(|place| place.as_millis());
    assert_eq!(place(at(980)), Some(980));
    assert_eq!(place(start - Duration::from_millis(1)), None);
    // The clock moves by 7 ms, and then the machine sleeps for five ticks.
    tape.tick(&Frame::SILENCE, at(1_007));
    assert_eq!(place(at(1_007)), Some(1_000));
    tape.slept(5);
    tape.tick(&Frame::SILENCE, at(1_135));
    assert_eq!((place(at(1_135)), place(at(1_130))), (Some(1_120), Some(1_115)));
    drop(tape);
    assert_eq!(recording.finish().await.expect("an end").ms, 1_140);
}

#[tokio::test]
async fn a_file_that_cannot_be_made_ends_the_recording_with_a_word() {
    let folder = Folder::new("place");
    fs::create_dir_all(&folder.0).expect("a folder");
    fs::write(folder.0.join("taken"), b"x").expect("written");
    let (recorder, _thread) = Recorder::start().expect("a thread");
    let (told, ended) = mpsc::sync_channel(1);
    let ended_by = Box::new(move |outcome: &Outcome| told.send(outcome.clone()).expect("heard"));
    let recording = recorder.begin(folder.0.join("taken/a.ogg"), Format::Ogg, ended_by).expect("ordered");
    let mut tape = Tape::new(recording.tap());
    run(&mut tape, &voice(1, 0), &voice(1, 0));
    let fault = ended.recv_timeout(Duration::from_secs(5)).expect("told").fault.expect("a fault");
    assert!(fault.contains("cannot make the file"), "{fault}");
    assert_eq!(recording.outcome().and_then(|outcome| outcome.fault), Some(fault));
    assert_eq!(fs::read(folder.0.join("taken")).expect("there"), b"x");
    recorder.idle().await;
}

#[tokio::test]
async fn a_call_that_lets_go_ends_its_recording() {
    let folder = Folder::new("drop");
    let path = folder.0.join("a.wav");
    let (recorder, thread) = Recorder::start().expect("a thread");
    let (recording, mut tape) = begin(&recorder, &path, Format::Wav);
    run(&mut tape, &voice(1, 0), &voice(1, 0));
    assert!(!tape.is_over());
    drop(recording);
    assert!(tape.is_over(), "the leg is to let go too");
    drop(tape);
    tokio::time::timeout(Duration::from_secs(5), recorder.idle()).await.expect("none is written any more");
    drop(recorder);
    thread.join().expect("the thread ends");
    assert_eq!(hound::WavReader::open(&path).expect("WAV").duration(), SAMPLE_RATE);
}

/// Prints what a recording costs: processor time a call, bits a second.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_a_recording() {
    let folder = Folder::new("cost");
    // Fields 14 and 15 of proc(5): ticks of a hundredth of a second.
    let ticks = || -> u64 {
        let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
        stat.rsplit(')')
            .next()
            .expect("fields")
            .split(' ')
            .skip(12)
            .take(2)
            .map(|n| n.parse::<u64>().expect("ticks"))
            .sum()
    };
    let (said, silence) = (voice(30, 0), vec![0; 30 * SAMPLE_RATE as usize]);
    for (name, format) in [("Ogg Opus", Format::Ogg), ("WAV", Format::Wav)] {
        let (recorder, _thread) = Recorder::start().expect("a thread");
        let path = folder.0.join(name);
        let (recording, mut tape) = begin(&recorder, &path, format);
        let before = ticks();
        for (heard, sent) in [(&said, &silence), (&silence, &said), (&said, &silence), (&silence, &said)] {
            for (heard, sent) in heard.chunks(3_200).zip(sent.chunks(3_200)) {
                run(&mut tape, heard, sent);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        drop(tape);
        let outcome = recording.finish().await.expect("an end");
        assert_eq!((outcome.ms, outcome.gap_ms), (120_000, 0));
        let bits = fs::metadata(&path).expect("there").len() as f64 * 8.0 / 120.0;
        let cpu = (ticks() - before) as f64 / 120.0;
        println!("{name}: {cpu:.2} % of a core a call, {:.1} kbit/s", bits / 1e3);
    }
}
