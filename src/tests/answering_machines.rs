//! Calls that Milo places and that machines, people and networks answer: another Milo is all of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use milo::bench::Running;
use milo_media::{Frame, wav};
use serde_json::{Value, json};

use crate::{
    calling_out::{event, placed},
    house::{
        MG_HOURS, MILO, answered, assert_turn, events, folder, found, milo, newest_call, recording, recordings, sides,
        stop,
    },
};

/// A machine that greets for nine seconds, somebody who says "eny" and later asks something, and a network that has no
/// such number.
const FAR: &str = "
[[plan]]
name = 'machine'
number = 'machine'
language = 'mg'
actions = [{ answer = {} }, { voicemail = { greeting = { play = 'greeting.wav' }, message = { seconds = 20, silence_seconds = 4 } } }]

[[plan]]
name = 'person'
number = 'person'
language = 'mg'
actions = [{ answer = {} }, { play = 'yes.wav' }, { wait = { seconds = 8 } }, { play = 'hours.wav' }, { wait = { seconds = 8 } }]

[[plan]]
name = 'nobody'
number = 'nobody'
language = 'mg'
actions = [{ early = {} }, { tone = { country = 'mg', signal = 'busy', seconds = 4 } }, { reject = { status = 404 } }]

[[plan]]
name = 'told'
number = 'told-*'
language = 'mg'
actions = [{ reject = { status = 486 } }]
";

/// What Milo does with whoever answers; `THERE` is the other one's address.
const NEAR: &str = "
[[plan]]
name = 'message'
language = 'mg'
record = true
actions = [{ answer = {} }, { converse = { persona = 'demo', detect = { machine = 'message', message = { play = 'message.wav' } } } }]

[[plan]]
name = 'plain'
language = 'mg'
record = true
actions = [{ answer = {} }, { converse = { persona = 'demo' } }]

[[plan]]
name = 'other'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'demo', detect = { machine = 'plan', plan = 'noted' } } }]

[[plan]]
name = 'noted'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = 'sip:told-{{answered_by}}@THERE', seconds = 5 } }, { hangup = {} }]
";

/// A recording without the silence around it.
fn spoken(name: &str) -> Vec<i16> {
    let samples = wav::read(&recording(name)).expect("committed");
    let frames: Vec<_> = Frame::cut(&samples).collect();
    let loud = |frame: &Frame| frame.dbfs() > -45.0;
    let (from, to) = (frames.iter().position(loud).expect("a voice"), frames.iter().rposition(loud).expect("a voice"));
    frames[from..=to].iter().flat_map(|frame| *frame.samples()).collect()
}

/// A Milo whose plans lie in a folder with these sounds.
async fn with_sounds(name: &str, plans: &str, sounds: &[(&str, Vec<i16>)]) -> Running {
    let at: PathBuf = folder(&format!("{name}-plans"));
    fs::write(at.join("plans.toml"), [MILO, plans].concat()).expect("a temporary folder");
    for (name, samples) in sounds {
        wav::write(&at.join(name), samples).expect("a temporary folder");
    }
    fs::create_dir_all(at.join("personas")).expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml");
    fs::copy(demo, at.join("personas/demo.toml")).expect("the persona that ships");
    milo(name, &[("MILO__DIALPLANS__PATH", &at.to_string_lossy())]).await
}

async fn far(name: &str) -> Running {
    let mut greeting = Vec::new();
    for name in ["mg_appointment.wav", "mg_hours.wav", "mg_price.wav", "mg_goodbye.wav"] {
        greeting.extend(spoken(name));
        greeting.extend([0; 16 * 150]);
    }
    let sounds = [("greeting.wav", greeting), ("yes.wav", spoken("mg_yes.wav")), ("hours.wav", spoken("mg_hours.wav"))];
    with_sounds(name, FAR, &sounds).await
}

async fn near(name: &str, far: &Running) -> Running {
    let there = far.udp("x").expect("an address").to_string().replace("sip:x@", "");
    with_sounds(name, &NEAR.replace("THERE", &there), &[("message.wav", spoken("mg_price.wav"))]).await
}

/// What became of a call to this number of the other one's, by this plan.
async fn called(near: &Running, far: &Running, number: &str, plan: &str) -> Value {
    let to = far.udp(number).expect("an address").to_string();
    placed(near, &json!({ "to": to, "plan": plan })).await
}

/// Who answered, one after the other as it was told.
fn who(call: &Value) -> Vec<&str> {
    events(call, "answered_by").iter().filter_map(|told| told["who"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_beep_of_a_machine_the_message_is_left_whole() {
    let far = far("machine-far").await;
    let near = near("machine-near", &far).await;
    let row = called(&near, &far, "machine", "message").await;
    assert_eq!((who(&row), &row["end_reason"]), (vec!["machine"], &"a message was left".into()), "{row}");
    let told = event(&row, "answered_by");
    assert!(told["after_ms"].as_u64().is_some_and(|after| (4_000..20_000).contains(&after)), "{told}");
    let left = event(&row, "message_left");
    assert_eq!((&left["behind"], &left["whole"], &left["said"]), (&"beep".into(), &true.into(), &"message.wav".into()));
    // What was said to the machine was heard by nobody.
    for turn in row["turns"].as_array().expect("turns") {
        assert!(turn["said_heard"].as_str().is_none_or(str::is_empty), "{turn}");
    }

    let heard = newest_call(&far).await;
    assert!(event(&heard, "voicemail")["file"].is_string(), "{heard}");
    let file = recordings(far.folder()).pop().expect("a message");
    let (message, said) = (sides(&file).0, spoken("mg_price.wav"));
    let (first, last) = (&said[..8_000], &said[said.len() - 8_000..]);
    let ((begin, sure), (end, sure_too)) = (found(first, &message), found(last, &message));
    assert!(sure > 0.55 && sure_too > 0.55, "{sure} {sure_too}");
    let between = (end as i64 - begin as i64 - (said.len() as i64 - 8_000)).unsigned_abs();
    assert!(between <= 1_600, "{} ms are missing or too many", between / 16);
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_plan_takes_the_machine_and_knows_who_answered() {
    let far = far("noted-far").await;
    let near = near("noted-near", &far).await;
    let row = called(&near, &far, "machine", "other").await;
    assert_eq!((who(&row), events(&row, "message_left").len()), (vec!["machine"], 0), "{row}");
    assert_eq!(newest_call(&far).await["to"], "told-machine", "{row}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_talked_with_and_waits_no_longer_than_without_it() {
    let far = far("person-far").await;
    let near = near("person-near", &far).await;
    let row = called(&near, &far, "person", "message").await;
    assert!(!who(&row).is_empty() && who(&row).iter().all(|who| *who == "person"), "{row}");
    assert!(events(&row, "message_left").is_empty(), "{row}");
    let turns = answered(&row);
    assert_turn(turns.last().expect("an answer"), "mg", MG_HOURS.0, MG_HOURS.1);
    let plain = called(&near, &far, "person", "plain").await;
    assert!(who(&plain).is_empty(), "{plain}");
    // What left in the very moment in which the recording began has no place in it.
    let begins = |row: &Value| row["turns"][0]["recording_at_ms"]["said_from"].as_i64().unwrap_or(0);
    let (asked, unasked) = (begins(&row), begins(&plain));
    assert!(asked < 2_500 && asked <= unasked + 1_500, "the greeting begins at {asked} ms, else at {unasked}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_signal_before_the_answer_is_the_networks() {
    let far = far("busy-far").await;
    let near = near("busy-near", &far).await;
    let row = called(&near, &far, "nobody", "message").await;
    assert_eq!((who(&row), &row["outcome"]), (vec!["network"], &"refused".into()), "{row}");
    assert!(event(&row, "answered_by")["why"].as_str().is_some_and(|why| why.contains("before the answer")), "{row}");
    stop(near).await;
    stop(far).await;
}
