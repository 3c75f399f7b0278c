//! What comes out of libopus for what went in.

use super::*;

/// 20 ms at 16 kHz.
const FRAME: usize = 320;

fn tone(hertz: f32, from: usize, count: usize) -> Vec<i16> {
    let step = std::f32::consts::TAU * hertz / 16_000.0;
    (from..from + count).map(|at| (8000.0 * (step * at as f32).sin()) as i16).collect()
}

/// Something like a voice: a hum of 120 Hz with overtones, whose loudness and pitch wander.
fn voice(count: usize) -> Vec<i16> {
    let mut phase = 0f32;
    let sample = |at: usize| {
        let seconds = at as f32 / 16_000.0;
        phase += (120.0 + 25.0 * (9.0 * seconds).sin()) / 16_000.0;
        let loud = 0.55 + 0.45 * (21.0 * seconds).sin();
        let hum = (1..20).map(|n| (std::f32::consts::TAU * n as f32 * phase).sin() / n as f32).sum::<f32>();
        (5000.0 * loud * hum) as i16
    };
    (0..count).map(sample).collect()
}

fn rms(samples: &[i16]) -> f32 {
    (samples.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
}

fn difference(a: &[i16], b: &[i16]) -> f32 {
    let apart: Vec<i16> = a.iter().zip(b).map(|(a, b)| a.saturating_sub(*b)).collect();
    rms(&apart)
}

/// Rises through zero a second.
fn hertz(samples: &[i16]) -> f32 {
    samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count() as f32 * 16_000.0 / samples.len() as f32
}

fn packets(coder: &mut dyn Encoder, samples: &[i16], each: usize) -> Vec<Vec<u8>> {
    let packet = |samples: &[i16]| {
        let mut payload = Vec::new();
        coder.encode(samples, &mut payload);
        payload
    };
    samples.chunks_exact(each).map(packet).collect()
}

fn heard(packets: &[Vec<u8>]) -> Vec<i16> {
    let mut listener = (OPUS.decoder)();
    let mut out = Vec::new();
    packets.iter().for_each(|packet| listener.decode(packet, &mut out));
    out
}

#[test]
fn a_tone_arrives_with_its_level_and_frequency_in_packets_of_every_length() {
    for ptime in OPUS.ptimes_ms {
        let packets = packets((OPUS.encoder)().as_mut(), &tone(1000.0, 0, 19_200), *ptime as usize * 16);
        assert!(packets.iter().all(|packet| (OPUS.decoder)().samples(packet) == Some(*ptime as usize * 16)));
        let heard = heard(&packets);
        assert_eq!(heard.len(), 19_200);
        let late = &heard[6_400..];
        let decibel = 20.0 * (rms(late) / rms(&tone(1000.0, 0, 16_000))).log10();
        assert!(
            decibel.abs() < 1.0 && (hertz(late) - 1000.0).abs() < 4.0,
            "{ptime} ms: {decibel} dB, {} Hz",
            hertz(late)
        );
    }
}

#[test]
fn a_stereo_stream_of_48_khz_is_heard_as_16_khz_mono() {
    let encoder = OpusEncoder::new(SampleRate::Hz48000, Channels::Stereo, Application::Audio).expect("an encoder");
    let step = std::f32::consts::TAU * 1000.0 / 48_000.0;
    let left: Vec<i16> = (0..48_000).map(|at| (8000.0 * (step * at as f32).sin()) as i16).collect();
    let stereo: Vec<i16> = left.iter().flat_map(|&sample| [sample, sample / 2]).collect();
    let packet = |samples: &[i16]| {
        let mut payload = vec![0; LONGEST];
        let length = encoder.encode(samples, &mut payload).expect("20 ms");
        payload.truncate(length);
        payload
    };
    let heard = heard(&stereo.chunks_exact(1920).map(packet).collect::<Vec<_>>());
    assert_eq!(heard.len(), 16_000);
    let late = &heard[4_000..];
    let decibel = 20.0 * (rms(late) / (0.75 * 8000.0 / std::f32::consts::SQRT_2)).log10();
    assert!(decibel.abs() < 1.0 && (hertz(late) - 1000.0).abs() < 4.0, "{decibel} dB, {} Hz", hertz(late));
}

#[test]
fn several_frames_in_one_packet_are_heard_in_order() {
    let single = packets((OPUS.encoder)().as_mut(), &voice(20 * FRAME), FRAME);
    let double: Vec<Vec<u8>> = single
        .chunks_exact(2)
        .map(|pair| [&[pair[0][0] | 2, pair[0].len() as u8 - 1], &pair[0][1..], &pair[1][1..]].concat())
        .collect();
    assert_eq!((OPUS.decoder)().samples(&double[0]), Some(2 * FRAME));
    assert_eq!(heard(&double), heard(&single));
}

#[test]
fn a_lost_packet_is_recovered_from_the_next_when_loss_was_expected() {
    let speech = voice(60 * FRAME);
    let mut coder = (OPUS.encoder)();
    let plain = packets(coder.as_mut(), &speech, FRAME);
    coder.expect_loss(20);
    let protected = packets(coder.as_mut(), &speech, FRAME);
    let truth = heard(&[plain.clone(), protected.clone()].concat());

    let mut listener = (OPUS.decoder)();
    let (mut out, mut lost) = (Vec::new(), Vec::new());
    assert!(listener.repeats(&protected[31]) && !listener.repeats(&plain[31]));
    assert!(!listener.recover(&plain[31], FRAME, &mut lost) && lost.is_empty(), "nothing is repeated without need");
    for packet in plain.iter().chain(&protected[..30]) {
        listener.decode(packet, &mut out);
    }
    assert!(listener.recover(&protected[31], FRAME, &mut lost));
    let at = 90 * FRAME;
    let recovered = difference(&lost, &truth[at..at + FRAME]) / rms(&truth[at..at + FRAME]);

    let (mut other, mut invented) = ((OPUS.decoder)(), Vec::new());
    for packet in plain.iter().chain(&protected[..30]) {
        other.decode(packet, &mut out);
    }
    assert!(other.conceal(FRAME, &mut invented));
    let concealed = difference(&invented, &truth[at..at + FRAME]) / rms(&truth[at..at + FRAME]);
    assert!(recovered < 0.5 && recovered < concealed, "recovered {recovered}, concealed {concealed}");
}

#[test]
fn any_length_can_be_concealed_and_a_long_loss_fades() {
    let mut listener = (OPUS.decoder)();
    for packet in packets((OPUS.encoder)().as_mut(), &voice(20 * FRAME), FRAME) {
        listener.decode(&packet, &mut Vec::new());
    }
    let mut out = Vec::new();
    for samples in [1, 40, 100, 320, 5000] {
        out.clear();
        assert!(listener.conceal(samples, &mut out));
        assert_eq!(out.len(), samples);
    }
    assert!(rms(&out[4000..]) < 300.0, "{}", rms(&out[4000..]));
}

#[test]
fn with_dtx_silence_is_hardly_ever_sent_and_a_voice_always() {
    let sent = |dtx: bool, samples: &[i16]| {
        let mut coder = (OPUS.encoder)();
        coder.tune(&Tuning { dtx, ..Tuning::default() });
        packets(coder.as_mut(), samples, FRAME).iter().filter(|packet| !packet.is_empty()).count()
    };
    let silence = vec![0; 200 * FRAME];
    assert_eq!(sent(false, &silence), 200);
    assert!((2..40).contains(&sent(true, &silence)), "{}", sent(true, &silence));
    assert_eq!(sent(true, &voice(200 * FRAME)), 200);
}

#[test]
fn the_bitrate_is_as_told() {
    let measured = [12_000, 24_000, 40_000].map(|bitrate| {
        let mut coder = (OPUS.encoder)();
        coder.tune(&Tuning { bitrate, ..Tuning::default() });
        let bytes: usize = packets(coder.as_mut(), &voice(200 * FRAME), FRAME).iter().map(Vec::len).sum();
        bytes as f32 * 8.0 / 4.0
    });
    // At most so much: a hum is easier than a voice.
    assert!(measured[0] < 13_000.0 && measured[1] < 25_000.0 && measured[2] < 41_000.0, "{measured:?}");
    let mut coder = (OPUS.encoder)();
    coder.tune(&Tuning { bitrate: 40_000, most: 12_000, ..Tuning::default() });
    let bytes: usize = packets(coder.as_mut(), &voice(200 * FRAME), FRAME).iter().map(Vec::len).sum();
    assert!((bytes as f32 * 8.0 / 4.0) < 13_000.0, "never more than the other side takes");
    assert!(measured[0] * 1.1 < measured[1] && measured[1] * 1.1 < measured[2], "{measured:?}");
}

#[test]
fn nothing_that_comes_makes_it_panic_or_lose_its_count() {
    let mut state = 11u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut listener = (OPUS.decoder)();
    let mut malformed = 0;
    for _ in 0..5_000 {
        let payload: Vec<u8> = (0..random(90)).map(|_| random(256) as u8).collect();
        let mut out = Vec::new();
        listener.decode(&payload, &mut out);
        assert_eq!(out.len(), listener.samples(&payload).unwrap_or(0));
        malformed += usize::from(listener.samples(&payload).is_none());
        out.clear();
        let recovered = listener.recover(&payload, FRAME, &mut out);
        assert_eq!(out.len(), if recovered { FRAME } else { 0 });
    }
    assert!((500..4_500).contains(&malformed), "{malformed}");
}
