//! Calls from browsers over real sockets: audio and messages both ways, ICE anew, and every way in which they end.

use std::time::{Duration, Instant};

use milo_media::{
    CODECS, Codec, Heard, Leg, LegOptions, Tuning,
    codec::{OPUS, PCMU},
};
use milo_signaling::webrtc::{
    Answered, Connection, Fragment, Gone, IceServers, PeerEvent, Refused, RtcConfig, Unchanged, WebRtc,
};
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};
use webrtc::peer_connection::RTCPeerConnectionState;

use crate::browser::Browser;

const SOON: Duration = Duration::from_secs(20);

fn config() -> RtcConfig {
    RtcConfig {
        address: [127, 0, 0, 1].into(),
        ports: 0..=0,
        public: None,
        servers: IceServers::default(),
        codecs: CODECS.to_vec(),
        tuning: Tuning::default(),
        waiting: 4,
        set_up: Duration::from_secs(15),
        gone: Duration::from_secs(6),
    }
}

fn webrtc() -> WebRtc {
    WebRtc::new(config(), Handle::current())
}

/// A leg that says what it hears.
async fn echo(connection: &mut Connection) {
    let (socket, session) = timeout(SOON, connection.up()).await.expect("in time").expect("up");
    let mut leg = Leg::start(socket, Some(session), LegOptions::default(), &Handle::current());
    tokio::spawn(async move {
        while let Heard::Frame(heard) = leg.ears.next().await {
            leg.voice.play(heard.frame).await;
        }
    });
}

/// A call that is up on both sides, and echoes.
async fn call(webrtc: &WebRtc, codec: &'static Codec, talks: bool) -> (Browser, Answered) {
    let mut browser = Browser::open(codec, talks).await;
    let mut answered = webrtc.answer(browser.offer().await.as_bytes()).await.expect("an answer");
    browser.take(&answered.answer).await;
    echo(&mut answered.connection).await;
    browser.reaches(RTCPeerConnectionState::Connected).await;
    (browser, answered)
}

async fn ends(connection: &mut Connection) -> Gone {
    loop {
        if let PeerEvent::Gone(gone) = timeout(SOON, connection.next()).await.expect("in time") {
            return gone;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_hears_itself_in_opus_and_talks_by_the_data_channel() {
    let began = now();
    let (mut browser, mut answered) = call(&webrtc(), &OPUS, true).await;
    println!("up after {} ms", began.elapsed().as_millis());
    assert!(answered.answer.contains("a=rtpmap:111 opus/48000/2\r\n") && answered.answer.contains("a=candidate:"));
    browser.hum(100).await;
    let (packets, level) = browser.heard();
    assert!(packets > 70 && level > -20.0, "{packets} packets, {level} dBFS");
    answered.connection.mute(true);
    browser.hum(25).await;
    browser.heard();
    browser.hum(50).await;
    let (packets, level) = browser.heard();
    assert!(packets > 35 && level < -60.0, "muted: {packets} packets, {level} dBFS");
    answered.connection.mute(false);

    browser.say("{\"type\":\"mute\"}").await;
    assert_eq!(answered.connection.next().await, PeerEvent::Said("{\"type\":\"mute\"}".into()));
    browser.say_bytes(&[0xff, 0xfe]).await;
    assert_eq!(answered.connection.next().await, PeerEvent::SaidNothing);
    assert!(answered.connection.tell("{\"type\":\"state\"}".into()));
    assert_eq!(browser.told().await.as_deref(), Some("{\"type\":\"state\"}"));

    // What is said last arrives before the end.
    assert!(answered.connection.tell("bye".into()));
    drop(answered.connection);
    assert_eq!(browser.told().await.as_deref(), Some("bye"));
    assert_eq!(browser.told().await, None, "the channel is closed with the connection");
    assert_eq!(answered.peer.hang_up().await, Err(Unchanged::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn pcmu_is_enough_and_a_page_that_is_left_ends_the_call() {
    let (mut browser, mut answered) = call(&webrtc(), &PCMU, false).await;
    browser.hum(100).await;
    let (packets, level) = browser.heard();
    assert!(packets > 70 && level > -20.0, "{packets} packets, {level} dBFS");
    let left = now();
    browser.close().await;
    assert_eq!(ends(&mut answered.connection).await, Gone::HungUp);
    assert!(left.elapsed() < Duration::from_secs(3), "{:?}", left.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn ice_begins_anew_and_the_call_goes_on() {
    let (mut browser, answered) = call(&webrtc(), &OPUS, false).await;
    browser.hum(50).await;
    let before = answered.peer.ice();
    let offer = browser.restart().await;
    let fragment = Fragment::parse(
        &offer
            .lines()
            .filter(|line| line.starts_with("a=ice-") || line.starts_with("a=candidate"))
            .fold(String::new(), |all, line| if all.contains(line) { all } else { all + line + "\r\n" }),
    )
    .expect("a fragment");
    let ours = answered.peer.restart(fragment.clone()).await.expect("anew");
    let ours = Fragment::parse(&ours).expect("a fragment");
    let new = ours.credentials.expect("new ones");
    assert_ne!(new.ufrag, before);
    assert_eq!(answered.peer.ice(), new.ufrag);
    assert_eq!(answered.peer.try_candidates(&before, Vec::new()).await, Err(Unchanged::Stale));
    assert_eq!(answered.peer.try_candidates(&new.ufrag, fragment.candidates).await, Ok(()));
    let answer: String = answered
        .answer
        .lines()
        .map(|line| match line.split_once(':') {
            Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{}\r\n", new.ufrag),
            Some(("a=ice-pwd", _)) => format!("a=ice-pwd:{}\r\n", new.pwd),
            _ => format!("{line}\r\n"),
        })
        .collect();
    browser.take(&answer).await;
    // Until the new pair is found nothing passes; then everything does.
    browser.hum(50).await;
    browser.heard();
    browser.hum(100).await;
    let (packets, level) = browser.heard();
    assert!(packets > 70 && level > -20.0, "{packets} packets, {level} dBFS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_killed_is_missed_within_seconds() {
    let (mut browser, mut answered) = call(&webrtc(), &OPUS, true).await;
    browser.hum(20).await;
    let killed = now();
    browser.kill();
    assert_eq!(ends(&mut answered.connection).await, Gone::Lost);
    let after = killed.elapsed();
    assert!(after > Duration::from_secs(4) && after < Duration::from_secs(12), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_nobody_follows_are_given_up_and_until_then_only_so_many_wait() {
    let config = RtcConfig { waiting: 2, set_up: Duration::from_secs(2), ..config() };
    let webrtc = WebRtc::new(config, Handle::current());
    let mut browser = Browser::open(&OPUS, true).await;
    let offer = browser.offer().await;
    let mut waits = Vec::new();
    for _ in 0..2 {
        waits.push(webrtc.answer(offer.as_bytes()).await.expect("an answer"));
    }
    assert_eq!(webrtc.answer(offer.as_bytes()).await.err(), Some(Refused::Full(2)));
    let began = now();
    for answered in &mut waits {
        assert_eq!(timeout(SOON, answered.connection.up()).await.expect("in time").err(), Some(Gone::NeverUp));
        assert_eq!(answered.peer.hang_up().await, Err(Unchanged::Gone));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    webrtc.answer(offer.as_bytes()).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_the_port_keeps_nobody_out() {
    let webrtc = webrtc();
    let mut browser = Browser::open(&OPUS, false).await;
    let mut answered = webrtc.answer(browser.offer().await.as_bytes()).await.expect("an answer");
    let port = answered.answer.split(" typ host").next().and_then(|line| line.rsplit(' ').next()?.parse::<u16>().ok());
    let port = port.expect("a port");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    // A ClientHello cut short, an alert, RTP, STUN without a password, nothing, and as much as fits.
    let hello = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48];
    let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let long = [23; 9_000];
    for garbage in [&hello[..], &[21, 254, 253, 0, 0], &[0x80, 111, 0, 1], &stun, &[], &long] {
        for _ in 0..20 {
            stranger.send_to(garbage, ("127.0.0.1", port)).await.expect("sent");
        }
    }
    browser.take(&answered.answer).await;
    echo(&mut answered.connection).await;
    browser.hum(100).await;
    let (packets, level) = browser.heard();
    assert!(packets > 50 && level > -20.0, "{packets} packets, {level} dBFS");
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_leave_no_task_and_no_port() {
    let own: Runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let ports = RtcConfig { ports: 23_000..=23_009, ..config() };
    let webrtc = WebRtc::new(ports, own.handle().clone());
    let tasks = own.handle().metrics().num_alive_tasks();
    for round in 0..50 {
        let mut browser = Browser::open(&OPUS, round % 2 == 0).await;
        let mut answered = match webrtc.answer(browser.offer().await.as_bytes()).await {
            Ok(answered) => answered,
            Err(refused) => panic!("round {round}: {refused}"),
        };
        if round % 5 == 4 {
            // Abandoned.
            continue;
        }
        browser.take(&answered.answer).await;
        let (socket, session) = timeout(SOON, answered.connection.up()).await.expect("in time").expect("up");
        drop(Leg::start(socket, Some(session), LegOptions::default(), own.handle()));
        if round % 2 == 0 {
            answered.peer.hang_up().await.expect("there");
            assert_eq!(ends(&mut answered.connection).await, Gone::HungUp);
        }
    }
    let settled = async {
        while own.handle().metrics().num_alive_tasks() > tasks {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, settled).await.expect("every task is over");
    let taken: Vec<_> =
        (23_000..=23_009).filter(|port| std::net::UdpSocket::bind(("127.0.0.1", *port)).is_err()).collect();
    assert!(taken.is_empty(), "{taken:?} are still bound; {} files are open", open_files());
    own.shutdown_background();
}
