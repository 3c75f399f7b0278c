//! Calls that are recorded, read back with a decoder that we did not write: both sides beside each other, after a crash, with a
//! pause, on a full disk; and who is not recorded.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::house::{
    PROGRAM, alone, call, errand, events, folder, found, get, in_a_namespace, loud, metric, newest_call, recording,
    recordings, sides, stop,
};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
    press::PressBy,
};
use milo_media::{SAMPLE_RATE, tone::Tone, wav};
use serde_json::Value;
use tokio::{runtime::Handle, time::sleep};

/// The numbers `echo` and `card`, and two sounds: a second of 1,000 Hz, and an announcement of half a second.
fn dialplans(folder: &Path) -> String {
    let plans = folder.join("plans");
    fs::create_dir_all(plans.join("sounds")).expect("a folder");
    let tone = |seconds: usize| Tone::new(1_000.0, 0.4).take(seconds * 50).flat_map(|frame| *frame.samples());
    wav::write(&plans.join("sounds/second.wav"), &tone(1).collect::<Vec<_>>()).expect("written");
    wav::write(&plans.join("sounds/told.wav"), &tone(1).take(8_123).collect::<Vec<_>>()).expect("written");
    let text = r#"
        [[plan]]
        name = "echo"
        number = "echo"
        language = "mg"
        record = true
        actions = [{ answer = {} }, { echo = {} }]

        [[plan]]
        name = "card"
        number = "card"
        language = "mg"
        actions = [{ answer = {} }, { recording = "start" }, { play = "sounds/second.wav" }, { recording = "pause" },
            { play = "sounds/second.wav" }, { recording = "resume" }, { play = "sounds/told.wav" }, { hangup = {} }]

        [[plan]]
        name = "secret"
        number = "secret"
        language = "mg"
        record = false
        actions = [{ answer = {} }, { recording = "pause" }, { digits = {} }, { hangup = {} }]

        [[plan]]
        name = "stopped"
        number = "stopped"
        language = "mg"
        actions = [{ answer = {} }, { recording = "pause" }, { recording = "stop" },
            { menu = { prompt = { play = "sounds/second.wav" }, keys = { 4 = [] } } }, { digits = {} }, { hangup = {} }]

        [[plan]]
        name = "unheard"
        number = "unheard"
        language = "mg"
        record = false
        actions = [{ answer = {} }, { tone = { country = "mg", signal = "busy", seconds = 1 } }, { hangup = {} }]

        [[plan]]
        name = "milo"
        number = "milo"
        language = "mg"
        actions = [{ reject = { status = 404 } }]
    "#;
    fs::write(plans.join("plans.toml"), text).expect("written");
    plans.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_mid_call_leaves_a_recording_with_both_sides_in_place() {
    let folder = folder("recorded");
    let plans = dialplans(&folder);
    let variables = [("MILO__DIALPLANS__PATH", plans.as_str())];
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    // Each once: the same words a second time would be found as well.
    let names = ["mg_appointment.wav", "mg_hours.wav", "mg_price.wav"];
    let errand = Errand { no_greeting: true, wait: true, ..errand(milo.udp("echo").expect("an address"), &names) };
    let phone = Phone::new(&errand.target, None, Handle::current()).expect("a telephone");
    let calling = tokio::spawn(async move { phone.call(&errand).await.map(drop) });
    sleep(Duration::from_secs(8)).await;
    let live = get(&milo, "/api/v1/calls")["calls"][0].clone();
    assert_eq!(live["recording_state"], "live", "{live}");
    milo.kill().await.expect("kill -9");
    calling.abort();

    let files = recordings(&folder);
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with(live["recording"].as_str().expect("a file")), "{files:?} {live}");
    let (caller, agent) = sides(&files[0]);
    assert_eq!(caller.len(), agent.len());
    assert!(caller.len() > 6 * SAMPLE_RATE as usize, "of eight seconds {} samples are there", caller.len());

    // The file that was played stands on the caller's side as it was: its first and its last second where they belong.
    let played = wav::read(&recording("mg_appointment.wav")).expect("readable");
    let (first, last) = (&played[..28_000], &played[32_000..60_000]);
    let ((begin, sure), (end, sure_too)) = (found(first, &caller), found(last, &caller));
    assert!(sure > 0.7 && sure_too > 0.7, "{sure} {sure_too}");
    let drift = (end as i64 - begin as i64 - 32_000).unsigned_abs();
    assert!(drift <= 320, "{} ms", drift / 16);
    // What Milo sent stands beside it, one tick of 20 ms later: that is how long an echo takes inside.
    let (echoed, sure) = found(first, &agent);
    assert!(sure > 0.7 && (0..=640).contains(&(echoed as i64 - begin as i64)), "{begin} {echoed} {sure}");

    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts again");
    let logged = newest_call(&milo).await;
    assert_eq!(logged["recording_state"], "cut_off", "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn card_numbers_are_silence_and_who_is_recorded_was_told() {
    let folder = folder("card");
    let (plans, told) = (dialplans(&folder), folder.join("plans/sounds/told.wav").display().to_string());
    let variables = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__RECORDING__ANNOUNCEMENT", &told),
        ("MILO__RECORDING__FORMAT", "wav"),
        // Rules of the plan and of the verb stand above it.
        ("MILO__RECORDING__ENABLED", "true"),
    ];
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let heard = folder.join("heard.wav");
    let listen = |number: &str| Errand {
        no_greeting: true,
        wait: true,
        record: Some(heard.clone()),
        ..errand(milo.udp(number).expect("an address"), &[])
    };
    call(&listen("unheard")).await;
    let logged = newest_call(&milo).await;
    assert_eq!((&logged["recording"], recordings(&folder).len()), (&Value::Null, 0), "{logged}");
    assert!(loud(&wav::read(&heard).expect("heard")) > 4_000, "the busy tone is heard");

    // What is pressed meanwhile is not in the log either, whether a recording runs or not.
    let pressed = Errand { digits: Some(("4711#".into(), PressBy::Agreed)), wait: false, ..listen("secret") };
    call(&pressed).await;
    let logged = newest_call(&milo).await;
    let keys: Vec<_> = events(&logged, "digit").iter().map(|event| event["digit"].clone()).collect();
    assert_eq!(keys, ["…"; 5], "{logged}");
    // Nor is the key that was chosen, when the recording ends within its pause.
    let pressed = Errand { no_greeting: false, ..pressed };
    call(&Errand { target: listen("stopped").target, ..pressed }).await;
    let logged = newest_call(&milo).await;
    let keys: Vec<_> = events(&logged, "digit").iter().map(|event| event["digit"].clone()).collect();
    assert_eq!((keys.as_slice(), &events(&logged, "chosen")[0]["key"]), (&["…"; 5].map(Into::into)[..], &"…".into()));
    fs::remove_dir_all(folder.join("recordings")).expect("recordings");

    call(&listen("card")).await;
    let logged = newest_call(&milo).await;
    assert_eq!(logged["recording_state"], "complete", "{logged}");
    let told: Vec<_> = events(&logged, "recording").iter().map(|event| event["is"].clone()).collect();
    assert_eq!(told, ["started", "paused", "resumed", "ended"], "{logged}");
    // The prompts left to the last sample, also the one that ends within a frame.
    let played: Vec<_> =
        events(&logged, "played").iter().map(|event| (event["samples"].as_u64(), event["of"].as_u64())).collect();
    assert_eq!(played, [(Some(16_000), Some(16_000)), (Some(16_000), Some(16_000)), (Some(8_123), Some(8_123))]);
    // The announcement, two prompts of a second, the last one: all of it was heard, and the recording has it in part.
    assert!(loud(&wav::read(&heard).expect("heard")) > 40_000);
    let files = recordings(&folder);
    assert!(files.len() == 1 && files[0].extension().is_some_and(|ending| ending == "wav"), "{files:?}");
    let (_, agent) = sides(&files[0]);
    let second = |from_ms: usize, to_ms: usize| loud(&agent[from_ms * 16..to_ms * 16]);
    assert!(
        second(100, 900) > 9_000,
        "the announcement is before the recording, the prompt in it: {}",
        second(100, 900)
    );
    assert_eq!(second(1_100, 1_950), 0, "the pause is silence");
    assert!(second(2_150, 2_450) > 3_000, "the timeline went on: {}", second(2_150, 2_450));
    // That of this call and that of the one before, which stopped its own.
    assert_eq!(metric(&milo, "milo_recordings_total{state=\"complete\"}").await, 2.0);
    assert_eq!(metric(&milo, "milo_recordings_live").await, 0.0);
    stop(milo).await;
}

/// A call that is recorded in this format onto a disk with room for so many bytes: how many seconds are kept.
fn kept_of_a_full_disk(format: &str, room: &str) -> Option<usize> {
    let folder = folder(&format!("full-{format}"));
    let (plans, disk) = (dialplans(&folder), folder.join("recordings"));
    fs::create_dir(&disk).expect("a folder");
    // In a mount namespace of its own.
    let script = format!(
        "mount -t tmpfs -o size={room} none {disk}
         export MILO__DIALPLANS__PATH={plans} MILO__RECORDING__FORMAT={format} LOG_LEVEL=warn
         {PROGRAM} serve > out.txt 2> err.txt & milo=$!
         for wait in $(seq 300); do grep -q 'sip:milo@' out.txt && break; sleep 0.1; done
         http=$(grep -o 'http://127[^ ]*' out.txt | head -n 1)
         echo=$(grep -o 'sip:milo@[^ ;]*' out.txt | head -n 1 | sed s/milo/echo/)
         {PROGRAM} call $echo --no-transcript --no-greeting --json --play {sound} --play {sound} --play {sound} > report.json || echo 'an echo is no answer'
         curl --silent --fail ${{http}}api/v1/calls > calls.json
         curl --silent --fail ${{http}}metrics > metrics.txt
         cp {disk}/*/*.{format} kept.{format}
         kill $milo; wait $milo",
        disk = disk.display(),
        sound = recording("mg_appointment.wav").display(),
    );
    let output = in_a_namespace(&folder, &script)?;
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), read("err.txt"));
    let report: Value = serde_json::from_str(&read("report.json")).expect("a report");
    assert!(report["duration_s"].as_f64().is_some_and(|seconds| seconds > 10.0), "the call went on: {report}");
    assert_eq!(report["ended_by"], "this telephone", "{report}");
    let calls: Value = serde_json::from_str(&read("calls.json")).expect("calls");
    assert_eq!(calls["calls"][0]["recording_state"], "failed", "{calls}");
    let said = read("err.txt") + &read("out.txt");
    assert!(said.contains("No space left") && said.contains("the call goes on"), "{said}");
    assert!(read("metrics.txt").contains("milo_recordings_total{state=\"failed\"} 1"), "{}", read("metrics.txt"));
    let (caller, _) = sides(&folder.join(format!("kept.{format}")));
    fs::remove_dir_all(folder).ok();
    Some(caller.len() / SAMPLE_RATE as usize)
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() {
    if let Some(seconds) = kept_of_a_full_disk("wav", "200k") {
        assert!((2..=3).contains(&seconds), "what had room can be played: {seconds} s");
    }
}

#[test]
fn a_full_disk_ends_an_ogg_recording_at_its_last_whole_page() {
    // Some 4 kB a second while both sides are loud, less in pauses.
    if let Some(seconds) = kept_of_a_full_disk("ogg", "16k") {
        assert!((2..=9).contains(&seconds), "what had room can be played: {seconds} s");
    }
}

#[test]
fn a_broken_sound_is_told_before_anything_starts() {
    let folder = folder("broken");
    let plans = PathBuf::from(dialplans(&folder));
    fs::write(plans.join("sounds/told.wav"), b"RIFF\x24\0\0\0WAVE nothing").expect("written");
    let output = alone("timeout", &folder)
        .args(["60", PROGRAM, "serve"])
        .env("MILO__DIALPLANS__PATH", &plans)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("told.wav") && said.contains("WAV, Ogg") && !said.contains("panicked"), "{said}");
    fs::remove_dir_all(folder).ok();
}
