//! Who calls, as a carrier says it and as it is told: P-Asserted-Identity, Privacy, Diversion, History-Info, own header fields and
//! Reason, read from and written to real sockets.

use std::time::Duration;

use milo::bench::Running;
use milo_signaling::sip::{Message, Name, parse};
use serde_json::{Value, json};
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    calling_out::{calling, event, place},
    house::{ended, events, get, newest_call, stop},
};

const SOON: Duration = Duration::from_secs(20);

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

/// Somebody who speaks SIP by hand.
struct Peer(UdpSocket);

impl Peer {
    async fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"))
    }

    fn at(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    /// The next message that is one of these: a method, or a status.
    async fn hear(&self, wanted: &str) -> Message {
        let hearing = async {
            let mut bytes = vec![0; 8192];
            loop {
                let (length, _) = self.0.recv_from(&mut bytes).await.expect("a message");
                let Ok(message) = parse(&bytes[..length]) else { continue };
                let what = match (message.method(), message.status()) {
                    (Some(method), _) => method.to_string(),
                    (_, status) => status.unwrap_or_default().to_string(),
                };
                if what == wanted {
                    return message;
                }
            }
        };
        timeout(SOON, hearing).await.unwrap_or_else(|_| panic!("no {wanted} came"))
    }

    async fn say(&self, milo: &Running, text: &str) {
        let to = milo.udp("x").expect("an address").to_string().replace("sip:x@", "");
        self.0.send_to(text.as_bytes(), to).await.expect("a message sent");
    }

    /// Answers a request of Milo's.
    async fn answer(&self, milo: &Running, request: &Message, code: u16, phrase: &str) {
        let mut answer = Message::response_to(request, code, phrase);
        answer.set_to_tag("peer");
        self.say(milo, &String::from_utf8(answer.to_bytes()).expect("a text")).await;
    }

    /// A request of a call that this peer makes.
    fn request(&self, method: &str, (number, to_tag): (u32, &str), fields: &str, body: &str) -> String {
        let at = self.at();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:desk@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{method}{number}\r\n\
             Max-Forwards: 70\r\nFrom: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=peer\r\n\
             To: <sip:desk@127.0.0.1>{to_tag}\r\nCall-ID: {at}\r\nCSeq: {number} {method}\r\nContact: <sip:peer@{at}>\r\n\
             {fields}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Calls the number `desk`; returns the To tag of the answer.
    async fn call(&self, milo: &Running, fields: &str) -> String {
        self.say(milo, &self.request("INVITE", (1, ""), fields, SDP)).await;
        let answer = self.hear("200").await;
        let tag = answer.to().ok().and_then(|to| to.tag().map(|tag| format!(";tag={tag}"))).expect("a tag");
        self.say(milo, &self.request("ACK", (1, &tag), "", "")).await;
        tag
    }
}

fn all(message: &Message, name: Name) -> Vec<&str> {
    message.headers.get_all(name).collect()
}

fn from(message: &Message) -> String {
    let from = message.from().expect("a From");
    format!("{:?} {}", from.display.unwrap_or_default(), from.uri)
}

const ANONYMOUS: &str = "\"Anonymous\" sip:anonymous@anonymous.invalid";

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_caller_is_known_to_the_operator_and_to_nobody_who_is_called() {
    let (caller, carrier) = (Peer::new().await, Peer::new().await);
    let plan = "
[[plan]]
name = 'known'
number = 'desk'
from = '+261*'
language = 'mg'
actions = [
  { answer = {} },
  { dial = { to = '0341234567', trunk = ['carrier', 'other'], from = '{{caller}}', headers = { 'X-First' = '{{diverted_from}} {{diverted_why}}', 'X-Known' = '{{asserted}}', 'X-All' = '{{header.x-tag}}' } } },
  { wait = { seconds = 60 } },
]
";
    let gateway = carrier.at();
    let trunks = format!(
        "[{{ name = 'carrier', address = '127.0.0.1', gateway = 'sip:{gateway}', caller_id = '0200000001', identity = 'asserted', diversion = 'diversion' }}, \
         {{ name = 'other', gateway = 'sip:{gateway}', caller_id = '0200000002', diversion = 'history-info' }}]"
    );
    let milo = calling("hidden", plan, &trunks).await;
    let fields = "P-Asserted-Identity: <sip:+261341112233@carrier.example>, <tel:+261341112233>\r\nPrivacy: id\r\n\
                  Diversion: <sip:202@pbx.example>;reason=no-answer, <sip:+261201@pbx.example>;reason=user-busy\r\n\
                  X-Tag: one\r\nX-Tag: two\r\n";
    let tag = caller.call(&milo, fields).await;

    let invite = carrier.hear("INVITE").await;
    assert_eq!(from(&invite), ANONYMOUS);
    assert_eq!(all(&invite, Name::PRIVACY), ["id"]);
    assert_eq!(all(&invite, Name::P_ASSERTED_IDENTITY), ["<sip:0200000001@127.0.0.1>"]);
    assert_eq!(
        all(&invite, Name::DIVERSION),
        [
            "<sip:desk@127.0.0.1>;reason=unconditional;counter=1",
            "<sip:202@pbx.example>;reason=no-answer;counter=1",
            "<sip:+261201@pbx.example>;reason=user-busy;counter=1"
        ]
    );
    let own = |name: &str| invite.headers.get(name).unwrap_or_default().to_owned();
    assert_eq!([own("X-First"), own("X-Known"), own("X-All")], ["+261201 user-busy", "+261341112233", "one, two"]);
    carrier.answer(&milo, &invite, 503, "").await;

    let invite = carrier.hear("INVITE").await;
    let gone_on: Vec<_> = all(&invite, Name::HISTORY_INFO);
    assert_eq!(
        gone_on,
        [
            "<sip:+261201@pbx.example>;index=1".to_owned(),
            "<sip:202@pbx.example;cause=486>;index=1.1;mp=1".to_owned(),
            "<sip:desk@127.0.0.1;cause=408>;index=1.1.1;mp=1.1".to_owned(),
            format!("<sip:0341234567@{gateway};cause=302>;index=1.1.1.1;mp=1.1.1"),
        ]
    );
    assert_eq!((from(&invite).as_str(), all(&invite, Name::DIVERSION).len()), (ANONYMOUS, 0));
    assert_eq!(all(&invite, Name::P_ASSERTED_IDENTITY), ["<sip:0200000002@127.0.0.1>"], "whom the carrier charges");
    carrier.answer(&milo, &invite, 486, "Busy As Can Be").await;
    carrier.hear("ACK").await;

    let id = get(&milo, "/api/v1/calls?limit=1")["calls"][0]["id"].clone();
    crate::house::until(&milo, &id, "refused", |call| !events(call, "dialled").is_empty()).await;
    caller.say(&milo, &caller.request("BYE", (2, &tag), "Reason: Q.850;cause=17;text=\"User busy\"\r\n", "")).await;
    caller.hear("200").await;
    let row = ended(&milo, &id).await;
    assert_eq!((&row["dialplan"], &row["from"]), (&"known".into(), &"anonymous".into()), "{row}");
    let identity = json!({
        "asserted": ["sip:+261341112233@carrier.example", "tel:+261341112233"],
        "private": true,
        "diverted": [
            { "from": "sip:+261201@pbx.example", "why": "user-busy" },
            { "from": "sip:202@pbx.example", "why": "no-answer" }
        ],
    });
    assert_eq!(event(&row, "identity"), &identity);
    let dialled = event(&row, "dialled");
    assert_eq!((&dialled["status"], &dialled["phrase"]), (&486.into(), &"Busy As Can Be".into()), "{row}");
    let reason = json!({ "by": "caller", "protocol": "Q.850", "cause": 17, "text": "User busy" });
    assert_eq!(event(&row, "reason"), &reason);
    let said = row["end_reason"].as_str().unwrap_or_default();
    assert!(said.contains("Q.850 cause 17, User busy"), "{row}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_trunk_is_not_believed_and_is_told_nobodys_number() {
    let (caller, bob) = (Peer::new().await, Peer::new().await);
    let plans = format!(
        "
[[plan]]
name = 'known'
number = 'desk'
from = '+261*'
language = 'mg'
actions = [{{ reject = {{ status = 603 }} }}]

[[plan]]
name = 'stranger'
number = 'desk'
language = 'mg'
actions = [
  {{ answer = {{}} }},
  {{ dial = {{ to = 'sip:bob@{}', from = '0200000001', privacy = true, headers = {{ 'X-Known' = '<{{{{asserted}}}}{{{{diverted_from}}}}>' }} }} }},
  {{ wait = {{ seconds = 60 }} }},
]
",
        bob.at()
    );
    let milo = calling("unbelieved", &plans, "[]").await;
    let fields =
        "P-Asserted-Identity: <sip:+261341112233@carrier.example>\r\nDiversion: <sip:1@b>;reason=user-busy\r\n";
    let tag = caller.call(&milo, fields).await;
    let invite = bob.hear("INVITE").await;
    assert_eq!(from(&invite), ANONYMOUS);
    assert_eq!((all(&invite, Name::PRIVACY), all(&invite, Name::P_ASSERTED_IDENTITY).len()), (vec!["id"], 0));
    assert_eq!(invite.headers.get("X-Known"), Some("<>"));
    assert!(!String::from_utf8_lossy(&invite.to_bytes()).contains("0200000001"), "nobody's number");
    bob.answer(&milo, &invite, 603, "").await;
    caller.say(&milo, &caller.request("BYE", (2, &tag), "", "")).await;
    let row = ended(&milo, &newest_call(&milo).await["id"]).await;
    assert_eq!(event(&row, "identity"), &json!({ "asserted": [], "private": true, "diverted": [] }), "{row}");
    assert_eq!(events(&row, "reason").len(), 0, "{row}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_api_shows_what_it_is_told_to() {
    let carrier = Peer::new().await;
    let plan = "
[[plan]]
name = 'outgoing'
language = 'mg'
actions = [{ answer = {} }, { hangup = {} }]
";
    let gateway = carrier.at();
    let trunks = format!(
        "[{{ name = 'plain', gateway = 'sip:{gateway}', caller_id = '0200000001' }}, \
         {{ name = 'asserts', gateway = 'sip:{gateway}', username = '261200', password = 'x', registrar = 'sip:127.0.0.1:9', caller_ids = ['0200000003'], identity = 'asserted' }}]"
    );
    let milo = calling("api-identity", plan, &trunks).await;
    let invited = async |call: Value| {
        let answer = place(&milo, &call);
        assert_eq!(answer.status, 202, "{answer:?}");
        let invite = carrier.hear("INVITE").await;
        carrier.answer(&milo, &invite, 480, "Not Today").await;
        let row = ended(&milo, &answer.body["id"]).await;
        assert_eq!(event(&row, "dialled")["phrase"], "Not Today", "{row}");
        invite
    };
    let call = |more: Value| {
        let mut call = json!({ "to": "0341234567" });
        call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        call
    };
    let plain = invited(call(json!({ "trunk": "plain", "headers": { "X-Order": "4711" } }))).await;
    assert!(from(&plain).contains("sip:0200000001@"), "{}", from(&plain));
    assert_eq!((plain.headers.get("X-Order"), all(&plain, Name::P_ASSERTED_IDENTITY).len()), (Some("4711"), 0));
    let hidden = invited(call(json!({ "trunk": "plain", "privacy": true }))).await;
    assert_eq!((from(&hidden).as_str(), all(&hidden, Name::PRIVACY)), (ANONYMOUS, vec!["id"]));
    assert_eq!(all(&hidden, Name::P_ASSERTED_IDENTITY), ["<sip:0200000001@127.0.0.1>"]);
    let asserted = invited(call(json!({ "trunk": "asserts", "caller_id": "0200000003" }))).await;
    assert_eq!(from(&asserted), "\"\" sip:0200000003@127.0.0.1");
    assert_eq!(all(&asserted, Name::P_ASSERTED_IDENTITY), ["<sip:261200@127.0.0.1>"], "the trunk's own");
    assert_eq!(all(&asserted, Name::PRIVACY).len(), 0);

    for headers in [
        json!({ "Via": "x" }),
        json!({ "P-Asserted-Identity": "<sip:1@b>" }),
        json!({ "X-A": "1\r\nVia: x" }),
        json!({ "X A": "1" }),
        Value::Object((0..11).map(|n| (format!("X-{n}"), Value::from("1"))).collect()),
    ] {
        let refused = place(&milo, &call(json!({ "trunk": "plain", "headers": headers })));
        assert!(
            refused.status == 422 && refused.body["detail"].as_str().is_some_and(|says| says.starts_with("headers: ")),
            "{refused:?}"
        );
    }
    assert_eq!(get(&milo, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(3), "what was refused has no row");
    stop(milo).await;
}
