//! SRTP from the telephone to the dialplan and back: Milo's `echo` called with each way to agree on keys.

use crate::house::{errand, milo, stop};
use milo::{
    error::Error,
    phone::{Errand, Phone},
};
use milo_signaling::{Keying, Srtp};
use tokio::runtime::Handle;

#[tokio::test(flavor = "multi_thread")]
async fn echo_is_heard_through_srtp_and_refused_without() {
    let milo = milo("secured", &[("MILO__MEDIA__SRTP", "required")]).await;
    let target = milo.udp("echo").expect("an address");
    let errand = Errand { no_greeting: true, ..errand(target.clone(), &["fr_hours.wav"]) };
    for keying in [Keying::Sdes, Keying::Dtls] {
        let phone = Phone::with(Phone::usual_codecs(), Srtp::Required(keying), &target, None, Handle::current())
            .expect("a telephone");
        let report = phone.call(&errand).await.expect("the call is answered");
        phone.shutdown().await;
        assert!(report.turns[0].spoke_early, "an echo comes back while one speaks, with {keying:?}: {report}");
    }
    let plain = Phone::new(&target, None, Handle::current()).expect("a telephone");
    let refused = plain.call(&errand).await.expect_err("plain RTP is refused");
    plain.shutdown().await;
    assert!(matches!(refused, Error::Refused { code: 488, .. }), "{refused}");
    stop(milo).await;
}
