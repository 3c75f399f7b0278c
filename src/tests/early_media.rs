//! What a dialplan plays before it answers, over real sockets.

mod house;

use std::{path::Path, process::Command};

use house::{call, errand, loud, newest_call, stop, with_plans};
use milo::{
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
