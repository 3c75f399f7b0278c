//! Where a trunk is: places that say nothing, names with several places, and several registrars.

use std::{net::UdpSocket, time::Duration};

use crate::{
    accounts::accounts,
    calling_out::{calling, calling_with, event, place, placed, trunk_to},
    destinations::{FAR, OUT},
    dns::{A, IN_TURN, SRV, dns, host, srv},
    house::{Answer, call, errand, folder, get, metric, newest_call, send, stop, with_plans, with_plans_and},
    telephone::Telephone,
};
use milo::{bench::Running, phone::Errand};
use serde_json::{Value, json};

/// Waits until a trunk is so.
pub(crate) async fn becomes(milo: &Running, trunk: usize, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut known = Value::Null;
    for _ in 0..600 {
        known = get(milo, "/api/v1/trunks")["trunks"][trunk].clone();
        if is_so(&known) {
            return known;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the trunk never was {what}: {known}");
}

/// A socket that is there, and reads nothing.
fn mute() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

fn port_of(milo: &Running) -> u16 {
    let uri = milo.udp("x").expect("an address");
    uri.as_sip().and_then(|sip| sip.port).expect("a port")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_says_nothing_at_all_is_left_long_before_its_ringing_is_over() {
    let far = with_plans("heard", FAR).await;
    let (_socket, at) = mute();
    let trunks = [format!("{{ name = 'mute', gateway = 'sip:127.0.0.1:{at}' }}"), trunk_to(&far, "spare", "")];
    let near = calling("unheard", OUT, &format!("[{}]", trunks.join(", "))).await;
    let call = json!({ "to": "034", "trunk": ["mute", "spare"], "ring_timeout_s": 120 });
    let row = placed_patiently(&near, &call).await;
    let tried = event(&row, "tried");
    assert_eq!(
        (&tried["trunk"], &tried["status"], &tried["result"]),
        (&"mute".into(), &408.into(), &"no answer".into())
    );
    let after_ms = tried["after_ms"].as_u64().expect("a time");
    assert!((6_000..20_000).contains(&after_ms), "{row}");
    assert_eq!((&row["outcome"], &event(&row, "trunk")["name"]), (&"answered".into(), &"spare".into()), "{row}");
    let shown = get(&near, "/api/v1/trunks")["trunks"][0]["last_error"].clone();
    assert_eq!(shown, "a call out: 408 nothing was heard within 6 s");
    stop(near).await;
    stop(far).await;
}

/// Has a call placed, and waits for its end longer than a mute place may take.
async fn placed_patiently(near: &Running, call: &Value) -> Value {
    let answer: Answer = send(near, ("POST", "/api/v1/calls"), &[], call);
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = format!("/api/v1/calls/{}", answer.body["id"].as_str().expect("an identifier"));
    let mut row = Value::Null;
    for _ in 0..900 {
        row = get(near, &path);
        if !row["ended"].is_null() {
            return row;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the call has no end: {row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_name_whose_first_place_is_mute_the_second_is_called_asked_and_registered_with() {
    let files = folder("places-accounts");
    let file = accounts(&files).to_string_lossy().into_owned();
    let far = with_plans_and("places", FAR, &[("MILO__SIP__ACCOUNTS", &file)]).await;
    let ((_one, deaf), (_other, dumb)) = (mute(), mute());
    let (a, loopback) = host();
    let zone = vec![
        ("_sip._udp.carrier.test.", SRV, srv(1, 0, deaf, "one.test")),
        ("_sip._udp.carrier.test.", SRV, srv(2, 0, port_of(&far), "two.test")),
        ("_sip._udp.other.test.", SRV, srv(1, 0, dumb, "one.test")),
        ("_sip._udp.other.test.", SRV, srv(2, 0, port_of(&far), "two.test")),
        ("one.test.", a, loopback.clone()),
        ("two.test.", A, loopback),
    ];
    let (server, _asked) = dns(zone).await;
    let trunks = "[{ name = 'registered', register = true, registrar = 'sip:carrier.test', username = 'rina', \
                   password = 'secret', options_s = 1 }, { name = 'called', gateway = 'sip:other.test' }]";
    let near = calling_with("placing", OUT, trunks, &[("MILO__SIP__DNS", &server.to_string())]).await;

    let row = placed_patiently(&near, &json!({ "to": "034", "trunk": "called", "ring_timeout_s": 60 })).await;
    assert_eq!((&row["outcome"], event(&row, "dialled")["result"].as_str()), (&"answered".into(), Some("answered")));
    assert!(event(&row, "dialled")["after_ms"].as_u64() >= Some(6_000), "{row}");
    // For a minute the mute place is tried last.
    let row = placed(&near, &json!({ "to": "034", "trunk": "called" })).await;
    assert!(event(&row, "dialled")["after_ms"].as_u64() < Some(5_000), "{row}");

    let known = becomes(&near, 0, "registered", |trunk| trunk["state"] == "registered").await;
    assert_eq!(known["registrar_address"], format!("127.0.0.1:{}", port_of(&far)), "{known}");
    let known = becomes(&near, 0, "reachable", |trunk| trunk["reachable"] == true).await;
    assert_eq!(known["unreachable"], Value::Null, "{known}");
    stop(near).await;
    stop(far).await;
    std::fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_registers_at_each_of_its_registrars_and_calls_by_the_first_that_has_it() {
    let files = folder("registrars-accounts");
    let file = accounts(&files).to_string_lossy().into_owned();
    // The first grants two seconds, so that its end is soon seen.
    let brief = [
        ("MILO__SIP__ACCOUNTS", file.as_str()),
        ("MILO__SIP__REGISTER_MIN_S", "1"),
        ("MILO__SIP__REGISTER_MAX_S", "2"),
    ];
    let first = with_plans_and("registrar-one", FAR, &brief).await;
    let second = with_plans_and("registrar-two", FAR, &brief[..1]).await;
    let server = |milo: &Running| milo.tcp("x").expect("an address").to_string().replace("x@", "");
    let (one, two) = (server(&first), server(&second));
    let trunk = format!(
        "[{{ name = 'carrier', register = true, registrar = ['{one}', '{two}'], username = 'rina', password = 'secret' }}]"
    );
    let near = calling("registrars", OUT, &trunk).await;
    let all = |state: &'static str| {
        move |trunk: &Value| {
            let states = trunk["registrations"].as_array().map(|all| all.iter().all(|one| one["state"] == state));
            states == Some(true)
        }
    };
    let known = becomes(&near, 0, "registered at both", all("registered")).await;
    assert_eq!(
        (&known["registrations"][0]["registrar"], &known["registrar"][1]),
        (&json!(one), &json!(two)),
        "{known}"
    );
    let granted = [0, 1].map(|at| known["registrations"][at]["granted_s"].as_u64());
    assert_eq!(granted, [Some(2), Some(600)], "each has its own time");
    for milo in [&first, &second] {
        let shown = get(milo, "/api/v1/registrations");
        assert_eq!(shown["accounts"][0]["telephones"].as_array().map(Vec::len), Some(1), "{shown}");
    }
    let row = placed(&near, &json!({ "to": "0341" })).await;
    assert_eq!((&row["outcome"], &newest_call(&first).await["to"]), (&"answered".into(), &"0341".into()), "{row}");

    // The first is gone: the trunk stays registered, calls go by the other, and everybody can see why.
    stop(first).await;
    let known = becomes(&near, 0, "lost by one", |trunk| trunk["registrations"][0]["state"] == "failed").await;
    assert_eq!((&known["state"], &known["registrations"][1]["state"]), (&"registered".into(), &"registered".into()));
    let why = known["registrations"][0]["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("cannot be reached"), "{known}");
    assert_eq!(metric(&near, "milo_trunk_registered{trunk=\"carrier\"}").await, 1.0);
    let health = get(&near, "/api/v1/health")["degraded"].to_string();
    assert!(health.contains(&one) && !health.contains(&two), "{health}");
    let row = placed(&near, &json!({ "to": "0342" })).await;
    assert_eq!((&row["outcome"], &newest_call(&second).await["to"]), (&"answered".into(), &"0342".into()), "{row}");
    stop(near).await;
    stop(second).await;
    std::fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_to_a_gateway_is_called_over_its_trunk() {
    let far = with_plans("led-to", FAR).await;
    let zone = vec![
        ("_sip._udp.carrier.test.", SRV, srv(1, 0, port_of(&far), "one.test")),
        ("_sip._udp.other.test.", SRV, srv(1, 0, port_of(&far), "two.test")),
        ("one.test.", A, host().1),
        ("two.test.", A, host().1),
    ];
    let (server, _asked) = dns(zone).await;
    let literal = format!("127.0.0.1:{}", port_of(&far));
    let dial = |name: &str, to: &str| {
        let dial = format!("{{ dial = {{ to = '{to}' }} }}");
        format!(
            "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, {dial}]\n"
        )
    };
    let plans = [
        OUT.to_owned(),
        dial("dear", &format!("sip:0349@{literal}")),
        dial("named", "sip:0349@other.test"),
        dial("cheap", &format!("sip:0331@{literal}")),
    ];
    let trunk = "[{ name = 'carrier', gateway = 'sip:carrier.test', deny = ['0349'], caller_id = '0201' }]";
    let near = calling_with("leading", &plans.concat(), trunk, &[("MILO__SIP__DNS", &server.to_string())]).await;
    for number in ["dear", "named"] {
        let target = near.udp(number).expect("an address");
        call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
        let row = newest_call(&near).await;
        assert_eq!(event(&row, "dialled")["result"], "the trunk does not call this number", "{number}: {row}");
    }
    assert_eq!(get(&far, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(0), "nobody was called");
    // The same for the API, and for texts, written as the trunk is, or by another name.
    let gateway = "sip:0349@carrier.test";
    let refused = place(&near, &json!({ "to": gateway }));
    assert_eq!(refused.status, 403, "{refused:?}");
    for to in [format!("sip:0349@{literal}"), "sip:0349@other.test".into()] {
        let row = placed(&near, &json!({ "to": to })).await;
        assert_eq!(event(&row, "dialled")["result"], "the trunk does not call this number", "{row}");
        let text = send(&near, ("POST", "/api/v1/messages"), &[], &json!({ "to": to, "text": "Salama" }));
        assert_eq!(text.body["result"], "not allowed", "{text:?}");
    }
    let unshown = placed(&near, &json!({ "to": format!("sip:0331@{literal}"), "caller_id": "0209" })).await;
    assert_eq!(event(&unshown, "dialled")["result"], "the trunk does not show this caller ID", "{unshown}");
    assert_eq!(get(&far, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(0), "nobody was called");
    assert_eq!(get(&far, "/api/v1/messages")["messages"].as_array().map(Vec::len), Some(0), "nor written to");
    for to in ["sip:0331@carrier.test".to_owned(), format!("sip:0331@{literal}"), "sip:0331@other.test".into()] {
        let row = placed(&near, &json!({ "to": to })).await;
        assert_eq!((&event(&row, "trunk")["name"], &row["outcome"]), (&"carrier".into(), &"answered".into()), "{row}");
        let there = get(&far, "/api/v1/calls")["calls"][0].clone();
        assert_eq!((&there["to"], &there["from"]), (&"0331".into(), &"0201".into()), "as the trunk has it: {there}");
        let text = send(&near, ("POST", "/api/v1/messages"), &[], &json!({ "to": to, "text": "Salama" }));
        assert_eq!((text.status, &text.body["result"]), (200, &"delivered".into()), "{text:?}");
        let there = get(&far, "/api/v1/messages")["messages"][0].clone();
        assert_eq!(there["from"], "0201", "{there}");
    }
    let counted = get(&near, "/api/v1/trunks")["trunks"][0]["calls_today"].clone();
    assert_eq!(counted, 6, "three calls and three texts");
    let target = near.udp("cheap").expect("an address");
    call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let row = newest_call(&near).await;
    let dialled = event(&row, "dialled");
    assert_eq!((&dialled["result"], &dialled["trunk"]), (&"answered".into(), &"carrier".into()), "{row}");
    let there = get(&far, "/api/v1/calls")["calls"][0].clone();
    assert_eq!((&there["to"], &there["from"]), (&"0331".into(), &"0201".into()), "as the trunk has it: {there}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_says_something_else_the_second_time_leads_nowhere_else() {
    let plan = |name: &str, verb: &str| {
        format!(
            "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, {verb}]\n"
        )
    };
    let (gateway, harmless) = (with_plans("twice-gateway", FAR).await, with_plans("twice-harmless", FAR).await);
    let at = |milo: &Running| srv(1, 0, port_of(milo), "one.test");
    let mut zone = vec![("_sip._udp.carrier.test.", SRV, at(&gateway)), ("one.test.", A, host().1)];
    for name in ["_sip._udp.api.test.", "_sip._udp.dial.test.", "_sip._udp.text.test.", "_sip._udp.refer.test."] {
        // Whoever looks at it sees somebody harmless; whoever asks once more is sent to the gateway.
        zone.extend([(name, IN_TURN | SRV, at(&harmless)), (name, IN_TURN | SRV, at(&gateway))]);
    }
    let (server, asked) = dns(zone).await;
    let trunk = "[{ name = 'carrier', gateway = 'sip:carrier.test', deny = ['0349'] }]";
    let plans =
        [OUT.to_owned(), plan("dial", "{ dial = { to = 'sip:0349@dial.test' } }"), plan("echo", "{ echo = {} }")];
    let near = calling_with("twice", &plans.concat(), trunk, &[("MILO__SIP__DNS", &server.to_string())]).await;

    let row = placed(&near, &json!({ "to": "sip:0349@api.test" })).await;
    assert_eq!(event(&row, "dialled")["result"], "answered", "{row}");
    let target = near.udp("dial").expect("an address");
    call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let row = newest_call(&near).await;
    assert_eq!(event(&row, "dialled")["result"], "answered", "{row}");
    let text = send(&near, ("POST", "/api/v1/messages"), &[], &json!({ "to": "sip:0349@text.test", "text": "Salama" }));
    assert_eq!(text.body["result"], "delivered", "{text:?}");
    tokio::task::block_in_place(|| {
        let mut telephone = Telephone::call(&near, "echo");
        assert_eq!(telephone.refers("sip:0349@refer.test"), 202);
        assert_eq!(telephone.told().last(), Some(&200));
        telephone.answers("BYE", "200 OK");
    });
    let reached = |milo: &Running| {
        let count = |path: &str, of: &str| get(milo, path)[of].as_array().map(Vec::len);
        (count("/api/v1/calls", "calls"), count("/api/v1/messages", "messages"))
    };
    assert_eq!(reached(&gateway), (Some(0), Some(0)), "nothing that the trunk denies has reached its gateway");
    assert_eq!(reached(&harmless), (Some(3), Some(1)));
    let twice = asked.lock().expect("the questions").clone();
    for name in ["api", "dial", "text", "refer"] {
        let of = (format!("_sip._udp.{name}.test."), SRV);
        assert_eq!(twice.iter().filter(|question| **question == of).count(), 1, "{name} is asked for once");
    }
    stop(near).await;
    stop(gateway).await;
    stop(harmless).await;
}
