//! SIP inside TLS over real sockets: calls both ways on one connection, whose certificates are believed, certificates that
//! change while Milo runs, and peers that never finish their handshake.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use milo_media::{Heard, Leg, PortPool};
use milo_signaling::{
    CertificateFiles, DialogEvent, EndReason, Endpoint, EndpointConfig, Invitations, Progress, SignalingError,
    Transport, Trust, Uri,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);

/// A folder with a certificate, its own authority, for these names.
struct Files(PathBuf);

impl Files {
    fn new(names: &[&str]) -> Files {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("milo-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = Files(folder);
        files.renew(names);
        files
    }

    fn renew(&self, names: &[&str]) {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let made = made.unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        fs::write(self.chain(), made.cert.pem()).unwrap();
    }

    fn chain(&self) -> PathBuf {
        self.0.join("chain.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

fn bind(files: Option<&Files>, trust: Option<Trust>) -> (Endpoint, Invitations) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let certificate = files.map(|files| CertificateFiles { chain: files.chain(), key: files.key() });
    let tls = certificate.iter().map(|_| at).collect();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], tls, certificate, trust, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn at(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1
}

fn uri(scheme: &str, host: &str, endpoint: &Endpoint, parameter: &str) -> Uri {
    format!("{scheme}:milo@{host}:{}{parameter}", at(endpoint, Transport::Tls).port()).parse().unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("within ten seconds")
}

async fn hears(leg: &mut Leg) {
    while !matches!(leg.ears.next().await, Heard::Frame(heard) if !heard.concealed) {}
}

/// The code that the first call is refused with; 200 when it is answered.
async fn outcome(endpoint: &Endpoint, target: &Uri) -> u16 {
    match soon(endpoint.call(target, "rasoa").await.unwrap().next()).await {
        Progress::Answered(..) => 200,
        Progress::Rejected { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// Answers every call and holds it.
fn answer_all(mut door: Invitations) {
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(invitation) = door.next().await {
            held.push(invitation.answer().await);
        }
    });
}

#[tokio::test]
async fn calls_both_ways_share_one_connection_and_audio_flows() {
    let files = Files::new(&NAMES);
    let (alice, _nobody) = bind(None, Some(Trust::authorities(&files.chain()).unwrap()));
    let (bob, mut door) = bind(Some(&files), None);
    for (target, contact_is) in [
        (uri("sips", "localhost", &bob, ""), "<sips:milo@"),
        (uri("sips", "localhost", &bob, ";transport=tcp"), "<sips:milo@"),
        (uri("sip", "localhost", &bob, ";transport=tls"), ";transport=tls>"),
    ] {
        let mut outgoing = alice.call(&target, "rasoa").await.unwrap();
        let invitation = soon(door.next()).await.unwrap();
        assert!(invitation.header("Via").unwrap().starts_with("SIP/2.0/TLS "), "{:?}", invitation.header("Via"));
        assert!(invitation.header("Contact").unwrap().contains(contact_is), "{:?}", invitation.header("Contact"));
        let (theirs, mut their_leg) = soon(invitation.answer()).await.unwrap();
        let Progress::Answered(mut mine, mut my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
        soon(hears(&mut my_leg)).await;
        soon(hears(&mut their_leg)).await;
        // The BYE of the one who was called has no other way than the connection that is there.
        theirs.hang_up().await.unwrap();
        assert_eq!(soon(mine.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
        assert_eq!((alice.counters().connections, bob.counters().connections), (1, 1), "{target}");
    }
}

#[tokio::test]
async fn a_certificate_is_believed_that_bears_the_name_and_an_authority_of_ours() {
    let files = Files::new(&["localhost"]);
    let (bob, door) = bind(Some(&files), None);
    answer_all(door);
    let (alice, _nobody) = bind(None, Some(Trust::authorities(&files.chain()).unwrap()));
    let named = uri("sips", "localhost", &bob, "");
    assert_eq!(outcome(&alice, &named).await, 200);
    assert_eq!(outcome(&alice, &uri("sips", "127.0.0.1", &bob, "")).await, 503, "another name");
    let other = Files::new(&["localhost"]);
    let (carol, _nobody) = bind(None, Some(Trust::authorities(&other.chain()).unwrap()));
    assert_eq!(outcome(&carol, &named).await, 503, "another authority");
    let mut believing = carol.caller().trusting(Trust::anybody()).call(&named, "carol").await.unwrap();
    assert!(matches!(soon(believing.next()).await, Progress::Answered(..)));
    assert_eq!(outcome(&carol, &named).await, 503, "what one believes another does not use");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_nobody() {
    let files = Files::new(&NAMES);
    let (bob, door) = bind(Some(&files), None);
    answer_all(door);
    let before = Files::new(&NAMES);
    fs::copy(files.chain(), before.chain()).unwrap();
    let first = Trust::authorities(&before.chain()).unwrap();
    let target = uri("sips", "localhost", &bob, "");
    let asked = async |trust: &Trust| outcome(&bind(None, Some(trust.clone())).0, &target).await;
    assert_eq!(asked(&first).await, 200);
    fs::write(files.chain(), "no certificate").unwrap();
    bob.reload_certificate();
    assert_eq!(asked(&first).await, 200, "the broken file changes nothing");
    // The files are looked at without anybody asking.
    files.renew(&NAMES);
    let second = Trust::authorities(&files.chain()).unwrap();
    soon(async {
        while asked(&second).await != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(asked(&first).await, 503);
}

#[tokio::test]
async fn files_that_are_no_certificate_are_named_at_the_start() {
    let files = Files::new(&NAMES);
    let start = |chain: PathBuf, key: PathBuf| {
        let config = EndpointConfig {
            tls: vec![([127, 0, 0, 1], 0).into()],
            certificate: Some(CertificateFiles { chain, key }),
            ..EndpointConfig::default()
        };
        let ports = Arc::new(PortPool::new([127, 0, 0, 1].into(), 0..=0));
        Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap_err()
    };
    let named = |error: SignalingError, file: &Path| {
        assert!(matches!(&error, SignalingError::Certificate { path, .. } if path == file), "{error}");
    };
    named(start(files.key(), files.key()), &files.key());
    named(start(files.chain(), files.chain()), &files.chain());
    named(start(files.0.join("none"), files.key()), &files.0.join("none"));
    let other = Files::new(&NAMES);
    named(start(files.chain(), other.key()), &files.chain());
}

fn options(uri: &str, via: &str) -> String {
    format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/{via} 127.0.0.1:5070;rport;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <{uri}>\r\nCall-ID: 1@b\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The status line that OpenSSL's client, which we did not write, is answered with.
async fn asked_by_openssl(files: &Files, to: SocketAddr, request: &str) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost", "-connect"])
        .arg(to.to_string())
        .arg("-CAfile")
        .arg(files.chain())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(request.as_bytes()).await.unwrap();
    let mut heard = vec![0; 4096];
    let length = soon(client.stdout.as_mut().unwrap().read(&mut heard)).await.unwrap();
    String::from_utf8_lossy(&heard[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_sips_uri_is_served_inside_tls_only() {
    let files = Files::new(&NAMES);
    let (bob, _door) = bind(Some(&files), None);
    for uri in ["sips:milo@localhost", "sip:milo@localhost;transport=tls"] {
        let answer = asked_by_openssl(&files, at(&bob, Transport::Tls), &options(uri, "TLS")).await;
        assert_eq!(answer, "SIP/2.0 200 OK", "{uri}");
    }
    let mut plain = TcpStream::connect(at(&bob, Transport::Tcp)).await.unwrap();
    plain.write_all(options("sips:milo@localhost", "TCP").as_bytes()).await.unwrap();
    let mut heard = [0; 4096];
    let length = soon(plain.read(&mut heard)).await.unwrap();
    assert!(heard[..length].starts_with(b"SIP/2.0 416 "), "{}", String::from_utf8_lossy(&heard[..length]));
}

#[tokio::test]
async fn peers_that_never_finish_their_handshake_cost_themselves_only() {
    let files = Files::new(&NAMES);
    let (bob, _door) = bind(Some(&files), None);
    let to = at(&bob, Transport::Tls);
    let mut deaf = Vec::new();
    for number in 0..100_u8 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // Nothing at all, the beginning of a handshake, or something that is none.
        stream.write_all(&[0x16, 3, 1, 2, 0, 1][..usize::from(number % 7).min(6)]).await.unwrap();
        deaf.push(stream);
    }
    let mut talker = TcpStream::connect(to).await.unwrap();
    talker.write_all(options("sip:milo@localhost", "TLS").as_bytes()).await.unwrap();
    let answer = soon(asked_by_openssl(&files, to, &options("sips:milo@localhost", "TLS"))).await;
    assert_eq!(answer, "SIP/2.0 200 OK");
    // Each is let go after ten seconds.
    timeout(Duration::from_secs(20), async {
        while bob.counters().connections > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("every connection is closed");
}

#[tokio::test]
async fn baresip_calls_over_tls_and_takes_the_bye_on_its_connection() {
    let files = Files::new(&NAMES);
    let (bob, mut door) = bind(Some(&files), None);
    let config = format!(
        "sip_listen 127.0.0.1:0\nsip_cafile {}\naudio_source aufile,{1}/say.wav\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aufile.so\nmodule_app account.so\nmodule_app menu.so\n",
        files.chain().display(),
        files.0.display()
    );
    fs::write(files.0.join("config"), config).unwrap();
    // A second of silence, 8 kHz mono.
    let mut silence =
        b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x80\x3e\0\0".to_vec();
    silence.resize(silence.len() + 16_000, 0);
    fs::write(files.0.join("say.wav"), silence).unwrap();
    fs::write(files.0.join("accounts"), "<sip:caller@127.0.0.1>;regint=0;audio_codecs=PCMA\n").unwrap();
    let mut caller = Command::new("baresip");
    caller.arg("-f").arg(&files.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    caller.args(["-e", &format!("/dial sip:milo@{};transport=tls", at(&bob, Transport::Tls))]);
    let _baresip = caller.spawn().expect("baresip (package baresip-core)");
    let invitation = timeout(Duration::from_secs(15), door.next()).await.expect("baresip calls").unwrap();
    assert!(invitation.header("Via").unwrap().starts_with("SIP/2.0/TLS "), "{:?}", invitation.header("Via"));
    let (dialog, _leg) = soon(invitation.answer()).await.unwrap();
    dialog.hang_up().await.unwrap();
    soon(async {
        while bob.counters().calls > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(bob.counters().connections, 1);
}

#[tokio::test]
async fn the_authorities_that_are_believed_are_read_again_when_their_file_changes() {
    let (files, believed) = (Files::new(&NAMES), Files::new(&NAMES));
    let (alice, _nobody) = bind(None, Some(Trust::authorities(&believed.chain()).unwrap()));
    let (bob, door) = bind(Some(&files), None);
    answer_all(door);
    let target = uri("sips", "localhost", &bob, "");
    assert_eq!(outcome(&alice, &target).await, 503, "signed by somebody else");
    fs::write(believed.chain(), "no certificate").unwrap();
    assert_eq!(outcome(&alice, &target).await, 503, "and what was read before stays");
    // Written within the same tick of a coarse clock it would be the same file.
    tokio::time::sleep(Duration::from_millis(50)).await;
    fs::copy(files.chain(), believed.chain()).unwrap();
    assert_eq!(outcome(&alice, &target).await, 200);
}
