//! Whole calls to a running Milo over TLS and over secure WebSocket, with a certificate made for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use crate::address::own_address;
use crate::house::{PROGRAM, errand, folder, milo, newest_call, recording, stop, tls_port};
use futures_util::{SinkExt, StreamExt};
use milo::phone::{Errand, Phone};
use milo_signaling::{
    Trust, Uri,
    sip::{Message, Method, parse},
};
use tokio::{
    net::{TcpStream, UdpSocket},
    process::Command,
    runtime::Handle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, client::IntoClientRequest, http::header},
};

const SOON: Duration = Duration::from_secs(10);

/// A certificate for this machine and its key, in files, and the certificate as bytes.
fn certificate(folder: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key, made.cert.der().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_is_heard_over_tls_by_the_phone_and_by_milo_call() {
    let files = folder("tls");
    let (chain, key, _) = certificate(&files);
    let variables = [
        ("MILO__SIP__TLS", "127.0.0.1:0"),
        ("MILO__SIP__TLS_CERT", chain.to_str().unwrap()),
        ("MILO__SIP__TLS_KEY", key.to_str().unwrap()),
    ];
    let milo = milo("transports", &variables).await;
    let at = SocketAddr::from(([127, 0, 0, 1], tls_port(&milo)));
    let target: Uri = format!("sips:echo@localhost:{}", at.port()).parse().unwrap();
    let errand = Errand { no_greeting: true, ..errand(target.clone(), &["fr_hours.wav"]) };
    let phone = Phone::new(&target, None, Handle::current()).unwrap().trusting(Trust::authorities(&chain).unwrap());
    let report = phone.call(&errand).await.expect("the call is answered");
    phone.shutdown().await;
    assert!(report.turns[0].spoke_early, "an echo comes back while one speaks: {report}");

    // The same from the command line, which believes nobody of its own accord.
    let call = async |options: &[&str]| {
        let mut call = Command::new(PROGRAM);
        call.args(["call", "--no-transcript", "--no-greeting", "--play"]).arg(recording("fr_hours.wav"));
        call.args(options).arg(format!("sip:echo@{at};transport=tls")).stdin(Stdio::null());
        timeout(Duration::from_secs(60), call.output()).await.expect("the call ends").unwrap()
    };
    // An echo is no reply, so what counts is whether it was answered.
    let answered = |call: &std::process::Output| String::from_utf8_lossy(&call.stdout).contains("answered after");
    let refused = call(&[]).await;
    assert!(!answered(&refused), "{refused:?}");
    for options in [&["--tls-insecure"][..], &["--tls-ca", chain.to_str().unwrap()][..]] {
        let said = call(options).await;
        assert!(answered(&said), "{said:?}");
    }
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

/// A request of the browser's one call.
fn request(method: &str, at: SocketAddr, tag: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:echo@{at} SIP/2.0\r\nVia: SIP/2.0/WSS browser.invalid;branch=z9hG4bK{method}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:rasoa@browser.invalid>;tag=rasoa\r\nTo: <sip:echo@{at}>{tag}\r\n\
         Call-ID: 1@browser.invalid\r\nCSeq: 1 {method}\r\nContact: <sip:rasoa@browser.invalid;transport=ws>\r\n\
         {kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_is_heard_over_secure_websocket() {
    let files = folder("wss");
    let (chain, key, der) = certificate(&files);
    let at = SocketAddr::from((own_address(), 5_063));
    let variables = [
        ("MILO__SIP__WSS", &*at.to_string()),
        ("MILO__SIP__TLS_CERT", chain.to_str().unwrap()),
        ("MILO__SIP__TLS_KEY", key.to_str().unwrap()),
    ];
    let milo = milo("transports-web", &variables).await;

    let mut roots = RootCertStore::empty();
    roots.add(der.into()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let mut upgrade = format!("wss://{at}/").into_client_request().unwrap();
    upgrade.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, "sip".parse().unwrap());
    let (mut socket, _) = client_async(upgrade, stream).await.unwrap();

    let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n",
        rtp.local_addr().unwrap().port()
    );
    socket.send(request("INVITE", at, "", &sdp).into()).await.unwrap();
    let answer = loop {
        let frame = timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        let tungstenite::Message::Text(text) = frame else { continue };
        let message = parse(text.as_bytes()).unwrap();
        if message.status().is_some_and(|code| code >= 200) {
            break message;
        }
    };
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    let tag = format!(";tag={}", answer.to().unwrap().tag().unwrap());
    socket.send(request("ACK", at, &tag, "").into()).await.unwrap();

    let sdp = String::from_utf8(answer.sdp().unwrap().to_vec()).unwrap();
    let port = sdp.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse::<u16>().unwrap();
    // A loud square wave, packet after packet, until something as loud comes back.
    let echoed = async {
        let mut heard = [0; 2048];
        for number in 0_u16.. {
            let mut packet = vec![0x80, 0];
            packet.extend(number.to_be_bytes());
            packet.extend((u32::from(number) * 160).to_be_bytes());
            packet.extend([0, 0, 0, 7]);
            packet.extend((0..160).map(|at| if at / 10 % 2 == 0 { 0x90 } else { 0x10 }));
            rtp.send_to(&packet, ("127.0.0.1", port)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Ok(length) = rtp.try_recv(&mut heard) {
                // µ-law: the smaller without its sign, the louder.
                if heard[12..length].iter().filter(|sample| *sample & 0x7f < 0x20).count() > 100 {
                    return;
                }
            }
        }
    };
    timeout(SOON, echoed).await.expect("an echo");

    socket.send(request("BYE", at, &tag, "").replace("CSeq: 1", "CSeq: 2").into()).await.unwrap();
    let ended: Message = loop {
        let frame = timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        let tungstenite::Message::Text(text) = frame else { continue };
        break parse(text.as_bytes()).unwrap();
    };
    assert_eq!((ended.status(), ended.cseq().unwrap().1), (Some(200), Method::Bye));
    assert_eq!(newest_call(&milo).await["hangup_by"], "caller");
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}
