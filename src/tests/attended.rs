//! Attended transfers that Milo begins: somebody is called while the caller hears music, hears who comes, and then the caller's
//! telephone takes Milo's place (REFER with Replaces), or Milo joins the two.

use std::{net::UdpSocket, time::Duration};

use crate::house::{ended, events, get, loud, newest_call, recordings, sides, stop, until, with_plans};
use milo::bench::Running;
use serde_json::Value;

/// Those who are called.
const FAR: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
record = true
actions = [{ answer = {} }, { digits = {} }, { digits = {} }]

[[plan]]
name = 'away'
number = 'away'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]

[[plan]]
name = 'brusque'
number = 'brusque'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 1 } }]
";

fn at(milo: &Running) -> String {
    let uri = milo.udp("milo").expect("an address").to_string();
    uri.split(['@', ';']).nth(1).expect("an address").to_owned()
}

/// A telephone that speaks text, and has a socket for what it hears.
struct Telephone {
    sip: UdpSocket,
    rtp: UdpSocket,
    milo: String,
    /// The To of the call with Milo, with Milo's tag.
    to: String,
    number: u32,
}

impl Telephone {
    /// Calls a number of Milo's; it is up when this returns.
    fn call(milo: &Running, number: &str) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (sip, rtp) = (bind(), bind());
        sip.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        rtp.set_nonblocking(true).expect("a socket");
        let to = format!("<sip:{number}@{}>", at(milo));
        let mut telephone = Self { sip, rtp, milo: at(milo), to, number: 1 };
        let invite = telephone.request("INVITE", 1, "");
        let answered = telephone.invites(&invite, &at(milo));
        telephone.to = field(&answered, "To");
        telephone.send(&telephone.request("ACK", 1, ""), &at(milo));
        telephone
    }

    fn port(&self) -> u16 {
        self.sip.local_addr().expect("an address").port()
    }

    /// A request of its own within the call with Milo; an INVITE has its offer.
    fn request(&self, method: &str, number: u32, more: &str) -> String {
        let (port, to) = (self.port(), &self.to);
        let uri = to.split(['<', '>']).nth(1).expect("an address");
        let call = format!("From: <sip:0341234567@127.0.0.1:{port}>;tag=t\r\nTo: {to}\r\nCall-ID: attended{port}\r\n");
        let body = if method == "INVITE" {
            self.offer()
        } else {
            more.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()
        };
        let kind = if method == "INVITE" { "Content-Type: application/sdp\r\n" } else { "" };
        let more = more.split_once("\r\n\r\n").map_or(more.to_owned(), |(head, _)| format!("{head}\r\n"));
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{method}{number}\r\n\
             Max-Forwards: 70\r\n{call}CSeq: {number} {method}\r\nContact: <sip:0341234567@127.0.0.1:{port}>\r\n\
             {kind}{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn offer(&self) -> String {
        let port = self.rtp.local_addr().expect("an address").port();
        format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
    }

    fn send(&self, text: &str, to: &str) {
        self.sip.send_to(text.as_bytes(), to).expect("it is sent");
    }

    /// The next message that begins so.
    fn hear(&self, begins: &str) -> (String, String) {
        for _ in 0..50 {
            let mut bytes = [0; 8_192];
            let (length, from) = self.sip.recv_from(&mut bytes).unwrap_or_else(|error| panic!("no {begins}: {error}"));
            let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
            if text.starts_with(begins) {
                return (text, from.to_string());
            }
        }
        panic!("no {begins} among fifty messages");
    }

    /// Sends an INVITE, and gives its 200.
    fn invites(&self, invite: &str, to: &str) -> String {
        self.send(invite, to);
        self.hear("SIP/2.0 200").0
    }

    /// Answers the next request of this method.
    fn answers(&self, method: &str, status: &str) -> String {
        let (request, from) = self.hear(&format!("{method} "));
        let fields =
            ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", field(&request, name)));
        let contact = format!("Contact: <sip:0341234567@127.0.0.1:{}>\r\n", self.port());
        self.send(&format!("SIP/2.0 {status}\r\n{}{contact}Content-Length: 0\r\n\r\n", fields.concat()), &from);
        request
    }

    /// Tells how far it is with what the REFER asked for.
    fn tells(&mut self, status: &str, state: &str) {
        self.number += 1;
        let more = format!(
            "Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n\r\nSIP/2.0 {status}\r\n"
        );
        self.send(&self.request("NOTIFY", self.number, &more), &self.milo);
        self.hear("SIP/2.0 200");
    }

    /// Does as a REFER says: calls the one in Refer-To in Milo's place. The To of that call.
    fn takes_the_place(&self, refer: &str) -> (String, String) {
        let refer_to = field(refer, "Refer-To");
        let (uri, header) = refer_to.trim_matches(['<', '>']).split_once('?').expect("a Replaces");
        let replaces = header.strip_prefix("Replaces=").expect("a Replaces");
        let escapes = [("%40", "@"), ("%3B", ";"), ("%3D", "="), ("%3A", ":")];
        let replaces = escapes.iter().fold(replaces.to_owned(), |text, (escape, plain)| text.replace(escape, plain));
        let (far, port) = (uri.split('@').nth(1).expect("an address").to_owned(), self.port());
        let request = |method: &str, to: &str, more: &str, body: &str| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKnew{method}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:0341234567@127.0.0.1:{port}>;tag=n\r\nTo: {to}\r\nCall-ID: new{port}\r\n\
                 CSeq: {} {method}\r\nContact: <sip:0341234567@127.0.0.1:{port}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
                if method == "BYE" { 2 } else { 1 },
                body.len()
            )
        };
        let fields = format!("Require: replaces\r\nReplaces: {replaces}\r\nContent-Type: application/sdp\r\n");
        let answered = self.invites(&request("INVITE", &format!("<{uri}>"), &fields, &self.offer()), &far);
        let to = field(&answered, "To");
        self.send(&request("ACK", &to, "", ""), &far);
        (request("BYE", &to, "", ""), far)
    }

    fn hangs_up(&mut self) {
        self.number += 1;
        self.send(&self.request("BYE", self.number, ""), &self.milo);
        self.hear("SIP/2.0 200");
    }

    /// Packets that came and are no silence (PCMU).
    fn heard(&self) -> usize {
        let (mut loud, mut bytes) = (0, [0; 2_048]);
        while let Ok(length) = self.rtp.recv(&mut bytes) {
            let sound = bytes.get(12..length).unwrap_or_default();
            let silent = sound.iter().filter(|byte| (**byte & 0x7f) > 0x70).count();
            loud += usize::from(silent * 2 < sound.len());
        }
        loud
    }
}

/// The value of a header field.
fn field(message: &str, name: &str) -> String {
    let value = message.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}

/// A Milo whose numbers transfer to those of the other.
async fn transferring(name: &str, far: &Running) -> Running {
    let plan = |number: &str, more: &str| {
        let to = far.udp(number).expect("an address");
        let told = far.udp("told").expect("an address");
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\nactions = [\n  {{ answer = {{}} }},\n  \
             {{ transfer = {{ to = '{to}', mode = 'attended', {more} }} }},\n  \
             {{ message = {{ to = '{told}', text = '{number}: {{{{transfer_result}}}}' }} }},\n]\n"
        )
    };
    let plans = [
        plan("desk", "announce = 'Misy olona miandry anao amin ny telefaonina'"),
        plan("away", "seconds = 2"),
        plan("brusque", ""),
    ];
    with_plans(name, &plans.concat()).await
}

/// What the plan said came of it.
fn told(far: &Running) -> String {
    let messages = get(far, "/api/v1/messages");
    messages["messages"][0]["text"].as_str().unwrap_or_default().to_owned()
}

fn result(row: &Value, by: &str) -> Value {
    let all = events(row, "transferred");
    let found = all.iter().find(|event| event["by"] == by);
    found.unwrap_or_else(|| panic!("no transfer {by} in {row}"))["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_telephone_takes_milos_place() {
    let far = with_plans("attended-far", FAR).await;
    let near = transferring("attended-near", &far).await;
    let mut telephone = tokio::task::block_in_place(|| Telephone::call(&near, "desk"));
    let (bye, place) = tokio::task::block_in_place(|| {
        let refer = telephone.answers("REFER", "202 Accepted");
        assert!(field(&refer, "Refer-To").contains("?Replaces="), "{refer}");
        assert!(refer.contains("Referred-By: "), "{refer}");
        telephone.tells("100 Trying", "active;expires=60");
        let (bye, place) = telephone.takes_the_place(&refer);
        telephone.tells("200 OK", "terminated;reason=noresource");
        telephone.answers("BYE", "200 OK");
        (bye, place)
    });
    assert!(telephone.heard() > 50, "the caller hears music");
    let row = newest_call(&near).await;
    assert_eq!(
        (result(&row, "attended"), &row["end_reason"]),
        ("answered".into(), &"the caller was transferred".into())
    );
    assert_eq!(events(&row, "dialled")[0]["result"], "answered", "{row}");
    // The one who was called is still there, with the caller now.
    let there = get(&far, "/api/v1/calls")["calls"][0].clone();
    assert!(there["ended"].is_null() && there["to"] == "desk", "{there}");
    telephone.send(&bye, &place);
    tokio::task::block_in_place(|| telephone.hear("SIP/2.0 200"));
    ended(&far, &there["id"]).await;
    let file = recordings(far.folder()).pop().expect("a recording");
    let announced = loud(&sides(&file).0);
    assert!(announced > 4_000, "who was called hears who comes: {announced} loud samples");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_callers_telephone_does_not_milo_joins_the_two() {
    let far = with_plans("joined-far", FAR).await;
    let near = transferring("joined-near", &far).await;
    for (status, last) in [("603 Decline", None), ("202 Accepted", Some("486 Busy Here"))] {
        let mut telephone = tokio::task::block_in_place(|| Telephone::call(&near, "desk"));
        tokio::task::block_in_place(|| {
            telephone.answers("REFER", status);
            if let Some(last) = last {
                telephone.tells("100 Trying", "active;expires=60");
                telephone.tells(last, "terminated;reason=noresource");
            }
        });
        let id = get(&near, "/api/v1/calls")["calls"][0]["id"].clone();
        let row = until(&near, &id, "joined", |row| events(row, "transferred").len() == 2).await;
        let refused = if last.is_some() { "failed" } else { "refused" };
        assert_eq!((result(&row, "attended"), result(&row, "joined")), (refused.into(), "answered".into()), "{row}");
        assert_eq!(get(&far, "/api/v1/calls")["calls"][0]["ended"], Value::Null, "the one who was called is there");
        tokio::task::block_in_place(|| telephone.hangs_up());
        let row = ended(&near, &id).await;
        assert_eq!(events(&row, "parted")[0]["why"], "the caller hung up", "{row}");
        let there = get(&far, "/api/v1/calls")["calls"][0]["id"].clone();
        ended(&far, &there).await;
    }
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_goes_on_when_nobody_answers_or_stays() {
    let far = with_plans("unattended-far", FAR).await;
    let near = transferring("unattended-near", &far).await;
    let telephone = tokio::task::block_in_place(|| Telephone::call(&near, "away"));
    tokio::task::block_in_place(|| telephone.answers("BYE", "200 OK"));
    let row = newest_call(&near).await;
    assert_eq!(
        (result(&row, "attended"), &row["end_reason"]),
        ("no answer".into(), &"the plan is done".into()),
        "{row}"
    );
    assert_eq!(told(&far), "away: no answer");
    // One who hangs up while the caller's telephone is asked.
    let telephone = tokio::task::block_in_place(|| Telephone::call(&near, "brusque"));
    tokio::task::block_in_place(|| {
        telephone.answers("REFER", "202 Accepted");
        telephone.answers("BYE", "200 OK");
    });
    let row = newest_call(&near).await;
    assert_eq!(result(&row, "attended"), "the one who was called hung up", "{row}");
    assert_eq!(
        (told(&far).as_str(), &row["end_reason"]),
        ("brusque: the one who was called hung up", &"the plan is done".into())
    );
    stop(near).await;
    stop(far).await;
}
