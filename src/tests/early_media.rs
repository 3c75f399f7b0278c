//! What a dialplan plays before it answers, over real sockets.

use std::{fs, net::UdpSocket, path::Path, process::Command, time::Duration};

use crate::house::{MILO, call, errand, folder, loud, milo, newest_call, stop, with_plans};
use milo::{
    bench::Running,
    error::Error,
    phone::{Errand, Phone},
};
use milo_media::wav;

const PLANS: &str = "
[[plan]]
name = 'early'
number = 'early'
language = 'mg'
actions = [{ early = {} }, { tone = { country = 'us', signal = 'dial', seconds = 2 } }, { answer = {} }, { hangup = {} }]

[[plan]]
name = 'moved'
number = 'moved'
language = 'mg'
actions = [{ ring = { seconds = 1 } }, { early = {} }, { music = { seconds = 2 } }, { reject = { status = 410 } }]
";

#[tokio::test(flavor = "multi_thread")]
async fn the_telephone_hears_and_keeps_what_comes_before_the_answer() {
    let milo = with_plans("early", PLANS).await;
    let recorded = |number: &str| Errand {
        no_greeting: true,
        wait: true,
        record: Some(milo.folder().join(format!("{number}.wav"))),
        ..errand(milo.udp(number).expect("an address"), &[])
    };
    let heard = |errand: &Errand| wav::read(errand.record.as_deref().expect("a file")).expect("what was heard");

    let answered = recorded("early");
    let report = call(&answered).await;
    assert!(report.setup_ms >= 2_000.0, "answered after {} ms", report.setup_ms);
    assert!(loud(&heard(&answered)) > 16_000, "{} loud samples of the tone", loud(&heard(&answered)));
    let row = newest_call(&milo).await;
    assert!(!row["answered"].is_null(), "{row}");

    // An announcement in place of an answer.
    let refused = recorded("moved");
    let phone = Phone::new(&refused.target, None, tokio::runtime::Handle::current()).expect("a telephone");
    let outcome = phone.call(&refused).await;
    phone.shutdown().await;
    assert!(matches!(outcome, Err(Error::Refused { code: 410, .. })), "{outcome:?}");
    assert!(loud(&heard(&refused)) > 8_000, "{} loud samples of music", loud(&heard(&refused)));
    let row = newest_call(&milo).await;
    assert!(row["answered"].is_null(), "{row}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_acknowledges_the_183_and_is_answered() {
    let milo = with_plans("early-sipp", PLANS).await;
    let target = milo.udp("early").expect("an address").to_string();
    let target = target.split(['@', ';']).nth(1).expect("an address");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    for offer in ["with", "without"] {
        let output = Command::new("timeout")
            .args(["30", "sipp", target, "-s", "early", "-sf"])
            .arg(scenarios.join(format!("early_{offer}_offer.xml")))
            .args(["-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
            .current_dir(milo.folder())
            .output()
            .expect("sipp");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{offer}: {}", String::from_utf8_lossy(&said));
        let row = newest_call(&milo).await;
        assert_eq!((&row["hangup_by"], row["answered"].is_null()), (&"milo".into(), false), "{row}");
    }
    stop(milo).await;
}

/// A caller written out by hand that is not heard early: its INVITE brings no offer, and it takes none before the answer.
struct Unheard {
    socket: UdpSocket,
    milo: String,
    number: &'static str,
}

impl Unheard {
    fn call(milo: &Running, number: &'static str) -> Self {
        let address = milo.udp(number).expect("an address").to_string();
        let milo = address.split(['@', ';']).nth(1).expect("host and port").to_owned();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        let unheard = Self { socket, milo, number };
        unheard.send("INVITE");
        unheard
    }

    fn send(&self, method: &str) {
        let Self { socket, milo, number } = self;
        let at = socket.local_addr().expect("an address");
        let request = format!(
            "{method} sip:{number}@{milo} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:unheard@{at}>;tag=u\r\nTo: <sip:{number}@{milo}>\r\n\
             Call-ID: {number}@{at}\r\nCSeq: 1 {method}\r\nContact: <sip:unheard@{at}>\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), milo).expect("sent");
    }

    /// The status of the next response to INVITE that is at least this.
    fn status(&self, least: u16) -> u16 {
        let mut datagram = [0; 4_096];
        loop {
            let length = self.socket.recv(&mut datagram).expect("a response within ten seconds");
            let response = String::from_utf8_lossy(&datagram[..length]);
            let status = response.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            if status >= least && response.contains("CSeq: 1 INVITE") {
                return status;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_hear_it_rings_as_long_and_may_give_up() {
    let at = folder("unheard-plans");
    wav::write(&at.join("two_seconds.wav"), &[0; 32_000]).expect("a temporary folder");
    let plan = |number: &str, verbs: &str| {
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\nactions = [{{ early = {{}} }}, {verbs}]\n"
        )
    };
    let said = plan("said", "{ play = 'two_seconds.wav' }, { reject = { status = 486 } }");
    fs::write(at.join("plans.toml"), [MILO, PLANS, &said].concat()).expect("a temporary folder");
    let path = at.to_string_lossy().into_owned();
    let milo = milo("unheard", &[("MILO__DIALPLANS__PATH", path.as_str())]).await;

    for (number, status, ms) in [("said", 486, 1_900), ("moved", 410, 2_900)] {
        let began = tokio::time::Instant::now();
        assert_eq!(Unheard::call(&milo, number).status(200), status, "{number}");
        assert!(began.elapsed() >= Duration::from_millis(ms), "{number}: it rang for {:?} only", began.elapsed());
    }
    let caller = Unheard::call(&milo, "early");
    assert_eq!(caller.status(180), 180);
    caller.send("CANCEL");
    assert_eq!(caller.status(181), 487);
    let row = newest_call(&milo).await;
    assert_eq!((&row["hangup_by"], &row["end_reason"]), (&"caller".into(), &"cancelled while ringing".into()), "{row}");
    stop(milo).await;
    fs::remove_dir_all(at).ok();
}
