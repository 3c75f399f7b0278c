//! Engines that fail in a call: damaged weights that give no numbers, threads that stand still, a queue that is full. Whatever it
//! is, the caller hears it, the log says it, and the call goes on when the engine is back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::house::{MG_HOURS, MG_PRICE, answered, call, errand, folder, get, milo, newest_call, recording, stop};
use milo::bench::Running;
use milo_media::wav;
use serde_json::Value;

pub(crate) const APOLOGY: &str = "Miala tsiny";
pub(crate) const FAILED: &str = "engines failed again and again";

/// A thread of another process that stands still until this is dropped: an engine that has got stuck. The one that asks for
/// it must be the one that lets it go, so a thread of its own does both (`ptrace(2)`).
pub(crate) struct Stuck {
    release: mpsc::SyncSender<()>,
    holder: JoinHandle<()>,
}

impl Stuck {
    /// Stops the first thread of this name in a running Milo. Nothing, with a word, where the system forbids it.
    pub(crate) fn engine(milo: &Running, name: &str) -> Option<Self> {
        let tasks = format!("/proc/{}/task", milo.pid().expect("it runs"));
        let mut threads: Vec<i32> = fs::read_dir(&tasks)
            .expect("its threads")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|thread| {
                let called = fs::read_to_string(format!("{tasks}/{thread}/comm")).unwrap_or_default();
                // The system keeps fifteen letters of it.
                called.trim_end_matches('\n') == &name[..name.len().min(15)]
            })
            .collect();
        threads.sort_unstable();
        let thread = *threads.first().expect("an engine's thread bears its name");
        let (ready, stopped) = mpsc::sync_channel(1);
        let (release, released) = mpsc::sync_channel::<()>(0);
        let holder = thread::spawn(move || {
            let none = std::ptr::null_mut::<libc::c_void>();
            // SAFETY: these requests read and write no memory of ours, and the thread is a child's.
            let held = unsafe {
                libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) == 0
                    && libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none) == 0
                    && libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) == thread
            };
            ready.send(if held { Ok(()) } else { Err(io::Error::last_os_error()) }).ok();
            if held {
                released.recv().ok();
                // SAFETY: as above; a thread that is gone is an error that changes nothing.
                unsafe { libc::ptrace(libc::PTRACE_DETACH, thread, none, none) };
            }
        });
        if let Err(why) = stopped.recv().expect("an answer") {
            crate::house::not_looked_at(&format!(
                "what a stuck engine does: this system does not let one be stopped ({why})"
            ));
            return None;
        }
        Some(Self { release, holder })
    }

    /// Lets it go on.
    pub(crate) fn release(self) {
        drop(self.release);
        self.holder.join().expect("the holder's thread");
    }
}

/// Waits until this Milo's log has so many events of a kind, in all its calls, and returns their details.
pub(crate) async fn events(milo: &Running, kind: &str, count: usize) -> Vec<Value> {
    for _ in 0..300 {
        let calls = get(milo, "/api/v1/calls");
        let ids = calls["calls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str());
        let found: Vec<Value> = ids.flat_map(|id| of_kind(&get(milo, &format!("/api/v1/calls/{id}")), kind)).collect();
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {count} events {kind:?} within 30 s");
}

pub(crate) fn of_kind(call: &Value, kind: &str) -> Vec<Value> {
    let events = call["events"].as_array().expect("events");
    events.iter().filter(|event| event["kind"] == kind).map(|event| event["detail"].clone()).collect()
}

pub(crate) fn said<'a>(call: &'a Value, words: &str) -> Vec<&'a Value> {
    let turns = call["turns"].as_array().expect("turns");
    turns.iter().filter(|turn| turn["said_heard"].as_str().is_some_and(|said| said.contains(words))).collect()
}

/// The telephone takes whatever it hears for the answer: nothing is said before that. And whoever only waits is left soon.
const QUIET: [(&str, &str); 3] = [
    ("MILO__CONVERSATION__FILLER_MS", "20000"),
    ("MILO__CONVERSATION__SILENCE_PROMPT_S", "4"),
    ("MILO__CONVERSATION__SILENCE_HANGUP_S", "8"),
];

/// A turn was understood and answered, however long that took.
pub(crate) fn assert_answered(turn: &Value, (heard, said): (&str, &str)) {
    let words = turn["heard"].as_str().unwrap_or_default();
    assert!(
        crate::house::wrong_words(heard, words) * 3 <= heard.split(' ').count(),
        "{words:?} is not {heard:?}: {turn}"
    );
    let reply = turn["said_heard"].as_str().unwrap_or_default().to_lowercase();
    assert!(reply.contains(&said.to_lowercase()), "{turn}");
}

/// The shipped file with these bytes, of the weights that are named (or of its end), made numbers that are none.
pub(crate) fn damaged(folder: &Path, file: &str, weights: Option<&str>, length: usize) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(file);
    let mut bytes = fs::read(&shipped).expect("the shipped model");
    let at = match weights {
        // Behind the name stand one byte of tag and three of length.
        Some(name) => {
            let name = format!("{name}J");
            let found = bytes.windows(name.len()).position(|window| window == name.as_bytes());
            found.expect("the weights") + name.len() + 3
        }
        None => bytes.len() - length,
    };
    bytes[at..at + length].fill(0xff);
    let copy = folder.join(shipped.file_name().expect("a name"));
    fs::write(&copy, bytes).expect("a copy");
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_activity_that_fails_is_told_and_ends_the_call() {
    let models = folder("deaf-models");
    let graph = damaged(&models, "silero/silero_vad_op18_ifless.onnx", Some("model_8k.decoder.rnn.weight_hh"), 4_096);
    let milo = milo("deaf", &[("MILO__ENGINES__VAD__PATH", &graph.display().to_string())]).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &[]);
    errand.wait = true;
    let report = call(&errand).await;
    assert!(report.ended_by.starts_with("the far side"), "{}", report.ended_by);
    let logged = newest_call(&milo).await;
    assert_eq!((&logged["end_reason"], &logged["hangup_by"]), (&FAILED.into(), &"milo".into()), "{logged}");
    assert_eq!((of_kind(&logged, "deaf").len(), of_kind(&logged, "engine_failed").len()), (1, 3), "{logged}");
    assert_eq!(said(&logged, APOLOGY).len(), 3, "{logged}");
    assert!(of_kind(&logged, "are_you_there").is_empty(), "nobody was silent: {logged}");
    stop(milo).await;
    fs::remove_dir_all(models).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_activity_that_gets_stuck_in_mid_speech_is_told() {
    let milo = milo("stuck-ear", &[]).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_appointment.wav"]);
    errand.wait = true;
    let calling = tokio::spawn(async move { call(&errand).await });
    // The greeting takes five seconds, the sentence four.
    tokio::time::sleep(Duration::from_millis(7_000)).await;
    let Some(stuck) = Stuck::engine(&milo, "voice activity detector") else { return stop(milo).await };
    let report = tokio::time::timeout(Duration::from_secs(60), calling).await.expect("it ends").expect("a report");
    assert!(report.ended_by.starts_with("the far side"), "{}", report.ended_by);
    let logged = newest_call(&milo).await;
    stuck.release();
    assert_eq!(logged["end_reason"], FAILED, "{logged}");
    assert_eq!(said(&logged, APOLOGY).len(), 3, "{logged}");
    let deaf = of_kind(&logged, "deaf");
    assert!(deaf[0]["error"].as_str().is_some_and(|why| why.contains("within 2 s")), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_turn_model_that_gets_stuck_leaves_the_clock_to_decide() {
    let milo = milo("stuck-judge", &[]).await;
    let Some(stuck) = Stuck::engine(&milo, "end of turn") else { return stop(milo).await };
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav", "mg_price.wav"])).await;
    stuck.release();
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!((turns.len(), of_kind(&logged, "paused").len()), (2, 0), "{logged}");
    crate::house::assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    for turn in turns {
        let waited = turn["stages"]["end_of_turn_ms"].as_f64().expect("a time");
        assert!((150.0..1_000.0).contains(&waited), "{waited} ms after the likely end: {logged}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_that_fails_again_and_again_ends_the_call() {
    let models = folder("mindless-models");
    let mind = damaged(&models, "mind/mind.gguf", None, 256);
    let milo = milo("mindless", &[("LOCAL_LLM_MODEL_PATH", &mind.display().to_string())]).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav", "mg_price.wav", "mg_hours.wav"]);
    errand.wait = true;
    let report = call(&errand).await;
    assert!(
        report.turns.iter().all(|turn| turn.reply.is_some()),
        "each question is met with words: {:?}",
        report.turns
    );
    let logged = newest_call(&milo).await;
    assert_eq!(logged["end_reason"], FAILED, "{logged}");
    assert_eq!((answered(&logged).len(), said(&logged, APOLOGY).len()), (3, 3), "{logged}");
    let failures = of_kind(&logged, "engine_failed");
    assert!(failures.iter().all(|why| why["error"].as_str().is_some_and(|why| why.contains("language model"))));
    stop(milo).await;
    fs::remove_dir_all(models).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcriber_that_gets_stuck_is_told_and_hears_the_turn_once_more_when_it_is_back() {
    let milo = milo("stuck-transcriber", &QUIET).await;
    let Some(stuck) = Stuck::engine(&milo, "transcriber") else { return stop(milo).await };
    // It says what it wants once, and waits.
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_price.wav"]);
    errand.wait = true;
    let calling = tokio::spawn(async move { call(&errand).await });
    let failures = events(&milo, "engine_failed", 1).await;
    stuck.release();
    assert!(failures[0]["error"].as_str().is_some_and(|why| why.contains("no transcript came within 8 s")));
    calling.await.expect("a report");
    let logged = newest_call(&milo).await;
    assert_eq!(said(&logged, APOLOGY).len(), 1, "{logged}");
    assert_eq!(of_kind(&logged, "replayed")[0]["stage"], "stt", "{logged}");
    let answered = answered(&logged);
    assert_eq!(answered.len(), 1, "{logged}");
    assert_answered(answered[0], MG_PRICE);
    assert!(
        answered[0]["stages"]["stt_ms"].as_f64().is_some_and(|took| took > 8_000.0),
        "as long as it took: {logged}"
    );
    assert_eq!(logged["end_reason"], "the caller was silent", "the call went on: {logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_that_is_stuck_or_overloaded_is_told_and_both_calls_go_on() {
    // A guess has a place of its own, and keeps it when it comes true.
    let one_place = [("MILO__ENGINES__LLM__QUEUE", "1"), ("MILO__CONVERSATION__EARLY_REPLIES", "false")];
    let milo = milo("stuck-mind", &[&QUIET[..], &one_place].concat()).await;
    let Some(stuck) = Stuck::engine(&milo, "language model") else { return stop(milo).await };
    // The first to ask waits for the model; there is no place for the second.
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_price.wav"]);
            errand.wait = true;
            tokio::spawn(async move { call(&errand).await })
        })
        .collect();
    let failures = events(&milo, "engine_failed", 2).await;
    stuck.release();
    for why in ["nothing came for 6 s", "overloaded"] {
        assert!(failures.iter().any(|f| f["error"].as_str().is_some_and(|f| f.contains(why))), "{why:?}: {failures:?}");
    }
    for call in calls {
        let report = call.await.expect("a report");
        assert!(report.turns.iter().all(|turn| turn.reply.is_some()), "{:?}", report.turns);
    }
    newest_call(&milo).await;
    let calls = get(&milo, "/api/v1/calls");
    for id in calls["calls"].as_array().expect("calls").iter().filter_map(|call| call["id"].as_str()) {
        let logged = get(&milo, &format!("/api/v1/calls/{id}"));
        assert_eq!(said(&logged, APOLOGY).len(), 1, "{logged}");
        assert_eq!(of_kind(&logged, "replayed")[0]["stage"], "llm", "{logged}");
        let answered = answered(&logged);
        assert_eq!(answered.len(), 1, "{logged}");
        assert_answered(answered[0], MG_PRICE);
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_on_while_the_transcript_is_awaited_is_not_talked_over() {
    let milo = milo("went-on", &[]).await;
    let Some(stuck) = Stuck::engine(&milo, "transcriber") else { return stop(milo).await };
    // A pause that ends the turn, and then more.
    let mut sound = wav::read(&recording("mg_price.wav")).expect("the recording");
    sound.extend(vec![0; 16_000 * 9 / 10]);
    sound.extend(wav::read(&recording("mg_hours.wav")).expect("the recording"));
    let both = milo.folder().join("both.wav");
    wav::write(&both, &sound).expect("a WAV file");
    let mut errand = errand(milo.udp("milo").expect("an address"), &[]);
    errand.play = vec![both];
    let calling = tokio::spawn(async move { call(&errand).await });
    events(&milo, "went_on", 1).await;
    stuck.release();
    let report = calling.await.expect("a report");
    assert!(!report.turns[0].spoke_early, "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let answered = answered(&logged);
    assert_eq!(answered.len(), 1, "one turn: {logged}");
    // The small ears never met two sentences in one breath: what they make of the second may not be its words.
    let heard = answered[0]["heard"].as_str().expect("words");
    assert!(heard.starts_with(MG_PRICE.0) && heard.len() > MG_PRICE.0.len() + 10, "{heard:?}");
    assert!(of_kind(&logged, "interrupted").is_empty(), "{logged}");
    stop(milo).await;
}
