//! The wire of WHIP (RFC 9725): what is answered to whom, what is refused and how, and that nothing is left of any of it.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use milo::bench::Running;
use milo_media::codec::OPUS;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use webrtc::peer_connection::RTCPeerConnectionState;

use crate::{
    browser::Browser,
    house::{get, milo, send, stop, with_plans, with_plans_and},
    web_page::quiet,
};

const SDP: &str = "Content-Type: application/sdp";
const FRAGMENT: &str = "Content-Type: application/trickle-ice-sdpfrag";
const WHIP: &str = "/api/v1/webrtc";

/// An answer: status, header fields as they came, body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn all(&self, name: &str) -> Vec<&str> {
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
    fn detail(&self) -> String {
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

fn post(milo: &Running, offer: &str) -> Answer {
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
        assert!(answer.header("location").is_empty());
    }
    let wrong_type = ask(&milo, ("POST", WHIP), &["Content-Type: application/json"], &offer);
    assert!(wrong_type.status == 415 && wrong_type.detail().contains("application/sdp"), "{wrong_type:?}");
    let accepts = ask(&milo, ("POST", WHIP), &[SDP, "Accept: application/json"], &offer);
    assert!(accepts.status == 406 && accepts.detail().contains("application/sdp"), "{accepts:?}");
    for path in ["/api/v1/webrtc?number=nobody", "/api/v1/webrtc?number="] {
        let nobody = ask(&milo, ("POST", path), &[SDP], &offer);
        assert!(nobody.status == 422 || nobody.status == 400, "{nobody:?}");
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
    assert_eq!(ask(&milo, ("DELETE", first.header("location")), &[], "").status, 200);
    drop(browser);
    stop(milo).await;
}

/// `cargo test --release --workspace --test scenarios -- --ignored --nocapture whip::what_a_listening_call_costs`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints what a listening call costs"]
async fn what_a_listening_call_costs() {
    const CALLS: usize = 25;
    let milo = milo("whip-cost", &[]).await;
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

fn open_files(milo: &Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", milo.pid().expect("it runs"))).expect("/proc").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_some_of_them_abandoned_leave_milo_as_it_was() {
    let milo = with_plans_and("whip-fifty", "", &[("MILO__WEBRTC__SET_UP_S", "2")]).await;
    let settled = async |files: usize| {
        quiet(&milo).await;
        for _ in 0..100 {
            if open_files(&milo) <= files {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{} files are open, and {files} were", open_files(&milo));
    };
    let (browser, _) = call(&milo, true).await;
    browser.close().await;
    quiet(&milo).await;
    sleep(Duration::from_secs(1)).await;
    let (files, memory) = (open_files(&milo), milo.cost().expect("/proc").memory / 1_000);
    let mut locations = Vec::new();
    for round in 0..50 {
        if round % 5 == 4 {
            let answer = post(&milo, &Browser::open(&OPUS, true).await.offer().await);
            assert_eq!(answer.status, 201, "{answer:?}");
            locations.push(answer.header("location").to_owned());
            continue;
        }
        let (browser, answer) = call(&milo, round % 2 == 0).await;
        let location = answer.header("location").to_owned();
        if round % 2 == 0 {
            assert_eq!(ask(&milo, ("DELETE", &location), &[], "").status, 200);
        } else {
            browser.close().await;
        }
        locations.push(location);
    }
    timeout(Duration::from_secs(60), settled(files)).await.expect("in time");
    for location in &locations {
        assert_eq!(ask(&milo, ("DELETE", location), &[], "").status, 404, "{location}");
    }
    let grown = (milo.cost().expect("/proc").memory / 1_000).saturating_sub(memory);
    println!("{files} files before and after, {grown} kB more memory");
    assert!(grown < 20_000, "{grown} kB");
    let calls = get(&milo, "/api/v1/calls?limit=200")["calls"].as_array().expect("calls").clone();
    assert_eq!(calls.len(), 41, "the abandoned ones were none");
    assert!(calls.iter().all(|call| !call["ended"].is_null()));
    stop(milo).await;
}
