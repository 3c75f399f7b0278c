//! Milo calls Milo over real sockets with SRTP, keyed either way; and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, process::Stdio, sync::Arc, time::Duration};

use crate::line::{Line, brief, invite};
use milo_media::{Heard, Leg, LegStats, PortPool, srtp::Identity, wav};
use milo_signaling::{
    Endpoint, EndpointConfig, Invitations, Keying, Progress, Srtp, Transport, security::MediaSecurity, sip::Name,
};
use tokio::{process::Command, time::timeout};

fn bind(srtp: Srtp) -> (Endpoint, Invitations) {
    let at: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointConfig { udp: vec![at], srtp, ..EndpointConfig::default() };
    // baresip has no loopback address: its SDP names that of an interface, which a socket on loopback cannot reach.
    let ports = Arc::new(PortPool::new([0, 0, 0, 0].into(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

async fn hears(leg: &mut Leg) {
    loop {
        match leg.ears.next().await {
            Heard::Frame(_) if leg.control.stats().received > 5 => return,
            Heard::Closed(closed) => panic!("{closed:?}"),
            _ => {}
        }
    }
}

async fn call(from: Srtp, to: Srtp) {
    let (alice, _nobody) = bind(from);
    let (bob, mut door) = bind(to);
    let target = format!("sip:milo@{}", bob.local()[0].1).parse().unwrap();
    let mut outgoing = alice.call(&target, "rasoa").await.unwrap();
    let (_theirs, mut their_leg) = door.next().await.unwrap().answer().await.unwrap();
    let Progress::Answered(_mine, mut my_leg) = outgoing.next().await else { panic!("no answer") };
    tokio::join!(hears(&mut my_leg), hears(&mut their_leg));
    for leg in [&my_leg, &their_leg] {
        let stats = leg.control.stats();
        assert_eq!((stats.unauthentic, stats.replayed), (0, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn audio_flows_however_it_is_secured() {
    for (from, to) in [
        (Srtp::Optional(Keying::Sdes), Srtp::Optional(Keying::Sdes)),
        (Srtp::Required(Keying::Sdes), Srtp::Optional(Keying::Sdes)),
        (Srtp::Optional(Keying::Dtls), Srtp::Optional(Keying::Sdes)),
        (Srtp::Required(Keying::Dtls), Srtp::Optional(Keying::Sdes)),
        (Srtp::Required(Keying::Dtls), Srtp::Required(Keying::Sdes)),
    ] {
        let called = timeout(Duration::from_secs(5), call(from, to)).await;
        called.unwrap_or_else(|_| panic!("no audio within five seconds: {from:?} {to:?}"));
    }
}

#[test]
fn plain_audio_is_refused_with_its_reason_where_srtp_is_required() {
    let identity = Identity::generate().unwrap();
    let security = MediaSecurity { srtp: Srtp::Required(Keying::Sdes), identity: Some(identity) };
    let mut line = Line::with(Transport::Udp, |config| config.security = security);
    line.hear(&invite(crate::line::SDP));
    let refused = line.only();
    assert_eq!(brief(&refused), "488 INVITE");
    let warning = refused.headers.get(Name::WARNING).unwrap();
    assert!(warning.starts_with("302 ") && warning.ends_with("\"SRTP is required\""), "{warning}");
    assert!(line.events().is_empty());
}

/// Three seconds of 400 Hz, 8 kHz mono: what baresip's file source wants for G.711.
fn tone_file() -> Vec<u8> {
    let mut file =
        b"RIFF\xa4\xbb\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x80\xbb\0\0".to_vec();
    let step = std::f32::consts::TAU * 400.0 / 8000.0;
    file.extend((0..24_000).flat_map(|at| ((8000.0 * (step * at as f32).sin()) as i16).to_le_bytes()));
    file
}

/// baresip (libsrtp, OpenSSL) calls with this `mediaenc` and sends a tone, which comes back until 60 packets were heard: what
/// our leg counted, and how many loud samples baresip heard.
async fn baresip(encryption: &str) -> (LegStats, usize) {
    let (endpoint, mut door) = bind(Srtp::Required(Keying::Sdes));
    let folder = std::env::temp_dir().join(format!("milo-baresip-{}-{encryption}", std::process::id()));
    fs::create_dir_all(folder.join("heard")).unwrap();
    let config = format!(
        "sip_listen 127.0.0.1:0\naudio_source aufile,{0}/say.wav\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\n\
         module aufile.so\nmodule sndfile.so\nmodule srtp.so\nmodule dtls_srtp.so\nsnd_path {0}/heard\n\
         module_app account.so\nmodule_app menu.so\n",
        folder.display()
    );
    fs::write(folder.join("config"), config).unwrap();
    fs::write(folder.join("say.wav"), tone_file()).unwrap();
    let account = format!("<sip:caller@127.0.0.1>;regint=0;audio_codecs=PCMA;mediaenc={encryption}\n");
    fs::write(folder.join("accounts"), account).unwrap();
    let mut caller = Command::new("baresip");
    caller.arg("-f").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    caller.args(["-e", &format!("/dial sip:milo@{}", endpoint.local()[0].1)]);
    let _baresip = caller.spawn().expect("baresip (package baresip-core)");
    let (dialog, mut leg) = soon(door.next()).await.expect("baresip calls").answer().await.unwrap();
    let echo = async {
        while leg.control.stats().received < 60 {
            match leg.ears.next().await {
                Heard::Frame(heard) => leg.voice.play(heard.frame).await,
                Heard::Closed(closed) => panic!("{encryption}: {closed:?}"),
                _ => {}
            }
        }
    };
    soon(echo).await;
    let stats = leg.control.stats();
    dialog.hang_up().await.unwrap();
    // Its file is whole once it has taken the BYE.
    let written = async {
        while endpoint.counters().calls > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    soon(written).await;
    let heard = fs::read_dir(folder.join("heard")).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let heard = heard.into_iter().find(|path| path.to_string_lossy().ends_with("-dec.wav")).expect("what it heard");
    let loud = wav::read(&heard).unwrap().iter().filter(|sample| sample.unsigned_abs() > 1000).count();
    fs::remove_dir_all(folder).ok();
    (stats, loud)
}

async fn soon<F: Future>(step: F) -> F::Output {
    timeout(Duration::from_secs(15), step).await.expect("within fifteen seconds")
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_heard_and_hears_however_it_secures_its_call() {
    let encryptions = ["srtp", "srtp-mand", "srtp-mandf", "dtls_srtp"];
    let calls = encryptions.map(|encryption| tokio::spawn(baresip(encryption)));
    for (encryption, call) in encryptions.iter().zip(calls) {
        let (stats, loud) = call.await.unwrap();
        assert_eq!((stats.unauthentic, stats.replayed), (0, 0), "{encryption}: {stats:?}");
        // A second and more of what is read at 16 kHz, most of it above the mark.
        assert!(loud > 8000, "{encryption}: baresip heard {loud} loud samples");
    }
}
