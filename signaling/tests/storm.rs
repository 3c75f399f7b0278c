//! Thousands of sound, broken and shuffled messages into one core: it never panics, what it sends can be read, and
//! when the storm is over nothing is left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, cancel, from_callee, invite, response, rtp, within};
use base64::Engine as _;
use milo_signaling::{Transport, sip::core::Event};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// The torture messages, and a telephone's usual ones.
fn words() -> [Vec<Vec<u8>>; 2] {
    let torture: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(include_str!("data/sip-torture.json")).unwrap();
    let odd: Vec<Vec<u8>> = torture
        .values()
        .filter_map(|case| base64::engine::general_purpose::STANDARD.decode(case["b64"].as_str()?).ok())
        .collect();
    assert!(odd.len() > 50, "{}", odd.len());
    // Every line that places a call first places this one.
    let (_, ours) = Line::new(Transport::Udp).calling();
    let mut usual = vec![invite(SDP), invite(""), cancel()];
    for (number, method) in
        (1..).zip(["ACK", "BYE", "INVITE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "JUMP"])
    {
        usual.push(within("TAG", method, number, method, SDP));
        usual.push(within("TAG", method, 1, method, ""));
        usual.push(from_callee(&ours, "callee", method, number, SDP));
    }
    for code in [100, 180, 183, 200, 200, 302, 486, 487, 600] {
        usual.push(response(&ours, code, "callee", SDP));
    }
    [odd, usual.into_iter().map(String::into_bytes).collect()]
}

fn mutate(rng: &mut StdRng, word: &mut Vec<u8>) {
    for _ in 0..rng.random_range(0..3) {
        if word.is_empty() {
            return;
        }
        let at = rng.random_range(0..word.len());
        match rng.random_range(0..4) {
            0 => word[at] = rng.random(),
            1 => word.truncate(at),
            2 => drop(word.remove(at)),
            _ => {
                let piece = word[at..].to_vec();
                word.extend_from_slice(&piece[..piece.len().min(40)]);
            }
        }
    }
}

#[test]
fn a_storm_leaves_a_clear_sky() {
    let words = words();
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let transport = if seed % 2 == 0 { Transport::Udp } else { Transport::Tcp };
        let mut line = Line::with(transport, |config| config.max_calls = 20);
        let (mut calls, mut tags) = (vec![line.calling().0], vec!["TAG".to_owned()]);
        for _ in 0..1500 {
            let words = &words[usize::from(rng.random_ratio(3, 4))];
            let mut word = words[rng.random_range(0..words.len())].clone();
            let tag = tags[rng.random_range(0..tags.len())].clone();
            if let Ok(text) = String::from_utf8(word.clone()) {
                // Many calls, and some messages of the same.
                let id = rng.random_range(0..40);
                let text = text.replace("TAG", &tag).replace("call1", &format!("c{id}"));
                word = text.replace("bKinvite", &format!("bKi{id}")).into_bytes();
            }
            mutate(&mut rng, &mut word);
            line.try_hear(&word);
            for event in line.events() {
                if let Event::Invitation { call, .. } = event {
                    calls.push(call);
                }
            }
            if let Some(call) = calls.get(rng.random_range(0..calls.len().max(1))).copied() {
                match rng.next_u32() % 6 {
                    0 => drop(line.act(|core, now| core.ring(now, call))),
                    1 => drop(line.act(|core, now| core.answer(now, call, rtp()))),
                    2 => drop(line.act(|core, now| core.reject_invite(now, call, 486, "no"))),
                    3 => drop(line.act(|core, now| core.hang_up(now, call))),
                    _ => {}
                }
            }
            for message in line.sent() {
                if let Some(tag) = message.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
                    tags.push(tag);
                }
            }
            line.pass(Duration::from_millis(rng.random_range(0..100)));
            assert!(line.core.counters().calls <= 20);
        }
        assert!(calls.len() > 20, "the storm made calls: {}", calls.len());
        for call in calls {
            line.act(|core, now| core.release(now, call));
        }
        line.pass(Duration::from_secs(200));
        line.assert_empty();
    }
}
