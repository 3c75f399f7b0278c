//! OPTIONS of ours, over real sockets: whoever is there answers, whatever it answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milo_media::PortPool;
use milo_signaling::{Endpoint, EndpointConfig, Invitations, SignalingError, Transport, Uri};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);

fn bind(max_calls: usize) -> (Endpoint, Invitations) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], max_calls, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn server(address: SocketAddr, transport: Transport) -> Uri {
    format!("sip:{address}{}", transport.uri_parameter()).parse().unwrap()
}

async fn ping(endpoint: &Endpoint, target: &Uri) -> Result<u16, SignalingError> {
    timeout(SOON, endpoint.caller().ping(target)).await.expect("an answer")
}

#[tokio::test]
async fn whoever_is_there_answers_and_whoever_is_not_does_not() {
    let ((near, _near), (far, _far), (full, _full)) = (bind(10), bind(10), bind(0));
    for (transport, address) in far.local() {
        assert_eq!(ping(&near, &server(*address, *transport)).await.unwrap(), 200, "{transport}");
    }
    // It takes no call now, and is there.
    let (transport, address) = full.local()[0];
    assert_eq!(ping(&near, &server(address, transport)).await.unwrap(), 486);
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = ping(&near, &server(gone, Transport::Tcp)).await.unwrap_err();
    assert!(matches!(&error, SignalingError::Unreached { reason, .. } if reason.contains("refused")), "{error}");
    assert_eq!(near.counters().calls, 0, "it is no call");
    near.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_is_a_whole_request_and_is_asked_again() {
    let (near, _door) = bind(10);
    let carrier = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = server(carrier.local_addr().unwrap(), Transport::Udp);
    let answering = async {
        let mut bytes = [0; 2048];
        let (first, _) = carrier.recv_from(&mut bytes).await.unwrap();
        let request = String::from_utf8_lossy(&bytes[..first]).into_owned();
        // The first is lost.
        let (_, from) = carrier.recv_from(&mut bytes).await.unwrap();
        let fields = request
            .split("\r\n")
            .filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
        let fields: String = fields.map(|line| format!("{line}\r\n")).collect();
        let to = request.split("\r\n").find(|line| line.starts_with("To:")).unwrap();
        let answer = format!("SIP/2.0 404 Not Found\r\n{fields}{to};tag=1\r\nContent-Length: 0\r\n\r\n");
        carrier.send_to(answer.as_bytes(), from).await.unwrap();
        request
    };
    let (code, request) = tokio::join!(ping(&near, &target), async { timeout(SOON, answering).await.unwrap() });
    assert_eq!(code.unwrap(), 404);
    assert!(request.starts_with(&format!("OPTIONS {target} SIP/2.0\r\n")), "{request}");
    for field in [
        "Max-Forwards: 70",
        "Contact: <sip:milo@127.0.0.1:",
        "Accept: application/sdp",
        "CSeq: 1 OPTIONS",
        "branch=z9hG4bK",
    ] {
        assert!(request.contains(field), "no {field} in {request}");
    }
    near.shutdown().await;
}
