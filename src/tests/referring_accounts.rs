//! An account's telephone that wants somebody else called in its place (REFER): whom it may have called, at whose cost, and emergency
//! numbers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::task::block_in_place;

use crate::{
    account_places::{request, says},
    accounts::accounts,
    calling_out::{calling_with, event, trunk_to},
    house::{MILO, PROGRAM, ended, events, folder, get, in_a_namespace, stop, until, with_plans},
    referring::{FAR, hang_up, plan, up},
    telephone::{Telephone, at},
};
use milo::bench::Running;
use milo_signaling::User;
use serde_json::Value;

/// A Milo with a trunk to the other, whose `desk` calls the account `rina`; `117` is for emergencies.
async fn near(name: &str, far: &Running, calls: &str, limits: &str) -> (Running, PathBuf) {
    let files = folder(&format!("{name}-files"));
    let file = accounts(&files);
    let rina = fs::read_to_string(&file).expect("the file");
    fs::write(&file, format!("{rina}{}\n", User::new("lala", "milo", "hers").line("milo"))).expect("a file");
    let file = file.to_string_lossy().into_owned();
    let dial =
        [plan("desk", "{ dial = { account = 'rina' } }"), plan("help", "{ dial = { to = '117', trunk = 'carrier' } }")]
            .concat();
    let shows = "deny = ['117'], caller_id = 'caller'";
    let trunks = format!("[{}, {}]", trunk_to(far, "carrier", "deny = ['117']"), trunk_to(far, "help", shows));
    let settings = [
        ("MILO__SIP__ACCOUNTS", file.as_str()),
        ("MILO__SIP__ACCOUNT_LIMITS", limits),
        ("MILO__SIP__EMERGENCY", "[\"117\"]"),
        ("MILO__SIP__EMERGENCY_CALLS", calls),
        ("MILO__SIP__EMERGENCY_TRUNK", "help"),
    ];
    let settings = if calls == "pass" { &settings[..] } else { &settings[..4] };
    (calling_with(name, &dial, &trunks, settings).await, files)
}

/// How much of its limits `rina` uses: calls that are up, and calls of today.
fn used(milo: &Running) -> (Value, Value) {
    let shown = get(milo, "/api/v1/registrations")["accounts"].clone();
    let rina = shown.as_array().expect("accounts").iter().find(|one| one["account"] == "rina").expect("rina");
    (rina["limits"]["calls_live"].clone(), rina["limits"]["calls_today"].clone())
}

/// Somebody calls the desk, and rina takes the call.
async fn taken(near: &Running, rina: &mut Telephone) -> (Telephone, Value) {
    taken_from(near, rina, Telephone::call).await
}

async fn taken_from(near: &Running, rina: &mut Telephone, call: fn(&Running, &str) -> Telephone) -> (Telephone, Value) {
    let caller = block_in_place(|| {
        let caller = call(near, "desk");
        rina.takes_a_call();
        caller
    });
    let call = up(near, "desk").await;
    until(near, &call, "answered there", |row| !events(row, "dialled").is_empty()).await;
    (caller, call)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_a_colleague_or_a_number_called_as_far_as_it_may_and_its_places_come_back() {
    let far = with_plans("referring-account-far", FAR).await;
    let limits = "[{ account = \"rina\", max_calls = 1, calls_per_day = 4, deny = [\"09\"] }]";
    let (near, files) = near("referring-account", &far, "refuse", limits).await;
    let (mut rina, mut lala) = block_in_place(|| (Telephone::new(&near), Telephone::new(&near)));
    block_in_place(|| rina.registers(("rina", "secret")));
    let number = |number: &str| format!("sip:{number}@{}", at(&near));

    // What it may not have called.
    let (caller, call) = taken(&near, &mut rina).await;
    block_in_place(|| {
        assert_eq!(rina.refers(&number("0912")), 403, "its account may not");
        assert_eq!(rina.refers(&number("117")), 403, "for nobody");
        assert_eq!(rina.refers(&number("nowhere")), 404);
        assert_eq!(rina.refers(&number("lala")), 202);
        assert_eq!(rina.told(), [100, 480], "the colleague is not registered");
    });
    assert_eq!(used(&near).0, 0, "nobody was called");

    // The colleague, who may do no more in her turn than any account.
    block_in_place(|| {
        lala.registers(("lala", "hers"));
        assert_eq!(rina.refers(&number("lala")), 202);
        lala.takes_a_call();
        assert_eq!(rina.told().last(), Some(&200));
        rina.answers("BYE", "200 OK");
    });
    let row = until(&near, &call, "referred", |row| events(row, "referred").len() >= 4).await;
    assert_eq!(events(&row, "referred").pop().expect("an event")["by"], "called", "{row}");
    assert_eq!(used(&near).0, 1, "the one whom rina has had called is at her cost");
    // Her one place is taken: nobody else is called for her meanwhile.
    let (other, second) = {
        let other = block_in_place(|| {
            let other = Telephone::call(&near, "desk");
            rina.takes_a_call();
            other
        });
        let calls = get(&near, "/api/v1/calls")["calls"][0].clone();
        (other, calls["id"].clone())
    };
    until(&near, &second, "answered there", |row| !events(row, "dialled").is_empty()).await;
    block_in_place(|| {
        assert_eq!(rina.refers(&number("0341112222")), 202);
        assert_eq!(rina.told(), [100, 403], "as many calls as it may");
    });
    // The colleague hangs up: the place is free, and a number is called.
    block_in_place(|| {
        lala.hangs_up();
        caller.answers("BYE", "200 OK");
    });
    ended(&near, &call).await;
    assert_eq!(used(&near).0, 0, "her place has come back");
    block_in_place(|| {
        assert_eq!(rina.refers(&number("0341112222")), 202);
        assert_eq!(rina.told().last(), Some(&200));
        rina.answers("BYE", "200 OK");
    });
    let colleague = up(&far, "0341112222").await;
    assert_eq!(used(&near).0, 1);
    hang_up(&far, &colleague);
    block_in_place(|| other.answers("BYE", "200 OK"));
    ended(&near, &second).await;
    let (live, today) = used(&near);
    assert_eq!(live, 0, "and again");
    assert_eq!(today, 2, "what was refused, or found nobody, counts for nothing");
    stop(near).await;
    stop(far).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_puts_its_two_calls_together() {
    let far = with_plans("referring-both-far", FAR).await;
    let (near, files) = near("referring-both", &far, "refuse", "[]").await;
    let mut rina = block_in_place(|| {
        let rina = Telephone::new(&near);
        rina.registers(("rina", "secret"));
        rina
    });
    let (one, first) = taken(&near, &mut rina).await;
    let own = rina.replaces();
    let other = block_in_place(|| {
        let other = Telephone::call(&near, "desk");
        rina.takes_a_call();
        other
    });
    let second = get(&near, "/api/v1/calls")["calls"][0]["id"].clone();
    assert_ne!(first, second);
    until(&near, &second, "answered there", |row| !events(row, "dialled").is_empty()).await;
    block_in_place(|| {
        assert_eq!(rina.refers(&format!("sip:desk@{}?Replaces={own}", at(&near))), 202);
        assert_eq!(rina.told(), [100, 200]);
        rina.answers("BYE", "200 OK");
        rina.answers("BYE", "200 OK");
    });
    for id in [&first, &second] {
        let row = until(&near, id, "joined", |row| !events(row, "referred").is_empty()).await;
        let joined = events(&row, "referred").pop().expect("an event");
        assert_eq!((&joined["result"], &row["ended"]), (&"joined".into(), &Value::Null), "{row}");
    }
    // Either of those who are left ends it for both.
    let mut one = one;
    block_in_place(|| {
        one.hangs_up();
        other.answers("BYE", "200 OK");
    });
    ended(&near, &first).await;
    ended(&near, &second).await;
    stop(near).await;
    stop(far).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refer_to_an_emergency_number_does_as_dial_does() {
    let far = with_plans("referring-help-far", &plan("117", "{ wait = { seconds = 60 } }")).await;
    // No rule of the account, nor of any trunk, keeps such a call out.
    let limits = "[{ account = \"rina\", max_calls = 1, calls_per_day = 1, deny = [\"1\"] }]";
    let (near, files) = near("referring-help", &far, "pass", limits).await;
    let mut rina = block_in_place(|| {
        let rina = Telephone::new(&near);
        rina.registers(("rina", "secret"));
        rina
    });
    let (mut caller, call) = taken_from(&near, &mut rina, Telephone::call_as_nobody).await;
    block_in_place(|| {
        // Who was not asked who they are have no trunk called.
        assert_eq!(caller.refers(&format!("sip:117@{}", at(&near))), 403);
        // However it is written, and wherever it is said to be.
        assert_eq!(rina.refers("sip:1-1-7@192.0.2.1"), 202);
        assert_eq!(rina.told().last(), Some(&200));
        rina.answers("BYE", "200 OK");
    });
    let there = up(&far, "117").await;
    let trunks = get(&near, "/api/v1/trunks")["trunks"].clone();
    let live = |at: usize| trunks[at]["calls_live"].clone();
    assert_eq!((live(0), live(1)), (0.into(), 1.into()), "over the trunk for help: {trunks}");
    assert_eq!(used(&near), (0.into(), 0.into()), "it counts for nothing");
    let row = get(&far, &format!("/api/v1/calls/{}", there.as_str().expect("an identifier")));
    assert_eq!(row["from"], "milo", "whoever comes to help can call back: {row}");
    hang_up(&far, &there);
    block_in_place(|| caller.answers("BYE", "200 OK"));
    ended(&near, &call).await;
    // The same where a plan calls there.
    let mut nobody = block_in_place(|| Telephone::call_as_nobody(&near, "help"));
    let there = up(&far, "117").await;
    let row = get(&far, &format!("/api/v1/calls/{}", there.as_str().expect("an identifier")));
    assert_eq!(row["from"], "milo", "{row}");
    block_in_place(|| nobody.hangs_up());
    stop(near).await;
    stop(far).await;
    fs::remove_dir_all(files).ok();
}

#[test]
fn an_account_that_calls_from_outside_is_asked_as_what_it_is() {
    let folder = folder("refers-outside");
    let file = accounts(&folder);
    fs::create_dir(folder.join("plans")).expect("a folder");
    let plans = [MILO, &plan("echo", "{ echo = {} }")].concat();
    fs::write(folder.join("plans/plans.toml"), plans).expect("a plan");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    let calls = fs::read_to_string(scenarios.join("account_calls.xml")).expect("a scenario");
    let (answered, _) = calls.split_once("<pause").expect("the answer");
    let own = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n      \
               Contact: <sip:rina@[local_ip]:[local_port]>";
    let refers = |number: u8, to: &str| request("REFER", number, &format!("{own}\n      Refer-To: <{to}>"));
    let told = "[last_Via:]\n      [last_From:]\n      [last_To:]\n      [last_Call-ID:]\n      [last_CSeq:]";
    let taken = says("SIP/2.0 200 OK", told);
    let denied = [
        "<recv response=\"202\"/>",
        "<recv request=\"NOTIFY\"/>",
        &taken,
        "<recv request=\"NOTIFY\"><action><ereg regexp=\"SIP/2.0 403\" search_in=\"msg\" check_it=\"true\" assign_to=\"1\"/></action></recv>",
        &taken,
    ]
    .concat();
    let scenario = [
        answered,
        // What the account may not, and whom nobody elsewhere may have called: Milo's own machine, by its address.
        &refers(3, "sip:0349@[remote_ip]"),
        "<recv response=\"403\"/>",
        &refers(4, "sip:anybody@127.0.0.1:5060"),
        &denied,
        "<Reference variables=\"1\"/>",
        // Another address of that machine is Milo's too; a number that is written otherwise there was not judged.
        &refers(5, "sip:03-31@192.0.2.3"),
        &denied,
        // An address where a trunk is heard from costs as the trunk does; a private network is nobody's from outside.
        &refers(6, "sip:0349@198.51.100.9:5095"),
        &denied,
        &refers(7, "sip:anybody@10.1.2.3"),
        &denied,
        &refers(8, "sip:0331@192.0.2.3"),
        "<recv response=\"202\"/>",
        "<label id=\"1\"/><recv request=\"NOTIFY\" optional=\"true\" next=\"2\"/><recv request=\"BYE\" next=\"3\"/>",
        "<label id=\"2\"/>",
        &taken.replacen("<send>", "<send next=\"1\">", 1),
        "<label id=\"3\"/>",
        &taken,
        "</scenario>\n",
    ];
    fs::write(folder.join("refers.xml"), scenario.concat()).expect("a scenario");
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.66/24 dev lo; ip addr add 192.0.2.9/24 dev lo; ip addr add 192.0.2.3/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         export MILO__SIP__ACCOUNTS={accounts} MILO__SIP__DIGEST='[\"MD5\"]' MILO__DIALPLANS__PATH={plans}
         export MILO__SIP__TRUNKS='[{{ name = \"carrier\", gateway = \"sip:192.0.2.9:5090\" }}, {{ name = \"lan\", address = \"198.51.100.0/24\" }}]'
         export MILO__SIP__ACCOUNT_LIMITS='[{{ account = \"rina\", max_calls = 1, deny = [\"0349\"] }}]'
         timeout 90 {PROGRAM} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         api=http://127.0.0.1:8000/api/v1
         sipp -sn uas -i 192.0.2.9 -p 5090 -nostdin -trace_msg -message_file gateway > /dev/null 2>&1 & uas=$!
         call() {{ timeout 30 sipp 192.0.2.1:5060 -i 192.0.2.66 -p 5070 -m 1 -nostdin -s echo -sf $1 -trace_msg \\
           -message_file $2 > /dev/null 2>&1 || echo $2 >> failed; }}
         touch failed
         call {registers} registers
         call refers.xml refers
         id=$(curl --silent $api/calls | sed 's/.*\"calls\":\\[{{\"id\":\"\\([^\"]*\\)\".*/\\1/')
         curl --silent $api/calls/$id > row
         curl --silent $api/registrations > accounts
         curl --silent --request DELETE $api/calls/$id > deleted
         for i in $(seq 100); do curl --silent $api/registrations | grep -q '\"calls_live\":0,' && break; sleep 0.1; done
         curl --silent $api/registrations > after
         kill $uas || true; kill $milo; wait $milo || true",
        accounts = file.display(),
        plans = folder.join("plans").display(),
        registers = scenarios.join("account_registers.xml").display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    assert_eq!(read("failed"), "", "{}{}", read("refers"), read("err"));
    let gateway = read("gateway");
    assert!(gateway.contains("INVITE sip:0331@192.0.2.9:5090") && !gateway.contains("0349"), "{gateway}");
    let json = |name: &str| serde_json::from_str::<Value>(&read(name)).expect("JSON");
    let row = json("row");
    let results: Vec<_> = events(&row, "referred").iter().map(|event| event["result"].clone()).collect();
    assert_eq!(results, ["refused", "failed", "failed", "failed", "failed", "answered"], "{row}");
    assert_eq!((&event(&row, "referred")["by"], &row["ended"]), (&"caller".into(), &Value::Null), "{row}");
    let used = |shown: &Value| {
        let limits = &shown["accounts"][0]["limits"];
        (limits["calls_live"].clone(), limits["calls_today"].clone())
    };
    // Another party of the account's own call is none more at once, and counts in the day; all of it is given back.
    assert_eq!(
        (used(&json("accounts")).1, used(&json("after"))),
        (2.into(), (0.into(), 2.into())),
        "{}",
        read("accounts")
    );
    fs::remove_dir_all(folder).ok();
}
