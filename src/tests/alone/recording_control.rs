//! Recordings that somebody takes in hand while they run: by the API, by a key, in a call to somebody else; and where in the
//! file a turn stands.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::house::{
    MG_HOURS, PROGRAM, call, errand, events, folder, found, get, loud, newest_call, recording, recordings, sides, stop,
    wrong_words,
};
use milo::{bench::Running, phone::Errand};
use milo_media::{SAMPLE_RATE, tone::Tone, wav};
use serde_json::Value;
use tokio::time::sleep;

/// Six seconds of a tone that is not loud, an announcement of half a second that is, and the plans of one Milo.
fn surroundings(name: &str, plans: &str) -> (std::path::PathBuf, String, String) {
    let folder = folder(name);
    let at = folder.join("plans");
    fs::create_dir_all(at.join("sounds")).expect("a folder");
    let tone = |level: f64, samples: usize| -> Vec<i16> {
        Tone::new(1_000.0, level).flat_map(|frame| *frame.samples()).take(samples).collect()
    };
    wav::write(&at.join("sounds/quiet.wav"), &tone(0.02, 96_000)).expect("written");
    wav::write(&at.join("sounds/told.wav"), &tone(0.4, 8_000)).expect("written");
    let milo = "[[plan]]\nname = 'milo'\nnumber = 'milo'\nlanguage = 'mg'\nactions = [{ reject = { status = 404 } }]\n";
    fs::write(at.join("plans.toml"), [milo, plans].concat()).expect("written");
    let told = at.join("sounds/told.wav").display().to_string();
    (folder, at.display().to_string(), told)
}

fn plan(number: &str, rest: &str) -> String {
    format!("[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\n{rest}\n")
}

const QUIET: &str = "record = false\nactions = [{ answer = {} }, { play = 'sounds/quiet.wav' }, { hangup = {} }]";

fn silent(milo: &Running, number: &str) -> Errand {
    Errand { no_greeting: true, wait: true, ..errand(milo.udp(number).expect("an address"), &[]) }
}

/// The status and the body of an order to a call.
fn order(milo: &Running, id: &str, body: &str) -> (u16, Value) {
    let url = format!("{}/api/v1/calls/{id}/recording", milo.http.trim_end_matches('/'));
    let answer = Command::new("curl")
        .args(["--silent", "--max-time", "10", "-w", "\n%{http_code}", "-H", "content-type: application/json", "-d"])
        .args([body, &url])
        .output()
        .expect("curl");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).expect("JSON"))
}

/// Milliseconds at the beginning that are nothing at all, and those after them in which something is.
fn silence_before(samples: &[i16]) -> (usize, usize) {
    let silence = samples.iter().position(|sample| *sample != 0).unwrap_or(samples.len());
    (silence / 16, (samples.len() - silence) / 16)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_begins_pauses_resumes_and_ends_the_recording_of_a_call_that_is_up() {
    let (folder, plans, told) = surroundings("recording-api", &plan("quiet", QUIET));
    let variables = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__RECORDING__ANNOUNCEMENT", &told),
        ("MILO__RECORDING__FORMAT", "wav"),
    ];
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let heard = folder.join("heard.wav");
    let errand = Errand { record: Some(heard.clone()), ..silent(&milo, "quiet") };
    let calling = tokio::spawn(async move { call(&errand).await });
    sleep(Duration::from_millis(800)).await;
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].as_str().expect("a call").to_owned();
    let wants = |action: &str| order(&milo, &id, &format!("{{\"action\": \"{action}\"}}"));
    let is = |state: &str| (200, serde_json::json!({ "recording": state }));

    let (status, why) = wants("stop");
    assert_eq!((status, &why["detail"]), (409, &"this call is not recorded".into()));
    // Nothing of what comes before the resumption is recorded, although the recording begins later than the pause.
    assert_eq!(wants("pause"), is("paused"));
    assert_eq!(wants("start"), is("paused"));
    sleep(Duration::from_millis(700)).await;
    assert_eq!(wants("start").0, 409);
    assert_eq!(wants("resume"), is("live"));
    assert_eq!(wants("resume").0, 409);
    sleep(Duration::from_millis(700)).await;
    assert_eq!(wants("stop"), is("off"));
    assert_eq!(wants("start"), is("live"));
    assert_eq!(order(&milo, &id, "{\"action\": \"erase\"}").0, 422);
    assert_eq!(order(&milo, "01890000-0000-7000-8000-000000000000", "{\"action\": \"stop\"}").0, 404);
    calling.await.expect("a call");
    let (status, why) = wants("pause");
    assert_eq!((status, &why["detail"]), (409, &"this call is not up".into()));
    let audit = get(&milo, "/api/v1/audit");
    let deeds = audit["deeds"].as_array().expect("deeds").iter().filter(|deed| deed["action"] == "calls.recording");
    let wanted: Vec<_> = deeds.filter(|deed| deed["target"] == id.as_str()).map(|deed| &deed["detail"]).collect();
    let all = ["start", "stop", "resume", "resume", "start", "start", "pause", "stop"];
    assert_eq!(wanted, all, "what was wanted of it, the last first");

    let logged = newest_call(&milo).await;
    let was: Vec<_> = events(&logged, "recording").iter().map(|event| event["is"].clone()).collect();
    assert_eq!(was, ["started", "paused", "resumed", "ended", "started", "ended"], "{logged}");
    // Both announcements were heard, and are in neither file.
    let heard = loud(&wav::read(&heard).expect("heard"));
    assert!((13_000..=16_000).contains(&heard), "{heard} loud samples");
    let mut files = recordings(&folder);
    files.sort_by_key(|file| file.file_stem().map(|name| name.len()));
    assert_eq!(files.len(), 2, "{files:?}");
    let (first, second) = (sides(&files[0]).1, sides(&files[1]).1);
    assert_eq!((loud(&first), loud(&second)), (0, 0));
    let (paused, recorded) = silence_before(&first);
    assert!((600..=1_500).contains(&paused) && (600..=1_500).contains(&recorded), "{paused} ms, {recorded} ms");
    assert!(silence_before(&second).0 <= 40, "the second one is not paused");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_while_everybody_is_being_told_is_done_at_once() {
    let (folder, plans, _) = surroundings("recording-orders", &plan("quiet", QUIET));
    let told = folder.join("plans/sounds/quiet.wav").display().to_string();
    let variables = [("MILO__DIALPLANS__PATH", plans.as_str()), ("MILO__RECORDING__ANNOUNCEMENT", &told)];
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let errand = silent(&milo, "quiet");
    let calling = tokio::spawn(async move { call(&errand).await });
    sleep(Duration::from_millis(800)).await;
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].as_str().expect("a call").to_owned();
    let wants = |action: &str| order(&milo, &id, &format!("{{\"action\": \"{action}\"}}"));
    // The announcement has six seconds.
    let started = std::thread::scope(|scope| {
        let starting = scope.spawn(|| wants("start"));
        std::thread::sleep(Duration::from_millis(500));
        let is = |state: &str| (200, serde_json::json!({ "recording": state }));
        assert_eq!(wants("start"), is("starting"));
        assert_eq!(wants("pause"), is("paused"));
        assert_eq!(wants("resume"), is("off"));
        assert_eq!(wants("stop"), is("off"));
        starting.join().expect("an answer")
    });
    assert_eq!((started.0, &started.1["detail"]), (409, &"it was stopped before it began".into()));
    calling.await.expect("a call");
    let logged = newest_call(&milo).await;
    assert!(events(&logged, "recording").is_empty() && recordings(&folder).is_empty(), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pauses_the_recording_and_resumes_it() {
    let rest = QUIET.replace("false", "true");
    let (folder, plans, _) = surroundings("recording-key", &plan("quiet", &rest));
    let variables = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__RECORDING__PAUSE_KEY", "*9"),
        ("MILO__RECORDING__FORMAT", "wav"),
    ];
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let pressed = Errand { digits: Some(("**9471*9".into(), milo::press::PressBy::Agreed)), ..silent(&milo, "quiet") };
    call(&pressed).await;
    let logged = newest_call(&milo).await;
    let was: Vec<_> =
        events(&logged, "recording").iter().map(|event| (event["is"].clone(), event["by"].clone())).collect();
    assert_eq!(was[1..3], [("paused".into(), "key".into()), ("resumed".into(), "key".into())], "{logged}");
    let keys: Vec<_> = events(&logged, "digit").iter().map(|event| event["digit"].clone()).collect();
    assert_eq!(keys, ["*", "*", "9", "…", "…", "…", "…", "…"], "what is pressed in between is not in the log");
    let (_, agent) = sides(&recordings(&folder)[0]);
    let paused = agent.iter().skip_while(|sample| **sample == 0).filter(|sample| **sample == 0).count() / 16;
    assert!(paused > 700, "five keys: {paused} ms of nothing");
    assert!(agent[agent.len() - 16_000..].iter().any(|sample| *sample != 0), "and then the tone again");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_called_is_told_that_the_call_is_recorded_and_may_pause_it() {
    let far = plan(
        "far",
        "record = true\nactions = [{ answer = {} }, { music = { seconds = 3 } }, { send_digits = { digits = '*9' } }, \
         { music = { seconds = 2 } }, { hangup = {} }]",
    );
    let (far_folder, far_plans, _) = surroundings("recorded-far", &far);
    let variables = [("MILO__DIALPLANS__PATH", far_plans.as_str()), ("MILO__RECORDING__FORMAT", "wav")];
    let far = Running::start(Path::new(PROGRAM), &far_folder, &variables).await.expect("Milo starts");
    let to = far.udp("far").expect("an address");
    let dial = format!(
        "record = true\nactions = [{{ answer = {{}} }}, {{ dial = {{ to = '{to}', seconds = 20 }} }}, {{ hangup = {{}} }}]"
    );
    let (folder, plans, told) = surroundings("recorded-near", &plan("dial", &dial));
    let variables = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__RECORDING__ANNOUNCEMENT", &told),
        ("MILO__RECORDING__PAUSE_KEY", "*9"),
        ("MILO__RECORDING__FORMAT", "wav"),
    ];
    let near = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    call(&silent(&near, "dial")).await;

    let logged = newest_call(&near).await;
    let was: Vec<_> = events(&logged, "recording").iter().map(|event| event["is"].clone()).collect();
    assert_eq!(was, ["started", "paused", "ended"], "{logged}");
    let (_, agent) = sides(&recordings(&folder)[0]);
    let (before, after) = agent.split_at(agent.len() - 24_000);
    assert!(loud(before) > 8_000, "the one who was called is recorded: {} loud samples", loud(before));
    assert_eq!(loud(after), 0, "and not once a key was pressed");
    newest_call(&far).await;
    let (caller, _) = sides(&recordings(&far_folder)[0]);
    assert!(loud(&caller) > 6_000, "it was told: {} loud samples of a caller who is silent", loud(&caller));
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_says_where_it_stands_in_the_recording() {
    let folder = folder("places");
    let variables = [("MILO__RECORDING__ENABLED", "true"), ("MILO__RECORDING__FORMAT", "wav")];
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    let (caller, agent) = sides(&recordings(&folder)[0]);
    let turns = logged["turns"].as_array().expect("turns");
    let place = |turn: &Value, name: &str| turn["recording_at_ms"][name].as_i64();

    // The words, where they were: what was played, from its first loud window to its last.
    let played = wav::read(&recording("mg_hours.wav")).expect("readable");
    let is_loud =
        |part: &&[i16]| part.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() > 160.0 * 400.0 * 400.0;
    let windows: Vec<_> = played.chunks(160).enumerate().filter(|(_, part)| is_loud(part)).map(|(at, _)| at).collect();
    let (from, to) = (windows[0] * 160, (windows[windows.len() - 1] + 1) * 160);
    let (begin, sure) = found(&played[from..from + SAMPLE_RATE as usize], &caller);
    assert!(sure > 0.7, "{sure}");
    let said =
        turns.iter().find(|turn| turn["heard"].as_str().is_some_and(|heard| wrong_words(MG_HOURS.0, heard) <= 2));
    let said = said.expect("the turn");
    let end = begin + to - from;
    let voice =
        |after: usize| after + agent[after..].iter().position(|sample| sample.unsigned_abs() > 100).expect("a voice");
    // Where it is, and where the row says that it is, in milliseconds.
    for (what, at, told, within) in [
        ("the caller begins", begin, place(said, "heard_from"), 50),
        // Voice activity lets go of a voice about a tenth of a second after it has died away.
        ("the caller ends", end, place(said, "heard_to"), 150),
        ("the reply begins", voice(end), place(said, "said_from"), 50),
    ] {
        let (at, told) = (at as i64 / 16, told.expect("a place"));
        println!("{what} at {at} ms, and in the row at {told} ms");
        assert!((told - at).abs() <= within, "{what} at {at} ms, and in the row at {told} ms: {said}");
    }
    assert_eq!(place(&turns[0], "heard_from"), None, "nobody was heard before the greeting");
    stop(milo).await;
}
