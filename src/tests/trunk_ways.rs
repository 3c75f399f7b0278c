//! The way to a trunk: an outbound proxy, the proxies that its registrar names, another name for the password; and what is spoken on
//! the calls of the trunk that was found. The carrier is a script of this test.

use std::{net::SocketAddr, time::Duration};

use crate::{
    calling_out::{calling, place},
    destinations::{FAR, OUT},
    house::stop,
    trunk_servers::becomes,
};
use milo_signaling::sip::{Message, Name, parse};
use serde_json::json;
use tokio::net::UdpSocket;

/// The next request that comes, which is no OPTIONS or ACK.
async fn next(socket: &UdpSocket) -> (Message, SocketAddr) {
    let mut bytes = [0; 8192];
    loop {
        let received = tokio::time::timeout(Duration::from_secs(30), socket.recv_from(&mut bytes)).await;
        let (length, from) = received.expect("within half a minute").expect("a datagram");
        let message = parse(&bytes[..length]).expect("SIP");
        if !["OPTIONS", "ACK"].contains(&message.method().map_or("", |method| method.as_str())) {
            return (message, from);
        }
    }
}

async fn answer(socket: &UdpSocket, to: SocketAddr, request: &Message, code: u16, fields: &[(Name, &str)]) {
    let mut response = Message::response_to(request, code, "");
    response.set_to_tag("carrier");
    for (name, value) in fields {
        response.headers.push(name.clone(), *value);
    }
    socket.send_to(&response.to_bytes(), to).await.expect("a datagram");
}

/// What an SDP offers or takes for audio.
fn spoken(message: &Message) -> String {
    let sdp = String::from_utf8_lossy(message.sdp().expect("a description")).into_owned();
    let audio = sdp.lines().find(|line| line.starts_with("m=audio")).expect("audio").to_owned();
    audio.split(' ').skip(3).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_behind_a_proxy_of_another_name_is_registered_with_and_called() {
    let proxy = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let at = proxy.local_addr().expect("an address").port();
    let trunk = format!(
        "[{{ name = 'carrier', register = true, registrar = 'sip:ims.example.test', username = '261201234567', \
         auth_username = 'account-4711', password = 'secret', outbound_proxy = 'sip:127.0.0.1:{at}', codecs = ['PCMA'] }}]"
    );
    let near = tokio::spawn(async move { calling("ways", OUT, &trunk).await });
    let (register, from) = next(&proxy).await;
    let challenge = "Digest realm=\"ims\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    answer(&proxy, from, &register, 401, &[(Name::WWW_AUTHENTICATE, challenge)]).await;
    let (register, from) = next(&proxy).await;
    let authorization = register.headers.get(Name::AUTHORIZATION).expect("an answer");
    assert!(authorization.contains("username=\"account-4711\""), "{authorization}");
    assert_eq!(register.uri().map(ToString::to_string).as_deref(), Some("sip:ims.example.test"));
    let contact = register.headers.get(Name::CONTACT).expect("a Contact").to_owned();
    assert!(contact.starts_with("<sip:261201234567@"), "{contact}");
    let named = [(Name::CONTACT, contact.as_str()), (Name::SERVICE_ROUTE, "<sip:orig@scscf.example.test;lr>")];
    answer(&proxy, from, &register, 200, &named).await;
    let near = near.await.expect("Milo");
    becomes(&near, 0, "registered", |trunk| trunk["state"] == "registered").await;
    assert_eq!(place(&near, &json!({ "to": "034", "trunk": "carrier" })).status, 202);
    let (invite, from) = next(&proxy).await;
    assert_eq!(invite.uri().map(ToString::to_string).as_deref(), Some("sip:034@ims.example.test"));
    let routes: Vec<_> = invite.headers.get_all(Name::ROUTE).collect();
    assert_eq!(routes, [format!("<sip:127.0.0.1:{at};lr>").as_str(), "<sip:orig@scscf.example.test;lr>"]);
    assert!(spoken(&invite).starts_with("8 "), "{}", spoken(&invite));
    answer(&proxy, from, &invite, 486, &[]).await;
    stop(near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_speaks_what_the_trunk_speaks_that_its_domain_tells() {
    let trunks = "[{ name = 'main', address = '127.0.0.1', codecs = ['PCMU'] }, \
                   { name = 'named', address = '127.0.0.1', domain = 'named.example', codecs = ['PCMA'] }]";
    let near = calling("spoken", FAR, trunks).await;
    let at = near.udp("034").expect("an address");
    let at = at.as_sip().expect("SIP");
    let to = format!("{}:{}", at.host, at.port.expect("a port"));
    let caller = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let us = caller.local_addr().expect("an address");
    for (number, domain, wanted) in [(1, "milo.example", "0"), (2, "named.example", "8")] {
        let sdp =
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n";
        let invite = format!(
            "INVITE sip:034@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@{us}>;tag={number}\r\nTo: <sip:034@{domain}>\r\nCall-ID: {number}@{us}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@{us}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        caller.send_to(invite.as_bytes(), &to).await.expect("a datagram");
        let ok = loop {
            let (message, _) = next(&caller).await;
            if message.status() == Some(200) && message.call_id().is_ok_and(|id| id.starts_with(&number.to_string())) {
                break message;
            }
        };
        assert_eq!(spoken(&ok), wanted, "{domain}");
        let to_tag = ok.to().expect("To").tag().expect("a tag").to_owned();
        for (sequence, method) in [(1, "ACK"), (2, "BYE")] {
            let request = format!(
                "{method} sip:034@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{number}{method}\r\nMax-Forwards: 70\r\n\
                 From: <sip:a@{us}>;tag={number}\r\nTo: <sip:034@{domain}>;tag={to_tag}\r\nCall-ID: {number}@{us}\r\n\
                 CSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n"
            );
            caller.send_to(request.as_bytes(), &to).await.expect("a datagram");
        }
    }
    drop(caller);
    stop(near).await;
}
