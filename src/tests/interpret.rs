//! Two who speak different languages and are joined by Milo: each hears what the other says in its own; what is not sure is told to whoever
//! said it; and where engines fail they hear each other as in any other call.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use milo::{
    bench::Running,
    phone::{Errand, Report},
};
use milo_media::wav;
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    accounts::accounts,
    failing_engines::damaged,
    hosted::server::{Conduct, Server},
    house::{
        FR_HOURS, MG_HOURS, MG_PRICE, MILO, call, ended, errand, events, folder, found, get, loud, milo, newest_call,
        recording, send, sides, stop, until, with_plans_and, wrong_words,
    },
    telephone::Telephone,
};

/// The one who is called: says something in French after a while, or nothing.
const FAR: &str = "
[[plan]]
name = 'koto'
number = 'koto'
language = 'fr'
record = true
actions = [
  { answer = {} },
  { wait = { seconds = 14 } },
  { play = 'fr_hours.wav' },
  { wait = { seconds = 16 } },
]

[[plan]]
name = 'silent'
number = 'silent'
language = 'fr'
record = true
actions = [{ answer = {} }, { wait = { seconds = 26 } }]
";

/// A number that hands its callers over to rina, who speaks French.
const DESK: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [
  { answer = {} },
  { transfer = { account = 'rina', mode = 'warm', language = 'fr', interpret = { caller = 'mg', callee = 'fr' } } },
]
";

/// Two lines: rina, who speaks French, is rung for the first; of the other a caller is taken by whoever calls the counter.
const LINES: &str = "
[[plan]]
name = 'line'
number = 'line'
language = 'mg'
record = true
actions = [
  { answer = {} },
  { queue = { name = 'rung', accounts = ['rina'], announce_seconds = 0, interpret = { caller = 'mg', callee = 'fr' } } },
]

[[plan]]
name = 'waits'
number = 'waits'
language = 'mg'
record = true
actions = [{ answer = {} }, { queue = { name = 'taken', announce_seconds = 0 } }]

[[plan]]
name = 'counter'
number = 'counter'
language = 'fr'
actions = [{ answer = {} }, { bridge = { queue = 'taken', interpret = { caller = 'fr', callee = 'mg' } } }]
";

/// What the set phrases have for [`MG_HOURS`], and what the language model says of [`FR_HOURS`].
const IN_FRENCH: &str = "à quelle heure ouvre le bureau";
const IN_MALAGASY: &str = "Amin'ny ora firy no misokatra ny birao?";

/// What is heard loudly is at least so much like what was said, and what is not heard at all is less like it.
const ALIKE: f64 = 0.65;

/// The one who is called, and a Milo that interprets for its callers.
async fn two(name: &str, original: &str, variables: &[(&str, &str)]) -> (Running, Running) {
    let as_it_is = [("MILO__RECORDING__FORMAT", "wav")];
    let plans_at = folder(&format!("{name}-far-plans"));
    fs::copy(recording("fr_hours.wav"), plans_at.join("fr_hours.wav")).expect("a temporary folder");
    fs::write(plans_at.join("plans.toml"), [MILO, FAR].concat()).expect("a temporary folder");
    let path = plans_at.to_string_lossy().into_owned();
    let far = [&as_it_is[..], &[("MILO__DIALPLANS__PATH", path.as_str())]].concat();
    let far = milo(&format!("{name}-far"), &far).await;
    let plan = |number: &str| {
        let to = far.udp(number).expect("an address");
        let interpret = format!("interpret = {{ caller = 'mg', callee = 'fr'{original} }}");
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\nrecord = true\n\
             actions = [{{ answer = {{}} }}, {{ dial = {{ to = '{to}', {interpret} }} }}]\n"
        )
    };
    let plans = ["koto", "silent"].map(plan).concat();
    (with_plans_and(name, &plans, &[&as_it_is[..], variables].concat()).await, far)
}

/// Calls a number once the interpreter has said what it is, says what is recorded, and stays to the end: what it measured and heard, and
/// the call's row.
async fn talk(near: &Running, number: &str, play: &str) -> (Report, Vec<i16>, Value) {
    let record = near.folder().join("heard.wav");
    let target = near.udp(number).expect("an address");
    let errand = Errand { wait: true, record: Some(record.clone()), ..errand(target, &[play]) };
    let report = call(&errand).await;
    (report, wav::read(&record).expect("what was heard"), newest_call(near).await)
}

/// The newest recording of a Milo: what it heard, and what it said.
async fn recorded(milo: &Running) -> (Vec<i16>, Vec<i16>) {
    let row = newest_call(milo).await;
    let row = until(milo, &row["id"], "recorded", |row| row["recording_state"] == "complete").await;
    sides(&milo.folder().join("recordings").join(row["recording"].as_str().expect("a file")))
}

/// What is understood of a sound behind the first five seconds, in which the interpreter says what it is.
fn understood(milo: &Running, sound: &[i16], language: &str) -> Vec<String> {
    let file = milo.folder().join(format!("{language}.wav"));
    wav::write(&file, &sound[5 * 16_000..sound.len().min(30 * 16_000)]).expect("a file");
    let audio = STANDARD.encode(fs::read(&file).expect("it was written"));
    let asked = json!({ "audio": audio, "format": "wav", "sample_rate": 16_000, "language": language });
    let answer = send(milo, ("POST", "/api/v1/stt"), &["Expect:"], &asked);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let segments = answer.body["segments"].as_array().expect("segments").iter();
    segments.filter_map(|segment| segment["text"].as_str()).map(str::to_owned).collect()
}

/// Whether one of these is that sentence, but for a word or two that small ears miss.
fn has(heard: &[String], sentence: &str) -> bool {
    let plain = sentence.to_lowercase().replace('?', "");
    heard.iter().any(|heard| wrong_words(plain.trim(), heard) <= 2)
}

/// A second of a recording that is all voice.
fn second_of(name: &str) -> Vec<i16> {
    wav::read(&recording(name)).expect("a recording")[10_000..26_000].to_vec()
}

/// How alike a sound and the place are where it is heard best, and how loud it is there: a factor.
fn heard_in(said: &[i16], heard: &[i16]) -> (f64, f64) {
    let heard = &heard[3 * 16_000..heard.len().min(24 * 16_000)];
    let (at, likeness) = found(said, heard);
    let power = |samples: &[i16]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    (likeness, (power(&heard[at..at + said.len()]) / power(said)).sqrt())
}

fn by<'a>(told: &[&'a Value], who: &str) -> &'a Value {
    told.iter().find(|event| event["who"] == who).unwrap_or_else(|| panic!("nothing of the {who}: {told:?}"))
}

fn words<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hears_in_its_own_language_what_the_other_says() {
    let server = Server::start(Conduct::says(IN_MALAGASY)).await;
    let own = server.variables("openai");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (near, far) = two("interpreted", ", original = 'silent'", &own).await;
    let (_, heard_by_caller, row) = talk(&near, "koto", "mg_hours.wav").await;

    let begun = events(&row, "interpreting");
    assert_eq!(begun, [&json!({ "caller": "mg", "callee": "fr", "original": "silent" })], "{row}");
    let told = events(&row, "interpreted");
    let (caller, called) = (by(&told, "caller"), by(&told, "called"));
    assert_eq!((&caller["from"], &caller["to"]), (&"mg".into(), &"fr".into()), "{row}");
    assert!(wrong_words(MG_HOURS.0, words(caller, "said")) <= 2, "{caller}");
    // What everybody says is known by heart; of anything else the language model is asked.
    if words(caller, "said") == MG_HOURS.0 {
        let known = (&caller["translated"], &caller["by"], &caller["confidence"]);
        assert_eq!(known, (&IN_FRENCH.into(), &"phrases".into(), &json!(1.0)), "{caller}");
    }
    assert!(caller["heard_confidence"].as_f64().is_some_and(|sure| (0.37..=1.0).contains(&sure)), "{caller}");
    assert!(caller["speech_ms"].as_u64().is_some_and(|ms| ms > 1_500), "{caller}");
    assert!(caller["after_ms"].as_u64().is_some_and(|ms| ms > 200), "{caller}");
    assert_eq!((&called["from"], &called["to"]), (&"fr".into(), &"mg".into()), "{row}");
    assert!(wrong_words(FR_HOURS.0, words(called, "said")) <= 2, "{called}");
    let asked = (&called["translated"], &called["by"], &called["confidence"]);
    assert_eq!(asked, (&IN_MALAGASY.into(), &"language_model".into(), &Value::Null), "{called}");
    assert!(events(&row, "interpreting_ended").is_empty(), "{row}");

    // So it was heard: French by the one who was called, Malagasy by the caller, and nothing of their own voices.
    let (heard_by_called, said_by_called) = recorded(&far).await;
    let french = understood(&near, &heard_by_called, "fr");
    assert!(has(&french, words(caller, "translated")), "{french:?}: {row}");
    let malagasy = understood(&near, &heard_by_caller, "mg");
    assert!(has(&malagasy, IN_MALAGASY), "{malagasy:?}: {row}");
    let said = second_of("mg_hours.wav");
    let (likeness, _) = heard_in(&said, &heard_by_called);
    assert!(likeness < ALIKE, "the one who was called hears the caller: {likeness}");
    assert!(loud(&said_by_called) > 4_000, "it has said something");

    // The recording has both: the caller as they are, and what they hear.
    let (left, right) = recorded(&near).await;
    let (likeness, _) = heard_in(&said, &left);
    assert!(likeness > ALIKE, "the caller is recorded: {likeness}");
    assert!(has(&understood(&near, &right, "mg"), IN_MALAGASY), "what they hear is recorded");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_translated_surely_is_told_to_whoever_said_it_and_their_own_voice_is_heard_quietly() {
    let translator = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tests/translator_tiny/merged");
    let unsure = [("MILO__ENGINES__TRANSLATE__PATH", translator), ("MILO__ENGINES__TRANSLATE__MIN_CONFIDENCE", "0.5")];
    let (near, far) = two("untold", "", &unsure).await;
    let (report, _, row) = talk(&near, "silent", "mg_price.wav").await;

    assert!(events(&row, "interpreted").is_empty(), "{row}");
    let untold = events(&row, "not_interpreted");
    let caller = by(&untold, "caller");
    assert!(wrong_words(MG_PRICE.0, words(caller, "said")) <= 2, "{caller}");
    assert!(!words(caller, "why").is_empty() && caller["translated"].is_null(), "{caller}");
    assert!(report.greeting.is_some() && report.turns[0].reply.is_some(), "the caller is told so: {report:?}");

    let (heard, _) = recorded(&far).await;
    let (likeness, loudness) = heard_in(&second_of("mg_price.wav"), &heard);
    assert!(likeness > ALIKE, "the one who was called hears the caller's own voice: {likeness}");
    assert!((0.06..0.25).contains(&loudness), "18 dB below: {loudness}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_a_call_over_hears_its_caller_through_the_interpreter() {
    let file = accounts(&folder("warm-between-files")).to_string_lossy().into_owned();
    // These telephones are silent for long.
    let variables = [("MILO__SIP__ACCOUNTS", file.as_str()), ("MILO__MEDIA__RTP_TIMEOUT_S", "120")];
    let milo = with_plans_and("warm-between", DESK, &variables).await;
    let (mut caller, mut rina) = block_in_place(|| {
        let mut rina = Telephone::new(&milo);
        rina.registers(("rina", "secret"));
        let caller = Telephone::call(&milo, "desk");
        rina.takes_a_call();
        (caller, rina)
    });
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
    until(&milo, &id, "told of", |row| !events(row, "transferred").is_empty()).await;
    block_in_place(|| rina.presses('1'));
    until(&milo, &id, "interpreted", |row| !events(row, "interpreting").is_empty()).await;
    // What Milo is has been said to both.
    sleep(Duration::from_secs(6)).await;
    block_in_place(|| caller.says(&recording("mg_hours.wav")));
    let all =
        |row: &Value| ["interpreted", "not_interpreted"].map(|kind| events(row, kind).len()).iter().sum::<usize>();
    let row = until(&milo, &id, "heard", |row| all(row) > 0).await;
    let told = [events(&row, "interpreted"), events(&row, "not_interpreted")].concat();
    let caller_said = by(&told, "caller");
    assert!(wrong_words(MG_HOURS.0, words(caller_said, "said")) <= 2, "{row}");
    // With a word that was missed it may be no set phrase.
    if words(caller_said, "said") == MG_HOURS.0 {
        assert!(caller_said["translated"] == IN_FRENCH && caller_said["after_ms"].is_u64(), "it left for rina: {row}");
    }
    block_in_place(|| {
        caller.hangs_up();
        rina.answers("BYE", "200 OK");
    });
    let row = ended(&milo, &id).await;
    assert_eq!(events(&row, "parted")[0]["why"], "the caller hung up", "{row}");
    stop(milo).await;
}

/// The turns of two whom Milo interprets for.
fn interpreted(row: &Value) -> Vec<&Value> {
    row["turns"].as_array().expect("turns").iter().filter(|turn| turn["heard_from"].is_string()).collect()
}

/// The call of this plan.
fn of_plan(milo: &Running, plan: &str) -> Value {
    let calls = get(milo, "/api/v1/calls")["calls"].clone();
    let found = calls.as_array().and_then(|calls| calls.iter().find(|call| call["dialplan"] == plan));
    found.unwrap_or_else(|| panic!("no call of {plan}: {calls}"))["id"].clone()
}

/// What the caller of this question is told of in a turn: who said it, and what the other heard.
fn is_told(turn: &Value, who: &str) {
    assert_eq!(
        (&turn["heard_from"], &turn["language"], &turn["said_by"]),
        (&who.into(), &"mg".into(), &Value::Null),
        "{turn}"
    );
    assert!(wrong_words(MG_HOURS.0, words(turn, "heard")) <= 2, "{turn}");
    // With a word that was missed it may be no set phrase.
    if words(turn, "heard") == MG_HOURS.0 {
        let told = (&turn["said"], &turn["said_in"], &turn["said_heard"]);
        assert_eq!(told, (&IN_FRENCH.into(), &"fr".into(), &IN_FRENCH.into()), "{turn}");
        assert!(turn["stages"]["total_ms"].as_f64().is_some_and(|ms| ms > 200.0), "{turn}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_rung_for_a_line_hears_its_caller_through_the_interpreter_and_nobody_reads_what_was_private() {
    let file = accounts(&folder("line-between-files")).to_string_lossy().into_owned();
    let variables = [("MILO__SIP__ACCOUNTS", file.as_str()), ("MILO__MEDIA__RTP_TIMEOUT_S", "120")];
    let milo = with_plans_and("line-between", LINES, &variables).await;
    let (mut caller, rina) = block_in_place(|| {
        let mut rina = Telephone::new(&milo);
        rina.registers(("rina", "secret"));
        let caller = Telephone::call(&milo, "line");
        rina.takes_a_call();
        (caller, rina)
    });
    let id = of_plan(&milo, "line");
    until(&milo, &id, "interpreted", |row| !events(row, "interpreting").is_empty()).await;
    // What Milo is has been said to both.
    sleep(Duration::from_secs(6)).await;
    block_in_place(|| caller.says(&recording("mg_hours.wav")));
    let row = until(&milo, &id, "heard", |row| !interpreted(row).is_empty()).await;
    is_told(interpreted(&row)[0], "caller");

    let paused = send(
        &milo,
        ("POST", &format!("/api/v1/calls/{}/recording", words(&row, "id"))),
        &[],
        &json!({ "action": "pause" }),
    );
    assert_eq!(paused.status, 200, "{}", paused.body);
    block_in_place(|| rina.says(&recording("fr_hours.wav")));
    let row = until(&milo, &id, "answered", |row| interpreted(row).len() > 1).await;
    let secret = interpreted(&row)[1];
    let heard = (&secret["heard"], &secret["heard_from"], &secret["language"]);
    assert_eq!(heard, (&"…".into(), &"called".into(), &"fr".into()), "{row}");
    let is_kept = |field: &str| secret[field].as_str().is_none_or(|words| words == "…" || words.is_empty());
    assert!(is_kept("said") && is_kept("said_heard") && !row.to_string().contains("horaires"), "{row}");
    block_in_place(|| {
        caller.hangs_up();
        rina.answers("BYE", "200 OK");
    });
    ended(&milo, &id).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_one_who_waits_hears_them_through_the_interpreter() {
    let file = accounts(&folder("counter-between-files")).to_string_lossy().into_owned();
    let variables = [("MILO__SIP__ACCOUNTS", file.as_str()), ("MILO__MEDIA__RTP_TIMEOUT_S", "120")];
    let milo = with_plans_and("counter-between", LINES, &variables).await;
    let (mut waiting, mut counter) =
        block_in_place(|| (Telephone::call(&milo, "waits"), Telephone::call(&milo, "counter")));
    let (lent, id) = (of_plan(&milo, "waits"), of_plan(&milo, "counter"));
    let row = until(&milo, &id, "interpreted", |row| !events(row, "interpreting").is_empty()).await;
    assert_eq!(
        events(&row, "interpreting")[0],
        &json!({ "caller": "fr", "callee": "mg", "original": "quiet" }),
        "{row}"
    );
    // What Milo is has been said to both.
    sleep(Duration::from_secs(6)).await;
    block_in_place(|| waiting.says(&recording("mg_hours.wav")));
    let row = until(&milo, &id, "heard", |row| !interpreted(row).is_empty()).await;
    is_told(interpreted(&row)[0], "waiting");

    // What is private in the call of the one who waited is so here.
    let path = format!("/api/v1/calls/{}/recording", lent.as_str().expect("an identifier"));
    assert_eq!(send(&milo, ("POST", &path), &[], &json!({ "action": "pause" })).status, 200);
    block_in_place(|| counter.says(&recording("fr_hours.wav")));
    let row = until(&milo, &id, "answered", |row| interpreted(row).len() > 1).await;
    let secret = interpreted(&row)[1];
    assert_eq!((&secret["heard"], &secret["heard_from"]), (&"…".into(), &"caller".into()), "{row}");
    assert!(!row.to_string().contains("horaires"), "{row}");
    block_in_place(|| {
        waiting.hangs_up();
        counter.hangs_up();
    });
    ended(&milo, &id).await;
    ended(&milo, &lent).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_engine_fails_the_two_are_told_and_hear_each_other() {
    let models = folder("untranslated-models");
    let graph = damaged(&models, "silero/silero_vad_op18_ifless.onnx", Some("model_8k.decoder.rnn.weight_hh"), 4_096);
    let graph = graph.display().to_string();
    let (near, far) = two("alone-again", ", original = 'silent'", &[("MILO__ENGINES__VAD__PATH", &graph)]).await;
    let (report, _, row) = talk(&near, "silent", "mg_hours.wav").await;

    let ended = events(&row, "interpreting_ended");
    assert!(ended.len() == 1 && !words(ended[0], "error").is_empty(), "{row}");
    assert!(!events(&row, "deaf").is_empty() && events(&row, "interpreted").is_empty(), "{row}");
    assert_eq!(events(&row, "parted").len(), 1, "the call went on to its end: {row}");
    let greeting = report.greeting.expect("the caller is told");
    assert!(greeting.lasted_ms > 4_500.0, "that it is translated, and that it is not any more: {greeting:?}");

    let (heard, _) = recorded(&far).await;
    let (likeness, loudness) = heard_in(&second_of("mg_hours.wav"), &heard);
    assert!(likeness > ALIKE && loudness > 0.5, "as in any other call: {likeness}, {loudness}");
    stop(near).await;
    stop(far).await;
    fs::remove_dir_all(Path::new(&models)).ok();
}
