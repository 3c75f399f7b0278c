//! What takes long: thousands of calls in a row leave nothing behind.

use std::{fs, sync::Arc, time::Duration};

use crate::house::{errand, metric, milo, stop};
use milo::{
    bench::{Cost, Running},
    phone::{Errand, Phone},
};
use tokio::{runtime::Handle, task::JoinSet, time::sleep};

/// Calls that are up at once.
const BATCH: usize = 50;
/// Calls after which all that a process makes once has been made.
const WARM: usize = 1_000;
const CALLS: usize = 10_000;
/// Each of these 600 ports is lent some seventeen times; one that did not come back, time and again, would be missed.
const PORTS: &str = "31000-32199";
/// The call log opens as many connections as it needs at once, and keeps them.
const CONNECTIONS: usize = 8;

/// Places so many calls, a batch after the other; each must come up.
async fn place(phone: &Arc<Phone>, errand: &Errand, calls: usize) {
    for _ in 0..calls / BATCH {
        let mut batch = JoinSet::new();
        for _ in 0..BATCH {
            let (phone, errand) = (phone.clone(), errand.clone());
            batch.spawn(async move { phone.call(&errand).await });
        }
        while let Some(call) = batch.join_next().await {
            let report = call.expect("no panic").expect("the call comes up");
            assert!(report.received > 0, "nothing was heard: {report}");
        }
    }
}

/// What Milo uses when no call is up: memory and open files.
async fn at_rest(milo: &Running) -> (Cost, usize) {
    sleep(Duration::from_secs(3)).await;
    let pid = milo.pid().expect("Milo runs");
    (milo.cost().expect("/proc"), fs::read_dir(format!("/proc/{pid}/fd")).expect("/proc").count())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "10,000 calls, minutes"]
async fn ten_thousand_calls_leave_no_memory_and_no_file_open() {
    // A transaction is remembered for 32 s after its end, and how many may be remembered follows from the limit of calls.
    let milo = milo("soak", &[("MILO__LIMITS__CALLS", "10000"), ("MILO__MEDIA__RTP_PORTS", PORTS)]).await;
    let errand = Errand { no_greeting: true, ..errand(milo.udp("echo").expect("an address"), &[]) };
    let phone = Arc::new(Phone::new(&errand.target, None, Handle::current()).expect("a telephone"));
    place(&phone, &errand, WARM).await;
    let (before, open_before) = at_rest(&milo).await;
    place(&phone, &errand, CALLS - WARM).await;
    let (after, open_after) = at_rest(&milo).await;
    println!("memory {before:?} -> {after:?}, open files {open_before} -> {open_after}");
    // Besides what the calls that are over keep by design: their SIP, their transactions for half a minute.
    assert!(after.memory < before.memory + before.memory / 5, "{before:?} -> {after:?}");
    assert!(open_after <= open_before + CONNECTIONS, "{open_before} -> {open_after} open files");
    assert_eq!(metric(&milo, "milo_rtp_ports_leased").await, 0.0, "every port came back");
    stop(milo).await;
}
