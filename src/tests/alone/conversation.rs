//! Whole conversations over real SIP and RTP with the shipped models, on the committed recordings.

use std::process::Command;

use crate::house::{
    FR_HOURS, MG_APPOINTMENT, MG_GOODBYE, MG_HOURS, PROGRAM, alone, answered, assert_turn, call, errand, events, get,
    loud, milo, newest_call, recording, stop, wrong_words,
};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn three_turns_in_malagasy_until_the_goodbye() {
    let milo = milo("malagasy", &[]).await;
    let mut errand =
        errand(milo.udp("milo").expect("an address"), &["mg_hours.wav", "mg_appointment.wav", "mg_goodbye.wav"]);
    errand.wait = true;
    let report = call(&errand).await;
    assert!(report.greeting.is_some_and(|greeting| greeting.lasted_ms > 1_000.0));
    assert!(report.turns.iter().all(|turn| !turn.spoke_early && turn.reply.is_some()), "{:?}", report.turns);
    assert!(report.ended_by.starts_with("the far side"), "{}", report.ended_by);

    let logged = newest_call(&milo).await;
    assert_eq!(logged["hangup_by"], "milo", "{logged}");
    assert_eq!(logged["dialplan"], "assistant");
    let turns = answered(&logged);
    assert_eq!(turns.len(), 3, "{logged}");
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_turn(turns[1], "mg", MG_APPOINTMENT.0, MG_APPOINTMENT.1);
    assert_turn(turns[2], "mg", MG_GOODBYE.0, MG_GOODBYE.1);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_french_caller_is_answered_in_french_over_tcp() {
    let milo = milo("french", &[]).await;
    call(&errand(milo.tcp("milo").expect("an address"), &["fr_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    assert_eq!((&logged["language"], &logged["hangup_by"]), (&"fr".into(), &"caller".into()), "{logged}");
    assert_turn(answered(&logged)[0], "fr", FR_HOURS.0, FR_HOURS.1);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_silences_the_voice_and_only_what_was_heard_is_remembered() {
    let milo = milo("interruption", &[]).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    errand.interrupt = Some(recording("mg_barge.wav"));
    let report = call(&errand).await;
    let stop_ms = report.turns[1].barge_stop_ms.expect("the voice stopped");
    // 200 ms are Milo's own; packets of 20 ms each way and the jitter buffers add up to 60 ms at the telephone.
    assert!(stop_ms < 260.0, "silent after {stop_ms} ms only");

    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns[0]["interrupted"], true, "{logged}");
    let (said, heard) = (turns[0]["said"].as_str().expect("said"), turns[0]["said_heard"].as_str().expect("heard"));
    assert!(heard.ends_with('—') && heard.len() < said.len(), "said {said:?}, heard {heard:?}");
    assert!(said.starts_with(heard.trim_end_matches('—').trim_end()), "said {said:?}, heard {heard:?}");
    assert_eq!(turns.len(), 2, "the interruption is answered: {logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_in_the_middle_of_a_reply_keeps_the_turn() {
    let milo = milo("hang-up", &[]).await;
    let errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    // The greeting takes five seconds, the question three, the reply five: this is in the middle of the reply.
    let cut = tokio::time::timeout(std::time::Duration::from_millis(11_500), call(&errand)).await;
    assert!(cut.is_err(), "the call was over already: {cut:?}");
    let logged = newest_call(&milo).await;
    assert_eq!(logged["hangup_by"], "caller", "{logged}");
    let turns = answered(&logged);
    assert_eq!(turns.len(), 1, "{logged}");
    let heard = turns[0]["heard"].as_str().unwrap_or_default();
    assert!(wrong_words(MG_HOURS.0, heard) <= 2, "{heard:?}");
    assert!(turns[0]["said_heard"].as_str().is_some_and(|heard| heard.ends_with('—')), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_caller_is_asked_and_then_left() {
    let rhythm = [("MILO__CONVERSATION__SILENCE_PROMPT_S", "2"), ("MILO__CONVERSATION__SILENCE_HANGUP_S", "4")];
    let milo = milo("silence", &rhythm).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &[]);
    errand.wait = true;
    let report = call(&errand).await;
    assert!(report.ended_by.starts_with("the far side"), "{}", report.ended_by);
    let logged = newest_call(&milo).await;
    assert_eq!(logged["end_reason"], "the caller was silent", "{logged}");
    assert_eq!(logged["turns"].as_array().map(Vec::len), Some(3), "greeting, question, goodbye: {logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_call_ends_with_a_goodbye() {
    let milo = milo("longest", &[("MILO__LIMITS__CALL_SECONDS", "7")]).await;
    // One whose agent says it, and one who hears music.
    for number in ["milo", "music"] {
        let mut errand = errand(milo.udp(number).expect("an address"), &[]);
        errand.wait = true;
        call(&errand).await;
        let logged = newest_call(&milo).await;
        assert_eq!(logged["end_reason"], "the longest call was reached", "{logged}");
        let said = logged["turns"].to_string().contains("Veloma");
        let heard = events(&logged, "goodbye").iter().any(|goodbye| goodbye["heard"] == true);
        assert_eq!((said, heard), if number == "milo" { (true, false) } else { (false, true) }, "{logged}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_telephone_in_the_terminal_reports_what_it_heard() {
    let milo = milo("terminal", &[]).await;
    let record = milo.folder().join("reply.wav");
    let target = milo.udp("milo").expect("an address").to_string();
    let output = alone(PROGRAM, milo.folder())
        .args(["call", &target, "--json", "--play"])
        .arg(recording("mg_price.wav"))
        .arg("--record")
        .arg(&record)
        .output()
        .expect("milo call");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let turn = &report["turns"][0];
    assert!(turn["wire_ms"].as_f64().is_some_and(|wait| wait > 0.0), "{report}");
    assert!(turn["reply"]["understood"].is_string(), "{report}");
    let heard = milo_media::wav::read(&record).expect("the recording is a WAV file");
    assert!(heard.len() > 16_000, "{} samples", heard.len());
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_numbers_answer_as_the_dialplan_says() {
    let milo = milo("numbers", &[]).await;
    let mut echo = errand(milo.udp("echo").expect("an address"), &["mg_hours.wav"]);
    echo.no_greeting = true;
    let echo = call(&echo).await;
    assert!(echo.turns[0].spoke_early, "an echo comes back while one speaks: {:?}", echo.turns);

    // The music goes on for two minutes: Ctrl-C hangs up, and keeps what was heard.
    let music = milo.folder().join("music.wav");
    let listened = alone("timeout", milo.folder())
        .args(["--preserve-status", "--signal=INT", "4", PROGRAM, "call", "--no-transcript", "--no-greeting", "--wait"])
        .arg("--record")
        .arg(&music)
        .arg(milo.udp("music").expect("an address").to_string())
        .output()
        .expect("milo call");
    assert!(listened.status.success(), "{}", String::from_utf8_lossy(&listened.stderr));
    let heard = milo_media::wav::read(&music).expect("the recording is a WAV file");
    assert!(heard.len() > 2 * 16_000 && loud(&heard) > 16_000, "{} of {} samples are loud", loud(&heard), heard.len());
    assert_eq!(newest_call(&milo).await["hangup_by"], "caller");

    let unknown = alone(PROGRAM, milo.folder())
        .args(["call", "--no-transcript", &milo.udp("nobody").expect("an address").to_string()])
        .output()
        .expect("milo call");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("404"), "{}", String::from_utf8_lossy(&unknown.stderr));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_ip_are_heard_and_answered_by_one_milo() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return crate::house::not_looked_at("calls over IPv6: this machine has none");
    }
    for listeners in ["[\"127.0.0.1:0\", \"[::1]:0\"]", "[\"0.0.0.0:0\", \"[::]:0\"]", "[::]:0"] {
        let milo = milo("versions", &[("MILO__SIP__UDP", listeners)]).await;
        let health = get(&milo, "/api/v1/health");
        let dial = health["dial"].as_array().expect("numbers").iter().filter_map(|dial| dial["uri"].as_str());
        let mut echo: Vec<_> =
            dial.filter(|uri| uri.contains("echo@") && !uri.contains("tcp")).map(str::to_owned).collect();
        if let [only] = &echo[..] {
            echo.push(only.replace("[::1]", "127.0.0.1"));
        }
        assert_eq!(echo.len(), 2, "{health}");
        for uri in echo {
            assert!(!uri.contains("0.0.0.0") && !uri.contains("[::]"), "{uri} cannot be dialled");
            let mut errand = errand(uri.parse().expect("a SIP address"), &["mg_price.wav"]);
            errand.no_greeting = true;
            let report = call(&errand).await;
            assert!(report.turns[0].spoke_early, "no echo from {uri} of {listeners}: {report:?}");
        }
        stop(milo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_move_with_a_call() {
    let milo = milo("seen", &[]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    newest_call(&milo).await;
    let health = get(&milo, "/api/v1/health");
    assert_eq!(health["status"], "healthy", "{health}");
    let metrics = Command::new("curl").args(["--silent", "--fail", &format!("{}metrics", milo.http)]).output();
    let metrics = String::from_utf8(metrics.expect("curl").stdout).expect("text");
    for line in ["milo_calls_total", "milo_turns_total", "milo_stage_seconds"] {
        let moved = metrics.lines().any(|text| {
            text.starts_with(line) && text.rsplit(' ').next().and_then(|n| n.parse().ok()).is_some_and(|n: f64| n > 0.0)
        });
        assert!(moved, "{line} did not move:\n{metrics}");
    }
    stop(milo).await;
}
