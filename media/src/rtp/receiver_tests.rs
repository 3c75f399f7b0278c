//! What is heard of what was sent, in virtual time.

use std::time::Duration;

use super::*;
use crate::{codec::PCMU, leg::now};

const EVENT: u8 = 101;

/// A packet on its way: when it comes (ms), and its bytes.
type Coming = (f64, Vec<u8>);

fn session() -> Session {
    Session { telephone_event: Some(EVENT), ..Session::new(([127, 0, 0, 1], 4000).into(), &PCMU) }
}

fn datagram(ssrc: u32, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: &[] }.write_header(&mut datagram);
    datagram.extend_from_slice(payload);
    datagram
}

/// A tone of 250 Hz from this sample on (a whole number of periods in 4 ms, so it fits at every cut of 4 ms).
fn tone(from: u32, count: u32) -> Vec<u8> {
    let step = std::f32::consts::TAU * 250.0 / 8000.0;
    let samples: Vec<i16> = (from..from + count).map(|at| (8000.0 * (step * at as f32).sin()) as i16).collect();
    let mut payload = Vec::new();
    (PCMU.encoder)().encode(&samples, &mut payload);
    payload
}

/// `count` packets of this many milliseconds, each sent when its last sample is there.
fn stream(ssrc: u32, first: u16, count: u32, ptime: u32, start_ms: f64) -> Vec<Coming> {
    let packet = |index: u32| {
        let timestamp = index * ptime * 8;
        let sequence = first.wrapping_add(index as u16);
        let payload = tone(timestamp, ptime * 8);
        (start_ms + f64::from(index * ptime), datagram(ssrc, sequence, timestamp, &payload))
    };
    (0..count).map(packet).collect()
}

struct Heard {
    receiver: Receiver,
    /// One entry a pull.
    frames: Vec<(Vec<i16>, Pulled)>,
    digits: String,
}

impl Heard {
    fn of(packets: Vec<Coming>, pulls: usize) -> Self {
        Self::with(Receiver::new(&session(), 200), packets, pulls)
    }

    /// Pulls at 10 ms, 30 ms, 50 ms …
    fn with(receiver: Receiver, mut packets: Vec<Coming>, pulls: usize) -> Self {
        packets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let start = now();
        let mut heard = Self { receiver, frames: Vec::new(), digits: String::new() };
        let mut packets = packets.into_iter().peekable();
        for pull in 0..pulls {
            let tick = 10.0 + 20.0 * pull as f64;
            while let Some((came, packet)) = packets.next_if(|(came, _)| *came <= tick) {
                let taken = heard.receiver.accept(&packet, start + Duration::from_secs_f64(came / 1000.0));
                heard.digits.extend(taken.into_iter().flat_map(|taken| taken.keys));
            }
            let mut frame = Vec::new();
            let pulled = heard.receiver.pull(start + Duration::from_secs_f64(tick / 1000.0), &mut frame);
            assert_eq!(frame.len(), 160, "exactly 20 ms a pull");
            heard.frames.push((frame, pulled));
        }
        heard
    }

    fn samples(&self, pulls: std::ops::Range<usize>) -> Vec<i16> {
        self.frames[pulls].iter().flat_map(|(frame, _)| frame.iter().copied()).collect()
    }

    fn counts(&self) -> Counts {
        self.receiver.counts()
    }

    fn target_ms(&self) -> u32 {
        self.receiver.playout.delay().target_ms()
    }
}

fn rms(samples: &[i16]) -> f32 {
    (samples.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
}

/// The share of the power that is no 250 Hz tone, in dB below it.
fn distortion_db(samples: &[i16]) -> f32 {
    let step = std::f32::consts::TAU * 250.0 / 8000.0;
    let (mut sine, mut cosine) = (0f32, 0f32);
    for (at, &sample) in samples.iter().enumerate() {
        sine += f32::from(sample) * (step * at as f32).sin();
        cosine += f32::from(sample) * (step * at as f32).cos();
    }
    let tone = (sine * sine + cosine * cosine) * 2.0 / samples.len() as f32;
    let total: f32 = samples.iter().map(|&sample| f32::from(sample).powi(2)).sum();
    10.0 * (tone / (total - tone).max(1.0)).log10()
}

#[test]
fn a_clean_line_adds_half_a_tick_and_changes_nothing() {
    let heard = Heard::of(stream(1, 65_500, 100, 20, 0.0), 100);
    let mut sent = Vec::new();
    (PCMU.decoder)().decode(&tone(0, 16_000), &mut sent);
    // Through a wrap of the sequence too. The first 5 ms come out of silence, blended.
    assert_eq!(heard.samples(0..100)[40..], sent[40..]);
    let counts = heard.counts();
    assert_eq!((counts.received, counts.lost, counts.concealed, counts.late), (100, 0, 0, 0));
}

#[test]
fn any_ptime_of_the_peer_gives_the_same_frames() {
    for ptime in [10, 20, 30, 40, 60, 120, 180] {
        let heard = Heard::of(stream(1, 7, 1440 / ptime, ptime, 0.0), 60);
        assert!(distortion_db(&heard.samples(5..60)) > 30.0, "{ptime} ms");
        assert_eq!(heard.counts().concealed, 0, "{ptime} ms");
    }
}

#[test]
fn reordered_packets_are_played_in_order() {
    let mut packets = stream(1, 7, 100, 20, 0.0);
    for index in (5..95).step_by(10) {
        packets[index].0 += 25.0;
    }
    let heard = Heard::of(packets, 100);
    // The first swap teaches the buffer; from then on nothing is lost.
    assert!(heard.counts().late <= 1, "{:?}", heard.counts());
    assert!(heard.counts().concealed <= 3, "{:?}", heard.counts());
    assert!(distortion_db(&heard.samples(40..100)) > 30.0);
}

#[test]
fn doubled_packets_are_heard_once() {
    let mut packets = stream(1, 7, 50, 20, 0.0);
    packets.extend(packets.clone().into_iter().map(|(came, packet)| (came + 3.0, packet)));
    let stragglers: Vec<Coming> = packets[..20].iter().map(|(came, packet)| (came + 200.0, packet.clone())).collect();
    packets.extend(stragglers);
    let heard = Heard::of(packets, 50);
    assert_eq!((heard.counts().duplicate, heard.counts().received), (70, 50));
    assert!(distortion_db(&heard.samples(1..50)) > 30.0);
}

#[test]
fn lost_packets_are_counted_and_concealed_in_their_place() {
    let mut packets = stream(1, 7, 200, 20, 0.0);
    let mut index = 0;
    packets.retain(|_| {
        index += 1;
        index % 20 != 0
    });
    let heard = Heard::of(packets, 199);
    assert_eq!((heard.counts().lost, heard.counts().concealed), (9, 9));
    let all = heard.samples(1..199);
    assert!((rms(&all) / rms(&heard.samples(1..15)) - 1.0).abs() < 0.05, "the level holds");
    assert!(distortion_db(&all) > 20.0, "{}", distortion_db(&all));
    assert_eq!(heard.target_ms(), 20, "loss is no jitter");
}

#[test]
fn a_burst_of_loss_fades_and_playout_stays_on_the_timeline() {
    let mut packets = stream(1, 7, 100, 20, 0.0);
    packets.drain(40..50);
    let heard = Heard::of(packets, 100);
    assert!(rms(&heard.samples(44..50)) < 1.0, "silence after 60 ms");
    assert_eq!(heard.counts().lost, 10);
    assert!(distortion_db(&heard.samples(51..100)) > 30.0);
    assert!(heard.frames[50].1.arrived.is_some(), "no delay was added");
}

#[test]
fn an_outage_of_seconds_is_counted_and_over_at_once() {
    let mut packets = stream(1, 7, 250, 20, 0.0);
    packets.drain(50..200);
    let heard = Heard::of(packets, 250);
    assert_eq!((heard.counts().lost, heard.counts().received), (150, 100));
    assert!(distortion_db(&heard.samples(202..250)) > 30.0);
}

#[test]
fn jitter_grows_the_buffer_and_calm_shrinks_it() {
    let mut packets = stream(1, 7, 1000, 20, 0.0);
    let mut state = 5u32;
    for (came, _) in &mut packets[..500] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *came += f64::from(state >> 24) * 60.0 / 256.0;
    }
    // The last frame, and what waits behind it.
    let delay = |heard: &Heard| 160 + heard.receiver.playout.level();
    let heard = Heard::of(packets[..500].to_vec(), 500);
    assert!((60..=90).contains(&heard.target_ms()), "{}", heard.target_ms());
    let settled = heard.frames[100..].iter().filter(|(_, pulled)| pulled.concealed).count();
    assert!(settled <= 8, "{settled} of 400 concealed once the target is known");
    assert!(delay(&heard) >= 320, "{}", delay(&heard));
    let calm = Heard::of(packets, 1000);
    assert_eq!(calm.target_ms(), 20);
    assert!(delay(&calm) <= 320, "{}", delay(&calm));
}

/// Hears a tone for so long, from a sender whose clock is this many millionths fast.
fn drifting(parts_per_million: f64, seconds: u32) {
    let step = std::f32::consts::TAU * 403.0 / 8000.0;
    let start = now();
    let mut receiver = Receiver::new(&session(), 200);
    // A second of the tone, which fits itself.
    let second: Vec<i16> = (0..8000u16).map(|at| (8000.0 * (step * f32::from(at)).sin()) as i16).collect();
    let mut payload = Vec::new();
    (PCMU.encoder)().encode(&second, &mut payload);
    let (mut sent, mut out) = (0u32, Vec::new());
    // What three samples in a row of the tone never do: a click shows here, far above the noise of the codec.
    let mut last = [0f32; 2];
    let (mut roughest, mut roughest_clean, mut ups, mut most) = (0f32, 0f32, 0, 0);
    for pull in 0..50 * seconds {
        let tick = 0.011 + f64::from(pull) * 0.02;
        while f64::from(sent) * 0.02 / (1.0 + parts_per_million / 1e6) <= tick {
            let from = sent * 160;
            let at = (from % 8000) as usize;
            let packet = datagram(1, sent as u16, from, &payload[at..at + 160]);
            let came = f64::from(sent) * 0.02 / (1.0 + parts_per_million / 1e6);
            receiver.accept(&packet, start + Duration::from_secs_f64(came));
            sent += 1;
        }
        out.clear();
        receiver.pull(start + Duration::from_secs_f64(tick), &mut out);
        for &sample in out.iter().skip(if pull == 0 { 80 } else { 0 }) {
            let rough = (f32::from(sample) - 2.0 * step.cos() * last[1] + last[0]).abs();
            // The first seconds of any stream are as they came.
            if pull > 1 {
                roughest = roughest.max(rough);
                roughest_clean = if pull < 20 { roughest } else { roughest_clean };
            }
            ups += u32::from(last[1] < 0.0 && sample >= 0);
            last = [last[1], f32::from(sample)];
        }
        most = most.max(if pull < 50 { 0 } else { receiver.playout.level() });
    }
    let counts = receiver.counts();
    assert_eq!((counts.concealed, counts.late, counts.lost), (0, 0, 0), "{parts_per_million} ppm");
    assert!(most <= 320, "{} ms at {parts_per_million} ppm", most / 8);
    assert!(receiver.playout.level() <= 320);
    assert!(roughest <= 1.5 * roughest_clean, "{roughest} where the codec makes {roughest_clean}");
    let heard = f64::from(ups) / f64::from(seconds);
    assert!((heard / 403.0 - 1.0).abs() < 0.001, "{heard} Hz at {parts_per_million} ppm");
}

#[test]
fn an_hour_of_a_fast_or_slow_clock_is_heard_without_a_click_and_without_more_delay() {
    drifting(100.0, 3600);
    drifting(-100.0, 3600);
    drifting(1000.0, 300);
    drifting(-1000.0, 300);
}

#[test]
fn bursts_of_five_packets_are_heard_whole() {
    let mut packets = stream(1, 7, 500, 20, 0.0);
    for (index, (came, _)) in packets.iter_mut().enumerate() {
        *came = f64::from(index as u32 / 5) * 100.0 + 80.0 + f64::from(index as u32 % 5) * 0.1;
    }
    let heard = Heard::of(packets, 500);
    assert_eq!(heard.target_ms(), 100);
    let concealed = heard.frames[100..].iter().filter(|(_, pulled)| pulled.concealed).count();
    assert_eq!(concealed, 0);
    assert!(distortion_db(&heard.samples(300..320)) > 25.0);
}

#[test]
fn no_more_is_held_than_is_allowed() {
    let mut packets = stream(1, 7, 500, 20, 0.0);
    for (index, (came, _)) in packets.iter_mut().enumerate() {
        *came = f64::from(index as u32 / 8) * 160.0 + 140.0;
    }
    let heard = Heard::with(Receiver::new(&session(), 60), packets, 500);
    assert_eq!(heard.target_ms(), 60);
    assert!(heard.frames.iter().any(|(_, pulled)| pulled.concealed));
}

#[test]
fn what_a_handover_holds_back_is_heard_and_its_delay_goes_again() {
    let mut packets = stream(1, 7, 1000, 20, 0.0);
    for (index, (came, _)) in packets.iter_mut().enumerate().skip(100).take(20) {
        *came = came.max(2380.0 + 0.1 * f64::from(index as u32));
    }
    let heard = Heard::of(packets, 1000);
    assert_eq!((heard.counts().lost, heard.counts().late), (0, 0));
    assert!(heard.counts().concealed <= 4, "{:?}", heard.counts());
    let age = |pull: usize| {
        let (_, pulled) = &heard.frames[pull];
        pulled.arrived.is_some()
    };
    assert!((125..1000).all(age), "it never runs dry again");
    assert!(heard.receiver.playout.level() <= 160, "{}", heard.receiver.playout.level());
}

/// A codec that repeats the packet before (the second 160 bytes are what it was), and conceals by a level of its own.
const REPEATER: Codec = Codec { name: "repeater", decoder: || Box::new(Repeater), ..PCMU };
/// What the codec's concealment sounds like.
const CONCEALED: i16 = 77;

#[derive(Debug)]
struct Repeater;

impl crate::codec::Decoder for Repeater {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        (payload.len() == 320).then_some(160)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        (PCMU.decoder)().decode(&payload[..160], out);
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        assert_eq!(samples % 20, 0, "codecs conceal in steps of 2.5 ms");
        out.resize(out.len() + samples, CONCEALED);
        true
    }

    fn repeats(&self, _: &[u8]) -> bool {
        true
    }

    fn recover(&mut self, next: &[u8], samples: usize, out: &mut Vec<i16>) -> bool {
        assert_eq!(samples, 160);
        (PCMU.decoder)().decode(&next[160..], out);
        true
    }
}

/// Hears packets of the repeater; those of these indices are lost.
fn repeated(count: u32, lost: impl Fn(u32) -> bool) -> Heard {
    let packets = (0..count).filter(|&index| !lost(index)).map(|index| {
        let payload = [tone(index * 160, 160), tone(index.wrapping_sub(1).wrapping_mul(160), 160)].concat();
        (f64::from(index) * 20.0, datagram(1, index as u16, index * 160, &payload))
    });
    let session = Session { codec: &REPEATER, ..session() };
    Heard::with(Receiver::new(&session, 200), packets.collect(), count as usize)
}

#[test]
fn lost_packets_are_taken_from_what_the_next_one_repeats() {
    let heard = repeated(1500, |index| index % 20 == 19);
    let (counts, frames) = (heard.counts(), &heard.frames);
    assert_eq!(counts.lost, 74);
    // Until enough are lost to make waiting for the next packet worth it.
    assert!(counts.concealed <= 6, "{counts:?}");
    assert_eq!(counts.recovered + counts.concealed, 74);
    assert_eq!(heard.target_ms(), 40);
    assert!(frames[400..].iter().all(|(frame, pulled)| !pulled.concealed && !frame.contains(&CONCEALED)));
    assert!(distortion_db(&heard.samples(1000..1040)) > 30.0, "{}", distortion_db(&heard.samples(1000..1040)));
}

#[test]
fn of_a_burst_the_codec_conceals_all_but_the_last() {
    let heard = repeated(1500, |index| index % 50 >= 47);
    let counts = heard.counts();
    assert_eq!(counts.lost, 87);
    let settled = &heard.frames[400..1450];
    let concealed = settled.iter().flat_map(|(frame, _)| frame).filter(|&&sample| sample == CONCEALED).count();
    // Two of each three, in 21 bursts; the tone itself is at that level now and then.
    assert!((6700..7000).contains(&concealed), "{concealed}");
    assert!(counts.recovered >= 26, "{counts:?}");
}

#[test]
fn what_the_sender_leaves_out_on_purpose_is_no_loss() {
    // 200 ms of speech, then 300 ms without packets and without a hole in the sequence, and so on (DTX).
    let packets = stream(1, 7, 100, 20, 0.0).into_iter().enumerate().map(|(index, (came, mut packet))| {
        let left_out = index as u32 / 10 * 15;
        packet[4..8].copy_from_slice(&((index as u32 + left_out) * 160).to_be_bytes());
        (came + f64::from(left_out) * 20.0, packet)
    });
    let heard = Heard::of(packets.collect(), 230);
    assert_eq!((heard.counts().lost, heard.counts().concealed, heard.counts().late), (0, 0, 0));
    assert_eq!(heard.target_ms(), 20);
    assert!(rms(&heard.samples(15..24)) < 1.0);
    assert!(distortion_db(&heard.samples(26..34)) > 30.0);
    // Short pauses too, of which the end is known when they begin.
    let packets = stream(1, 7, 100, 20, 0.0).into_iter().enumerate().map(|(index, (came, mut packet))| {
        let left_out = index as u32 / 10 * 3;
        packet[4..8].copy_from_slice(&((index as u32 + left_out) * 160).to_be_bytes());
        (came + f64::from(left_out) * 20.0, packet)
    });
    let heard = Heard::of(packets.collect(), 125);
    assert_eq!((heard.counts().lost, heard.counts().concealed, heard.counts().late), (0, 0, 0));
}

#[test]
fn what_is_no_rtp_of_the_call_is_counted_and_not_heard() {
    let stun = [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &[7; 20]].concat();
    let dtls = [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40][..], &[1; 40]].concat();
    let report = [&[0x81, 201, 0, 7][..], &[9; 28]].concat();
    let mut unknown = datagram(1, 9, 320, &[0x80; 160]);
    unknown[1] = 34;
    let mut csrcs = datagram(1, 9, 320, &[0x80; 20]);
    csrcs[0] = 0x8f;
    let mut extension = datagram(1, 9, 320, &[0xff; 20]);
    extension[0] = 0x90;
    let mut padding = datagram(1, 9, 320, &[200; 20]);
    padding[0] = 0xa0;
    let noise = [stun, dtls, report, unknown, csrcs, extension, padding, vec![0x80; 11], Vec::new(), vec![0; 1500]];
    let clean = Heard::of(stream(1, 7, 100, 20, 0.0), 100);
    let mut packets = stream(1, 7, 100, 20, 0.0);
    packets.extend((0..1000).map(|index| (f64::from(index) * 2.0, noise[index as usize % noise.len()].clone())));
    let heard = Heard::of(packets, 100);
    assert_eq!(heard.samples(0..100), clean.samples(0..100));
    assert_eq!((heard.counts().ignored, heard.counts().received, heard.counts().lost), (996, 100, 0));
}

#[test]
fn another_ssrc_is_heard_after_two_packets() {
    let mut packets = stream(1, 7, 50, 20, 0.0);
    packets.extend(stream(2, 40_000, 50, 20, 1000.0));
    let heard = Heard::of(packets, 100);
    assert!(distortion_db(&heard.samples(54..100)) > 30.0);
    assert_eq!(heard.counts().lost, 0);
}

#[test]
fn single_packets_of_another_ssrc_do_not_disturb() {
    let mut packets = stream(1, 7, 50, 20, 0.0);
    packets.extend((0..50).map(|index| (20.0 * f64::from(index) + 5.0, datagram(9, index * 77, 0, &[0x80; 160]))));
    let heard = Heard::of(packets, 50);
    assert!(distortion_db(&heard.samples(1..50)) > 30.0);
}

#[test]
fn timestamps_that_jump_do_not_matter() {
    let mut packets = stream(1, 7, 100, 20, 0.0);
    for (index, (_, packet)) in packets.iter_mut().enumerate().skip(50) {
        let timestamp = 0x9000_0000 + index as u32 * 160;
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
    }
    let heard = Heard::of(packets, 100);
    assert_eq!(heard.counts().concealed, 0);
    assert!(distortion_db(&heard.samples(1..100)) > 30.0);
}

#[test]
fn a_sequence_that_restarts_is_heard_after_two_packets() {
    let mut packets = stream(1, 30_000, 50, 20, 0.0);
    packets.extend(stream(1, 5, 50, 20, 1000.0));
    let heard = Heard::of(packets, 100);
    assert!(distortion_db(&heard.samples(54..100)) > 30.0);
}

#[test]
fn without_packets_there_is_silence() {
    let heard = Heard::of(Vec::new(), 10);
    assert!(heard.samples(0..10).iter().all(|&sample| sample == 0));
    assert_eq!(heard.counts().concealed, 0);
    assert!(heard.frames.iter().all(|(_, pulled)| pulled.arrived.is_none()));
}

#[test]
fn silence_suppression_is_no_loss() {
    // Speech of 200 ms, then one packet of comfort noise, then nothing for a second, then speech again.
    let mut packets = stream(1, 7, 10, 20, 0.0);
    let mut noise = datagram(1, 17, 1600, &[60]);
    noise[1] = COMFORT_NOISE;
    packets.push((200.0, noise));
    for (index, (came, mut packet)) in stream(1, 18, 10, 20, 1200.0).into_iter().enumerate() {
        packet[4..8].copy_from_slice(&(9600 + index as u32 * 160).to_be_bytes());
        packets.push((came, packet));
    }
    let heard = Heard::of(packets, 70);
    assert_eq!((heard.counts().lost, heard.counts().concealed), (0, 0));
    let noise = rms(&heard.samples(12..60));
    assert!((28.0..38.0).contains(&noise), "comfort noise of -60 dBov: {noise}");
    assert!(distortion_db(&heard.samples(61..70)) > 25.0);
}

#[test]
fn digits_come_once_and_the_audio_after_them_keeps_its_time() {
    let mut packets = stream(1, 7, 20, 20, 0.0);
    for index in 0..8u16 {
        let [high, low] = (160 * (index + 1)).min(800).to_be_bytes();
        let end = if index >= 5 { 0x8a } else { 0x0a };
        let mut packet = datagram(1, 27 + index, 3200, &[7, end, high, low]);
        packet[1] = EVENT;
        packets.push((400.0 + 20.0 * f64::from(index.min(5)), packet));
    }
    for (index, (came, mut packet)) in stream(1, 35, 20, 20, 520.0).into_iter().enumerate() {
        packet[4..8].copy_from_slice(&(4160 + index as u32 * 160).to_be_bytes());
        packets.push((came, packet));
    }
    let heard = Heard::of(packets, 46);
    assert_eq!(heard.digits, "7");
    assert_eq!((heard.counts().lost, heard.counts().concealed), (0, 0));
    assert!(rms(&heard.samples(21..25)) < 1.0, "no echo of the voice under the key");
    assert!(distortion_db(&heard.samples(27..46)) > 25.0);
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let mut packets = stream(1, 7, 50, 20, 0.0);
    let mut state = 9u32;
    for index in 0..500 {
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let mut noise: Vec<u8> = noise.take(index % 200).collect();
        if let Some(kind) = noise.get_mut(1) {
            // Anything but the payload types agreed on; those are the business of SSRC and source.
            *kind = if matches!(*kind & 0x7f, 0 | COMFORT_NOISE | EVENT) { 99 } else { *kind };
        }
        packets.push((index as f64 * 1.9 + 1.0, noise));
    }
    let heard = Heard::of(packets, 50);
    assert_eq!((heard.counts().ignored, heard.counts().received), (500, 50));
    assert!(distortion_db(&heard.samples(1..50)) > 30.0);
}

#[test]
fn a_packet_too_long_or_empty_is_ignored() {
    let heard = Heard::of(vec![(1.0, datagram(1, 1, 0, &[])), (2.0, datagram(1, 2, 0, &[1; 1441]))], 2);
    assert_eq!(heard.counts().ignored, 2);
}

#[test]
fn no_sequence_of_packets_makes_it_panic_or_lose_its_pace() {
    let mut state = 3u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let start = now();
    let mut receiver = Receiver::new(&session(), 200);
    let (mut sequence, mut timestamp, mut ssrc) = (0u16, 0u32, 1u32);
    let mut out = Vec::new();
    for tick in 0..20_000u64 {
        for _ in 0..random(4) {
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
            match random(40) {
                0 => sequence = random(65_536) as u16,
                1 => timestamp = random(u64::from(u32::MAX)) as u32,
                2 => ssrc = random(3) as u32,
                3 => sequence = sequence.wrapping_sub(random(200) as u16),
                4 => timestamp = timestamp.wrapping_sub(random(2000) as u32),
                5 => sequence = sequence.wrapping_add(random(100) as u16),
                _ => {}
            }
            let length = [160, 160, 160, 80, 480, 1, 960, 4][random(8) as usize];
            let mut packet = datagram(ssrc, sequence, timestamp, &vec![random(256) as u8; length]);
            packet[1] = [0, 0, 0, 0, 0, EVENT, COMFORT_NOISE, 99][random(8) as usize];
            receiver.accept(&packet, start + Duration::from_millis(tick * 20 + random(20)));
        }
        if random(2000) == 0 {
            receiver.forget_stream();
        }
        out.clear();
        receiver.pull(start + Duration::from_millis(tick * 20 + 20), &mut out);
        assert_eq!(out.len(), 160);
    }
}

#[test]
fn a_codec_that_changes_in_the_call_is_heard() {
    let start = now();
    let mut receiver = Receiver::new(&session(), 200);
    let mut out = Vec::new();
    let mut hear = |receiver: &mut Receiver, packets: Vec<Coming>, codec: &Codec| {
        out.clear();
        for (came, mut packet) in packets {
            packet[1] = codec.payload_type;
            let came = start + Duration::from_secs_f64(came / 1000.0);
            receiver.accept(&packet, came);
            receiver.pull(came + Duration::from_millis(10), &mut out);
        }
        out.clone()
    };
    hear(&mut receiver, stream(1, 7, 10, 20, 0.0), &PCMU);
    let pcma = Codec::named("PCMA").expect("in the table");
    receiver.change(&Session { codec: pcma, payload_type: 8, ..session() });
    let mut packets = stream(1, 17, 20, 20, 200.0);
    for (_, packet) in &mut packets {
        let mut samples = Vec::new();
        (PCMU.decoder)().decode(&packet.split_off(12), &mut samples);
        (pcma.encoder)().encode(&samples, packet);
    }
    let heard = hear(&mut receiver, packets, pcma);
    assert!(distortion_db(&heard[160..]) > 30.0);
    assert_eq!(receiver.counts().received, 30, "counts go on");
}
