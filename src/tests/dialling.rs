//! The verbs `dial` and `transfer`: one Milo calls another for its caller, or sends it there, over real sockets.

use std::{fs, path::Path, process::Command};

use crate::{
    house::{call, errand, loud, newest_call, stop, with_plans, with_plans_and},
    telephone::Telephone,
};
use milo::{bench::Running, phone::Errand};
use milo_media::wav;
use serde_json::Value;
use tokio::{task::block_in_place, time::Instant};

/// What the one who is called does with its numbers.
const FAR: &str = "
[[plan]]
name = 'echo'
number = 'echo'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]

[[plan]]
name = 'slow'
number = 'slow'
language = 'mg'
actions = [{ ring = { seconds = 3 } }, { answer = {} }, { music = { seconds = 2 } }]

[[plan]]
name = 'engaged'
number = 'engaged'
language = 'mg'
actions = [{ reject = { status = 486 } }]

[[plan]]
name = 'away'
number = 'away'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]

[[plan]]
name = 'listening'
number = 'listening'
language = 'mg'
record = true
actions = [{ answer = {} }, { digits = {} }, { digits = {} }]

[[plan]]
name = 'announced'
number = 'announced'
language = 'mg'
actions = [{ early = {} }, { tone = { country = 'us', signal = 'busy', seconds = 3 } }, { answer = {} }, { music = { seconds = 2 } }]
";

/// The recording that a Milo made, the caller's side of it.
fn recorded(milo: &Running) -> Vec<i16> {
    let inside = |folder: &Path| fs::read_dir(folder).expect("a folder").filter_map(|entry| Some(entry.ok()?.path()));
    let day = inside(&milo.folder().join("recordings")).next().expect("a day");
    let file = inside(&day).next().expect("a recording");
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&file)
        .args(["-af", "pan=mono|c0=c0", "-f", "s16le", "-ar", "16000", "-"])
        .output()
        .expect("ffmpeg is installed");
    decoded.stdout.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// Calls a number that dials, and gives what was heard, and the newest call's events of this kind.
async fn dialled(near: &Running, number: &str, play: &[&str]) -> (Vec<i16>, Value) {
    let record = near.folder().join(format!("{number}.wav"));
    let target = near.udp(number).expect("an address");
    let errand =
        Errand { no_greeting: true, wait: play.is_empty(), record: Some(record.clone()), ..errand(target, play) };
    call(&errand).await;
    (wav::read(Path::new(&record)).expect("what was heard"), newest_call(near).await)
}

fn event<'a>(call: &'a Value, kind: &str) -> &'a Value {
    let events = call["events"].as_array().expect("events");
    let event = events.iter().find(|event| event["kind"] == kind);
    &event.unwrap_or_else(|| panic!("no {kind} in {events:?}"))["detail"]
}

/// Of these samples so many milliseconds are a tone of 440 Hz.
fn ringing_ms(samples: &[i16]) -> usize {
    let pure = |part: &&[i16]| {
        let step = std::f64::consts::TAU * 440.0 / 16_000.0;
        let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
        for (at, &sample) in part.iter().enumerate() {
            let (angle, sample) = (step * at as f64, f64::from(sample));
            (sine, cosine, power) =
                (sine + sample * angle.sin(), cosine + sample * angle.cos(), power + sample * sample);
        }
        power / part.len() as f64 > 250_000.0 && (sine * sine + cosine * cosine) * 2.0 > 0.9 * power * part.len() as f64
    };
    samples.chunks_exact(1_600).filter(pure).count() * 100
}

#[tokio::test(flavor = "multi_thread")]
async fn one_milo_calls_another_for_its_caller() {
    let far = with_plans("dialled", FAR).await;
    let plan = |number: &str, seconds: u64| {
        let to = far.udp(number).expect("an address");
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\n\
             actions = [{{ answer = {{}} }}, {{ dial = {{ to = '{to}', seconds = {seconds} }} }}, {{ hangup = {{}} }}]\n"
        )
    };
    let plans =
        [plan("echo", 30), plan("slow", 30), plan("engaged", 30), plan("away", 2), plan("announced", 30)].concat();
    let near = with_plans("dialling", &plans).await;

    // The caller's voice goes there and comes back: both directions carry.
    let (heard, row) = dialled(&near, "echo", &["mg_hours.wav"]).await;
    assert!(loud(&heard) > 7_000, "the caller hears itself through two Milos: {} loud samples", loud(&heard));
    assert_eq!(event(&row, "dialled")["result"], "answered");
    assert!(event(&row, "parted")["received"].as_u64() > Some(50), "{row}");

    // It rings, in the rhythm of the country, and then somebody is there.
    let (heard, row) = dialled(&near, "slow", &[]).await;
    assert!((1_000..=2_000).contains(&ringing_ms(&heard[..48_000])), "{} ms of ringing", ringing_ms(&heard[..48_000]));
    let after = &heard[48_000..];
    assert!(loud(after) > 8_000 && ringing_ms(after) < 1_000, "and then music: {} loud samples", loud(after));
    assert_eq!(event(&row, "dialled")["result"], "answered");
    let why = event(&row, "parted")["why"].as_str().expect("a sentence");
    assert!(why.contains("the one who was called"), "{why}");

    // What the far network plays before the answer is heard in place of our ringing, and the answer behind it.
    let (heard, row) = dialled(&near, "announced", &[]).await;
    let (before, after) = heard.split_at(48_000);
    assert!(loud(before) > 8_000 && ringing_ms(before) <= 200, "{} ms of ringing", ringing_ms(before));
    assert!(loud(after) > 8_000, "and then music: {} loud samples", loud(after));
    assert_eq!(event(&row, "dialled")["result"], "answered");
    assert!(event(&row, "dialled")["after_ms"].as_u64() >= Some(3_000), "{row}");
    assert_eq!(event(&newest_call(&far).await, "early")["heard"], true);

    let (heard, row) = dialled(&near, "engaged", &[]).await;
    assert_eq!((&event(&row, "dialled")["result"], &event(&row, "dialled")["status"]), (&"busy".into(), &486.into()));
    assert!((1_000..=2_000).contains(&ringing_ms(&heard)), "half of three seconds: {} ms", ringing_ms(&heard));

    let (_, row) = dialled(&near, "away", &[]).await;
    assert_eq!(event(&row, "dialled")["result"], "no answer");
    let given_up = newest_call(&far).await;
    assert!(given_up["end_reason"].as_str().is_some_and(|reason| reason.contains("cancelled")), "{given_up}");

    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_put_on_hold_by_sipp_hears_music() {
    let far = with_plans("held", FAR).await;
    let to = far.udp("listening").expect("an address");
    let plans = format!(
        "[[plan]]\nname = 'through'\nnumber = 'through'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {{ dial = {{ to = '{to}' }} }}, {{ hangup = {{}} }}]\n"
    );
    let near = with_plans("holding", &plans).await;
    let target = near.udp("through").expect("an address").to_string();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp/holder.xml");
    let output = Command::new("timeout")
        .args(["30", "sipp", target.split(['@', ';']).nth(1).expect("an address"), "-s", "through", "-sf"])
        .arg(&scenario)
        .args(["-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
        .current_dir(near.folder())
        .output()
        .expect("sipp");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let row = newest_call(&near).await;
    assert_eq!((&event(&row, "held")["by"], &event(&row, "resumed")["by"]), (&"caller".into(), &"caller".into()));
    newest_call(&far).await;
    let heard = recorded(&far);
    let seconds: Vec<_> = heard.chunks(16_000).map(loud).collect();
    let music = seconds.iter().filter(|loud| **loud > 2_000).count();
    assert!((2..=4).contains(&music), "of six seconds three are music: {seconds:?}");
    assert!(seconds[0] < 100, "nobody speaks before: {seconds:?}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_transferred_by_its_own_telephone_or_by_milo() {
    let far = with_plans("transferred-to", FAR).await;
    let to = far.udp("echo").expect("an address");
    let plan = format!(
        "[[plan]]\nname = 'away'\nnumber = 'away'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {{ transfer = {{ to = '{to}' }} }}, {{ hangup = {{}} }}]\n"
    );
    let near = with_plans("transferring", &plan).await;

    // A telephone that does as it is told: Milo is out of it, or is told that nobody came and goes on with its plan.
    for (last, result, why) in [
        ("200 OK", "answered", "the caller was transferred"),
        ("486 Busy Here", "failed", "the plan is done"),
        // It never said what came of it: as nobody answered.
        ("100 Trying", "failed", "the plan is done"),
    ] {
        let target = near.udp("away").expect("an address").to_string();
        let target = target.split(['@', ';']).nth(1).expect("a host and a port");
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp/transferred.xml");
        let output = Command::new("timeout")
            .args(["30", "sipp", target, "-s", "away", "-key", "final", last, "-sf"])
            .arg(scenario)
            .args(["-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
            .current_dir(near.folder())
            .output()
            .expect("sipp");
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{}", said.concat());
        let row = newest_call(&near).await;
        let transferred = event(&row, "transferred");
        assert_eq!((&transferred["by"], &transferred["result"]), (&"refer".into(), &result.into()), "{row}");
        assert_eq!(row["end_reason"], why, "{row}");
    }

    // One that declines: Milo calls there itself, and the caller hears itself through two Milos.
    let (heard, row) = dialled(&near, "away", &["mg_hours.wav"]).await;
    let transferred = event(&row, "transferred");
    assert_eq!((&transferred["result"], &transferred["status"]), (&"refused".into(), &603.into()));
    assert_eq!(event(&row, "dialled")["result"], "answered");
    assert!(loud(&heard) > 7_000, "{} loud samples", loud(&heard));

    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_and_sends_nothing_is_given_up_while_they_are_told_of_the_recording() {
    let far = with_plans("silent-far", "").await;
    let mut called = block_in_place(|| Telephone::new(&far));
    let plans = format!(
        "[[plan]]\nname = 'told'\nnumber = 'told'\nlanguage = 'mg'\nrecord = true\n\
         actions = [{{ answer = {{}} }}, {{ dial = {{ to = '{}' }} }}, {{ hangup = {{}} }}]\n",
        called.address()
    );
    let told = "Voaraikitra ity antso ity mba hanatsarana ny tolotra omenay anao. ".repeat(4);
    let limits = [("MILO__MEDIA__RTP_TIMEOUT_S", "3"), ("MILO__RECORDING__ANNOUNCEMENT", told.as_str())];
    let near = with_plans_and("silent", &plans, &limits).await;
    let target = near.udp("told").expect("an address");
    let caller =
        tokio::spawn(async move { call(&Errand { no_greeting: true, wait: true, ..errand(target, &[]) }).await });
    let waited = block_in_place(|| {
        called.takes_a_call();
        let began = Instant::now();
        called.answers("BYE", "200 OK");
        began.elapsed()
    });
    assert!(waited.as_secs() < 11, "the announcement takes longer than that: {waited:?}");
    caller.await.expect("a call");
    let row = newest_call(&near).await;
    let why = event(&row, "parted")["why"].as_str().expect("a sentence");
    assert!(why.contains("no packets"), "{row}");
    stop(near).await;
    stop(far).await;
}
