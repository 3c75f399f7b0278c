//! The wire of WHIP (RFC 9725): what is answered to whom, what is refused and how, and that nothing is left of any of it.

#![allow(unreachable_pub, reason = "some of it is for the scenarios beside it")]

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use milo::bench::Running;
use milo_media::codec::OPUS;
use serde_json::{Value, json};
use tokio::time::sleep;
use webrtc::peer_connection::RTCPeerConnectionState;

use crate::{
    browser::Browser,
    house::{MILO, get, metric, milo, send, stop, with_plans, with_plans_and},
    web_page::quiet,
};

const SDP: &str = "Content-Type: application/sdp";
const FRAGMENT: &str = "Content-Type: application/trickle-ice-sdpfrag";
pub const WHIP: &str = "/api/v1/webrtc";

/// An answer: status, header fields as they came, body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// The name of a problem.
    fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        problem["code"].as_str().expect("a word").to_owned()
    }

    /// The sentence of a problem.
    pub fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], self.status);
        problem["detail"].as_str().expect("a sentence").to_owned()
    }
}

/// Any request, with curl.
fn ask(milo: &Running, (method, path): (&str, &str), headers: &[&str], body: &str) -> Answer {
    let url = format!("{}{path}", milo.http.trim_end_matches('/'));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--include", "--max-time", "10", "--request", method, &url, "--header", "Expect:"]);
    curl.args(headers.iter().flat_map(|header| ["--header", header]));
    if !body.is_empty() {
        curl.args(["--data-binary", "@-"]);
    }
    let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl");
    // Whoever is refused reads no more.
    curl.stdin.take().expect("it is piped").write_all(body.as_bytes()).ok();
    let answer = curl.wait_with_output().expect("curl");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {}", answer.status));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub fn post(milo: &Running, offer: &str) -> Answer {
    ask(milo, ("POST", WHIP), &[SDP], offer)
}

/// A browser whose call is up, and the answer that it got.
async fn call(milo: &Running, talks: bool) -> (Browser, Answer) {
    let mut browser = Browser::open(&OPUS, talks).await;
    let answer = post(milo, &browser.offer().await);
    assert_eq!(answer.status, 201, "{answer:?}");
    browser.take(&answer.body).await;
    browser.reaches(RTCPeerConnectionState::Connected).await;
    (browser, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_cannot_be_taken_are_told_why_and_leave_nothing() {
    let milo = with_plans("whip-offers", "").await;
    let mut browser = Browser::open(&OPUS, true).await;
    let offer = browser.offer().await;
    let (head, audio) = offer.split_once("m=audio").expect("audio");
    let (audio, data) = audio.split_once("m=application").expect("data");
    let audio = format!("m=audio{audio}");
    let with =
        |changes: &[(&str, &str)]| changes.iter().fold(offer.clone(), |offer, (old, new)| offer.replace(old, new));
    let cut = &offer[..offer.len().min(150)];
    let candidates = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(2_000);
    for (what, offer, status, why) in [
        ("no body", String::new(), 400, "no session description"),
        ("no SDP", "hello".into(), 400, "does not begin with v=0"),
        ("JSON", "{\"type\":\"offer\",\"sdp\":\"v=0\"}".into(), 400, "does not begin with v=0"),
        ("a malformed line", with(&[("m=audio", "m=")]), 400, "malformed"),
        ("64 kB and more", offer.clone() + &candidates, 413, "64 kB"),
        (
            "video only",
            head.to_owned() + &audio.replace("m=audio", "m=video").replace("opus", "VP8"),
            422,
            "no audio stream",
        ),
        ("data only", format!("{head}m=application{data}"), 422, "no audio stream"),
        ("an unknown codec", with(&[("opus/48000", "speex/48000")]), 422, "no codec that is spoken here"),
        ("one way", with(&[("a=sendrecv", "a=sendonly")]), 422, "a=sendrecv"),
        ("plain RTP", with(&[("UDP/TLS/RTP/SAVPF", "RTP/AVP")]), 422, "not secured as WebRTC is"),
        ("no fingerprint", with(&[("a=fingerprint", "a=fingerprint-of-nobody")]), 422, "a=fingerprint"),
        ("no ICE", with(&[("a=ice-ufrag", "a=no-ufrag")]), 422, "a=ice-ufrag"),
        ("cut short", cut.into(), 422, "no audio stream"),
    ] {
        let answer = post(&milo, &offer);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let says = answer.detail();
        assert!(says.contains(why), "{what}: {says}");
        assert_eq!(answer.code() == "webrtc_refused", status == 422, "pages take another way then: {what}: {answer:?}");
        assert!(answer.header("location").is_empty());
    }
    let wrong_type = ask(&milo, ("POST", WHIP), &["Content-Type: application/json"], &offer);
    assert!(wrong_type.status == 415 && wrong_type.detail().contains("application/sdp"), "{wrong_type:?}");
    let accepts = ask(&milo, ("POST", WHIP), &[SDP, "Accept: application/json"], &offer);
    assert!(accepts.status == 406 && accepts.detail().contains("application/sdp"), "{accepts:?}");
    for path in ["/api/v1/webrtc?number=nobody", "/api/v1/webrtc?number="] {
        let nobody = ask(&milo, ("POST", path), &[SDP], &offer);
        assert!(nobody.status == 422 || nobody.status == 400, "{nobody:?}");
        assert_ne!(nobody.code(), "webrtc_refused", "another way leads nowhere either");
    }
    assert_eq!(ask(&milo, ("GET", WHIP), &[], "").status, 405);
    assert_eq!(get(&milo, "/api/v1/health")["live_calls"], 0);
    assert_eq!(get(&milo, "/api/v1/calls")["calls"], json!([]), "nobody has called");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_answered_as_the_rfc_says_and_changed_by_whoever_made_it() {
    let servers = [
        ("API_KEY", "0123456789abcdef"),
        ("MILO__WEBRTC__STUN", "[\"stun:127.0.0.1:9\"]"),
        ("MILO__WEBRTC__TURN", "[\"turn:turn.example:3478?transport=udp\"]"),
        ("MILO__WEBRTC__TURN_SECRET", "north"),
        ("MILO__WEBRTC__PUBLIC_ADDRESS", "127.0.0.1"),
        ("CORS_ORIGINS", "https://app.example"),
    ];
    let milo = with_plans_and("whip-answer", "", &servers).await;
    let (key, page) = ("Authorization: Bearer 0123456789abcdef", "Origin: https://app.example");
    let mut browser = Browser::open(&OPUS, false).await;
    let offer = browser.offer().await;
    let is_candidate = |line: &&str| line.starts_with("a=candidate");
    let bare: String = offer.lines().filter(|line| !is_candidate(line)).map(|line| format!("{line}\r\n")).collect();
    assert_eq!(post(&milo, &bare).status, 401);
    let answer = ask(&milo, ("POST", WHIP), &[SDP, key, page], &bare);
    assert_eq!((answer.status, answer.header("content-type")), (201, "application/sdp"), "{answer:?}");
    let (location, tag) = (answer.header("location"), answer.header("etag"));
    assert!(location.starts_with("/api/v1/webrtc/") && location.len() > 50, "{location}");
    assert!(tag.len() > 5 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let links = answer.all("link");
    assert_eq!(links[0], "<stun:127.0.0.1:9>; rel=\"ice-server\"");
    assert!(
        links[1].starts_with("<turn:turn.example:3478?transport=udp>; rel=\"ice-server\"; username=\"1"),
        "{links:?}"
    );
    assert!(links[1].ends_with("credential-type=\"password\""), "{links:?}");
    let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
    assert!(["location", "etag", "link"].iter().all(|name| exposed.contains(name)), "{exposed}");
    let before = ask(
        &milo,
        ("OPTIONS", location),
        &[page, "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: if-match,content-type"],
        "",
    );
    assert!(before.status < 300 && before.header("access-control-allow-headers").contains("if-match"), "{before:?}");

    // Candidates that come later.
    let candidates: String = offer.lines().filter(is_candidate).map(|line| format!("{line}\r\n")).collect();
    let matching = format!("If-Match: {tag}");
    let patch = |headers: &[&str], body: &str| ask(&milo, ("PATCH", location), headers, body);
    assert_eq!(patch(&[FRAGMENT, &matching], &candidates).status, 404, "without the key it is not there");
    assert_eq!(patch(&[FRAGMENT, &matching, "Authorization: Bearer wrong"], &candidates).status, 401);
    assert_eq!(patch(&[FRAGMENT, key], &candidates).status, 428);
    assert_eq!(patch(&[FRAGMENT, key, "If-Match: \"another\""], &candidates).status, 412);
    assert_eq!(patch(&[SDP, key, &matching], &candidates).status, 415);
    for (body, why) in [("hello", "line 1"), ("a=ice-ufrag:abcd\r\n", "go together"), ("a=mid:0\r\n", "no candidate")] {
        let wrong = patch(&[FRAGMENT, key, &matching], body);
        assert!(wrong.status == 400 && wrong.detail().contains(why), "{wrong:?}");
    }
    assert_eq!(patch(&[FRAGMENT, key, &matching], &"a=x\r\n".repeat(20_000)).status, 413);
    let tried = patch(&[FRAGMENT, key, &matching], &candidates);
    assert_eq!((tried.status, &*tried.body), (204, ""), "{tried:?}");
    browser.take(&answer.body).await;
    browser.reaches(RTCPeerConnectionState::Connected).await;

    // ICE begins anew, and the call is the same.
    let restarted = browser.restart().await;
    let mut lines: Vec<_> = restarted.lines().filter(|line| line.starts_with("a=ice-") || is_candidate(line)).collect();
    lines.dedup();
    let anew = patch(&[FRAGMENT, key, "If-Match: *"], &(lines.join("\r\n") + "\r\n"));
    assert_eq!((anew.status, anew.header("content-type")), (200, "application/trickle-ice-sdpfrag"), "{anew:?}");
    assert!(
        anew.header("etag") != tag && anew.body.contains("a=ice-ufrag:") && anew.body.contains("a=candidate:"),
        "{anew:?}"
    );
    assert_eq!(patch(&[FRAGMENT, key, &matching], &candidates).status, 412, "that session is over");
    let new = |name: &str| anew.body.lines().find(|line| line.starts_with(name)).expect("it is there").to_owned();
    let changed: String = answer
        .body
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name @ ("a=ice-ufrag" | "a=ice-pwd"), _)) => new(name) + "\r\n",
            _ => format!("{line}\r\n"),
        })
        .collect();
    browser.take(&changed).await;
    // Until the new way is found nothing passes; then it is the echo of before.
    for _ in 0..10 {
        browser.hum(50).await;
        let (packets, level) = browser.heard();
        if packets > 35 && level > -20.0 {
            break;
        }
    }
    browser.hum(50).await;
    let (packets, level) = browser.heard();
    assert!(packets > 25 && level > -20.0, "{packets} packets, {level} dBFS");

    assert_eq!(ask(&milo, ("DELETE", location), &[], "").status, 404);
    let calls = send(&milo, ("GET", "/api/v1/calls"), &[key], &Value::Null).body;
    assert!(calls["calls"][0]["ended"].is_null() && calls["calls"].as_array().map(Vec::len) == Some(1), "{calls}");
    assert_eq!(ask(&milo, ("DELETE", location), &[key], "").status, 200);
    for _ in 0..100 {
        if send(&milo, ("GET", "/api/v1/calls"), &[key], &Value::Null).body["calls"][0]["hangup_by"] == "caller" {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let calls = send(&milo, ("GET", "/api/v1/calls"), &[key], &Value::Null).body;
    assert_eq!(calls["calls"][0]["hangup_by"], "caller", "{calls}");
    assert_eq!(patch(&[FRAGMENT, key, "If-Match: *"], &candidates).status, 404);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_call_in_place_of_a_key() {
    let milo = with_plans_and("whip-ticket", "", &[("API_KEY", "0123456789abcdef")]).await;
    let key = "Authorization: Bearer 0123456789abcdef";
    let made = send(&milo, ("POST", "/api/v1/tickets"), &[key], &json!({ "for": "webrtc" }));
    let ticket = made.body["ticket"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();
    let mut browser = Browser::open(&OPUS, false).await;
    let offer = browser.offer().await;
    let path = format!("{WHIP}?ticket={ticket}");
    let answer = ask(&milo, ("POST", &path), &[SDP], &offer);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(ask(&milo, ("POST", &path), &[SDP], &offer).status, 401, "it is good once");
    browser.take(&answer.body).await;
    browser.reaches(RTCPeerConnectionState::Connected).await;
    assert_eq!(ask(&milo, ("OPTIONS", WHIP), &[], "").header("accept-post"), "application/sdp");
    let of_call = ask(&milo, ("OPTIONS", answer.header("location")), &[], "");
    assert_eq!(of_call.header("accept-patch"), "application/trickle-ice-sdpfrag");
    // Whoever has a ticket has no key: it knows the resource.
    assert_eq!(ask(&milo, ("DELETE", answer.header("location")), &[], "").status, 200);
    let talk = send(&milo, ("POST", "/api/v1/tickets"), &[key], &json!({ "for": "conversation" }));
    let path = format!("{WHIP}?ticket={}", talk.body["ticket"].as_str().expect("a ticket"));
    assert_eq!(ask(&milo, ("POST", &path), &[SDP], &offer).status, 401, "another's ticket");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_text_calls_milo_and_no_other_number() {
    let other = MILO.replace("'milo'", "'other'");
    let milo = with_plans_and("whip-number", &other, &[("API_KEY", "0123456789abcdef")]).await;
    let admin = "Authorization: Bearer 0123456789abcdef";
    let key = |scopes: &[&str]| {
        let wanted = json!({ "name": scopes.join(" "), "scopes": scopes, "tier": "enterprise" });
        let made = send(&milo, ("POST", "/api/v1/keys"), &[admin], &wanted);
        format!("Authorization: Bearer {}", made.body["key"].as_str().unwrap_or_else(|| panic!("{made:?}")))
    };
    let offer = Browser::open(&OPUS, false).await.offer().await;
    let path = format!("{WHIP}?number=other");
    let (text, calls, reads) = (key(&["text"]), key(&["text", "calls"]), key(&["read"]));
    for (path, key, status) in [(WHIP, &reads, 403), (WHIP, &text, 201), (&path, &text, 403), (&path, &calls, 201)] {
        let answer = ask(&milo, ("POST", path), &[SDP, key], &offer);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_from_browsers_can_be_switched_off() {
    let milo = milo("whip-off", &[("MILO__WEBRTC__ENABLED", "false")]).await;
    let mut browser = Browser::open(&OPUS, false).await;
    let answer = post(&milo, &browser.offer().await);
    assert!(answer.status == 404 && answer.detail().contains("[webrtc] enabled"), "{answer:?}");
    assert_eq!(answer.code(), "webrtc_off", "pages take another way then");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_says_so_by_a_name_that_pages_know() {
    let milo = milo("whip-full", &[("MILO__LIMITS__CALLS", "1")]).await;
    let (browser, first) = call(&milo, true).await;
    let mut other = Browser::open(&OPUS, false).await;
    let answer = post(&milo, &other.offer().await);
    assert_eq!((answer.status, answer.code().as_str()), (503, "lines_taken"), "{answer:?}");
    // A page's key may be of a Milo that was there before: where there is none, none is wrong.
    let before = "Authorization: Bearer session_of_before";
    assert_eq!(ask(&milo, ("DELETE", first.header("location")), &[before], "").status, 200);
    drop(browser);
    stop(milo).await;
}

/// `cargo test --release --workspace --test scenarios -- --ignored --nocapture whip::what_a_listening_call_costs`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints what a listening call costs"]
async fn what_a_listening_call_costs() {
    const CALLS: usize = 25;
    // Nobody is asked whether they are there.
    let patient = [("MILO__CONVERSATION__SILENCE_PROMPT_S", "500"), ("MILO__CONVERSATION__SILENCE_HANGUP_S", "1000")];
    let milo = milo("whip-cost", &patient).await;
    let (one, _) = call(&milo, true).await;
    one.close().await;
    quiet(&milo).await;
    let before = milo.cost().expect("/proc").memory;
    let mut browsers = Vec::new();
    for _ in 0..CALLS {
        let (browser, _) = call(&milo, true).await;
        browsers.push(browser);
    }
    let rests =
        |packets: usize| futures_util::future::join_all(browsers.iter().map(move |browser| browser.rest(packets)));
    // The greeting is over then.
    rests(500).await;
    let began = milo.cost().expect("/proc");
    rests(500).await;
    let ended = milo.cost().expect("/proc");
    let cpu = (ended.cpu - began.cpu).as_secs_f64() / 10.0 * 100.0 / CALLS as f64;
    let memory = (ended.memory - before) as f64 / 1e6 / CALLS as f64;
    println!("{CALLS} calls that listen: {cpu:.2} % of a core and {memory:.2} MB each");
    stop(milo).await;
}

/// What a process has: open files, threads, memory in kB.
fn possessions(milo: &Running) -> (usize, usize, u64) {
    let pid = milo.pid().expect("it runs");
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).expect("/proc").count();
    (count("fd"), count("task"), milo.cost().expect("/proc").memory / 1_000)
}

/// Calls come and go, each in one of four ways; where they were.
async fn visits(milo: &Running, rounds: usize) -> Vec<String> {
    let mut locations = Vec::new();
    for round in 0..rounds {
        if round % 5 == 4 {
            // An offer that nobody follows.
            let answer = post(milo, &Browser::open(&OPUS, true).await.offer().await);
            assert_eq!(answer.status, 201, "{answer:?}");
            locations.push(answer.header("location").to_owned());
            continue;
        }
        let (mut browser, answer) = call(milo, round % 2 == 0).await;
        let location = answer.header("location").to_owned();
        match round % 3 {
            0 => assert_eq!(ask(milo, ("DELETE", &location), &[], "").status, 200),
            1 => browser.close().await,
            _ => browser.kill(),
        }
        locations.push(location);
    }
    locations
}

/// All of them are over: the connections with them, and the places of those who never came.
async fn all_over(milo: &Running, locations: &[String]) {
    quiet(milo).await;
    for location in locations {
        for _ in 0..200 {
            if ask(milo, ("DELETE", location), &[], "").status == 404 {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(ask(milo, ("DELETE", location), &[], "").status, 404, "{location}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_some_of_them_abandoned_leave_milo_as_it_was() {
    // Those that are killed keep their seat until they are missed.
    let variables = [("MILO__WEBRTC__SET_UP_S", "2"), ("MILO__WEBRTC__GONE_S", "5"), ("MILO__LIMITS__CALLS", "200")];
    let milo = with_plans_and("whip-many", "", &variables).await;
    // What the first ones take for good (buffers, pages of the log, the allocator's arenas), nobody takes again.
    all_over(&milo, &visits(&milo, 150).await).await;
    sleep(Duration::from_secs(1)).await;
    let (files, threads, memory) = possessions(&milo);
    let tasks = metric(&milo, "milo_tasks").await;
    let locations = visits(&milo, 200).await;
    all_over(&milo, &locations).await;
    for _ in 0..100 {
        let (now, ..) = possessions(&milo);
        if now <= files + 2 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(metric(&milo, "milo_webrtc_resources").await, 0.0, "their names are forgotten");
    // A connection of HTTP more or less is no call's.
    for _ in 0..100 {
        if metric(&milo, "milo_tasks").await <= tasks + 2.0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let tasks_now = metric(&milo, "milo_tasks").await;
    assert!(tasks_now <= tasks + 2.0, "{tasks_now} tasks, and {tasks} were");
    let (files_now, threads_now, memory_now) = possessions(&milo);
    let grown = memory_now.saturating_sub(memory);
    println!(
        "200 calls: {files} files and {files_now} after, {threads} threads and {threads_now}, {grown} kB more memory"
    );
    assert!(files_now <= files + 2, "{files_now} files are open, and {files} were");
    assert!(threads_now <= threads + 2, "{threads_now} threads, and {threads} were");
    assert!(grown < 8_000, "{grown} kB");
    let mut calls = Vec::new();
    let mut page = "/api/v1/calls?limit=200".to_owned();
    loop {
        let answer = get(&milo, &page);
        calls.extend(answer["calls"].as_array().expect("calls").clone());
        let Some(next) = answer["next"].as_str() else { break };
        page = format!("/api/v1/calls?limit=200&cursor={next}");
    }
    // Whoever is killed the moment it is up may not have been up here.
    let came = async |of: &str| metric(&milo, &format!("milo_webrtc_offers_total{{result=\"{of}\"}}")).await as usize;
    assert_eq!((came("up").await, came("given_up").await + calls.len()), (calls.len(), 350));
    assert!(calls.len() > 250, "{}", calls.len());
    assert!(calls.iter().all(|call| !call["ended"].is_null()));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_candidates_never_answer_is_given_up_and_its_place_is_free() {
    let variables = [("MILO__WEBRTC__SET_UP_S", "2"), ("MILO__WEBRTC__WAITING", "1"), ("MILO__LIMITS__CALLS", "1")];
    let milo = with_plans_and("whip-silent", "", &variables).await;
    let offer = Browser::open(&OPUS, true).await.offer().await;
    // Nobody listens at the port where everything is discarded (RFC 863), nor at an address of documentation.
    let silent: String = offer
        .lines()
        .filter(|line| !line.starts_with("a=candidate"))
        .flat_map(|line| {
            let more = if line.starts_with("a=ice-pwd") {
                "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=candidate:2 1 udp 1694498815 192.0.2.1 9 typ srflx raddr 0.0.0.0 rport 9\r\n"
            } else {
                ""
            };
            [line, "\r\n", more]
        })
        .collect();
    let answer = post(&milo, &silent);
    assert_eq!(answer.status, 201, "{answer:?}");
    let full = post(&milo, &offer);
    assert!(full.status == 503 && !full.header("retry-after").is_empty(), "{full:?}");
    all_over(&milo, &[answer.header("location").to_owned()]).await;
    let given_up = "milo_webrtc_offers_total{result=\"given_up\"}";
    assert!((metric(&milo, given_up).await - 1.0).abs() < 0.1);
    assert_eq!(get(&milo, "/api/v1/calls")["calls"], json!([]), "nobody has called");
    // The place, and the seat, are the next one's.
    call(&milo, true).await.0.close().await;
    quiet(&milo).await;
    stop(milo).await;
}
