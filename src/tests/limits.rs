//! Limits of trunks and accounts by day and at once, and what they never keep out: calls for help.

use std::{fs, path::Path, time::Duration};

use crate::{
    accounts::accounts,
    calling_out::{calling_with, event, place, placed, trunk_to},
    destinations::{FAR, OUT, before_midnight},
    house::{
        MILO, PROGRAM, call, ended, errand, events, folder, get, in_a_namespace, newest_call, stop, until, with_plans,
    },
};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, time::sleep};

/// What becomes of a call that Milo places, or that comes: it stays for a while.
const STAYING: &str = "
[[plan]]
name = 'staying'
number = 'staying'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 60 } }]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_up_counts_as_it_goes() {
    before_midnight().await;
    let far = with_plans("minutes", STAYING).await;
    let trunk = trunk_to(&far, "carrier", "minutes_per_day = 1");
    let near = calling_with("minutes-near", STAYING, &format!("[{trunk}]"), &[]).await;
    let wanted = json!({ "to": "staying", "plan": "staying" });
    // Eight of them have talked for a minute after eight seconds, and none has ended.
    let calls: Vec<Value> = (0..8).map(|_| place(&near, &wanted).body["id"].clone()).collect();
    for id in &calls {
        until(&near, id, "up", |row| row["answered"].is_string()).await;
    }
    let mut spent = place(&near, &wanted);
    for _ in 0..40 {
        if spent.status != 202 {
            break;
        }
        sleep(Duration::from_millis(500)).await;
        spent = place(&near, &wanted);
    }
    assert!(
        spent.status == 429 && spent.body["detail"].as_str().is_some_and(|says| says.contains("minutes_per_day")),
        "{spent:?}"
    );
    let up = get(&near, &format!("/api/v1/calls/{}", calls[0].as_str().expect("an identifier")));
    assert!(up["ended"].is_null(), "it is up: {up}");
    let minutes = get(&near, "/api/v1/trunks")["trunks"][0]["minutes_today"].as_u64();
    assert!(
        minutes.is_some_and(|minutes| (1..=2).contains(&minutes)),
        "one is over, the next may have begun: {minutes:?}"
    );
    near.signal("TERM").await.expect("a signal");
    // Two that come before the first was looked at are one.
    sleep(Duration::from_secs(1)).await;
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_burns_nothing_and_keeps_no_call_for_help_out() {
    before_midnight().await;
    let far = with_plans("full-far", FAR).await;
    let plans = [
        OUT,
        STAYING,
        "[[plan]]\nname = 'walk'\nnumber = 'walk'\nlanguage = 'mg'\n\
         actions = [{ answer = {} }, { dial = { to = '034', trunk = ['one', 'two'] } }]\n\
         [[plan]]\nname = '117'\nnumber = '117'\nlanguage = 'mg'\n\
         actions = [{ answer = {} }, { dial = { to = '117', trunk = 'one' } }]\n",
    ];
    let trunks = ["one", "two", "help"].map(|name| trunk_to(&far, name, "calls_per_day = 5, max_calls = 3"));
    let settings = [
        ("MILO__LIMITS__CALLS", "1"),
        ("MILO__SIP__EMERGENCY", "[\"117\"]"),
        ("MILO__SIP__EMERGENCY_CALLS", "pass"),
        ("MILO__SIP__EMERGENCY_TRUNK", "help"),
    ];
    let near = calling_with("full-near", &plans.concat(), &format!("[{}]", trunks.join(", ")), &settings).await;
    let today = || {
        let trunks = get(&near, "/api/v1/trunks")["trunks"].clone();
        let count = |trunk: &Value| (trunk["calls_today"].as_u64(), trunk["minutes_today"].as_u64());
        trunks.as_array().expect("trunks").iter().map(count).collect::<Vec<_>>()
    };
    // The one place is the caller's own: no trunk can carry it on, and none is asked.
    let target = near.udp("walk").expect("an address");
    call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let row = newest_call(&near).await;
    assert_eq!(event(&row, "dialled")["result"], "as many calls are up as may be", "{row}");
    assert_eq!(events(&row, "tried").len(), 1, "the next would be as full: {row}");
    assert_eq!(today(), [(Some(0), Some(0)); 3], "what was not sent does not count");

    // Somebody holds the one place; a call for help is placed and taken all the same, and counts nowhere.
    let phone = Phone::new(&near.udp("staying").expect("an address"), None, Handle::current()).expect("a telephone");
    let held = Errand { wait: true, no_greeting: true, ..errand(near.udp("staying").expect("an address"), &[]) };
    let (let_go, gone) = tokio::sync::oneshot::channel::<()>();
    let holding = tokio::spawn(async move {
        let up = phone.call_until(&held, async { gone.await.unwrap_or(()) }).await;
        phone.shutdown().await;
        up
    });
    let mut live = Value::Null;
    for _ in 0..100 {
        live = get(&near, "/api/v1/health")["live_calls"].clone();
        if live == 1 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(live, 1);
    let full = place(&near, &json!({ "to": "034", "trunk": "one" }));
    assert!(
        full.status == 503 && full.body["detail"].as_str().is_some_and(|says| says.contains("[limits] calls")),
        "{full:?}"
    );
    let helped = placed(&near, &json!({ "to": "117", "trunk": "one" })).await;
    assert_eq!(
        (&helped["outcome"], &event(&helped, "trunk")["name"]),
        (&"answered".into(), &"help".into()),
        "{helped}"
    );
    let target = near.udp("117").expect("an address");
    call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let row = newest_call(&near).await;
    assert_eq!((&row["to"], &event(&row, "dialled")["result"]), (&"117".into(), &"answered".into()), "{row}");
    assert_eq!(today(), [(Some(0), Some(0)); 3], "calls for help are not counted, nor are their minutes");
    let_go.send(()).expect("it is held");
    holding.await.expect("a call").expect("it was up");
    stop(near).await;
    stop(far).await;
}

#[test]
fn an_account_calls_so_much_and_where_it_may() {
    let folder = folder("account-limits");
    let file = accounts(&folder);
    fs::create_dir(folder.join("plans")).expect("a folder");
    let plans = "
[[plan]]
name = 'echo'
number = 'echo'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]

[[plan]]
name = 'dear'
number = 'dear'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = '0349', trunk = 'carrier' } }, { wait = { seconds = 60 } }]

[[plan]]
name = 'help'
number = '117'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = '117', trunk = 'carrier' } }, { wait = { seconds = 60 } }]
";
    fs::write(folder.join("plans/plans.toml"), [MILO, plans].concat()).expect("a plan");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    let calls = fs::read_to_string(scenarios.join("account_calls.xml")).expect("a scenario");
    fs::write(folder.join("long.xml"), calls.replace("milliseconds=\"500\"", "milliseconds=\"6000\""))
        .expect("a scenario");
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.66/24 dev lo; ip addr add 192.0.2.9/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         export MILO__SIP__ACCOUNTS={accounts} MILO__SIP__DIGEST='[\"MD5\"]' MILO__DIALPLANS__PATH={plans}
         export MILO__SIP__TRUNKS='[{{ name = \"carrier\", gateway = \"sip:192.0.2.9:5060\" }}]'
         export MILO__SIP__ACCOUNT_LIMITS='[{{ account = \"*\", max_calls = 1, calls_per_day = 3, deny = [\"0349\", \"1\"] }}]'
         export MILO__SIP__EMERGENCY='[\"117\"]' MILO__SIP__EMERGENCY_CALLS=pass MILO__SIP__EMERGENCY_TRUNK=carrier
         timeout 90 {program} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         shown() {{ curl --silent http://127.0.0.1:8000/api/v1/registrations; }}
         call() {{ timeout 30 sipp 192.0.2.1:5060 -i 192.0.2.66 -p $1 -m 1 -nostdin -s $2 -trace_msg -message_file $3 \\
           -sf $4 >/dev/null 2>&1 || echo $3 failed >> failed; }}
         touch failed
         call 5070 echo registers {registers}
         call 5070 echo long long.xml & first=$!
         for i in $(seq 100); do shown | grep -q '\"calls_live\":1' && break; sleep 0.1; done
         call 5072 echo beside {calls}
         wait $first
         call 5070 dear dear {calls}
         call 5070 echo third {calls}
         call 5070 echo fourth {calls}
         call 5070 117 help {calls}
         shown > accounts
         curl --silent http://127.0.0.1:8000/api/v1/calls > rows
         id=$(sed 's/.*\"id\":\"\\([^\"]*\\)\",[^{{]*\"to\":\"dear\".*/\\1/' rows)
         curl --silent http://127.0.0.1:8000/api/v1/calls/$id > dialled
         id=$(sed 's/.*\"id\":\"\\([^\"]*\\)\",[^{{]*\"to\":\"117\".*/\\1/' rows)
         curl --silent http://127.0.0.1:8000/api/v1/calls/$id > helped
         kill $milo; wait $milo || true",
        accounts = file.display(),
        plans = folder.join("plans").display(),
        program = PROGRAM,
        calls = scenarios.join("account_calls.xml").display(),
        registers = scenarios.join("account_registers.xml").display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    assert_eq!(read("failed"), "beside failed\nfourth failed\n", "{}{}", read("long"), read("err"));
    for (name, says) in [("beside", "As Many Calls As It May"), ("fourth", "Calls Of Today")] {
        let heard = read(name);
        let refused = heard.lines().any(|line| line.starts_with("SIP/2.0 403") && line.contains(says));
        assert!(refused && !heard.contains("SIP/2.0 200"), "{name}, {says}: {heard}");
    }
    let shown: Value = serde_json::from_str(&read("accounts")).expect("JSON");
    let limits = &shown["accounts"][0]["limits"];
    assert_eq!(
        (
            &limits["calls_today"],
            &limits["minutes_today"],
            &limits["refused"],
            &limits["calls_live"],
            &limits["calls_per_day"]
        ),
        (&3.into(), &1.into(), &2.into(), &0.into(), &3.into()),
        "{shown}"
    );
    let row: Value = serde_json::from_str(&read("dialled")).expect("JSON");
    assert_eq!(event(&row, "dialled")["result"], "the account does not call this number", "{row}");
    // The gateway is nobody's here: it was asked, whatever the account may call.
    let row: Value = serde_json::from_str(&read("helped")).expect("JSON");
    let dialled = event(&row, "dialled");
    assert!(row["to"] == "117" && dialled["status"].is_number(), "{row}");
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_its_call_after_a_start_too() {
    let far = with_plans("keys-far", FAR).await;
    let trunk = trunk_to(&far, "carrier", "").replace('\'', "\"");
    let near = calling_with("keys-near", OUT, &format!("[{trunk}]"), &[]).await;
    let wanted = json!({ "to": "034", "idempotency_key": "order-4711" });
    let first = place(&near, &wanted);
    assert_eq!(first.status, 202, "{first:?}");
    ended(&near, &first.body["id"]).await;
    let (folder, trunks) = (near.folder().to_owned(), format!("[{trunk}]"));
    near.stop().await.expect("Milo ends by itself");
    // With the dialplan that ships, which has the plan `outgoing` too.
    let variables = [("MILO__SIP__TRUNKS", trunks.as_str())];
    let again = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let same = place(&again, &wanted);
    assert_eq!((same.status, &same.body), (200, &first.body));
    let other = place(&again, &json!({ "to": "035", "idempotency_key": "order-4711" }));
    assert_eq!(other.status, 422, "{other:?}");
    assert_eq!(get(&again, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(1), "it was placed once");
    stop(again).await;
    stop(far).await;
}
