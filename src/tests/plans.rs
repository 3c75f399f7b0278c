//! Dialplans over real calls: what each verb does to a caller, which plan is chosen, and files that change under live calls.

use std::{fs, net::UdpSocket, path::Path, time::Duration};

use crate::by_hand::unique;
use crate::house::{
    MG_APPOINTMENT, MILO, PROGRAM, alone, call, errand, folder, get, milo, newest_call, recording, stop,
};
use milo::{
    bench::Running,
    error::Error,
    phone::{Errand, Phone, Report},
    press::PressBy,
};
use milo_media::wav;
use serde_json::Value;
use tokio::{runtime::Handle, time::sleep};

/// A plan for the number of its name.
fn plan(name: &str, verbs: &str) -> String {
    format!(
        "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {verbs}, {{ hangup = {{}} }}]\n"
    )
}

/// A Milo with these plans, in a folder of its own.
async fn with_plans(name: &str, plans: &str) -> Running {
    let at = folder(&format!("{name}-plans"));
    fs::write(at.join("plans.toml"), [MILO, plans].concat()).expect("a temporary folder");
    let path = at.to_string_lossy().into_owned();
    milo(name, &[("MILO__DIALPLANS__PATH", path.as_str()), ("MILO__RECORDING__PATH", path.as_str())]).await
}

/// Calls a number, presses keys after what is said first, and stays until Milo hangs up.
async fn pressing(milo: &Running, number: &str, keys: &str) -> (Report, Value) {
    let target = milo.udp(number).expect("an address");
    let digits = (!keys.is_empty()).then(|| (keys.to_owned(), PressBy::Agreed));
    let report = call(&Errand { digits, wait: true, ..errand(target, &[]) }).await;
    (report, newest_call(milo).await)
}

/// Calls a number without waiting for a greeting, and stays until Milo hangs up.
async fn waiting(milo: &Running, number: &str) -> (Report, Value) {
    let target = milo.udp(number).expect("an address");
    let report = call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    (report, newest_call(milo).await)
}

fn events<'a>(call: &'a Value, kind: &str) -> Vec<&'a Value> {
    let events = call["events"].as_array().expect("events").iter();
    events.filter(|event| event["kind"] == kind).map(|event| &event["detail"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_are_gathered_into_a_variable_and_asked_for_again() {
    let ask = "prompt = { say = 'Ampidiro ny laharana' }, invalid = { say = 'Diso' }";
    let gather = |more: &str| format!("{{ gather = {{ into = 'code', min = 3, {ask}{more} }} }}");
    let plans = [
        plan("code", &format!("{}, {{ send_digits = {{ digits = '{{{{code}}}}#' }} }}", gather(", max = 4"))),
        plan("none", &gather(", first_seconds = 1, retries = 1, failed = 'failed'")),
        plan("failed", "{ send_digits = { digits = '9' } }"),
        plan(
            "ahead",
            &format!(
                "{{ wait = {{ seconds = 4 }} }}, {{ gather = {{ into = 'code', min = 2, max = 2, retries = 1, first_seconds = 2, \
                 failed = 'failed', prompt = {{ say = '{}' }} }} }}, {{ send_digits = {{ digits = '{{{{code}}}}#' }} }}",
                "Ampidiro ny laharana azafady tompoko. ".repeat(6)
            ),
        ),
    ];
    let milo = with_plans("plans-gather", &plans.concat()).await;
    // Whoever knows what comes presses before they are asked, and is not asked; what is left of a wrong try is no part of the next.
    for (keys, pressed) in [("42", "42#"), ("1#95", "9")] {
        let target = milo.udp("ahead").expect("an address");
        let digits = Some((keys.to_owned(), PressBy::Agreed));
        let report = call(&Errand { digits, wait: true, no_greeting: true, ..errand(target, &[]) }).await;
        assert_eq!(report.keys, pressed, "{keys}: {report}");
        assert!(keys != "42" || report.duration_s < 9.0, "the prompt takes longer than that: {report}");
    }
    // The terminator, then the most that are taken: the fifth key is no part of it.
    for (keys, pressed) in [("123#", "123#"), ("56789", "5678#"), ("1#246#", "246#")] {
        let (report, logged) = pressing(&milo, "code", keys).await;
        assert!(report.greeting.is_some(), "it asks: {report}");
        assert_eq!(report.keys, pressed, "{keys}: {logged}");
    }
    let logged = newest_call(&milo).await;
    let tries: Vec<_> = events(&logged, "gathered").iter().map(|gathered| gathered["right"].clone()).collect();
    assert_eq!(tries, [false, true], "{logged}");
    let (report, logged) = waiting(&milo, "none").await;
    assert_eq!((report.keys.as_str(), events(&logged, "gathered").len()), ("9", 2), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_gathered_and_mean_something() {
    let ask = "prompt = { say = 'Lazao' }, invalid = { say = 'Diso' }, retries = 0, transcript = 'words', confidence = 'sure'";
    let gather = |more: &str| format!("{{ gather = {{ into = 'it', {ask}, {more} }} }}");
    let press = "{ send_digits = { digits = '{{it}}#{{sure}}#' } }";
    let plans = [
        // They speak for longer than the first word may take.
        plan("hour", &format!("{}, {press}", gather("input = 'speech', kind = 'number', first_seconds = 4"))),
        plan("either", &format!("{}, {press}", gather("input = 'both', kind = 'digits', min = 2, max = 3"))),
        plan(
            "day",
            &format!(
                "{}, {{ menu = {{ prompt = {{ say = 'Inona' }}, words = {{ 1 = ['tapakila', 'billet'], 2 = ['talata'] }}, \
                 keys = {{ 1 = [{{ send_digits = {{ digits = '11' }} }}], 2 = [{{ send_digits = {{ digits = '22' }} }}] }} }} }}",
                gather("input = 'speech', kind = 'choice', choices = ['alarobia', 'talata']")
            ),
        ),
        plan("sure", &gather("input = 'speech', min_confidence = 100, failed = 'failed'")),
        plan("failed", "{ send_digits = { digits = '99' } }"),
        plan("silent", &gather("input = 'speech', first_seconds = 2, failed = 'failed'")),
        plan(
            "long",
            &format!(
                "{{ gather = {{ into = 'it', input = 'speech', kind = 'number', prompt = {{ say = '{}' }} }} }}, {press}",
                "Manao ahoana tompoko. ".repeat(40)
            ),
        ),
    ];
    let milo = with_plans("plans-words", &plans.concat()).await;
    let speaking = async |number: &str, recordings: &[&str]| {
        let target = milo.udp(number).expect("an address");
        let report = call(&Errand { wait: true, ..errand(target, recordings) }).await;
        (report, newest_call(&milo).await)
    };
    // "… amin'ny sivy ora maraina": the hour that was said, and how sure it is.
    let (report, logged) = speaking("hour", &["mg_appointment.wav"]).await;
    let gathered = events(&logged, "gathered")[0];
    assert_eq!((&gathered["heard"], &gathered["language"]), (&MG_APPOINTMENT.0.into(), &"mg".into()), "{logged}");
    let sure = gathered["confidence"].as_u64().expect("percent");
    assert!((30..=100).contains(&sure), "{logged}");
    assert_eq!(report.keys, format!("9#{sure}#"), "{logged}");
    // Where either is taken, keys are kept as they are; words without enough digits are not right.
    let (report, logged) = pressing(&milo, "either", "417").await;
    assert_eq!(report.keys, "417#100#", "{logged}");
    let (_, logged) = speaking("either", &["mg_appointment.wav"]).await;
    assert_eq!(events(&logged, "gathered")[0]["right"], false, "{logged}");
    // One of several words, and then a menu whose keys have words.
    let (report, logged) = speaking("day", &["mg_appointment.wav", "mg_price.wav"]).await;
    assert_eq!((report.keys.as_str(), &events(&logged, "chosen")[0]["key"]), ("11", &"1".into()), "{logged}");
    assert_eq!(events(&logged, "gathered")[0]["right"], true, "{logged}");
    // A minute of words, into which the caller speaks: it is heard, and ends them.
    let target = milo.udp("long").expect("an address");
    let record = milo.folder().join("long.wav");
    let over = Errand {
        wait: true,
        no_greeting: true,
        record: Some(record.clone()),
        ..errand(target, &["mg_appointment.wav"])
    };
    let report = call(&over).await;
    assert!(report.keys.starts_with('9') && report.duration_s < 40.0, "{report}");
    // Once it is sure that they speak it is silent, long before the five seconds that they take.
    let heard = wav::read(&record).expect("what was heard");
    let last = heard.iter().rposition(|sample| sample.unsigned_abs() > 1_000).expect("its voice");
    assert!(last < 3 * 16_000, "the voice went on for {} ms", last / 16);
    // Two who speak at once, of whose words nobody can be so sure, and none at all.
    let [one, other] = ["fr_hours.wav", "mg_price.wav"].map(|name| wav::read(&recording(name)).expect("a recording"));
    let both: Vec<i16> = one.iter().zip(&other).map(|(one, other)| one / 2 + other / 2).collect();
    let at_once = milo.folder().join("both.wav");
    wav::write(&at_once, &both).expect("a WAV file");
    for (number, play) in [("sure", vec![at_once]), ("silent", Vec::new())] {
        let target = milo.udp(number).expect("an address");
        let report = call(&Errand { wait: true, play, ..errand(target, &[]) }).await;
        let logged = newest_call(&milo).await;
        assert_eq!(report.keys, "99", "{number}: {logged}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_leads_where_its_keys_say() {
    let menu = "{ menu = { prompt = { say = 'Tsindrio iray na roa' }, seconds = 3, retries = 1, \
                keys = { 1 = [{ send_digits = { digits = '11' } }], 2 = [{ goto = 'second' }], 3 = [{ hangup = {} }] }, \
                otherwise = [{ send_digits = { digits = '0' } }] } }";
    let plans = [
        plan("menu", &format!("{menu}, {{ send_digits = {{ digits = '#' }} }}")),
        plan("second", "{ send_digits = { digits = '22' } }"),
    ];
    let milo = with_plans("plans-menu", &plans.concat()).await;
    // After the block of a key the plan goes on; goto does not come back; hangup ends it; a wrong key is asked again.
    for (keys, pressed) in [("1", "11#"), ("2", "22"), ("3", ""), ("71", "11#"), ("77", "0#"), ("", "0#")] {
        let (report, logged) = pressing(&milo, "menu", keys).await;
        assert_eq!(report.keys, pressed, "{keys:?}: {logged}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn say_set_repeat_and_wait() {
    let plans = [
        plan(
            "again",
            "{ set = { one = '5', other = '1{{caller}}' } }, { repeat = { times = 3, actions = [{ send_digits = { digits = '{{one}}' } }] } }",
        ),
        plan("pause", "{ wait = { seconds = 3 } }, { send_digits = { digits = '7' } }"),
        plan("who", "{ set = { who = '{{called}}' } }, { say = { text = 'Manao ahoana {{who}}', language = 'fr' } }"),
        plan(
            "long",
            &format!(
                "{{ say = {{ text = '{}', interruptible = true }} }}, {{ gather = {{ into = 'key', max = 1 }} }}, {{ send_digits = {{ digits = '{{{{key}}}}' }} }}",
                "Manao ahoana tompoko. ".repeat(20)
            ),
        ),
    ];
    let milo = with_plans("plans-say", &plans.concat()).await;
    assert_eq!(waiting(&milo, "again").await.0.keys, "555");
    let (report, _) = waiting(&milo, "pause").await;
    assert!(report.keys == "7" && report.duration_s > 3.0, "{report}");
    let (report, logged) = pressing(&milo, "who", "").await;
    assert!(report.greeting.as_ref().is_some_and(|said| said.lasted_ms > 500.0), "{report}");
    let said = events(&logged, "verb").into_iter().find(|verb| !verb["say"].is_null());
    assert_eq!(said.expect("a verb")["say"]["text"], "Manao ahoana {{who}}", "values stay out of the log: {logged}");
    // A key ends half a minute of words, and is the key that is asked for next.
    let target = milo.udp("long").expect("an address");
    let digits = Some(("4".to_owned(), PressBy::Agreed));
    let report = call(&Errand { digits, wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    assert!(report.keys == "4" && report.duration_s < 12.0, "{report}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_taken_after_a_beep() {
    let plans = [
        plan("note", "{ record = { silence_seconds = 2 } }, { send_digits = { digits = '8' } }"),
        plan("key", "{ record = { ends = '*', beep = false } }, { send_digits = { digits = '8' } }"),
        plan("mail", "{ voicemail = { greeting = { say = 'Avelao ny hafatrao' }, message = { seconds = 2 } } }"),
    ];
    let milo = with_plans("plans-message", &plans.concat()).await;
    let message =
        |logged: &Value, kind: &str| events(logged, kind).first().map(|told| (*told).clone()).unwrap_or_default();

    let target = milo.udp("note").expect("an address");
    let report = call(&Errand { wait: true, ..errand(target, &["mg_hours.wav"]) }).await;
    assert!(report.greeting.as_ref().is_some_and(|beep| (300.0..600.0).contains(&beep.lasted_ms)), "a beep: {report}");
    let logged = newest_call(&milo).await;
    let told = message(&logged, "message");
    assert_eq!((&told["ended"], report.keys.as_str()), (&"silence".into(), "8"), "{logged}");
    let folder = milo_folder(&logged, &milo);
    let file = Path::new(&folder).join(told["file"].as_str().expect("a file"));
    assert!(fs::metadata(&file).is_ok_and(|about| about.len() > 4_000), "{}", file.display());

    let target = milo.udp("key").expect("an address");
    let digits = Some(("1*".to_owned(), PressBy::Agreed));
    let report = call(&Errand { digits, wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let logged = newest_call(&milo).await;
    assert_eq!((&message(&logged, "message")["ended"], report.keys.as_str()), (&"key".into(), "8"), "{logged}");

    let (report, logged) = pressing(&milo, "mail", "").await;
    let told = message(&logged, "voicemail");
    assert!(report.greeting.is_some() && told["ended"] == "time", "{logged}");
    assert!(told["ms"].as_u64().is_some_and(|ms| (1_900..2_500).contains(&ms)), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_announced_and_without_room_for_it_the_plan_goes_on() {
    let note = plan("note", "{ record = { beep = false } }, { send_digits = { digits = '8' } }");
    let at = folder("plans-no-room-plans");
    fs::write(at.join("plans.toml"), [MILO, &note].concat()).expect("a temporary folder");
    let (plans, file) = (at.display().to_string(), at.join("plans.toml").display().to_string());
    let variables = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__RECORDING__PATH", &file),
        ("MILO__RECORDING__ANNOUNCEMENT", "Voarakitra ity antso ity."),
    ];
    let milo = milo("plans-no-room", &variables).await;
    let (report, logged) = pressing(&milo, "note", "").await;
    assert_eq!((report.keys.as_str(), &events(&logged, "message")[0]["ended"]), ("8", &"failed".into()), "{logged}");
    let told = report.greeting.expect("the announcement").lasted_ms;
    assert!(told > 800.0 && report.duration_s < 20.0, "{told} ms: {logged}");
    stop(milo).await;
}

/// The folder of recordings, which these scenarios share with the plans.
fn milo_folder(logged: &Value, milo: &Running) -> String {
    assert!(!logged["recording"].is_null(), "the row names the recording: {logged}");
    get(milo, "/api/v1/dialplans")["folder"].as_str().expect("a folder").to_owned()
}

/// What a caller written out by hand is answered: the final response to an INVITE with these header fields.
fn answer(milo: &Running, number: &str, headers: &str) -> String {
    let address = milo.udp(number).expect("an address").to_string();
    let milo = address.split(['@', ';']).nth(1).expect("host and port").to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let (at, mark) = (socket.local_addr().expect("an address"), unique());
    let invite = format!(
        "INVITE sip:{number}@{milo} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{mark}\r\nMax-Forwards: 70\r\n\
         From: <sip:0341234567@{at}>;tag=hand\r\nTo: <sip:{number}@{milo}>\r\nCall-ID: {mark}@{at}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:hand@{at}>\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    socket.send_to(invite.as_bytes(), &milo).expect("sent");
    let mut datagram = [0; 4_096];
    loop {
        let length = socket.recv(&mut datagram).expect("an answer within ten seconds");
        let answer = String::from_utf8_lossy(&datagram[..length]).into_owned();
        if !answer.starts_with("SIP/2.0 1") {
            return answer;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_sent_elsewhere_by_its_headers() {
    let text = "
[[plan]]
name = 'sales'
number = '02*'
headers = { X-Queue = 'sales-*' }
language = 'mg'
actions = [{ redirect = { to = 'sip:{{header.x-office}}@192.0.2.7' } }]

[[plan]]
name = 'night'
number = '02*'
hours = [{ from = '00:00', to = '00:01' }, { from = '00:01', to = '24:00' }]
language = 'mg'
actions = [{ reject = { status = 480 } }]
";
    let milo = with_plans("plans-redirect", text).await;
    let sent = answer(&milo, "020", "X-Queue: sales-1\r\nX-Office: 7001\r\n");
    assert!(sent.starts_with("SIP/2.0 302 ") && sent.contains("Contact: <sip:7001@192.0.2.7>"), "{sent}");
    assert_eq!(newest_call(&milo).await["dialplan"], "sales");
    let evil = answer(&milo, "021", "X-Queue: sales-1\r\nX-Office: 7001@evil.example;x=\r\n");
    assert!(evil.starts_with("SIP/2.0 404 ") && !evil.contains("evil"), "{evil}");
    assert!(answer(&milo, "022", "X-Queue: help\r\n").starts_with("SIP/2.0 480 "));
    // Our own telephone hears it as a refusal with 302.
    let target = milo.udp("milo").expect("an address");
    let phone = Phone::new(&target, None, Handle::current()).expect("a telephone");
    let refused = phone.call(&errand(milo.udp("023").expect("an address"), &[])).await;
    assert!(matches!(refused, Err(Error::Refused { code: 480, .. })));
    phone.shutdown().await;
    stop(milo).await;
}

/// Waits until the plans are of this edition, or of faults when it is `None`.
async fn edition(milo: &Running, number: Option<u64>) -> Value {
    for _ in 0..100 {
        let list = get(milo, "/api/v1/dialplans");
        let wrong = list["faults"].as_array().is_some_and(|faults| !faults.is_empty());
        if number.map_or(wrong, |number| list["edition"].as_u64() >= Some(number) && !wrong) {
            return list;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no edition {number:?} within ten seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_change_under_live_calls() {
    let old = plan("number", "{ wait = { seconds = 10 } }, { goto = 'other' }")
        + &plan("other", "{ send_digits = { digits = '1' } }");
    let milo = with_plans("plans-reload", &old).await;
    let file = Path::new(get(&milo, "/api/v1/dialplans")["folder"].as_str().expect("a folder")).join("plans.toml");
    let target = milo.udp("number").expect("an address");
    let live =
        tokio::spawn(async move { call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await });
    sleep(Duration::from_secs(1)).await;

    // A file that is wrong is named, in the list and in the health, and changes nothing.
    fs::write(&file, [MILO, &plan("number", "{ juggle = {} }")].concat()).expect("written");
    let list = edition(&milo, None).await;
    assert_eq!((&list["edition"], &list["faults"][0]["line"]), (&1.into(), &11.into()), "{list}");
    let health = get(&milo, "/api/v1/health");
    assert!(
        health["degraded"][0].as_str().is_some_and(|told| told.contains("line 11") && told.contains("juggle")),
        "{health}"
    );

    // One that is right is in force for the next call, seen by itself; SIGHUP reads the files whether they changed or not.
    fs::write(&file, [MILO, &plan("number", "{ send_digits = { digits = '2' } }")].concat()).expect("written");
    let now = edition(&milo, Some(2)).await["edition"].as_u64().expect("a number");
    assert_eq!(waiting(&milo, "number").await.0.keys, "2");
    milo.signal("HUP").await.expect("sent");
    edition(&milo, Some(now + 1)).await;
    assert_eq!(get(&milo, "/api/v1/health")["degraded"], Value::Array(Vec::new()));

    // The call that was up goes on with the plan it began with, through a goto to one that is gone.
    let report = live.await.expect("a call");
    assert_eq!(report.keys, "1", "{report}");
    stop(milo).await;
}

#[test]
fn the_command_line_checks_and_explains() {
    let folder = folder("plans-command");
    let plans = folder.join("plans");
    fs::create_dir_all(&plans).expect("a folder");
    let text = "[[plan]]\nname = 'day'\nnumber = '02*'\nfrom = '+261*'\ntrunk = 'orange'\nlanguage = 'mg'\n\
                hours = [{ days = ['mon-fri'], from = '08:00', to = '17:00' }]\nactions = [{ answer = {} }, { echo = {} }]\n";
    fs::write(plans.join("a.toml"), text).expect("written");
    let run = |arguments: &[&str]| {
        let output = alone(PROGRAM, &folder).args(["dialplan"]).args(arguments).arg(&plans).output().expect("a run");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let call = ["test", "--from", "+26134", "--to", "0201", "--trunk", "orange", "--at"];
    let (found, told) = run(&[&call[..], &["2026-11-30T09:00:00+03:00"]].concat());
    assert!(found && told.contains("\"day\"") && told.contains("runs"), "{told}");
    let (found, told) = run(&[&call[..], &["2026-11-30T17:00:00+03:00"]].concat());
    assert!(!found && told.contains("mon 2026-11-30 17:00 is outside its hours") && told.contains("404"), "{told}");
    let (right, told) = run(&["check"]);
    assert!(right && told.contains("1 plans"), "{told}");
    fs::write(plans.join("b.toml"), text.replace("answer", "anser").replace("17:00", "25:00")).expect("written");
    let (right, told) = run(&["check"]);
    assert!(!right && told.contains("b.toml, line 8: ") && told.contains("b.toml, line 7: "), "{told}");
    // What plans name of the configuration, and sounds, which are decoded.
    let names = "[[plan]]\nname = 'names'\nnumber = '1'\nlanguage = 'mg'\nactions = [\n  { answer = {} },\n\
                 { dial = { to = '0201', trunk = 'orange' } },\n{ transfer = { account = 'rina' } },\n\
                 { queue = { name = 'a', accounts = ['koto'] } },\n{ bridge = { queue = 'b' } },\n\
                 { webhook = { url = 'https://crm.example.com/' } },\n{ play = 'noise.wav' },\n\
                 { converse = { persona = 'nobody' } },\n]\n";
    fs::write(plans.join("noise.wav"), "no sound at all").expect("written");
    fs::write(plans.join("b.toml"), names).expect("written");
    let (right, told) = run(&["check"]);
    for (line, fault) in [
        (7, "dial: trunk: \"orange\" is not the name"),
        (8, "transfer: account: \"rina\" is no account"),
        (9, "queue: accounts: \"koto\" is no account"),
        (10, "bridge: queue: no plan has a queue \"b\"; known: a"),
        (11, "webhook: url: \"crm.example.com\" is not one of [webhook] hosts"),
        (12, "play: \"noise.wav\": "),
        (13, "converse: no persona \"nobody\""),
    ] {
        let fault = format!("b.toml, line {line}: plan \"names\": {fault}");
        assert!(!right && told.contains(&fault), "{told}\n  lacks {fault}");
    }
    let (_, told) = run(&["test", "--to", "1", "--at", "noon"]);
    assert!(told.contains("no moment"), "{told}");
    fs::remove_dir_all(&folder).ok();
}
