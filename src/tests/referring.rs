//! Telephones that want somebody else called in their place (REFER): blind, with two calls of theirs, and those who may not.

use tokio::task::block_in_place;

use crate::{
    calling_out::{calling, trunk_to},
    house::{ended, events, get, loud, metric, recordings, sides, stop, until, with_plans},
    telephone::{Telephone, at},
};
use milo::bench::Running;
use serde_json::Value;

/// Those who are called.
pub(crate) const FAR: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 60 } }]

[[plan]]
name = 'colleague'
number = ['colleague', '0341112222']
language = 'mg'
record = true
actions = [
  { ring = { seconds = 2 } }, { answer = {} }, { wait = { seconds = 1 } }, { send_digits = { digits = '7' } },
  { music = { seconds = 2 } }, { wait = { seconds = 60 } },
]

[[plan]]
name = 'patient'
number = 'patient'
language = 'mg'
actions = [{ answer = {} }, { repeat = { times = 60, actions = [{ wait = { seconds = 1 } }, { send_digits = { digits = '5' } }] } }]

[[plan]]
name = 'busy'
number = 'busy'
language = 'mg'
actions = [{ ring = { seconds = 1 } }, { reject = { status = 486 } }]
";

/// A plan with these verbs.
pub(crate) fn plan(name: &str, verbs: &str) -> String {
    format!("[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, {verbs}]\n")
}

/// A Milo that dials the desk of the other, and one that repeats what it hears.
async fn near(name: &str, far: &Running) -> Running {
    let desk = far.udp("desk").expect("an address");
    let patient = far.udp("patient").expect("an address");
    let dial = |name: &str, to: String| plan(name, &format!("{{ dial = {{ to = '{to}' }} }}"));
    let plans = [dial("dial", desk.to_string()), dial("other", patient.to_string()), plan("echo", "{ echo = {} }")];
    with_plans(name, &plans.concat()).await
}

fn address(far: &Running, number: &str) -> String {
    let uri = far.udp(number).expect("an address").to_string();
    uri.split(';').next().expect("an address").to_owned()
}

/// The call to this number that is not over.
pub(crate) async fn up(milo: &Running, number: &str) -> Value {
    for _ in 0..200 {
        let list = get(milo, "/api/v1/calls");
        let mut calls = list["calls"].as_array().expect("calls").iter();
        if let Some(call) = calls.find(|call| call["to"] == number && call["ended"].is_null()) {
            return call["id"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nobody speaks with {number} within ten seconds");
}

/// Ends a call by the API.
pub(crate) fn hang_up(milo: &Running, id: &Value) {
    let path = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    let answer = crate::house::send(milo, ("DELETE", &path), &[], &Value::Null);
    assert!(answer.status < 300, "{answer:?}");
}

/// What the calls say of it.
fn referred(row: &Value) -> &Value {
    events(row, "referred").first().copied().unwrap_or_else(|| panic!("nobody was referred: {row}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_who_was_called_speaks_with_whom_the_caller_names() {
    let far = with_plans("refer-far", FAR).await;
    let near = near("refer-near", &far).await;
    let mut telephone = block_in_place(|| Telephone::call(&near, "dial"));
    let desk = up(&far, "desk").await;
    let call = up(&near, "dial").await;
    until(&near, &call, "answered there", |row| !events(row, "dialled").is_empty()).await;
    // Nobody there, and all is as it was.
    block_in_place(|| {
        assert_eq!(telephone.refers(&address(&far, "busy")), 202);
        assert_eq!(telephone.told().last(), Some(&486));
    });
    let row = until(&near, &call, "referred", |row| !events(row, "referred").is_empty()).await;
    let failed = referred(&row);
    assert_eq!((&failed["result"], &failed["status"], &failed["why"]), (&"failed".into(), &486.into(), &"busy".into()));
    assert!(get(&far, &format!("/api/v1/calls/{}", desk.as_str().unwrap()))["ended"].is_null(), "they speak on");
    block_in_place(|| {
        assert_eq!(telephone.refers(&address(&far, "colleague")), 202);
        assert_eq!(telephone.told(), [100, 180, 200]);
        telephone.answers("BYE", "200 OK");
    });
    let colleague = up(&far, "colleague").await;
    // A key of the colleague's is heard at the desk: the two are joined.
    until(&far, &desk, "pressed to", |row| events(row, "digit").iter().any(|digit| digit["digit"] == "7")).await;
    assert!(get(&near, &format!("/api/v1/calls/{}", call.as_str().unwrap()))["ended"].is_null(), "the call goes on");
    assert_eq!(metric(&near, "milo_transfers_total{kind=\"blind\",result=\"answered\"}").await, 1.0);
    assert_eq!(metric(&near, "milo_transfers_total{kind=\"blind\",result=\"failed\"}").await, 1.0);
    hang_up(&far, &colleague);
    let row = ended(&near, &call).await;
    let answered = events(&row, "referred")[1];
    assert_eq!((&answered["result"], &answered["by"]), (&"answered".into(), &"caller".into()), "{row}");
    ended(&far, &desk).await;
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_at_once_is_replaced_all_the_same() {
    let far = with_plans("left-far", FAR).await;
    let near = near("left-near", &far).await;
    // Alone with Milo, which goes on with whoever comes.
    let mut telephone = block_in_place(|| Telephone::call(&near, "echo"));
    let call = up(&near, "echo").await;
    block_in_place(|| {
        assert_eq!(telephone.refers(&address(&far, "colleague")), 202);
        telephone.answers("NOTIFY", "200 OK");
        telephone.hangs_up();
    });
    let colleague = up(&far, "colleague").await;
    let row = until(&near, &call, "referred", |row| !events(row, "referred").is_empty()).await;
    assert_eq!((&referred(&row)["result"], &row["ended"]), (&"answered".into(), &Value::Null), "{row}");
    until(&far, &colleague, "played", |row| {
        events(row, "verb").iter().filter(|verb| verb["wait"].is_object()).count() == 2
    })
    .await;
    hang_up(&far, &colleague);
    ended(&near, &call).await;
    ended(&far, &colleague).await;
    let file = recordings(far.folder()).pop().expect("a recording");
    assert!(loud(&sides(&file).0) > 4_000, "the colleague hears what it says");
    // Nobody comes: that is the end.
    let mut telephone = block_in_place(|| Telephone::call(&near, "echo"));
    let call = up(&near, "echo").await;
    block_in_place(|| {
        assert_eq!(telephone.refers(&address(&far, "busy")), 202);
        telephone.hangs_up();
    });
    let row = ended(&near, &call).await;
    assert_eq!((&referred(&row)["status"], &row["hangup_by"]), (&486.into(), &"caller".into()), "{row}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calls_of_one_telephone_become_one() {
    let far = with_plans("both-far", FAR).await;
    let near = near("both-near", &far).await;
    let mut telephone = block_in_place(|| Telephone::call(&near, "dial"));
    let (desk, first) = (up(&far, "desk").await, up(&near, "dial").await);
    until(&near, &first, "answered there", |row| !events(row, "dialled").is_empty()).await;
    // Of itself, and of nobody's call.
    let own = format!("sip:desk@{}?Replaces={}", at(&near), telephone.replaces());
    let nobodys = format!("sip:desk@{}?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2", at(&near));
    block_in_place(|| {
        assert_eq!(telephone.refers(&nobodys), 481);
        assert_eq!(telephone.refers(&own), 481);
    });
    let other = block_in_place(|| Telephone::call(&near, "other"));
    let second = up(&near, "other").await;
    block_in_place(|| {
        let to = format!("sip:other@{}?Replaces={}", at(&near), other.replaces());
        assert_eq!(telephone.refers(&to), 202);
        assert_eq!(telephone.told(), [100, 200]);
        telephone.answers("BYE", "200 OK");
        other.answers("BYE", "200 OK");
    });
    for id in [&first, &second] {
        let row = until(&near, id, "joined", |row| !events(row, "referred").is_empty()).await;
        let joined = events(&row, "referred").pop().expect("an event");
        assert_eq!((&joined["result"], &row["ended"]), (&"joined".into(), &Value::Null), "{row}");
    }
    assert_eq!(metric(&near, "milo_transfers_total{kind=\"attended\",result=\"joined\"}").await, 1.0);
    // The keys of the one are heard by the other.
    until(&far, &desk, "pressed to", |row| events(row, "digit").iter().any(|digit| digit["digit"] == "5")).await;
    // Either ends with the other.
    hang_up(&far, &desk);
    ended(&near, &first).await;
    ended(&near, &second).await;
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_known_has_a_trunk_called() {
    let far = with_plans("paid-far", FAR).await;
    // The telephone that Milo calls is at an address that a plan names.
    let carrier = trunk_to(&far, "carrier", "deny = ['09']");
    let nobody = with_plans("paid-nobody", "").await;
    let mut called = Telephone::new(&nobody);
    stop(nobody).await;
    let plans =
        [plan("dial", &format!("{{ dial = {{ to = '{}' }} }}", called.address())), plan("echo", "{ echo = {} }")];
    let near = calling("paid-near", &plans.concat(), &format!("[{carrier}]")).await;
    called.is_with(&near);
    let number = |number: &str| format!("sip:{number}@{}", at(&near));
    // Whoever calls from this machine was asked nothing.
    let mut stranger = block_in_place(|| Telephone::call(&near, "echo"));
    block_in_place(|| {
        assert_eq!(stranger.refers(&number("0341112222")), 403);
        assert_eq!(stranger.refers(&number("nowhere")), 404);
        assert_eq!(stranger.refers(&address(&far, "0341112222")), 202, "at the gateway it comes to the same");
        assert_eq!(stranger.told(), [100, 403]);
        stranger.hangs_up();
    });
    assert_eq!(get(&far, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(0), "nothing has reached the trunk");
    let caller = block_in_place(|| {
        let caller = Telephone::call(&near, "dial");
        called.takes_a_call();
        caller
    });
    let call = up(&near, "dial").await;
    block_in_place(|| {
        assert_eq!(called.refers(&number("0912")), 202);
        assert_eq!(called.told(), [100, 403], "the trunk does not call such numbers");
        assert_eq!(called.refers(&number("0341112222")), 202);
        assert_eq!(called.told().last(), Some(&200));
        called.answers("BYE", "200 OK");
    });
    let there = up(&far, "0341112222").await;
    let row = get(&near, &format!("/api/v1/calls/{}", call.as_str().unwrap()));
    assert_eq!(events(&row, "referred").pop().expect("an event")["by"], "called", "{row}");
    assert_eq!(get(&near, "/api/v1/trunks")["trunks"][0]["calls_live"], 1, "the call counts among those of the trunk");
    hang_up(&far, &there);
    block_in_place(|| caller.answers("BYE", "200 OK"));
    ended(&near, &call).await;
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_called_over_a_trunk_may_refer_where_it_is_trusted_and_its_place_is_free_then() {
    let far = with_plans("trusted-far", FAR).await;
    let mut called = Telephone::new(&far);
    let gateway = called.address().replace("0341234567@", "");
    let trunks =
        ["false", "true"].map(|refer| format!("{{ name = '{refer}', gateway = '{gateway}', refer = {refer} }}"));
    let dial = |trunk: &str| plan(trunk, &format!("{{ dial = {{ to = '0349', trunk = '{trunk}' }} }}"));
    let near =
        calling("trusted-near", &["false", "true"].map(dial).concat(), &format!("[{}]", trunks.join(", "))).await;
    called.is_with(&near);
    let live = |at: usize| get(&near, "/api/v1/trunks")["trunks"][at]["calls_live"].clone();
    for (at, (trunk, status)) in [("false", 603), ("true", 202)].into_iter().enumerate() {
        let caller = block_in_place(|| {
            let caller = Telephone::call(&near, trunk);
            called.takes_a_call();
            caller
        });
        let call = up(&near, trunk).await;
        until(&near, &call, "answered there", |row| !events(row, "dialled").is_empty()).await;
        assert_eq!(live(at), 1);
        assert_eq!(block_in_place(|| called.refers(&address(&far, "colleague"))), status, "{trunk}");
        if status == 202 {
            block_in_place(|| {
                assert_eq!(called.told().last(), Some(&200));
                called.answers("BYE", "200 OK");
            });
            up(&far, "colleague").await;
            assert_eq!(live(at), 0, "nobody is called over it any more");
            assert!(get(&near, &format!("/api/v1/calls/{}", call.as_str().unwrap()))["ended"].is_null());
        }
        hang_up(&near, &call);
        block_in_place(|| caller.answers("BYE", "200 OK"));
        ended(&near, &call).await;
        if status != 202 {
            block_in_place(|| called.answers("BYE", "200 OK"));
        }
    }
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_brought_in_may_not_do_more_than_who_brought_them() {
    let far = with_plans("brought-far", FAR).await;
    let (mut brought, proxy) = (Telephone::new(&far), Telephone::new(&far));
    let behind = format!("{{ name = 'behind', gateway = 'sip:192.0.2.1', outbound_proxy = '{}' }}", {
        let address = proxy.address();
        address.replace("0341234567@", "")
    });
    let trunks = format!("[{}, {behind}]", trunk_to(&far, "carrier", ""));
    let near = calling("brought-near", &plan("echo", "{ echo = {} }"), &trunks).await;
    brought.is_with(&near);
    let mut stranger = block_in_place(|| Telephone::call(&near, "echo"));
    let call = up(&near, "echo").await;
    block_in_place(|| {
        assert_eq!(stranger.refers(&proxy.address()), 202);
        assert_eq!(stranger.told(), [100, 403], "the proxy before a trunk is the trunk's");
        assert_eq!(stranger.refers(&brought.address()), 202);
        brought.takes_a_call();
        assert_eq!(stranger.told().last(), Some(&200));
        stranger.answers("BYE", "200 OK");
        assert_eq!(brought.refers(&format!("sip:0341112222@{}", at(&near))), 403);
        brought.hangs_up();
    });
    ended(&near, &call).await;
    assert_eq!(get(&far, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(0), "nothing has reached the trunk");
    stop(near).await;
    stop(far).await;
}

/// Waits until a telephone has heard so much.
async fn hears(telephone: &Telephone, what: &str) {
    let mut packets = 0;
    for _ in 0..200 {
        packets += telephone.heard();
        if packets > 20 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{what}: {packets} packets in twenty seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_into_a_recorded_call_hears_so() {
    let nobody = with_plans("told-nobody", "").await;
    let (mut one, mut two) = (Telephone::new(&nobody), Telephone::new(&nobody));
    stop(nobody).await;
    let plan = |name: &str, verbs: &str, record: bool| {
        let number = plan(name, verbs);
        if record { number.replace("language", "record = true\nlanguage") } else { number }
    };
    let dial = |telephone: &Telephone| format!("{{ dial = {{ to = '{}' }} }}", telephone.address());
    let plans = [
        plan("note", "{ wait = { seconds = 60 } }", true),
        plan("one", &dial(&one), true),
        plan("two", &dial(&two), false),
    ];
    let words = [("MILO__RECORDING__ANNOUNCEMENT", "Voarakitra ity antso ity.")];
    let near = crate::house::with_plans_and("told-near", &plans.concat(), &words).await;
    one.is_with(&near);
    two.is_with(&near);

    // Somebody else takes the caller's place.
    let (caller, newcomer) = block_in_place(|| (Telephone::call(&near, "note"), Telephone::new(&near)));
    let call = up(&near, "note").await;
    until(&near, &call, "recorded", |row| !events(row, "recording").is_empty()).await;
    block_in_place(|| {
        newcomer.replaces_in(&caller, "note");
        caller.answers("BYE", "200 OK");
    });
    let row = until(&near, &call, "replaced", |row| !events(row, "replaced").is_empty()).await;
    assert_eq!(events(&row, "replaced")[0]["by"], "caller", "{row}");
    hears(&newcomer, "the newcomer").await;
    hang_up(&near, &call);
    ended(&near, &call).await;

    // Two calls become one, and one of them is recorded.
    let (mut caller, other) = block_in_place(|| {
        let caller = Telephone::call(&near, "one");
        one.takes_a_call();
        let other = Telephone::call(&near, "two");
        two.takes_a_call();
        (caller, other)
    });
    let (first, second) = (up(&near, "one").await, up(&near, "two").await);
    hears(&one, "who was called in a recorded call").await;
    until(&near, &second, "answered there", |row| !events(row, "dialled").is_empty()).await;
    assert_eq!(two.heard(), 0, "the other call is not recorded");
    block_in_place(|| {
        assert_eq!(caller.refers(&format!("sip:two@{}?Replaces={}", at(&near), other.replaces())), 202);
        assert_eq!(caller.told(), [100, 200]);
        caller.answers("BYE", "200 OK");
        other.answers("BYE", "200 OK");
    });
    hears(&two, "who comes into the recorded call").await;
    for call in [&first, &second] {
        let row = get(&near, &format!("/api/v1/calls/{}", call.as_str().unwrap()));
        assert!(row["ended"].is_null(), "{row}");
    }
    hang_up(&near, &first);
    ended(&near, &first).await;
    ended(&near, &second).await;
    stop(near).await;
}
