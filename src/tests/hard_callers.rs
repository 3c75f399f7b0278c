//! Callers who make it hard: two with one number, one who never pauses, one who is music.

use std::f64::consts::TAU;

use serde_json::Value;

use crate::house::{answered, call, errand, events, get, milo, newest_call, recording, stop};

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_with_one_number_have_a_call_each() {
    let milo = milo("one-number", &[]).await;
    let target = milo.udp("milo").expect("an address");
    let (hours, price) = (errand(target.clone(), &["mg_hours.wav"]), errand(target, &["mg_price.wav"]));
    let (first, second) = tokio::join!(call(&hours), call(&price));
    for report in [&first, &second] {
        assert!(report.turns[0].reply.is_some(), "{report:?}");
    }
    let listed = get(&milo, "/api/v1/calls");
    let calls = listed["calls"].as_array().expect("a list");
    assert_eq!(calls.len(), 2, "{listed}");
    assert_eq!(calls[0]["from"], calls[1]["from"], "{listed}");
    let heard: Vec<Value> = calls
        .iter()
        .map(|row| get(&milo, &format!("/api/v1/calls/{}", row["id"].as_str().expect("an id"))))
        .map(|whole| answered(&whole)[0]["heard"].clone())
        .collect();
    assert_ne!(heard[0], heard[1], "nobody's words are in another's call");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_without_a_pause_is_answered_and_music_is_no_turn() {
    // A minute of speech in which no pause is longer than a tenth of a second.
    let speech: Vec<i16> = ["mg_hours.wav", "mg_appointment.wav", "mg_price.wav", "mg_barge.wav"]
        .iter()
        .flat_map(|name| milo_media::wav::read(&recording(name)).expect("a recording"))
        .filter(|sample| sample.unsigned_abs() > 60)
        .collect();
    let without_pause: Vec<i16> = speech.iter().copied().cycle().take(16_000 * 45).collect();
    let music: Vec<i16> = (0..16_000 * 12)
        .map(|at| {
            let seconds = f64::from(at) / 16_000.0;
            let chord = [220.0, 277.2, 329.6, 440.0].map(|hz| (seconds * hz * TAU).sin());
            (chord.iter().sum::<f64>() * (0.6 + 0.4 * (seconds * 12.0).sin()) * 3_000.0) as i16
        })
        .collect();
    let milo = milo("without-pause", &[]).await;
    let write = |name: &str, samples: &[i16]| {
        let file = milo.folder().join(name);
        milo_media::wav::write(&file, samples).expect("written");
        file
    };
    let mut endless = errand(milo.udp("milo").expect("an address"), &[]);
    endless.play = vec![write("endless.wav", &without_pause)];
    call(&endless).await;
    let logged = newest_call(&milo).await;
    assert!(!answered(&logged).is_empty(), "a turn has a longest: {logged}");
    assert!(events(&logged, "engine_failed").is_empty(), "{logged}");

    let mut plays = errand(milo.udp("milo").expect("an address"), &[]);
    plays.play = vec![write("music.wav", &music)];
    call(&plays).await;
    let logged = newest_call(&milo).await;
    let understood: Vec<_> = answered(&logged)
        .into_iter()
        .filter(|turn| turn["heard"].as_str().is_some_and(|heard| !heard.is_empty()))
        .collect();
    assert!(understood.is_empty(), "nothing was said: {logged}");
    stop(milo).await;
}
