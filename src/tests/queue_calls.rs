//! The calls that a line places to those who may come: whoever waits is heard meanwhile, and who rings in vain misses nothing.

use std::net::UdpSocket;

use tokio::task::block_in_place;

use crate::{
    house::{call, errand, events, newest_call, stop, with_plans, with_plans_and},
    telephone::Telephone,
};
use milo::{phone::Errand, press::PressBy};

fn support(to: &str, more: &str) -> String {
    format!(
        "[[plan]]\nname = 'support'\nnumber = 'support'\nlanguage = 'fr'\nactions = [{{ answer = {{}} }}, \
         {{ queue = {{ name = 'support', to = [{to}], {more} }} }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_hears_its_caller_while_a_call_is_placed() {
    // A server of names that says nothing.
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dns = mute.local_addr().expect("an address").to_string();
    let plans = support("'sip:agent@nowhere.test'", "ring_seconds = 20, leave = '5'");
    let near = with_plans_and("placing-line", &plans, &[("MILO__SIP__DNS", &dns)]).await;
    let target = near.udp("support").expect("an address");
    let leaving =
        Errand { wait: true, no_greeting: true, digits: Some(("5".into(), PressBy::Agreed)), ..errand(target, &[]) };
    call(&leaving).await;
    let row = newest_call(&near).await;
    let left = events(&row, "queue_left")[0];
    assert_eq!(left["result"], "left", "{row}");
    assert!(left["waited_ms"].as_u64() < Some(4_000), "the key is heard at once: {row}");
    stop(near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rings_in_vain_hears_that_somebody_else_has_answered() {
    let far = with_plans(
        "elsewhere-far",
        "[[plan]]\nname = 'agent'\nnumber = 'agent'\nlanguage = 'fr'\n\
         actions = [{ ring = { seconds = 3 } }, { answer = {} }, { wait = { seconds = 1 } }, { hangup = {} }]\n",
    )
    .await;
    let telephone = Telephone::new(&far);
    let to = format!("'{}', '{}'", telephone.address(), far.udp("agent").expect("an address"));
    let near = with_plans("elsewhere", &support(&to, "ring = 'all', ring_seconds = 30")).await;
    let target = near.udp("support").expect("an address");
    let calling = tokio::spawn(async move {
        call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    });
    let cancel = block_in_place(|| {
        telephone.rings();
        telephone.answers("CANCEL", "200 OK")
    });
    assert!(
        cancel.contains("SIP") && cancel.contains("cause=200") && cancel.contains("completed elsewhere"),
        "{cancel}"
    );
    calling.await.expect("a call");
    let row = newest_call(&near).await;
    assert_eq!(events(&row, "queue_left")[0]["result"], "answered", "{row}");
    stop(near).await;
    stop(far).await;
}
