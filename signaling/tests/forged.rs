//! What strangers can do to others with crowds of connections and with datagrams whose source they forge, in virtual time and over
//! real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::line::{Line, SDP, brief, invite, response, rtp, to_tag, within};
use milo_media::PortPool;
use milo_signaling::{
    BanTerms, Credentials, Early, Endpoint, EndpointConfig, Invitations, RegistrarConfig, Terms, TextPace, Transport,
    TrunkLogin, User,
    sip::{Message, Name, core::Event, digest::Authorizer, parse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(10);
const HOME: &str = "203.0.113.5:5060";

/// A line on which telephones may register, and a trunk may call from anywhere.
fn line() -> Line {
    let mut line = Line::with(Transport::Udp, |config| {
        config.registrar = Some(RegistrarConfig {
            realm: "milo".into(),
            users: ["rina", "lala"].map(|name| User::new(name, "milo", "secret")).into(),
            terms: Terms { least_s: 60, most_s: 3600 },
            algorithms: config.algorithms,
            text_pace: TextPace::default(),
        });
        config.logins = vec![TrunkLogin {
            trunk: "roaming".into(),
            user: User::new("roaming", "trunks", "secret"),
            realm: "trunks".into(),
            domain: None,
        }];
        let (within, length) = (Duration::from_secs(600), Duration::from_secs(3_600));
        config.bans = Some(BanTerms { wrong_answers: 1_000_000, requests: 50, within, length });
    });
    line.flow.remote = HOME.parse().unwrap();
    line
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).unwrap()
}

/// A REGISTER of this account, or an INVITE of the trunk; each number is another request.
fn request(method: &str, name: &str, number: u32) -> Message {
    let text = match method {
        "INVITE" => invite(SDP).replace("call1", &format!("call{number}")),
        _ => invite("").replace("INVITE", method).replace("Contact", "Expires: 600\r\nContact"),
    };
    let text = text.replace("<sip:rasoa@127.0.0.1>", &format!("<sip:{name}@127.0.0.1>"));
    let text = if method == "REGISTER" {
        text.replace("sip:milo@127.0.0.1>", &format!("sip:{name}@127.0.0.1>"))
    } else {
        text
    };
    let text = text.replace("CSeq: 1", &format!("CSeq: {number}")).replace("bKinvite", &format!("bK{name}{number}"));
    parse(text.as_bytes()).unwrap()
}

/// Sends a request, and once more with the answer of this user to what it is asked; what is said to both.
fn proves(
    line: &mut Line,
    method: &str,
    (name, password): (&str, &str),
    number: u32,
) -> (Option<String>, Option<String>) {
    line.hear(&text(&request(method, name, number)));
    let Some(challenge) = line.sent().pop() else { return (None, None) };
    let first = brief(&challenge);
    let mut authorizer = Authorizer::new(Credentials { username: name.into(), password: password.into(), realm: None });
    if authorizer.challenged(&challenge, "cnonce").is_err() {
        return (Some(first), None);
    }
    let mut again = request(method, name, number + 1);
    authorizer.authorize(&mut again);
    line.hear(&text(&again));
    (Some(first), line.sent().pop().map(|last| brief(&last)))
}

/// It is asked who it is, and let in.
fn let_in(method: &str) -> (Option<String>, Option<String>) {
    // Whoever is called takes its time.
    (Some(format!("401 {method}")), (method == "REGISTER").then(|| "200 REGISTER".to_owned()))
}

#[test]
fn forged_neighbours_keep_nobody_out_who_has_proved_who_it_is() {
    for (method, name) in [("REGISTER", "rina"), ("INVITE", "roaming")] {
        let mut line = line();
        assert_eq!(proves(&mut line, method, (name, "secret"), 1), let_in(method));
        for number in 0..100 {
            line.flow.remote = format!("203.0.113.{}:5060", 6 + number % 200).parse().unwrap();
            line.hear(&text(&request("REGISTER", "rina", 100 + number)));
        }
        let asked = line.sent().len();
        assert!(asked < 30, "{asked} of a crowd of 100 are asked");
        line.flow.remote = HOME.parse().unwrap();
        assert_eq!(proves(&mut line, method, (name, "secret"), 300), let_in(method), "{name}");
    }
}

#[test]
fn a_trunk_that_proves_each_call_carries_many_and_is_no_scanner() {
    let mut line = line();
    // Ten calls a second, for a minute.
    for call in 0..600 {
        assert_eq!(proves(&mut line, "INVITE", ("roaming", "secret"), 1 + 2 * call), let_in("INVITE"), "{call}");
        line.events().into_iter().for_each(|event| {
            if let Event::Invitation { call, .. } = event {
                line.core.reject_invite(line.now, call, 486, "").unwrap();
            }
        });
        line.pass(Duration::from_millis(100));
        line.sent();
    }
    // And very many at once, before the first is proved.
    for call in 0..60 {
        line.hear(&text(&request("INVITE", "roaming", 5_000 + call)));
    }
    let now = line.now;
    assert_eq!(line.core.bans(now).len(), 0);
}

#[test]
fn a_guesser_locks_out_no_neighbour_of_the_same_address() {
    let mut line = line();
    assert_eq!(proves(&mut line, "REGISTER", ("lala", "secret"), 1), let_in("REGISTER"));
    let mut number = 10;
    let mut guess = |line: &mut Line, name: &str| {
        line.pass(Duration::from_millis(500));
        number += 2;
        proves(line, "REGISTER", (name, "wrong"), number)
    };
    for _ in 0..60 {
        guess(&mut line, "rina");
    }
    let judged = line.core.counters().wrong_answers;
    assert!((20..30).contains(&judged), "{judged} of 60 guesses at one password are judged");
    assert_eq!(proves(&mut line, "REGISTER", ("lala", "secret"), 1_000), let_in("REGISTER"));
    // Another name each time is slowed as well, and whoever has been here before comes in all the same.
    for at in 0..400 {
        guess(&mut line, &format!("name{at}"));
    }
    let judged = line.core.counters().wrong_answers - judged;
    assert!((60..=160).contains(&judged), "{judged} of 400 guesses at many passwords are judged");
    assert_eq!(proves(&mut line, "REGISTER", ("lala", "secret"), 2_000), let_in("REGISTER"));
}

#[test]
fn whoever_takes_the_place_of_another_brings_what_it_has_proved() {
    let mut line = line();
    assert_eq!(proves(&mut line, "REGISTER", ("rina", "secret"), 1), let_in("REGISTER"));
    line.events();
    line.flow.remote = crate::line::PEER.parse().unwrap();
    let (_, tag) = line.up();
    line.flow.remote = HOME.parse().unwrap();
    let takes_over = |number: u32| {
        let mut invite = request("INVITE", "rina", number);
        invite.headers.push(Name::REPLACES, format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag}"));
        invite
    };
    line.hear(&text(&takes_over(10)));
    let challenge = line.only();
    assert_eq!(brief(&challenge), "401 INVITE", "and nobody is hung up on");
    let mut authorizer =
        Authorizer::new(Credentials { username: "rina".into(), password: "secret".into(), realm: None });
    authorizer.challenged(&challenge, "cnonce").unwrap();
    let mut again = takes_over(11);
    authorizer.authorize(&mut again);
    line.hear(&text(&again));
    let newcomer = line.events().into_iter().find_map(|event| match event {
        Event::Replaced(_, newcomer) => Some(newcomer),
        _ => None,
    });
    let newcomer = newcomer.unwrap();
    assert_eq!((newcomer.account(), newcomer.source), (Some("rina"), HOME.parse().unwrap()));
}

#[test]
fn connections_of_a_crowd_are_few_also_while_somebody_outside_is_on_the_line() {
    let mut line = line();
    line.flow.remote = "198.51.100.7:5060".parse().unwrap();
    let (_, placed) = line.calling();
    line.hear(&response(&placed, 200, "callee", SDP));
    let now = line.now;
    let of_one_network = |host: u32| IpAddr::from([192, 0, 2, (host % 250) as u8]);
    let admitted = (0..1_000).filter(|host| line.core.admits(now, of_one_network(*host))).count();
    assert!((1..=40).contains(&admitted), "{admitted} connections of 1,000 are taken");
}

#[test]
fn nobody_is_answered_elsewhere_than_at_the_source() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&invite(SDP).replace(";rport", ";rport;maddr=198.51.100.7"));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    line.pass(Duration::from_secs(5));
    let went = line.went();
    assert!(went.len() > 3, "the 200 is repeated");
    assert!(went.iter().all(|to| to.to_string() == crate::line::PEER), "{went:?}");
    let [_, ok, ..] = &line.sent()[..] else { panic!() };
    assert_eq!(ok.top_via().unwrap().params.get("maddr"), Some("198.51.100.7"), "Via comes back as it was");
}

#[test]
fn an_answer_that_nobody_acknowledges_ends_at_the_source() {
    let mut line = Line::with(Transport::Udp, |config| config.trusted = vec!["198.51.100.0/24".parse().unwrap()]);
    line.flow.remote = "198.51.100.1:5060".parse().unwrap();
    for acknowledged in [false, true] {
        let first = invite(SDP).replace("127.0.0.1:5080>", "203.0.113.9:5080>");
        let call = line.invited_with(&first);
        line.act(|core, now| core.answer(now, call, rtp())).unwrap();
        let ok = line.sent().pop().unwrap();
        let to = if acknowledged {
            line.hear(&within(&to_tag(&ok), "ACK", 1, "ack1", "").replace("127.0.0.1:5080>", "203.0.113.9:5080>"));
            line.act(|core, now| core.hang_up(now, call)).unwrap();
            // The RFC's way, which a trunk has proved to know of.
            "203.0.113.9:5080"
        } else {
            line.pass(Duration::from_secs(33));
            "198.51.100.1:5060"
        };
        assert_eq!(line.went().last().unwrap().to_string(), to);
        assert_eq!(line.spoke().pop().unwrap(), "BYE");
        line.pass(Duration::from_secs(64));
        line.sent();
        line.events();
    }
}

// --- over real sockets ---

fn bind() -> (Endpoint, Invitations) {
    let at: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn at(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1
}

#[tokio::test]
async fn whoever_says_nothing_but_keep_alives_loses_its_connection() {
    let (endpoint, _door) = bind();
    let mut stream = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(SOON, stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(pong, *b"\r\n");
    // Hours pass in moments from here on.
    tokio::time::pause();
    for _ in 0..5 {
        sleep(Duration::from_secs(20)).await;
        // Gone, most likely, the last times.
        let _ = stream.write_all(b"\r\n\r\n").await;
    }
    timeout(SOON, async {
        while endpoint.counters().connections > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the connection is closed");
}

/// The next response to `socket` with this status code.
async fn hears(socket: &UdpSocket, code: u16) -> Message {
    let mut buffer = [0; 4096];
    timeout(SOON, async {
        loop {
            let length = socket.recv(&mut buffer).await.unwrap();
            let message = parse(&buffer[..length]).unwrap();
            if message.status() == Some(code) {
                return message;
            }
        }
    })
    .await
    .expect("it is said")
}

/// An INVITE over a socket, whose audio is to go to `audio` of another one.
fn invite_from(socket: &UdpSocket, audio: &UdpSocket, fields: &str) -> String {
    let (from, audio) = (socket.local_addr().unwrap(), audio.local_addr().unwrap());
    let sdp = SDP.replace("40000", &audio.port().to_string()).replace("IP4 127.0.0.1", &format!("IP4 {}", audio.ip()));
    invite(&sdp).replace("127.0.0.1:5080", &from.to_string()).replace("Contact", &format!("{fields}Contact"))
}

async fn is_silent(audio: &UdpSocket) -> bool {
    timeout(Duration::from_millis(400), audio.recv(&mut [0; 2048])).await.is_err()
}

async fn is_heard(audio: &UdpSocket) {
    timeout(SOON, audio.recv(&mut [0; 2048])).await.expect("audio comes").unwrap();
}

#[tokio::test]
async fn no_audio_goes_anywhere_before_the_answer_is_acknowledged() {
    let (endpoint, mut door) = bind();
    let to = at(&endpoint, Transport::Udp);
    let (socket, audio) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    socket.send_to(invite_from(&socket, &audio, "").as_bytes(), to).await.unwrap();
    let invitation = timeout(SOON, door.next()).await.unwrap().unwrap();
    let answering = tokio::spawn(invitation.answer());
    let ok = hears(&socket, 200).await;
    assert!(is_silent(&audio).await, "a forged INVITE would have it sent to a third party");
    let ack = within(&to_tag(&ok), "ACK", 1, "ack1", "");
    socket
        .send_to(ack.replace("127.0.0.1:5080", &socket.local_addr().unwrap().to_string()).as_bytes(), to)
        .await
        .unwrap();
    let (_dialog, _leg) = timeout(SOON, answering).await.unwrap().unwrap().unwrap();
    is_heard(&audio).await;
}

#[tokio::test]
async fn early_audio_waits_for_its_prack_or_goes_to_the_caller_itself() {
    let (endpoint, mut door) = bind();
    let to = at(&endpoint, Transport::Udp);
    let callers =
        [("Supported: 100rel\r\n", "127.0.0.2:0", true), ("", "127.0.0.1:0", true), ("", "127.0.0.2:0", false)];
    for (number, (fields, of_audio, heard)) in callers.into_iter().enumerate() {
        let of_its_own = |text: String| text.replace("call1", &format!("early{number}"));
        let (socket, audio) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind(of_audio).await.unwrap());
        socket.send_to(of_its_own(invite_from(&socket, &audio, fields)).as_bytes(), to).await.unwrap();
        let invitation = timeout(SOON, door.next()).await.unwrap().unwrap();
        let early = tokio::spawn(invitation.early());
        if !fields.is_empty() {
            let progress = hears(&socket, 183).await;
            assert!(is_silent(&audio).await, "its 183 is not acknowledged");
            let rack = format!("RAck: {} 1 INVITE\r\nContact", progress.headers.get(Name::RSEQ).unwrap());
            let prack = within(&to_tag(&progress), "PRACK", 2, "prack", "").replace("Contact", &rack);
            let prack = of_its_own(prack.replace("127.0.0.1:5080", &socket.local_addr().unwrap().to_string()));
            socket.send_to(prack.as_bytes(), to).await.unwrap();
        }
        let early = timeout(SOON, early).await.unwrap().unwrap().unwrap();
        match (&early, heard) {
            (Early::Heard(..), true) => is_heard(&audio).await,
            (Early::Ringing(_), false) => {
                hears(&socket, 180).await;
                assert!(is_silent(&audio).await);
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}
